"""A channel's history says which release it has, and which one a rollback goes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.cloud.channels import Entry, History
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError
from runtime.release import channel
from tests.unit.release.records import IDS, release


def history(releases: str, **other: str) -> History:
    """Return the history of a channel that was moved to each letter of `releases`."""
    return {
        role: tuple(Entry(release=one, ami_id=IDS[role]) for one in other.get(role, releases))
        for role in MACHINE_ROLES
    }


@pytest.mark.parametrize(
    ("moves", "trail"),
    [("", ""), ("A", "A"), ("AB", "AB"), ("ABA", "A"), ("ABCB", "AB"), ("ABCBC", "ABC")],
)
def test_going_back_leaves_what_came_after_behind(moves: str, trail: str) -> None:
    assert channel.trail(history(moves), "stable") == list(trail)


def test_a_rollback_goes_to_the_release_before_and_never_forward_again() -> None:
    assert channel.previous(history("ABC"), "stable") == "B"
    assert channel.previous(history("ABCB"), "stable") == "A"
    with pytest.raises(ReleaseError, match="has had no release before A"):
        channel.previous(history("ABA"), "stable")


def test_a_channel_without_a_release_says_so() -> None:
    with pytest.raises(ReleaseError, match="the channel beta has no release yet"):
        channel.current(history(""), "beta")


@pytest.mark.parametrize("kafka", ["ABC", "ABA", "A", ""])
def test_a_promote_that_ended_early_is_told_role_by_role(kafka: str) -> None:
    with pytest.raises(ReleaseError, match=rf"kafka {kafka[-1:] or 'none'}, mongo B"):
        channel.current(history("AB", kafka=kafka), "stable")


def test_a_release_that_not_all_roles_reached_is_nothing_to_go_back_to() -> None:
    assert channel.previous(history("AC", kafka="ABC"), "stable") == "A"


def test_amis_that_are_not_those_of_the_file_are_refused_by_role(tmp_path: Path) -> None:
    one = release(tmp_path)
    channel.refuse_other_amis(history("A"), "stable", one)
    other = dict(history("A")) | {Role.MONGO: (Entry(release="A", ami_id="ami-0bad"),)}
    with pytest.raises(ReleaseError, match=r"ami-0bad as the mongo of .*11\.24\.tfvars\.json"):
        channel.refuse_other_amis(other, "stable", one)
