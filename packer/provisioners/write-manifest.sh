#!/usr/bin/env bash
# The last step: records what the AMI holds, and takes the staged files away.
set -euo pipefail
: "${BULLION_ROLE:?}" "${BULLION_STAGE:?}"
name=manifest.json
[ "$BULLION_ROLE" != base ] || name=base.json
mkdir -p /usr/share/bullion
python3 - "$BULLION_STAGE/manifest.json" "/usr/share/bullion/$name" <<'END'
import json, subprocess, sys
manifest = json.load(open(sys.argv[1]))
listed = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n"],
                        capture_output=True, text=True, check=True).stdout
manifest["packages"] = dict(line.split(" ", 1) for line in listed.splitlines())
with open(sys.argv[2], "w") as out:
    json.dump(manifest, out, indent=2, sort_keys=True)
END
chmod 0644 "/usr/share/bullion/$name"
rm -rf "$BULLION_STAGE"
sync
