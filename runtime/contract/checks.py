"""What a check on a machine reports, as JSON on its way to the operator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from runtime.errors import CheckError


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must be true of a machine.

    Attributes:
        name: what is checked, in a few words.
        ok: whether it was seen to be true.
        expected, seen: both sides in words; `seen` also when ok.
        hint: the next command to type when it is not.
        seconds: how long it took.
    """

    name: str
    ok: bool
    expected: str
    seen: str
    hint: str = ""
    seconds: float = 0.0


def to_json(checks: Sequence[Check]) -> str:
    """Return the checks as one JSON line."""
    return json.dumps([asdict(check) for check in checks])


def parse_checks(text: str) -> list[Check]:
    """Return the checks in `text`, or raise CheckError when it is something else."""
    try:
        return [Check(**row) for row in json.loads(text)]
    except (ValueError, TypeError) as error:
        message = f"the machine's answer is not a list of checks: {text.strip()[:200]!r}"
        raise CheckError(message, hint="./invoke logs ROLE") from error
