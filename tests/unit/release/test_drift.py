"""Drift: each thing that may differ is named with both sides; what is as applied is silent."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from runtime.cloud.channels import Entry
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.release import drift
from runtime.release.drift import Applied, Difference, Kind, Report, Seen
from tests.unit.release.kit import days_ago, release

VERSION = "2026.01.02"
RELEASES = {one.version: one for one in (release("2026.01.01"), release(VERSION))}
USER_DATA = "#cloud-config\n{}"


def applied(role: Role, **tags: str) -> Applied:
    return Applied(
        id=f"i-{role}",
        role=role,
        ami_id=RELEASES[VERSION].ami_ids[role],
        tags={"bullion:release": VERSION} | tags,
        user_data_sha1=hashlib.sha1(USER_DATA.encode(), usedforsecurity=False).hexdigest(),
    )


def seen(role: Role, **changed: Any) -> Seen:
    as_it_should_be = Seen(
        id=f"i-{role}",
        state="running",
        ami_id=RELEASES[VERSION].ami_ids[role],
        launched_at=days_ago(1),
        tags={"bullion:release": VERSION, "Name": "x"},
        user_data=USER_DATA,
    )
    return replace(as_it_should_be, **changed)


def compared(channel: str = "", before: dict[str, str] | None = None, **changed: Any) -> Report:
    """Compare four machines, of which the producers are `changed`."""
    machines = {role: seen(role) for role in MACHINE_ROLES}
    if "absent" in changed:
        del machines[Role.PRODUCERS]
    else:
        machines[Role.PRODUCERS] = seen(Role.PRODUCERS, **changed)
    made = {role: applied(role) for role in MACHINE_ROLES}
    made[Role.PRODUCERS] = applied(Role.PRODUCERS, **(before or {}))
    pointed = points_to(channel) if channel else {}
    return drift.compare(machines, made, releases=RELEASES, channel=pointed)


def points_to(version: str) -> dict[Role, Entry]:
    ids = RELEASES[version].ami_ids
    return {role: Entry(release=version, ami_id=ami_id) for role, ami_id in ids.items()}


def difference(kind: Kind, expected: str, now: str) -> Difference:
    return Difference(machine="producers", kind=kind, expected=expected, seen=now)


def test_machines_as_applied_differ_in_nothing() -> None:
    report = compared(channel=VERSION)
    assert report == Report(release=VERSION, channel=VERSION, newest=VERSION)


@pytest.mark.parametrize(
    ("changed", "kind", "expected", "now"),
    [
        ({"absent": True}, Kind.MACHINE, "i-producers", "none"),
        ({"id": "i-other"}, Kind.MACHINE, "i-producers", "i-other"),
        ({"state": "stopped"}, Kind.MACHINE, "running", "stopped"),
        ({"ami_id": "ami-other"}, Kind.AMI, f"ami-producers-{VERSION}", "ami-other"),
        ({"tags": {}}, Kind.RELEASE, VERSION, "no tag"),
        ({"user_data": "#cloud-config\n"}, Kind.USER_DATA, "as applied", "14 other characters"),
        ({"changed": ("/usr/bin/x",)}, Kind.FILE, "/usr/bin/x as baked", "changed"),
        ({"missing": ("/usr/bin/x",)}, Kind.FILE, "/usr/bin/x as baked", "missing"),
        ({"silence": "no route"}, Kind.FILE, "an answer of the machine", "no route"),
    ],
)
def test_what_differs_of_a_machine_is_named(
    changed: dict[str, Any], kind: Kind, expected: str, now: str
) -> None:
    assert compared(**changed).differences == (difference(kind, expected, now),)


def test_each_of_several_processors_is_compared_with_the_ami_of_its_role() -> None:
    names = ("processor", "processor-2", "processor-3")
    made = {name: applied(Role.PROCESSOR) for name in names}
    machines = {
        "processor": seen(Role.PROCESSOR),
        "processor-2": seen(Role.PROCESSOR, ami_id="ami-other"),
    }
    report = drift.compare(machines, made, releases=RELEASES, channel={})
    found = [(one.machine, one.kind, one.seen) for one in report.differences]
    assert found == [
        ("processor-2", Kind.AMI, "ami-other"),
        ("processor-3", Kind.MACHINE, "none"),
    ]


def test_a_machine_that_nobody_applied_is_named() -> None:
    machines = {role: seen(role) for role in MACHINE_ROLES}
    made = {role: applied(role) for role in MACHINE_ROLES if role is not Role.KAFKA}
    report = drift.compare(machines, made, releases=RELEASES, channel={})
    found = [(one.machine, one.kind, one.expected, one.seen) for one in report.differences]
    assert found == [("kafka", Kind.MACHINE, "none", "i-kafka")]


@pytest.mark.parametrize(
    ("before", "after", "expected", "now"),
    [
        ({}, {"batch_size": "7"}, "batch_size = as baked", "tag says 7"),
        ({"batch_size": "5"}, {"batch_size": "7"}, "batch_size = 5", "tag says 7"),
        ({"batch_size": "5"}, {}, "batch_size = 5", "tag says nothing"),
    ],
)
def test_a_parameter_tag_that_is_not_as_applied_is_named(
    before: dict[str, str], after: dict[str, str], expected: str, now: str
) -> None:
    tags = {f"bullion-param:{name}": value for name, value in after.items()}
    made = {f"bullion-param:{name}": value for name, value in before.items()}
    report = compared(before=made, tags={"bullion:release": VERSION} | tags)
    assert report.differences == (difference(Kind.PARAMETER, expected, now),)


IN_FORCE = {
    "gpu_topic": "gpu.metrics.v1",
    "token_topic": "token.usage.v1",
    "message_count": "100",
    "batch_size": "50",
    "interval_s": "0.0",
    "seed": "20",
    "message_source": "simulation",
}


def test_an_override_that_was_applied_and_is_in_force_is_no_drift() -> None:
    tag = {"bullion-param:batch_size": "7"}
    tags = {"bullion:release": VERSION} | tag
    force = IN_FORCE | {"batch_size": "7"}
    assert compared(before=tag, tags=tags, in_force=force).differences == ()


def test_a_parameter_that_is_tagged_and_not_in_force_is_named() -> None:
    tag = {"bullion-param:batch_size": "7"}
    tags = {"bullion:release": VERSION} | tag
    report = compared(before=tag, tags=tags, in_force=IN_FORCE)
    expected = difference(Kind.PARAMETER, "batch_size = 7", "in force: 50")
    assert report.differences == (expected,)


def test_a_tag_that_no_boot_takes_is_named() -> None:
    tag = {"bullion-param:batch_size": "many"}
    tags = {"bullion:release": VERSION} | tag
    (found,) = compared(before=tag, tags=tags, in_force=IN_FORCE).differences
    assert found.kind is Kind.PARAMETER
    assert "parameter batch_size is 'many'" in found.seen


def test_a_channel_at_another_release_is_drift_and_a_newer_release_is_not() -> None:
    (found,) = compared(channel="2026.01.01").differences
    assert (found.kind, found.expected, found.seen) == (Kind.CHANNEL, "2026.01.01", VERSION)
    between = points_to(VERSION) | {Role.KAFKA: points_to("2026.01.01")[Role.KAFKA]}
    machines = {role: seen(role) for role in MACHINE_ROLES}
    made = {role: applied(role) for role in MACHINE_ROLES}
    report = drift.compare(machines, made, releases=RELEASES, channel=between)
    assert [one.expected for one in report.differences] == [f"2026.01.01, {VERSION}"]
    newer = RELEASES | {"2026.01.03": release("2026.01.03")}
    report = drift.compare(machines, made, releases=newer, channel=points_to(VERSION))
    assert (report.newest, report.differences) == ("2026.01.03", ())


def test_machines_of_a_release_that_the_ledger_lacks_are_told_of() -> None:
    machines = {role: seen(role) for role in MACHINE_ROLES}
    made = {role: applied(role) for role in MACHINE_ROLES}
    report = drift.compare(machines, made, releases={}, channel={})
    found = [(one.machine, one.kind, one.seen) for one in report.differences]
    assert found == [("", Kind.RELEASE, f"{VERSION} is not in it")]
