"""What differs: machines against what was applied, their release, the channel and the newest.

Pure: who calls has looked already. What is applied comes from Terraform's state, so an override
that was deployed is no drift, and one that somebody set by hand is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from runtime.cloud.amis import RELEASE_TAG
from runtime.cloud.channels import Entry
from runtime.contract import parameters
from runtime.contract.roles import Role
from runtime.errors import BootError
from runtime.release import overrides
from runtime.release.record import Release


class Kind(StrEnum):
    """What can differ."""

    MACHINE = "machine"
    RELEASE = "release"
    AMI = "AMI"
    PARAMETER = "parameter"
    USER_DATA = "user data"
    FILE = "file"
    CHANNEL = "channel"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A machine as Terraform left it; the user data as its SHA-1, which is what the state keeps."""

    id: str
    role: Role
    ami_id: str
    tags: Mapping[str, str]
    user_data_sha1: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A machine as it is now.

    Attributes:
        launched_at: aware.
        in_force: {parameter: value} that its stack runs with, None where it did not answer.
        changed, missing: paths of baked files that are not as they were baked.
        silence: why the machine itself could not be asked, or "".
    """

    id: str
    state: str
    ami_id: str
    launched_at: datetime
    tags: Mapping[str, str]
    user_data: str
    in_force: Mapping[str, str] | None = None
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    silence: str = ""

    @property
    def overrides(self) -> dict[str, str]:
        """Return {parameter: value} of the tags that override one."""
        return overrides.of_tags(self.tags)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is not as it should be; `machine` is "" where it is about all of them."""

    machine: str
    kind: Kind
    expected: str
    seen: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found.

    Attributes:
        release: that was deployed last, "" if nobody knows.
        channel: release that the channel points to, "" if none.
        newest: release in the ledger, "" if none; being behind it alone is no drift.
        differences: all that is not as it should be.
    """

    release: str
    channel: str
    newest: str
    differences: tuple[Difference, ...] = field(default=())


def compare(
    seen: Mapping[str, Seen],
    applied: Mapping[str, Applied],
    *,
    releases: Mapping[str, Release],
    channel: Mapping[Role, Entry],
) -> Report:
    """Return what differs.

    Args:
        seen: the machines there are, by name.
        applied: the machines that Terraform made, by name.
        releases: {version: release} of the ledger, the oldest first.
        channel: {role: what the channel points to}, {} if it points nowhere.
    """
    versions = sorted({one.tags.get(RELEASE_TAG, "") for one in applied.values()})
    deployed = versions[-1] if versions else ""
    release = releases.get(deployed)
    found: list[Difference] = []
    if release is None:
        found.append(
            Difference(
                machine="",
                kind=Kind.RELEASE,
                expected="one of the ledger",
                seen=f"{deployed or 'none'} is not in it",
            )
        )
    for name, one in applied.items():
        if name not in seen:
            found.append(Difference(machine=name, kind=Kind.MACHINE, expected=one.id, seen="none"))
        else:
            found += _of_machine(name, seen[name], one, release)
    found += [
        Difference(machine=name, kind=Kind.MACHINE, expected="none", seen=seen[name].id)
        for name in seen
        if name not in applied
    ]
    pointed = ", ".join(sorted({entry.release for entry in channel.values()}))
    if pointed not in {"", deployed}:
        found.append(Difference(machine="", kind=Kind.CHANNEL, expected=pointed, seen=deployed))
    return Report(
        release=deployed,
        channel=pointed,
        newest=next(reversed(list(releases)), ""),
        differences=tuple(found),
    )


def _of_machine(
    name: str, seen: Seen, applied: Applied, release: Release | None
) -> Iterator[Difference]:
    def differs(kind: Kind, expected: str, now: str) -> Difference:
        return Difference(machine=name, kind=kind, expected=expected, seen=now)

    if seen.id != applied.id:
        yield differs(Kind.MACHINE, applied.id, seen.id)
    if seen.state != "running":
        yield differs(Kind.MACHINE, "running", seen.state)
    ami_id = release.ami_ids[applied.role] if release else applied.ami_id
    if seen.ami_id != ami_id:
        yield differs(Kind.AMI, ami_id, seen.ami_id)
    version = applied.tags.get(RELEASE_TAG, "")
    if seen.tags.get(RELEASE_TAG, "") != version:
        yield differs(Kind.RELEASE, version, seen.tags.get(RELEASE_TAG, "") or "no tag")
    yield from _of_parameters(name, seen, applied)
    if hashlib.sha1(seen.user_data.encode(), usedforsecurity=False).hexdigest() != (
        applied.user_data_sha1
    ):
        yield differs(Kind.USER_DATA, "as applied", f"{len(seen.user_data)} other characters")
    for path in seen.changed:
        yield differs(Kind.FILE, f"{path} as baked", "changed")
    for path in seen.missing:
        yield differs(Kind.FILE, f"{path} as baked", "missing")
    if seen.silence:
        yield differs(Kind.FILE, "an answer of the machine", seen.silence)


def _of_parameters(machine: str, seen: Seen, applied: Applied) -> Iterator[Difference]:
    """Yield parameters whose tag is not as applied, and those not in force as tagged."""

    def differs(expected: str, now: str) -> Difference:
        return Difference(machine=machine, kind=Kind.PARAMETER, expected=expected, seen=now)

    before, now = overrides.of_tags(applied.tags), seen.overrides
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield differs(
                f"{name} = {before.get(name, 'as baked')}", f"tag says {now.get(name, 'nothing')}"
            )
    if seen.in_force is None:
        return
    try:
        wanted = parameters.resolve(applied.role, seen.tags)
    except BootError as error:
        yield differs("tags that a boot takes", error.message)
        return
    for name, value in wanted.items():
        if seen.in_force.get(name) != str(value):
            yield differs(f"{name} = {value}", f"in force: {seen.in_force.get(name, 'nothing')}")
