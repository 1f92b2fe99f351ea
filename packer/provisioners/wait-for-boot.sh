#!/usr/bin/env bash
# Waits until the builder has booted: cloud-init may still be writing what we are about to change.
set -euo pipefail
# 2 is "done, with recoverable errors"; what those were stands in its log.
cloud-init status --wait >/dev/null || [ $? -eq 2 ]
# Where Packer, logged in as an ordinary user, uploads to; not /tmp, which is memory.
install -d -o "$SUDO_USER" /var/tmp/bullion
