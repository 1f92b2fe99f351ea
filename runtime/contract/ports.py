"""Who may reach whom: the table that Terraform's security groups must equal."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.contract.roles import MACHINE_ROLES, Role

ADMIN = "admin"  # the operator's CIDR
SSH = 22
KAFKA = 9092
MONGO = 27017
HTTP = 8080


@dataclass(frozen=True, kw_only=True)
class Flow:
    """TCP from `source` (a role, or ADMIN) to `port` on machines of role `to`."""

    to: Role
    port: int
    source: str


FLOWS = (
    Flow(to=Role.KAFKA, port=KAFKA, source=Role.PROCESSOR),
    Flow(to=Role.KAFKA, port=KAFKA, source=Role.PRODUCERS),
    Flow(to=Role.MONGO, port=MONGO, source=Role.PROCESSOR),
    Flow(to=Role.PROCESSOR, port=HTTP, source=ADMIN),
    *(Flow(to=role, port=SSH, source=ADMIN) for role in MACHINE_ROLES),
)
