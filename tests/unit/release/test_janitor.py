"""Only what a run left that is over may go; on a shared target a stranger's run is given time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runtime.cloud.leftovers import Kind, Leftover, in_order
from runtime.release import janitor
from runtime.release.janitor import Runs

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RUN = "20261125T113000-abcdef"


def judge(*found: Leftover, **runs: object) -> list[tuple[bool, str]]:
    known = Runs(**({"at_work": (), "killed": (), "is_shared": True} | runs))
    return [(one.goes, one.why) for one in janitor.plan(found, known, now=NOW)]


def thing(kind: Kind = Kind.GROUP, owner: str = RUN, **more: object) -> Leftover:
    return Leftover(kind=kind, id=f"{kind}-1", owner=owner, **more)


def test_of_a_run_at_work_everything_stays() -> None:
    assert judge(thing(), at_work={RUN}, is_shared=False) == [(False, "its run is at work")]


def test_of_a_killed_run_everything_goes_however_young() -> None:
    assert judge(thing(born=NOW), killed={RUN}) == [(True, "its run was killed")]


def test_where_nobody_else_works_what_no_run_here_holds_goes() -> None:
    assert judge(thing(born=NOW), is_shared=False) == [(True, "no run is at work here")]


def test_a_run_of_another_computer_is_given_its_time() -> None:
    [(goes, why)] = judge(thing())
    assert not goes
    assert "another computer" in why


def test_a_run_of_another_computer_goes_when_its_id_says_that_it_is_old() -> None:
    old = f"{NOW - timedelta(hours=3, minutes=1):%Y%m%dT%H%M%S}-abcdef"
    assert judge(thing(owner=old)) == [(True, "its run began over 3 h ago")]


def test_a_trial_is_as_old_as_the_oldest_thing_in_it() -> None:
    old = thing(Kind.INSTANCE, "trial-x", born=NOW - timedelta(hours=4))
    young = thing(Kind.VOLUME, "trial-x", born=NOW)
    found = judge(thing(Kind.VPC, "trial-x"), old, young)
    assert [goes for goes, _ in found] == [True, True, True]


def test_what_nothing_tells_the_age_of_stays_on_a_shared_target() -> None:
    assert judge(thing(Kind.VPC, "trial-x")) == [(False, "nothing tells its age")]


def test_a_network_goes_after_what_is_in_it() -> None:
    shuffled = [thing(kind) for kind in (Kind.VPC, Kind.INTERFACE, Kind.SUBNET, Kind.INSTANCE)]
    assert [one.kind for one in in_order(shuffled)] == [
        Kind.INSTANCE,
        Kind.INTERFACE,
        Kind.SUBNET,
        Kind.VPC,
    ]
