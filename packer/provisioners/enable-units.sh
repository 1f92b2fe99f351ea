#!/usr/bin/env bash
# Lets a machine of this role configure itself and bring its stack up at every start.
set -euo pipefail
: "${BULLION_ROLE:?}"
systemctl enable --quiet docker.service
[ "$BULLION_ROLE" = base ] || systemctl enable --quiet bullion-boot.service bullion-stack.service
case "$BULLION_ROLE" in kafka | mongo) systemctl enable --quiet bullion-data.service ;; esac
systemd-analyze verify /etc/systemd/system/bullion-*.service
