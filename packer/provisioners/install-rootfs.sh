#!/usr/bin/env bash
# Copies the staged tree onto /.
set -euo pipefail
: "${BULLION_STAGE:?}"
tar -C / -xf "$BULLION_STAGE/rootfs.tar" --no-overwrite-dir --owner=0 --group=0
systemctl daemon-reload
