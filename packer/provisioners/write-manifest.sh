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
listed = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n"],
                        capture_output=True, text=True, check=True).stdout
rows = (line.split(" ", 2) for line in listed.splitlines())
manifest["packages"] = {name: version for state, name, version in rows if state == "installed"}
taken = json.load(open("/usr/share/bullion/inventory.json"))
if {row["name"]: row["version"] for row in taken["packages"]} != manifest["packages"]:
    sys.exit("packages changed after the inventory was taken: it would not be of what is shipped")
if missing := {image["name"] for image in manifest["images"]} - set(taken["images"]):
    sys.exit(f"the inventory lacks these images: {', '.join(sorted(missing))}")
with open(sys.argv[2], "w") as out:
    json.dump(manifest, out, indent=2, sort_keys=True)
END
chmod 0644 "/usr/share/bullion/$name"
rm -rf "$BULLION_STAGE"
sync
