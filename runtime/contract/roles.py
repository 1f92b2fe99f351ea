"""The roles: what a machine can be, and the common layer the four are baked on."""

from __future__ import annotations

import re
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


def role_of(name: str) -> Role | None:
    """Return the role of the machine called `name`, such as kafka or processor-2, if it has one.

    The first machine of a role has the role's own name; terraform/locals.tf names the others.
    """
    found = re.fullmatch(rf"({'|'.join(MACHINE_ROLES)})(-[1-9][0-9]*)?", name)
    return Role(found[1]) if found else None


def parse_role(text: str, *, allowed: tuple[Role, ...] = MACHINE_ROLES) -> Role:
    """Return the role called `text`, or raise UsageError listing those that are `allowed`."""
    if text in allowed:
        return Role(text)
    known = ", ".join(allowed)
    message = f"there is no role {text!r}; the roles are {known}"
    raise UsageError(message, hint=f"use one of: {known}")
