"""Where things lie on a machine, as constants."""

from __future__ import annotations

from pathlib import PurePosixPath as P

PEERS = P("/etc/bullion/peers.json")  # written by user data, nothing else is
SHARE = P("/usr/share/bullion")  # baked, never changed afterwards
MANIFEST = SHARE / "manifest.json"
INVENTORY = SHARE / "inventory.json"  # packages of the machine and in its images
PARAMETERS = SHARE / "parameters.json"
STACK = SHARE / "stack"  # compose.yaml and templates of the role
LIB = P("/usr/lib/bullion")
MACHINE_PROGRAM = LIB / "machine"  # a folder that Python runs
PROBE = LIB / "probe"  # kafka and mongo: asks the store by its own protocol, answers JSON
RUN = P("/run/bullion")  # written at every boot
STACK_ENV = RUN / "stack.env"
STATUS = RUN / "status.json"
DATA = P("/var/lib/bullion/data")  # the data volume; a stack keeps its own below DATA/<role>
