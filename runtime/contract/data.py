"""The data volume of kafka and mongo: what machine, AMI and Terraform agree on."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.contract.roles import Role

LABEL = "bullion-data"  # of its file system; at most 16 characters
DEVICE = "/dev/sdf"  # the name it is attached by; the kernel's is another

# The roles that have one, and the uid and gid that their image runs as.
OWNERS: Mapping[Role, int] = {Role.KAFKA: 1000, Role.MONGO: 999}
