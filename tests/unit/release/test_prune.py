"""What may go: nothing that anybody needs, and of the rest no more than asked for."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from runtime.cloud.channels import Entry, History
from runtime.cloud.references import Reference, References, merge
from runtime.cloud.stock import Ami
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError, UsageError
from runtime.release import prune
from runtime.release.prune import Plan, Policy
from runtime.release.record import Release
from tests.unit.release.kit import NOW, ami, amis_of, days_ago, release

OLD, NEW = release("2026.01.01"), release("2026.02.01", days=90)
BOTH = (OLD, NEW)
KAFKA = "ami-kafka-2026.01.01"


def planned(
    *releases: Release,
    amis: Mapping[str, Ami] | None = None,
    references: References | None = None,
    current: Collection[str] = (),
    **policy: Any,
) -> Plan:
    return prune.plan(
        releases,
        amis_of(*releases) if amis is None else amis,
        references or {},
        pruned=["2025.01.01"],
        current_keys=current,
        now=NOW,
        policy=Policy(**policy),
    )


def reasons(plan: Plan, name: str) -> tuple[str, ...]:
    """Return why an item stays, () if it goes."""
    return {item.name: item.why for item in (*plan.go, *plan.stay)}[name]


def test_what_nobody_needs_goes_and_the_newest_stays() -> None:
    plan = planned(*BOTH)
    assert [item.version for item in plan.go] == ["2026.01.01"]
    assert {ami.id for ami in plan.go[0].amis} == set(OLD.ami_ids.values())
    assert reasons(plan, "release 2026.02.01") == ("the newest",)
    assert {ami.id for ami in plan.stay[0].amis} == set(NEW.ami_ids.values())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"is_managed": False}, f"kafka: {KAFKA} has no tag bullion:managed=true"),
        ({"state": "pending"}, f"kafka: {KAFKA} is pending"),
        ({"launched_at": days_ago(2)}, "kafka: last launched 2 days ago"),
        ({"launched_at": days_ago(0.1)}, "kafka: last launched less than a day ago"),
        ({"key": "now"}, "kafka: nothing changed since its bake, so a bake would keep it"),
    ],
)
def test_one_ami_that_must_stay_keeps_its_release(changed: dict[str, Any], reason: str) -> None:
    amis = amis_of(*BOTH)
    amis[KAFKA] = replace(amis[KAFKA], **changed)
    plan = planned(*BOTH, amis=amis, current=["now"])
    assert plan.go == ()
    assert reasons(plan, "release 2026.01.01") == (reason,)


@pytest.mark.parametrize(
    "who",
    ["channel stable", "instance i-1 is stopped", "launch template lt-1 has it in version 3"],
)
def test_one_ami_that_somebody_needs_keeps_its_release(who: str) -> None:
    plan = planned(*BOTH, references={KAFKA: (Reference(who=who),)})
    assert plan.go == ()
    assert reasons(plan, "release 2026.01.01") == (f"kafka: {who}",)


def test_the_same_reason_for_several_roles_is_said_once() -> None:
    needed = {ami_id: (Reference(who="channel stable"),) for ami_id in OLD.ami_ids.values()}
    plan = planned(*BOTH, references=needed)
    assert reasons(plan, "release 2026.01.01") == (
        "kafka, mongo, processor, producers: channel stable",
    )


def test_a_release_within_the_rollback_window_stays() -> None:
    young = release("2026.01.01", days=29.9)
    plan = planned(young, NEW)
    assert reasons(plan, "release 2026.01.01") == (
        "29 days old, and the rollback window is 30 days",
    )
    assert [item.version for item in planned(young, NEW, keep_days=29).go] == ["2026.01.01"]


def test_what_was_launched_before_the_window_does_not_count() -> None:
    amis = amis_of(*BOTH, launched_at=days_ago(31))
    assert len(planned(*BOTH, amis=amis).go) == 1


def test_an_ami_that_a_newer_release_has_stays_and_the_older_release_goes() -> None:
    later = release("2026.02.01", kafka=KAFKA)
    needed = {KAFKA: (Reference(who="channel stable"),)}
    plan = planned(OLD, later, references=needed)
    assert [item.version for item in plan.go] == ["2026.01.01"]
    assert KAFKA not in {ami.id for ami in plan.go[0].amis}
    assert len(plan.go[0].amis) == 3


def test_who_knows_an_ami_as_that_of_the_older_release_keeps_that_one() -> None:
    later = release("2026.02.01", kafka=KAFKA)
    machine = Reference(who="instance i-1 is running", version="2026.01.01")
    plan = planned(OLD, later, references={KAFKA: (machine,)})
    assert plan.go == ()
    assert reasons(plan, "release 2026.01.01") == ("kafka: instance i-1 is running",)
    assert reasons(plan, "release 2026.02.01") == ("the newest",)


def test_who_names_a_release_that_has_another_ami_keeps_both() -> None:
    middle = release("2026.01.02")
    machine = Reference(who="instance i-1 is running", version=middle.version)
    plan = planned(OLD, middle, NEW, references={KAFKA: (machine,)})
    assert plan.go == ()
    assert reasons(plan, "release 2026.01.01") == ("kafka: instance i-1 is running",)
    assert reasons(plan, "release 2026.01.02") == ("instance i-1 is running",)


def test_an_instance_of_an_ami_that_is_gone_keeps_what_is_left_of_its_release() -> None:
    amis = amis_of(*BOTH)
    del amis[KAFKA]
    machine = Reference(who="instance i-1 is running")
    assert planned(*BOTH, amis=amis, references={KAFKA: (machine,)}).go == ()


def test_an_ami_of_two_that_go_goes_with_the_later() -> None:
    middle = release("2026.01.02", kafka=KAFKA)
    plan = planned(OLD, middle, NEW)
    assert [item.version for item in plan.go] == ["2026.01.01", "2026.01.02"]
    assert [KAFKA in {ami.id for ami in item.amis} for item in plan.go] == [False, True]


def test_a_release_whose_amis_are_all_gone_goes_with_nothing_to_remove() -> None:
    plan = planned(*BOTH, amis=amis_of(NEW))
    assert [(item.version, item.amis) for item in plan.go] == [("2026.01.01", ())]


def test_no_more_amis_go_than_the_cap_the_oldest_first() -> None:
    middle = release("2026.01.02")
    plan = planned(OLD, middle, NEW, most=7)
    assert [item.version for item in plan.go] == ["2026.01.01"]
    assert reasons(plan, "release 2026.01.02") == ("beyond the 7 AMIs that go in one run",)
    assert len(planned(OLD, middle, NEW, most=8).go) == 2


def test_the_cap_counts_amis_in_no_release_after_those_of_releases() -> None:
    loose = {name: ami(name) for name in ("ami-1", "ami-2")}
    plan = planned(*BOTH, amis=amis_of(*BOTH) | loose, most=5)
    assert [item.name for item in plan.go] == [
        "release 2026.01.01",
        "ami-1 (kafka, in no release)",
    ]
    assert reasons(plan, "ami-2 (kafka, in no release)") == (
        "beyond the 5 AMIs that go in one run",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"created_at": days_ago(3)}, "3 days old, and the rollback window is 30 days"),
        ({"key": "now"}, "nothing changed since its bake, so a bake would keep it"),
        ({"id": "ami-needed"}, "channel stable"),
        ({"launched_at": days_ago(1)}, "last launched 1 day ago"),
    ],
)
def test_an_ami_in_no_release_stays_by_the_same_rules(changed: dict[str, Any], reason: str) -> None:
    loose = replace(ami("ami-loose"), **changed)
    needed = {"ami-needed": (Reference(who="channel stable"),)}
    plan = planned(NEW, amis=amis_of(NEW) | {loose.id: loose}, references=needed, current=["now"])
    assert plan.go == ()
    assert reasons(plan, f"{loose.id} (kafka, in no release)") == (reason,)


def test_an_ami_of_a_release_that_only_another_ledger_knows_stays() -> None:
    loose = ami("ami-loose", release="2025.09.09")
    plan = planned(NEW, amis=amis_of(NEW) | {loose.id: loose})
    assert reasons(plan, "ami-loose (kafka, in no release)") == (
        "tagged as of release 2025.09.09, which this ledger does not know",
    )
    for version in ("2025.01.01", NEW.version):  # pruned before; or taken by others since
        left = replace(loose, release=version)
        assert len(planned(NEW, amis=amis_of(NEW) | {left.id: left}).go) == 1


def test_an_ami_that_is_not_ours_to_remove_is_not_even_looked_at() -> None:
    foreign = ami("ami-foreign", is_managed=False)
    plan = planned(NEW, amis=amis_of(NEW) | {foreign.id: foreign})
    assert [item.name for item in (*plan.go, *plan.stay)] == ["release 2026.02.01"]


def test_whatever_there_is_nothing_that_is_needed_goes() -> None:
    chance = random.Random(5)
    went = 0
    for _ in range(500):
        pool = [f"ami-{number}" for number in range(chance.randint(4, 12))]
        releases = [
            release(
                f"2026.01.{number:02}",
                days=chance.randint(0, 60),
                **{role: chance.choice(pool) for role in MACHINE_ROLES},
            )
            for number in range(1, chance.randint(2, 6))
        ]
        amis = {
            ami_id: ami(
                ami_id,
                created_at=days_ago(chance.randint(0, 60)),
                launched_at=chance.choice([None, days_ago(chance.randint(0, 60))]),
                is_managed=chance.random() > 0.1,
            )
            for ami_id in chance.sample(pool, chance.randint(0, len(pool)))
        }
        versions = ["", *(one.version for one in releases)]
        references = merge(
            (ami_id, Reference(who="w", version=chance.choice(versions)))
            for ami_id in chance.sample(pool, chance.randint(0, 3))
        )
        most = chance.randint(1, 10)
        plan = planned(*releases, amis=amis, references=references, most=most)

        gone = [one.id for item in plan.go for one in item.amis]
        kept = [one for one in releases if one.version in {item.version for item in plan.stay}]
        assert len(gone) == len(set(gone)) <= most
        assert not set(gone) & references.keys()
        assert not set(gone) & {ami_id for one in kept for ami_id in one.ami_ids.values()}
        assert all(amis[ami_id].is_managed for ami_id in gone)
        assert not {item.version for item in plan.go if item.version} & {
            who.version for found in references.values() for who in found
        }
        assert all(prune.needed_by(item, references) == [] for item in plan.go)
        assert len(plan.go) + len(plan.stay) >= len(releases)
        went += len(gone)
    assert went > 100


def history(*releases: Release) -> History:
    """Return the history of a channel that had these promoted one after the other."""
    return {
        role: tuple(Entry(release=one.version, ami_id=one.ami_ids[role]) for one in releases)
        for role in MACHINE_ROLES
    }


def told(*releases: Release) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for ami_id, who in prune.of_channels({"stable": history(*releases)}):
        assert ami_id.endswith(who.version)
        found.setdefault(who.version, set()).add(who.who)
    return found


def test_a_channel_needs_what_it_points_to_and_what_a_rollback_goes_to() -> None:
    first, second, third = (release(f"2026.01.0{number}") for number in (1, 2, 3))
    points, back = {"channel stable points to it"}, {"rollback of channel stable goes to it"}
    assert told() == {}
    assert told(first) == {first.version: points}
    assert told(first, second, third) == {second.version: back, third.version: points}
    assert told(first, second, third, second) == {first.version: back, second.version: points}
    assert len(list(prune.of_channels({"stable": history(first, second)}))) == 8


def test_a_channel_between_releases_refuses() -> None:
    between = dict(history(OLD, NEW)) | {Role.KAFKA: history(OLD)[Role.KAFKA]}
    with pytest.raises(ReleaseError, match="stands between releases"):
        list(prune.of_channels({"stable": between}))


def test_no_release_no_ami_and_no_channel_each_refuse() -> None:
    amis = amis_of(*BOTH)
    prune.refuse_blind(BOTH, amis, ["stable"])
    with pytest.raises(ReleaseError, match="the ledger knows no release"):
        prune.refuse_blind([], amis, ["stable"])
    with pytest.raises(ReleaseError, match="EC2 shows no AMI of the 2 releases"):
        prune.refuse_blind(BOTH, {"ami-x": ami("ami-x")}, ["stable"])
    with pytest.raises(ReleaseError, match="no channel points to a release"):
        prune.refuse_blind(BOTH, amis, [])


def test_flags_are_numbers_or_refused_by_name() -> None:
    assert prune.parse_policy("", "") == Policy()
    assert prune.parse_policy("0", "1") == Policy(keep_days=0, most=1)
    with pytest.raises(UsageError, match="--keep-days is '-1'"):
        prune.parse_policy("-1", "")
    with pytest.raises(UsageError, match="--most is '0'"):
        prune.parse_policy("", "0")
