"""Releases and guards on the lab's API: what AWS keeps for a release, the lab keeps too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
from botocore.stub import Stubber

from runtime.cloud import ami_guards, amis, channels
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import CloudError, ReleaseError
from runtime.release import channel
from runtime.settings import Settings, TargetName
from runtime.verbs import creating, releasing
from tests.contract.emulator import AMI, REGION
from tests.contract.scripted import Lab
from tests.unit.release.records import part, release, written

LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Target:
    return Target(
        name=TargetName.LAB,
        region=REGION,
        endpoint=lab.emulator.url,
        credentials={"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"},
        ssh_key=tmp_path,
        ssh_user="",
        known_hosts=tmp_path,
    )


@pytest.fixture
def settings(lab_settings: Settings, tmp_path: Path) -> Settings:
    return dataclasses.replace(lab_settings, lab_dir=tmp_path)


def bake(lab: Lab, name: str, **without: object) -> str:
    """Make an AMI as a bake does, and return its id."""
    mapping = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}]
    machine_id = lab.launch(BlockDeviceMappings=mapping)[0]
    keys = [key for key in (*amis.TAGS, amis.MANAGED_TAG) if key != without.get("tag")]
    tags = [
        {"ResourceType": kind, "Tags": [{"Key": key, "Value": name} for key in keys]}
        for kind in ("image", "snapshot")
    ]
    made = lab.ec2.create_image(InstanceId=machine_id, Name=name, TagSpecifications=tags)
    lab.ec2.modify_image_attribute(ImageId=made["ImageId"], ImdsSupport={"Value": "v2.0"})
    lab.machines.disks.amis = lambda: {AMI, *(one["ImageId"] for one in owned(lab))}
    return str(made["ImageId"])


def owned(lab: Lab) -> Iterator[dict[str, object]]:
    yield from lab.ec2.describe_images(Owners=["self"])["Images"]


def versions(target: Target, name: str = "stable") -> list[str]:
    return channel.trail(channels.history(target, name), name)


def test_guards_are_complete_after_a_create(lab: Lab, target: Target) -> None:
    made = bake(lab, "one")
    before = ami_guards.read(target, [made])[made]
    assert (before.is_private, before.has_imdsv2, before.is_encrypted) == (True, True, True)
    assert before.faults() == [
        f"it lacks tags: bullion:release, bullion:release on {before.snapshots[0]}"
    ]
    ami_guards.complete(target, [before], release="2026.11.24", deprecate_at=LATER)
    after = ami_guards.read(target, [made])[made]
    assert after.faults() == []
    assert after.deprecated_at == "2030-01-01T00:00:00.000Z"
    assert ("tags", "complete") in ami_guards.describe(after)


def test_each_fault_of_an_ami_is_named(lab: Lab, target: Target) -> None:
    lab.launch()
    plain = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="plain")["ImageId"]
    lab.ec2.modify_image_attribute(ImageId=plain, LaunchPermission={"Add": [{"Group": "all"}]})
    faults = ami_guards.read(target, [plain])[plain].faults()
    assert faults[:3] == ["it is public", "it does not ask for IMDSv2", "it is not encrypted"]
    assert faults[3].startswith("it lacks tags: bullion:role, ")


def test_protection_is_where_it_is_wanted_and_nowhere_else(lab: Lab, target: Target) -> None:
    one, two, three = (bake(lab, name) for name in ("one", "two", "three"))
    assert len(ami_guards.protect(target, {one, two}, {one, two, three})) == 2
    assert ami_guards.protect(target, {two, three}, {one, two, three}) == [
        f"{ami}: deregistration protection {how}"
        for ami, how in sorted([(one, "disabled"), (three, "enabled")])
    ]
    found = ami_guards.read(target, [one, two, three])
    assert [found[ami].is_protected for ami in (one, two, three)] == [False, True, True]


@pytest.mark.parametrize("code", ["UnsupportedOperation", "InvalidAction"])
def test_a_call_that_the_target_lacks_is_skipped_with_a_word(
    lab: Lab, target: Target, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    guards = ami_guards.read(target, [bake(lab, "one")]).values()
    with Stubber(target.ec2) as aws:
        aws.add_response("create_tags", {})
        aws.add_client_error("enable_image_deprecation", code)
        ami_guards.complete(target, guards, release="v", deprecate_at=LATER)
    assert "skipped, as lab has no such call: enable_image_deprecation" in capsys.readouterr().err


def test_a_call_that_is_refused_is_an_error(lab: Lab, target: Target) -> None:
    guards = ami_guards.read(target, [bake(lab, "one")]).values()
    with Stubber(target.ec2) as aws:
        aws.add_client_error("create_tags", "UnauthorizedOperation")
        with pytest.raises(CloudError, match="does not carry out create_tags"):
            ami_guards.complete(target, guards, release="v", deprecate_at=LATER)


def test_protection_is_asked_for_as_aws_knows_it() -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    image = {"ImageId": "ami-1", "DeregistrationProtection": "disabled"}
    with Stubber(ec2) as aws:
        aws.add_response("describe_images", {"Images": [image]})
        aws.add_response("describe_snapshots", {"Snapshots": []})
        aws.add_response(
            "enable_image_deregistration_protection", {"Return": "true"}, {"ImageId": "ami-1"}
        )
        target = type("Aws", (), {"ec2": ec2, "name": "aws"})()
        assert ami_guards.protect(target, {"ami-1"}, set()) != []


def test_ec2_is_asked_of_at_most_two_hundred_amis_at_once() -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    ids = [f"ami-{number:017x}" for number in range(201)]
    with Stubber(ec2) as aws:
        for asked in (ids[:200], ids[200:]):
            by_id = [{"Name": "image-id", "Values": asked}]
            images = [{"ImageId": ami_id} for ami_id in asked]
            expected = {"Owners": ["self"], "IncludeDisabled": True, "Filters": by_id}
            aws.add_response("describe_images", {"Images": images}, expected)
        aws.add_response("describe_snapshots", {"Snapshots": []})
        target = type("Aws", (), {"ec2": ec2, "name": "aws"})()
        assert list(ami_guards.read(target, set(ids))) == ids


def made(lab: Lab, settings: Settings, version: str, *, kafka: str = "") -> dict[Role, str]:
    """Write a release of four AMIs that are there, and return their ids."""
    ids = {role: bake(lab, f"{role}-{version}") for role in MACHINE_ROLES}
    ids |= {Role.KAFKA: kafka} if kafka else {}
    written(
        settings.ledger_dir, version, parts={role: part(role, ami_id=ids[role]) for role in ids}
    )
    return ids


def test_a_promote_moves_the_channel_and_protection_follows(
    lab: Lab, target: Target, settings: Settings
) -> None:
    first = made(lab, settings, "2026.11.24")
    second = made(lab, settings, "2026.11.25")
    third = made(lab, settings, "2026.11.26", kafka=second[Role.KAFKA])
    for version in ("2026.11.24", "2026.11.25", "2026.11.26"):
        releases = releasing.ledger.load(settings.ledger_dir, version)
        assert releasing.point(settings, target, releases, "stable")
    assert not releasing.point(settings, target, releases, "stable")
    found = ami_guards.read(target, {*first.values(), *second.values(), *third.values()})
    protected = {ami_id for ami_id, one in found.items() if one.is_protected}
    assert protected == {*second.values(), *third.values()}
    assert releasing.release_of(settings, target, "stable") == releases


def test_a_promote_that_was_cut_short_before_the_protection_is_made_good(
    lab: Lab, target: Target, settings: Settings
) -> None:
    ids = made(lab, settings, "2026.11.24")
    one = releasing.ledger.load(settings.ledger_dir, "2026.11.24")
    channels.move(target, "stable", one.version, one.ami_ids)
    assert not releasing.point(settings, target, one, "stable")
    assert all(guards.is_protected for guards in ami_guards.read(target, ids.values()).values())


@pytest.mark.parametrize("how", ["deregistered", "disabled"])
def test_a_promote_of_an_ami_that_is_gone_moves_nothing_and_names_it(
    lab: Lab, target: Target, settings: Settings, how: str
) -> None:
    made(lab, settings, "2026.11.24")
    ids = made(lab, settings, "2026.11.25")
    first, second = releasing.ledger.load_all(settings.ledger_dir)
    releasing.point(settings, target, first, "stable")
    call = lab.ec2.deregister_image if how == "deregistered" else lab.ec2.disable_image
    call(ImageId=ids[Role.MONGO])
    with pytest.raises(ReleaseError, match=rf"release 2026\.11\.25 .*{ids[Role.MONGO]}"):
        releasing.point(settings, target, second, "stable")
    assert versions(target) == ["2026.11.24"]


def test_a_promote_of_an_ami_that_would_not_launch_moves_nothing_and_says_why(
    lab: Lab, target: Target, settings: Settings
) -> None:
    ids = made(lab, settings, "2026.11.24")
    lab.machines.disks.amis = lambda: {AMI, *ids.values()} - {ids[Role.PROCESSOR]}
    one = releasing.ledger.load(settings.ledger_dir, "2026.11.24")
    with pytest.raises(ReleaseError, match=r"not launch processor .*has no disk in this lab"):
        releasing.point(settings, target, one, "stable")
    assert channels.names(target) == []


def test_protection_is_kept_of_all_that_a_channel_in_between_had(
    lab: Lab, target: Target, settings: Settings
) -> None:
    ids = [made(lab, settings, version) for version in ("2026.11.24", "2026.11.25")]
    first, second = releasing.ledger.load_all(settings.ledger_dir)
    releasing.point(settings, target, first, "beta")
    kafka = channels.Entry(release=second.version, ami_id=ids[1][Role.KAFKA])
    channels._put(target.client("ssm"), channels.name_of("beta", Role.KAFKA), kafka)
    with pytest.raises(ReleaseError, match=r"beta stands between releases, .*kafka 2026\.11\.25"):
        releasing.release_of(settings, target, "beta")
    releasing.point(settings, target, second, "stable")
    found = ami_guards.read(target, {*ids[0].values(), *ids[1].values()}).values()
    assert all(one.is_protected for one in found)


def test_an_ami_that_is_not_safe_is_not_released_and_why_is_named(lab: Lab, target: Target) -> None:
    ids = {role: bake(lab, role) for role in MACHINE_ROLES}
    assert set(creating._guard(target, "2026.11.24", ids, LATER)) == set(ids.values())
    shared = {"ImageId": ids[Role.MONGO], "LaunchPermission": {"Add": [{"Group": "all"}]}}
    lab.ec2.modify_image_attribute(**shared)
    said = f"not fit to be released: {ids[Role.MONGO]}: it is public$"
    with pytest.raises(ReleaseError) as refused:
        creating._guard(target, "2026.11.24", ids, LATER)
    assert refused.value.message.endswith(said.removesuffix("$"))


@pytest.mark.parametrize("action", ["describe_images", "describe_snapshots"])
def test_tags_that_ec2_tells_of_late_are_waited_for(
    lab: Lab, target: Target, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    ids = {role: bake(lab, role) for role in MACHINE_ROLES}
    true, key = getattr(target.ec2, action), action.removeprefix("describe_").capitalize()
    before = true(**({"OwnerIds": ["self"]} if key == "Snapshots" else {"Owners": ["self"]}))
    late = [before] * 2  # before the tags are made, and once after that
    monkeypatch.setattr(target.ec2, action, lambda **asked: late.pop() if late else true(**asked))
    assert set(creating._guard(target, "2026.11.24", ids, LATER)) == set(ids.values())
    assert late == []


def test_an_ami_tells_by_its_tag_what_images_are_in_it(lab: Lab, target: Target) -> None:
    one, two = bake(lab, "one"), bake(lab, "two", tag=amis.IMAGES_TAG)
    assert amis.images_tag(target, [one, two]) == {one: "one", two: "none"}


def test_tags_that_stay_away_are_faults(
    lab: Lab, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {role: bake(lab, role, tag="bullion:run") for role in MACHINE_ROLES}
    monkeypatch.setattr(creating, "TOLD_S", 0.1)
    with pytest.raises(ReleaseError, match=f"{ids[Role.MONGO]}: it lacks tags: bullion:run"):
        creating._guard(target, "2026.11.24", ids, LATER)


def test_who_wrote_the_data_is_known_by_machine_or_else_by_volume(
    lab: Lab, target: Target, settings: Settings
) -> None:
    assert releasing.writers(settings, target) == {}
    tags = {"bullion:role": "kafka", "bullion:stack": "bullion", "bullion:release": "2026.11.24"}
    rows = [{"Key": key, "Value": value} for key, value in tags.items()]
    lab.ec2.create_volume(
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": rows}],
    )
    with pytest.raises(ReleaseError, match=r"wrote the data of kafka, and its file is gone: .*24"):
        releasing.writers(settings, target)
    one = written(settings.ledger_dir)
    assert releasing.writers(settings, target) == {Role.KAFKA: one}
    machine_id = lab.launch()[0]
    lab.ec2.create_tags(
        Resources=[machine_id],
        Tags=[row | {"Value": row["Value"].replace("24", "25")} for row in rows],
    )
    two = written(settings.ledger_dir, "2026.11.25")
    assert releasing.writers(settings, target) == {Role.KAFKA: two}
    assert release(settings.ledger_dir).version == "2026.11.24"
