"""Channels on the lab's API: what SSM keeps of a release on AWS, the lab keeps too."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from runtime.cloud import channels
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import UsageError
from runtime.release import channel
from tests.contract.scripted import Lab
from tests.contract.test_leftovers import reach
from tests.contract.test_releases import versions

IDS = {role: f"ami-{number:017x}" for number, role in enumerate(MACHINE_ROLES, start=1)}


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Target:
    return reach(lab.emulator, tmp_path)


def test_a_channel_is_parameters_of_type_image_with_a_label_per_release(target: Target) -> None:
    channels.move(target, "stable", "2026.11.24", IDS)
    newer = IDS | {Role.KAFKA: "ami-0123456789abcdef0"}
    channels.move(target, "stable", "2026.11.25", newer)
    ssm = target.client("ssm")
    for label, ami_id in (("24", IDS[Role.KAFKA]), ("25", "ami-0123456789abcdef0")):
        found = ssm.get_parameter(Name=f"/bullion/stable/kafka:release-2026.11.{label}")
        assert found["Parameter"]["Value"] == ami_id
        assert found["Parameter"]["DataType"] == "aws:ec2:image"
    assert channels.names(target) == ["stable"]
    assert versions(target) == ["2026.11.24", "2026.11.25"]


def test_a_channel_keeps_its_trail_when_it_goes_back(target: Target) -> None:
    for version in ("2026.11.24", "2026.11.25", "2026.11.26", "2026.11.25"):
        channels.move(target, "stable", version, IDS)
    assert versions(target) == ["2026.11.24", "2026.11.25"]


def test_moving_to_where_it_is_changes_nothing(target: Target) -> None:
    for _ in range(2):
        channels.move(target, "stable", "2026.11.24", IDS)
    assert {len(one) for one in channels.history(target).values()} == {1}


def test_a_move_that_was_cut_short_before_its_label_is_made_good(target: Target) -> None:
    channels.move(target, "stable", "2026.11.24", IDS)
    name, label = channels.name_of("stable", Role.KAFKA), "release-2026.11.24"
    ssm = target.client("ssm")
    ssm.unlabel_parameter_version(Name=name, ParameterVersion=1, Labels=[label])
    channels.move(target, "stable", "2026.11.24", IDS)
    assert ssm.get_parameter(Name=f"{name}:{label}")["Parameter"]["Value"] == IDS[Role.KAFKA]


def test_a_channel_is_moved_more_often_than_ssm_keeps_versions(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a way back that led to a version which is gone still leaves all since then behind."""
    monkeypatch.setattr(channels, "MACHINE_ROLES", (Role.KAFKA,))  # four take four times as long
    moves = ["first", *(f"{n}" for n in range(channels.MOST_VERSIONS - 2)), "first", "last", "more"]
    for version in moves:
        channels.move(target, "stable", version, IDS)
    assert {len(one) for one in channels.history(target).values()} == {channels.MOST_VERSIONS}
    assert versions(target) == ["first", "last", "more"]
    assert channel.previous(channels.history(target), "stable") == "last"
    channels.move(target, "stable", "last", IDS)
    assert versions(target) == ["first", "last"]


def test_channels_know_nothing_of_each_other(target: Target) -> None:
    channels.move(target, "beta", "2026.11.24", IDS)
    assert versions(target, "beta") == ["2026.11.24"]
    assert versions(target) == []
    with pytest.raises(UsageError, match="is no channel"):
        channels.history(target, "a/b")


def test_an_ami_that_ssm_does_not_find_valid_is_told(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm = target.client("ssm")
    monkeypatch.setattr(channels, "VALID_S", 0.1)
    with Stubber(ssm) as aws:
        name = channels.name_of("stable", Role.KAFKA)
        aws.add_response("put_parameter", {"Version": 2})
        for _ in range(20):
            aws.add_response("get_parameter", {"Parameter": {"Name": name, "Version": 1}})
        with pytest.raises(Exception, match=r"SSM to find ami-1 valid .*; last seen: 1"):
            channels._put(ssm, name, channels.Entry(release="v", ami_id="ami-1"))


def test_a_parameter_that_is_not_there_is_no_history(target: Target) -> None:
    assert set(channels.history(target).values()) == {()}
    with pytest.raises(ClientError):
        target.client("ssm").get_parameter_history(Name="/bullion/stable/kafka")
