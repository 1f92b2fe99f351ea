"""The roles: what a machine can be, and the common layer the four are baked on."""

from __future__ import annotations

from enum import StrEnum

from runtime.errors import UsageError


class Role(StrEnum):
    """One AMI per role; `BASE` is the layer the others are baked on and is never launched."""

    BASE = "base"
    KAFKA = "kafka"
    MONGO = "mongo"
    PROCESSOR = "processor"
    PRODUCERS = "producers"


MACHINE_ROLES = (Role.KAFKA, Role.MONGO, Role.PROCESSOR, Role.PRODUCERS)


def parse_role(text: str, *, allowed: tuple[Role, ...] = MACHINE_ROLES) -> Role:
    """Return the role called `text`, or raise UsageError listing those that are `allowed`."""
    if text in allowed:
        return Role(text)
    known = ", ".join(allowed)
    message = f"there is no role {text!r}; the roles are {known}"
    raise UsageError(message, hint=f"use one of: {known}")
