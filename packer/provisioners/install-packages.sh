#!/usr/bin/env bash
# Installs what every role needs: Docker Engine, compose, what makes and checks a file system, and
# the clients that the probes use.
# The roles are baked on top of base and have nothing to install.
set -euo pipefail
: "${BULLION_ROLE:?}"
[ "$BULLION_ROLE" = base ] || exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends \
  docker.io docker-cli docker-compose e2fsprogs iptables \
  python3-confluent-kafka python3-pymongo >/dev/null
# No timer of these may slow a boot or change a machine behind our back.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer man-db.timer
