"""The data volume of kafka and mongo: what machine, AMI, release and Terraform agree on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.contract.roles import Role
from runtime.errors import UsageError

LABEL = "bullion-data"  # of its file system; at most 16 characters
DEVICE = "/dev/sdf"  # the name it is attached by; the kernel's is another

# The roles that have one, and the uid and gid that their image runs as.
OWNERS: Mapping[Role, int] = {Role.KAFKA: 1000, Role.MONGO: 999}


@dataclass(frozen=True, kw_only=True)
class DataFormat:
    """What a role's store writes to its data volume, and which of that kind it can read.

    Attributes:
        name: the kind of data; of another kind nothing can be read.
        writes: the level that it leaves on the volume.
        reads_min, reads_max: the levels that it can start from.
    """

    name: str
    writes: int
    reads_min: int
    reads_max: int

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> DataFormat:
        """Return the format in `value`, or raise ValueError naming what is wrong."""
        names = ("name", "writes", "reads_min", "reads_max")
        if set(value) != set(names):
            message = f"it must hold {', '.join(names)} and nothing else"
            raise ValueError(message)
        if wrong := [name for name in names[1:] if type(value[name]) is not int]:
            message = f"its {wrong[0]} is no whole number"
            raise ValueError(message)
        found = cls(**value)
        if not found.name or not found.reads_min <= found.writes <= found.reads_max:
            message = "it must have a name, and read what it writes"
            raise ValueError(message)
        return found

    def can_read(self, written: DataFormat) -> bool:
        """Return whether what another wrote can be read."""
        return self.name == written.name and self.reads_min <= written.writes <= self.reads_max

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.name} level {self.writes}"


def read_format(text: str, *, where: str) -> dict[str, DataFormat]:
    """Return {base's origin: format} of an image's `data-format.json`.

    Raises:
        UsageError: it is damaged; names `where`.
    """
    try:
        return {origin: DataFormat.parse(value) for origin, value in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        message = f"{where} is damaged: {error}"
        raise UsageError(message, hint=f"git checkout -- {where}") from error
