#!/usr/bin/env bash
# Loads the container images and checks that each has the id that the manifest promises.
set -euo pipefail
: "${BULLION_STAGE:?}"
if [ -e /etc/docker/daemon.json ] && ! docker info --format '{{.LoggingDriver}}' | grep -qx journald; then
  systemctl restart docker
fi
for archive in "$BULLION_STAGE"/images/*.tar; do
  [ -e "$archive" ] || continue
  docker load --quiet --input "$archive"
  rm "$archive"
done
python3 - "$BULLION_STAGE/manifest.json" <<'END'
import json, subprocess, sys
for image in json.load(open(sys.argv[1]))["images"]:
    seen = subprocess.run(["docker", "image", "inspect", "--format", "{{.Id}}", image["name"]],
                          capture_output=True, text=True).stdout.strip()
    if seen != image["id"]:
        sys.exit(f"image {image['name']} has id {seen or 'none'}, the manifest says {image['id']}")
END
