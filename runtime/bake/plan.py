"""What has to be baked, decided before anything is done; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.bake import key as keys
from runtime.bake.key import Inputs
from runtime.contract.roles import Role


@dataclass(frozen=True, kw_only=True)
class Bake:
    """What is to happen to one role.

    Attributes:
        role: what is baked.
        key: of its inputs.
        ami_id: the AMI that has this key already, or "" when one must be made.
        why: for a person: which input changed, or that nothing did.
    """

    role: Role
    key: str
    ami_id: str
    why: str

    @property
    def is_needed(self) -> bool:
        """Return whether an AMI must be made."""
        return not self.ami_id


def decide(
    role: Role, inputs: Inputs, *, existing: Mapping[str, str], before: Inputs | None, forced: bool
) -> Bake:
    """Return what to do about a role.

    Args:
        role: what is baked.
        inputs: what it depends on now.
        existing: {key: AMI id} of the AMIs of this role that can be launched.
        before: what its last bake depended on, None if there was none.
        forced: bake although nothing changed.
    """
    key = keys.digest(inputs)
    found = existing.get(key, "")
    if forced:
        return Bake(role=role, key=key, ami_id="", why="forced")
    if found:
        return Bake(role=role, key=key, ami_id=found, why="nothing changed")
    if before is None:
        return Bake(role=role, key=key, ami_id="", why="never baked here")
    names = keys.changed(before, inputs)
    return Bake(role=role, key=key, ami_id="", why=_name(names) if names else "its AMI is gone")


def ami_name(role: Role, version: str, key: str) -> str:
    """Return the name of a role's AMI."""
    return f"bullion-{role}-{version}-{key[:8]}"


def _name(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"changed: {shown}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")
