"""Pruning, over the lab's EC2: what goes is gone with its snapshots, what is needed stays whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from runtime.cloud import references, stock
from runtime.cloud.references import Reference, References
from runtime.cloud.stock import Ami
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import CloudError
from runtime.release import ledger, prune, pruning
from runtime.release.prune import Plan, Policy
from tests.contract.emulator import AMI
from tests.contract.scripted import Lab, refused
from tests.contract.test_leftovers import reach
from tests.unit.release import records

OLD, NEW = "2026.01.01", "2026.02.01"
LATER = datetime.now(UTC) + timedelta(days=100)


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Target:
    return reach(lab.emulator, tmp_path)


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A ledger of two releases whose AMIs are there, all tagged as ours to remove."""
    folder = tmp_path / "releases"
    machine = lab.launch()[0]
    for version in (OLD, NEW):
        ids = {role: bake(lab, machine, role, version) for role in MACHINE_ROLES}
        parts = {role: records.part(role, ami_id=ids[role]) for role in MACHINE_ROLES}
        records.written(folder, version, parts=parts)
    lab.machines.disks.amis = lambda: {
        AMI,
        *(image["ImageId"] for image in lab.ec2.describe_images(Owners=["self"])["Images"]),
    }
    return folder


def bake(lab: Lab, machine: str, role: Role, version: str) -> str:
    tags = {"bullion:role": role, "bullion:key": f"{role} {version}", "bullion:managed": "true"}
    kinds = [
        {
            "ResourceType": kind,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        for kind in ("image", "snapshot")
    ]
    made = lab.ec2.create_image(
        InstanceId=machine, Name=f"{role}-{version}", NoReboot=True, TagSpecifications=kinds
    )
    return str(made["ImageId"])


def planned(target: Target, folder: Path, found: References | None = None) -> Plan:
    return prune.plan(
        ledger.load_all(folder),
        stock.read_all(target),
        found or references.gather(target, []),
        pruned=(),
        current_keys=(),
        now=LATER,
        policy=Policy(),
    )


def carried_out(
    target: Target, folder: Path, plan: Plan, look: pruning.Look | None = None
) -> pruning.Outcome:
    return pruning.carry_out(
        target, folder, plan, look=look or (lambda ids: references.gather(target, ids))
    )


def ids_of(folder: Path, version: str) -> dict[Role, str]:
    return ledger.load(folder, version).ami_ids


def states(target: Target) -> dict[str, str]:
    return {ami.id: ami.state for ami in stock.read_all(target).values()}


def test_what_goes_is_gone_with_its_snapshots_and_its_record_says_so(
    target: Target, folder: Path
) -> None:
    gone, kept = ids_of(folder, OLD), ids_of(folder, NEW)
    target.ec2.enable_image_deregistration_protection(ImageId=gone[Role.KAFKA])
    before = stock.read_all(target)
    assert before[gone[Role.KAFKA]].is_protected
    outcome = carried_out(target, folder, planned(target, folder))
    assert outcome.gone == [f"release {OLD}"]
    assert outcome.snapshots == 4
    assert states(target) == dict.fromkeys(kept.values(), "available")
    snapshots = target.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert {one["SnapshotId"] for one in snapshots if one.get("Tags")} == {
        snapshot for ami_id in kept.values() for snapshot in before[ami_id].snapshots
    }
    assert [one.version for one in ledger.load_all(folder)] == [NEW]
    assert [one.version for one in ledger.load_pruned(folder)] == [OLD]


@pytest.mark.parametrize("role", [Role.KAFKA, Role.PRODUCERS])
def test_a_launch_between_plan_and_removal_keeps_the_whole_release(
    lab: Lab, target: Target, folder: Path, role: Role
) -> None:
    plan = planned(target, folder)
    assert [item.version for item in plan.go] == [OLD]
    (machine,) = lab.launch(ImageId=ids_of(folder, OLD)[role])
    outcome = carried_out(target, folder, plan)
    assert outcome.gone == []
    assert machine in outcome.kept[f"release {OLD}"]
    assert set(states(target).values()) == {"available"}
    assert len(states(target)) == 8
    assert [one.version for one in ledger.load_all(folder)] == [OLD, NEW]


def test_nobody_can_launch_what_was_looked_at_for_the_last_time(
    lab: Lab, target: Target, folder: Path
) -> None:
    codes: list[str] = []

    def look(_: Collection[str]) -> References:
        found = references.gather(target, [])
        ids = ids_of(folder, OLD).values()
        codes.extend(refused(lab.launch, ImageId=ami_id) for ami_id in ids)
        return found

    carried_out(target, folder, planned(target, folder), look)
    assert codes == ["InvalidAMIID.Unavailable"] * 4


@pytest.mark.parametrize("when", ["looking", "removing"])
def test_an_interruption_leaves_what_is_there_launchable(
    target: Target, folder: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    true, calls = stock.remove, []

    def interrupted(*_: Any) -> References:
        raise KeyboardInterrupt

    def second_interrupted(target: Target, ami: Ami) -> None:
        calls.append(ami)
        if len(calls) == 2:
            raise KeyboardInterrupt
        true(target, ami)

    plan = planned(target, folder)
    if when == "removing":
        monkeypatch.setattr(stock, "remove", second_interrupted)
    with pytest.raises(KeyboardInterrupt):
        carried_out(target, folder, plan, interrupted if when == "looking" else None)
    monkeypatch.undo()
    assert set(states(target).values()) == {"available"}
    assert len(states(target)) == (8 if when == "looking" else 7)
    left = carried_out(target, folder, planned(target, folder))  # and the next run goes on
    assert len(states(target)) == 4
    assert left.gone


def test_an_ami_that_is_gone_by_now_is_no_trouble(target: Target, folder: Path) -> None:
    plan = planned(target, folder)
    target.ec2.deregister_image(ImageId=ids_of(folder, OLD)[Role.MONGO])
    assert carried_out(target, folder, plan).gone == [f"release {OLD}"]
    assert len(states(target)) == 4


def test_a_snapshot_that_stays_is_an_error_that_names_it(
    target: Target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(target, folder)
    snapshot = plan.go[0].amis[0].snapshots[0]
    true = target.ec2.describe_snapshots

    def told(**asked: Any) -> Any:
        reply = true(**asked)
        return reply | {"Snapshots": [*reply["Snapshots"], {"SnapshotId": snapshot}]}

    monkeypatch.setattr(target.ec2, "describe_snapshots", told)
    monkeypatch.setattr(pruning, "GONE_S", 0.1)
    with pytest.raises(CloudError, match=f"still there after removing release {OLD}: {snapshot}"):
        carried_out(target, folder, plan)


def test_what_ec2_tells_of_a_while_after_it_is_gone_is_waited_for(
    target: Target, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(target, folder)
    asked = {"Owners": ["self"], "ImageIds": [plan.go[0].amis[0].id]}
    true, late = stock.left, [target.ec2.describe_images(**asked)]
    known = target.ec2.describe_images

    def left(*words: Any) -> list[str]:
        if late:
            monkeypatch.setattr(target.ec2, "describe_images", lambda **_: late.pop())
        found = true(*words)
        monkeypatch.setattr(target.ec2, "describe_images", known)
        return found

    monkeypatch.setattr(stock, "left", left)
    assert carried_out(target, folder, plan).gone == [f"release {OLD}"]
    assert late == []


def test_instances_in_any_state_but_terminated_are_references(lab: Lab, target: Target) -> None:
    (machine,) = lab.launch()
    tags = [{"Key": "bullion:release", "Value": OLD}]
    lab.ec2.create_tags(Resources=[machine], Tags=tags)
    for action, state in ((None, "running"), ("stop_instances", "stopped")):
        if action:
            getattr(lab.ec2, action)(InstanceIds=[machine])
        lab.becomes(state)
        who = Reference(who=f"instance {machine} is {state}", version=OLD)
        assert references.gather(target, []) == {AMI: (who,)}
    lab.ec2.terminate_instances(InstanceIds=[machine])
    lab.becomes("terminated")
    assert references.gather(target, []) == {}


def test_every_version_of_a_launch_template_is_a_reference(lab: Lab, target: Target) -> None:
    first, second = "ami-0000000000000000a", "ami-0000000000000000b"
    made = lab.ec2.create_launch_template(
        LaunchTemplateName="one", LaunchTemplateData={"ImageId": first}
    )
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    lab.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"ImageId": second}
    )
    lab.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"InstanceType": "t3.micro"}
    )
    found = references.gather(target, [])
    assert [who.who for who in found[first]] == [f"launch template {template} has it in version 1"]
    assert [who.who for who in found[second]] == [f"launch template {template} has it in version 2"]
    assert len(found) == 2


def test_a_template_that_launches_by_a_parameter_refers_to_what_it_says(
    lab: Lab, target: Target
) -> None:
    ssm = lab.emulator.client("ssm")
    ssm.put_parameter(Name="/app/ami", Value=AMI, Type="String", DataType="aws:ec2:image")
    for name, value in (("known", "/app/ami"), ("unknown", "/app/none")):
        lab.ec2.create_launch_template(
            LaunchTemplateName=name, LaunchTemplateData={"ImageId": f"resolve:ssm:{value}"}
        )
    assert list(references.gather(target, [])) == [AMI]


def test_who_cannot_be_asked_is_an_error_and_not_nobody(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(**_: Any) -> Any:
        error = {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}
        raise ClientError(error, "DescribeLaunchTemplates")

    monkeypatch.setattr(target.ec2, "get_paginator", lambda _: denied())
    with pytest.raises(CloudError, match="does not tell who needs which AMI"):
        references.gather(target, [])


def test_who_else_needs_an_ami_is_asked_of_ec2_ten_at_a_time(target: Target) -> None:
    ids = [f"ami-{number:017x}" for number in range(11)]
    kinds = ("ssm:Parameter", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")
    found = {"ImageId": ids[10], "ResourceType": kinds[0], "Arn": "arn:aws:ssm:::parameter/x"}
    nobody: dict[str, Any] = {"Reservations": []}
    with Stubber(target.ec2) as stub:
        stub.add_response("describe_instances", nobody)
        stub.add_response("describe_launch_templates", {"LaunchTemplates": []})
        for some, answer in ((ids[:10], []), (ids[10:], [found])):
            asked = {"ImageIds": some, "ResourceTypes": [{"ResourceType": kind} for kind in kinds]}
            stub.add_response("describe_image_references", {"ImageReferences": answer}, asked)
        told = references.gather(target, ids)
        stub.assert_no_pending_responses()
    assert told == {ids[10]: (Reference(who="ssm:Parameter arn:aws:ssm:::parameter/x"),)}


def test_a_target_that_cannot_tell_who_else_needs_an_ami_says_so(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    references._tell_absent.cache_clear()
    for _ in range(2):
        assert references.gather(target, [AMI]) == {}
    said = capsys.readouterr().err
    assert said.count("skipped, as lab has no such call: describe_image_references") == 1
