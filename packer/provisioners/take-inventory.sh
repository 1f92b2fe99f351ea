#!/usr/bin/env bash
# Takes stock of what is there: packages of the machine, and in its container images. Docker must
# still run for it, so it comes before cleanup; write-manifest.sh looks that nothing changed since.
set -euo pipefail
bullion inventory --write
