"""What killed bakes and trial stacks leave, and all that any stack has, found by tag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from runtime.cloud import amis
from runtime.cloud.amis import RUN_TAG
from runtime.cloud.asking import ALIVE, ask, tags, where
from runtime.cloud.target import Target

STACK_TAG = "bullion:stack"
TRIAL = "trial-"  # how names of trial stacks begin
RUN_TIME = "%Y%m%dT%H%M%S"  # how a bake's run id begins: UTC
_AMI = re.compile(r"ami-[0-9a-f]+")


class Kind(StrEnum):
    """What there can be, in the order in which it can be removed."""

    INSTANCE = "instance"
    ADDRESS = "address"
    INTERFACE = "network interface"
    AMI = "AMI"
    SNAPSHOT = "snapshot"
    VOLUME = "volume"
    GROUP = "security group"
    SUBNET = "subnet"
    ROUTE_TABLE = "route table"
    GATEWAY = "internet gateway"
    VPC = "VPC"
    KEY_PAIR = "key pair"


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One thing of a bake or a trial stack.

    Attributes:
        kind, id: what EC2 calls it.
        owner: the bake's run id, or the trial stack's name.
        about: name and state, for a person.
        born: when it was made, None where EC2 does not tell.
    """

    kind: Kind
    id: str
    owner: str
    about: str = ""
    born: datetime | None = None

    def __str__(self) -> str:
        """Return a line for a person."""
        return f"{self.kind} {self.id}" + (f" ({self.about})" if self.about else "")


@dataclass(frozen=True, kw_only=True)
class _Question:
    action: str
    answer: str
    id: str
    born: str = ""
    about: str = ""


_QUESTIONS: Mapping[Kind, _Question] = {
    Kind.ADDRESS: _Question(action="describe_addresses", answer="Addresses", id="AllocationId"),
    Kind.INTERFACE: _Question(
        action="describe_network_interfaces", answer="NetworkInterfaces", id="NetworkInterfaceId"
    ),
    Kind.VOLUME: _Question(
        action="describe_volumes", answer="Volumes", id="VolumeId", born="CreateTime", about="State"
    ),
    Kind.GROUP: _Question(
        action="describe_security_groups", answer="SecurityGroups", id="GroupId", about="GroupName"
    ),
    Kind.SUBNET: _Question(action="describe_subnets", answer="Subnets", id="SubnetId"),
    Kind.ROUTE_TABLE: _Question(
        action="describe_route_tables", answer="RouteTables", id="RouteTableId"
    ),
    Kind.GATEWAY: _Question(
        action="describe_internet_gateways", answer="InternetGateways", id="InternetGatewayId"
    ),
    Kind.VPC: _Question(action="describe_vpcs", answer="Vpcs", id="VpcId", about="CidrBlock"),
    Kind.KEY_PAIR: _Question(
        action="describe_key_pairs",
        answer="KeyPairs",
        id="KeyName",  # moto deletes none by id, and says nothing
        born="CreateTime",
        about="KeyPairId",
    ),
}
_OF_A_BAKE = (Kind.INTERFACE, Kind.VOLUME, Kind.GROUP, Kind.KEY_PAIR)


def find_of_bakes(target: Target, run: str = "*") -> list[Leftover]:
    """Return what bakes made that is no whole AMI, in order of removal; of one run if named.

    An AMI that has all its tags, and its snapshots theirs, is whole: the next bake finds it by
    its key, so it is no leftover even if its bake was killed right afterwards.
    """
    mine = [where(f"tag:{RUN_TAG}", run)]
    found = [*_instances(target, mine, RUN_TAG), *_amis_and_snapshots(target, mine)]
    for kind in _OF_A_BAKE:
        found += _ask(target, kind, mine, RUN_TAG)
    return in_order(found)


def find_of_trials(target: Target) -> list[Leftover]:
    """Return all of trial stacks, in order of removal."""
    return find_of_stack(target, f"{TRIAL}*")


def find_of_stack(target: Target, stack: str) -> list[Leftover]:
    """Return all of a stack, in order of removal; `stack` may end with an asterisk."""
    mine = [where(f"tag:{STACK_TAG}", stack)]
    found = _instances(target, mine, STACK_TAG)
    for kind in _QUESTIONS:
        found += _ask(target, kind, mine, STACK_TAG)
    return in_order(found)


def in_order(found: Sequence[Leftover]) -> list[Leftover]:
    """Return `found` in an order in which EC2 lets it be removed."""
    order = list(Kind)
    return sorted(found, key=lambda one: (order.index(one.kind), one.owner, one.id))


def _instances(target: Target, mine: list[dict[str, Any]], owner: str) -> list[Leftover]:
    states = where("instance-state-name", *ALIVE)
    reply = ask(target, "describe_instances", Filters=[*mine, states])
    return [
        Leftover(
            kind=Kind.INSTANCE,
            id=item["InstanceId"],
            owner=tags(item).get(owner, ""),
            about=f"{tags(item).get('Name', '')} {item['State']['Name']}".strip(),
            born=_time(item.get("LaunchTime")),
        )
        for page in reply["Reservations"]
        for item in page["Instances"]
    ]


def _ask(target: Target, kind: Kind, mine: list[dict[str, Any]], owner: str) -> Iterator[Leftover]:
    question = _QUESTIONS[kind]
    for item in ask(target, question.action, Filters=mine)[question.answer]:
        yield Leftover(
            kind=kind,
            id=item[question.id],
            owner=tags(item).get(owner, ""),
            about=str(item.get(question.about, "")),
            born=_time(item.get(question.born)),
        )


def _amis_and_snapshots(target: Target, mine: list[dict[str, Any]]) -> Iterator[Leftover]:
    """Yield AMIs that are not whole with their snapshots, and snapshots without an AMI."""
    snapshots = ask(target, "describe_snapshots", OwnerIds=["self"])["Snapshots"]
    tagged = {snapshot["SnapshotId"]: tags(snapshot) for snapshot in snapshots}
    images = ask(target, "describe_images", Owners=["self"], IncludeDisabled=True)["Images"]
    wanted = ask(target, "describe_images", Owners=["self"], Filters=mine)["Images"]
    halves = {image["ImageId"]: image for image in wanted if not amis.is_whole(image, tagged)}
    for ami_id, image in halves.items():
        yield Leftover(
            kind=Kind.AMI,
            id=ami_id,
            owner=tags(image)[RUN_TAG],
            about=f"{image['Name']}, {image['State']}, not all its tags",
            born=_time(image.get("CreationDate")),
        )
    mapped = {name: image["ImageId"] for image in images for name in amis.snapshot_ids(image)}
    found = ask(target, "describe_snapshots", OwnerIds=["self"], Filters=mine)["Snapshots"]
    of_runs = {snapshot["SnapshotId"] for snapshot in found}
    for snapshot in snapshots:
        name = snapshot["SnapshotId"]
        said = _AMI.search(snapshot.get("Description", ""))
        ami = mapped.get(name) or (said.group() if said else "")
        half = halves.get(ami)
        if half or (name in of_runs and name not in mapped):
            yield Leftover(
                kind=Kind.SNAPSHOT,
                id=name,
                owner=tags(half)[RUN_TAG] if half else tagged[name][RUN_TAG],
                about=f"of {ami}" if ami else "of no AMI",
                born=_time(snapshot.get("StartTime")),
            )


def _time(value: Any) -> datetime | None:
    if isinstance(value, str) and value:
        return datetime.fromisoformat(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else None
