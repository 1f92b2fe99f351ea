"""What the last boot of a machine came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from runtime.errors import BootError


@dataclass(frozen=True, kw_only=True)
class BootStatus:
    """Outcome of the boot step; written even when it fails.

    Attributes:
        ok: whether every phase ended well.
        role: the role, or "" when even that could not be read.
        phases: {phase: seconds}, in order; the last one is where a failure happened.
        error: the message of the failure, with its hint.
        parameters: the values in force, as text.
        address: the machine's own private IPv4 address.
    """

    ok: bool
    role: str
    phases: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    address: str = ""

    def to_json(self) -> str:
        """Return the status as indented JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def parse(cls, text: str) -> BootStatus:
        """Return the status in `text`, or raise BootError when it is something else."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            message = f"the boot status is damaged: {error!r}"
            raise BootError(message, hint="sudo systemctl restart bullion-boot") from error
