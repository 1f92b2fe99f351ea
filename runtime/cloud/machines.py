"""Machines of a stack and everything else that carries its tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from runtime.cloud.amis import RELEASE_TAG, ROLE_TAG
from runtime.cloud.asking import ALIVE, ask, tags, where
from runtime.cloud.leftovers import STACK_TAG, find_of_stack
from runtime.cloud.target import Target
from runtime.contract.data import OWNERS
from runtime.contract.roles import MACHINE_ROLES, Role, role_of
from runtime.errors import UsageError

STACK = "bullion"  # the operator's; trial stacks have names of their own


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine of the running stack, as EC2 describes it.

    Attributes:
        name: its role's for the first of a role, then processor-2, processor-3 and so on.
    """

    id: str
    name: str
    role: Role
    state: str
    address: str
    public_address: str
    ami_id: str
    release: str

    @property
    def reach(self) -> str:
        """Return the address that the operator reaches it by."""
        return self.public_address or self.address


@dataclass(frozen=True, kw_only=True)
class DataVolume:
    """A volume that a role keeps its data on, machine or no machine."""

    id: str
    role: Role
    size_gb: int
    release: str  # which was deployed on it last, "" if it does not say

    def __str__(self) -> str:
        """Return a line for a person."""
        return f"volume {self.id}: data of {self.role}, {self.size_gb} GiB"


def find_all(target: Target, stack: str = STACK) -> dict[str, Machine]:
    """Return {name: machine} of what is alive of a stack, role by role.

    Raises:
        CloudError: EC2 can't be asked.
    """
    filters = [
        where(f"tag:{ROLE_TAG}", *MACHINE_ROLES),
        where(f"tag:{STACK_TAG}", stack),
        where("instance-state-name", *ALIVE),
    ]
    reply = ask(target, "describe_instances", Filters=filters)
    return by_name(
        _read(item, target, stack) for page in reply["Reservations"] for item in page["Instances"]
    )


def by_name(found: Iterable[Machine]) -> dict[str, Machine]:
    """Return {name: machine}, role by role; of two of a name, the one that is not on its way out.

    One more that runs under the same name is called by its id.
    """
    named: dict[str, Machine] = {}
    for one in sorted(
        found, key=lambda m: (MACHINE_ROLES.index(m.role), m.name, m.state != "running", m.id)
    ):
        if one.name not in named:
            named[one.name] = one
        elif one.state != "shutting-down":
            named[one.id] = replace(one, name=one.id)
    return named


def find(target: Target, name: str, stack: str = STACK) -> Machine:
    """Return the machine called `name`, such as kafka or processor-2.

    Raises:
        UsageError: it does not run; the message lists those there are.
    """
    known = find_all(target, stack)
    machine = known.get(name)
    if machine is None or machine.state != "running":
        seen = machine.state if machine else f"deployed are {', '.join(known) or 'none'}"
        message = f"there is no running machine {str(name)!r}: {seen}"
        raise UsageError(message, hint="./invoke status, then ./invoke deploy")
    return machine


def find_any(target: Target, role: Role) -> Machine:
    """Return a machine of a role that runs, the first of them if there are several.

    Raises:
        UsageError: none does.
    """
    found = [one for one in find_all(target).values() if one.role is role]
    return next((one for one in found if one.state == "running"), None) or find(target, role)


def find_places(target: Target, stack: str = STACK) -> list[str]:
    """Return the names of the machines that a stack is to have.

    Each has an interface of its own, which is there when the machine is not.
    """
    asked = [where(f"tag:{STACK_TAG}", stack)]
    found = ask(target, "describe_network_interfaces", Filters=asked)["NetworkInterfaces"]
    return sorted(_name(tags(one), stack) for one in found)


def find_data(target: Target, stack: str = STACK) -> list[DataVolume]:
    """Return the data volumes: those of a stack that have a role."""
    filters = [
        where(f"tag:{ROLE_TAG}", *OWNERS),
        where(f"tag:{STACK_TAG}", stack),
    ]
    found = [
        DataVolume(
            id=item["VolumeId"],
            role=Role(tags(item)[ROLE_TAG]),
            size_gb=item["Size"],
            release=tags(item).get(RELEASE_TAG, ""),
        )
        for item in ask(target, "describe_volumes", Filters=filters)["Volumes"]
    ]
    return sorted(found, key=lambda volume: (volume.role, volume.id))


def leftovers(target: Target, stack: str = STACK) -> list[str]:
    """Return a line for everything that a stack made and that is still there, but its data."""
    data = {volume.id for volume in find_data(target, stack)}
    return [str(one) for one in find_of_stack(target, stack) if one.id not in data]


def _read(item: dict[str, Any], target: Target, stack: str) -> Machine:
    known = tags(item)
    name, role = _name(known, stack), Role(known[ROLE_TAG])
    return Machine(
        id=item["InstanceId"],
        name=name if role_of(name) is role else role,  # somebody else may have named it
        role=role,
        state=item["State"]["Name"],
        address=item.get("PrivateIpAddress", ""),
        # The lab has no addresses of the outside; moto makes some up.
        public_address="" if target.endpoint else item.get("PublicIpAddress", ""),
        ami_id=item["ImageId"],
        release=known.get(RELEASE_TAG, ""),
    )


def _name(known: Mapping[str, str], stack: str) -> str:
    return known.get("Name", "").removeprefix(f"{stack}-")
