"""The instance and AMI actions answer as EC2 does; what machines do meanwhile is scripted.

That real machines do it is shown in e2e/test_lifecycle.py.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from runtime.lab import amis, instances, subnets
from tests.contract import emulator as served
from tests.contract.emulator import AMI, LOOPBACK, Emulator, Scripted

UNKNOWN = "i-0123456789abcdef0"


@dataclass
class Lab:
    """An emulator with scripted machines, seen through boto3."""

    emulator: Emulator
    machines: Scripted
    ec2: Any
    subnet: str

    def launch(self, count: int = 1, **more: Any) -> list[str]:
        made = self.ec2.run_instances(
            **{
                "ImageId": AMI,
                "MinCount": count,
                "MaxCount": count,
                "SubnetId": self.subnet,
                **more,
            }
        )
        assert {item["State"]["Name"] for item in made["Instances"]} == {"pending"}
        return [item["InstanceId"] for item in made["Instances"]]

    def states(self, *filters: str) -> list[str]:
        """Return the states of all instances, or of those in states that match `filters`."""
        asked = [{"Name": "instance-state-name", "Values": list(filters)}] if filters else []
        found = self.ec2.describe_instances(Filters=asked)["Reservations"]
        assert all(reservation["Instances"] for reservation in found)
        return [item["State"]["Name"] for group in found for item in group["Instances"]]

    def becomes(self, *states: str) -> None:
        wait.until(
            lambda: sorted(self.states()) == sorted(states),
            what=f"states {states}",
            timeout_s=20,
            every_s=0.05,
            last=lambda: str(self.states()),
        )

    def held(self, call: Callable[[], Any], *, until: str) -> Any:
        """Run `call` while machines hold still; yield to the caller once `until` shows."""
        return _Held(self, call, until)


class _Held:
    def __init__(self, lab: Lab, call: Callable[[], Any], until: str) -> None:
        self.lab, self.call, self.until = lab, call, until
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> None:
        self.lab.machines.go.clear()
        self.future = self.pool.submit(self.call)
        wait.until(
            lambda: self.until in self.lab.states(), what=self.until, timeout_s=20, every_s=0.05
        )

    def __exit__(self, *_: object) -> None:
        self.lab.machines.go.set()
        self.result = self.future.result(30)
        self.pool.shutdown()


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(instances, "PATIENCE_S", 0.05)
    monkeypatch.setattr(amis, "PATIENCE_S", 0.5)
    machines = Scripted()
    with served.emulator(tmp_path, hypervisor=machines) as one:
        subnet = one.loopback_subnet()
        yield Lab(emulator=one, machines=machines, ec2=one.client(), subnet=subnet)
        machines.go.set()
        for known in subnets.read_all(one.ec2).values():
            one.api.services.close(known)


def refused(call: Callable[..., Any], **words: Any) -> str:
    """Return the code that a call is refused with."""
    with pytest.raises(ClientError) as error:
        call(**words)
    assert 400 <= error.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return str(error.value.response["Error"]["Code"])


# -- launching ------------------------------------------------------------------------------


def test_a_launch_is_pending_until_the_machine_runs(lab: Lab) -> None:
    with lab.held(lab.launch, until="pending"):
        assert lab.states("running") == []
        assert lab.states("pend*") == ["pending"]
        assert lab.ec2.describe_instance_status()["InstanceStatuses"] == []
    assert lab.states() == lab.states("running") == ["running"]


def test_machines_of_one_launch_are_made_at_the_same_time(lab: Lab) -> None:
    together = threading.Barrier(3)
    true = lab.machines.launch

    def launch(machine_id: str, **how: Any) -> None:
        together.wait(10)
        true(machine_id, **how)

    lab.machines.launch = launch
    assert len(lab.launch(3)) == 3
    assert lab.states() == ["running"] * 3


def test_if_one_machine_of_a_launch_fails_none_is_left(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.5"
    code = refused(lab.launch, count=3)
    assert code == "LaunchFailedInLab"
    assert lab.states("pending", "running", "stopped", "shutting-down") == []
    assert not any(lab.machines.running.values())


def test_a_failed_launch_may_be_protected_and_still_leaves_nothing(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.4"
    refused(lab.launch, DisableApiTermination=True)
    assert lab.states("pending", "running") == []


def test_a_client_token_launches_once_even_at_the_same_time(lab: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: lab.launch(ClientToken="one"), range(4)))
    assert len({machine for ids in made for machine in ids}) == 1
    assert lab.launch(ClientToken="two") != made[0]


def test_a_client_token_with_other_parameters_is_refused(lab: Lab) -> None:
    lab.launch(ClientToken="one")
    code = refused(lab.launch, ClientToken="one", InstanceType="t3.small")
    assert code == "IdempotentParameterMismatch"
    assert len(lab.states()) == 1


def test_a_token_whose_launch_failed_may_be_used_again(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.4"
    refused(lab.launch, ClientToken="one")
    lab.machines.refuses_address = ""
    assert lab.launch(ClientToken="one")


@pytest.mark.parametrize(
    ("least", "most", "code"),
    [
        (0, 0, "InvalidParameterValue"),
        (2, 1, "InvalidParameterCombination"),
        (101, 101, "InvalidParameterValue"),
    ],
)
def test_an_impossible_count_is_refused(lab: Lab, least: int, most: int, code: str) -> None:
    assert refused(lab.launch, MinCount=least, MaxCount=most) == code
    assert lab.states() == []


def test_a_launch_with_a_tag_that_its_metadata_cannot_tell_is_refused(lab: Lab) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a/b", "Value": "x"}]}]
    tells = {"InstanceMetadataTags": "enabled"}
    code = refused(lab.launch, TagSpecifications=tags, MetadataOptions=tells)
    assert code == "InvalidParameterValue"
    assert lab.states() == []
    lab.launch(TagSpecifications=tags)


def test_a_dry_run_does_nothing(lab: Lab) -> None:
    assert refused(lab.launch, DryRun=True) == "DryRunOperation"
    assert lab.states() == []
    ids = lab.launch()
    assert refused(lab.ec2.terminate_instances, InstanceIds=ids, DryRun=True) == "DryRunOperation"
    assert lab.states() == ["running"]


# -- stop, start, reboot, terminate -----------------------------------------------------------


def test_stopping_is_held_until_the_machine_has_stopped(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.stop_instances(InstanceIds=ids), until="stopping"):
        assert lab.states("running", "stopped") == []
        assert lab.ec2.describe_instance_status()["InstanceStatuses"] == []
        assert refused(lab.ec2.start_instances, InstanceIds=ids) == "IncorrectInstanceState"
    lab.becomes("stopped")


def test_shutting_down_is_held_until_the_machine_is_gone(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.terminate_instances(InstanceIds=ids), until="shutting-down"):
        assert lab.states("terminated", "running") == []
    lab.becomes("terminated")
    assert lab.machines.running == {}


def test_a_start_is_pending_until_the_machine_runs(lab: Lab) -> None:
    ids = lab.launch()
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    with lab.held(lambda: lab.ec2.start_instances(InstanceIds=ids), until="pending"):
        assert lab.states("running", "stopped") == []
    lab.becomes("running")


def test_what_is_asked_last_shows_while_both_are_being_done(lab: Lab) -> None:
    ids = lab.launch()
    with lab.held(lambda: lab.ec2.stop_instances(InstanceIds=ids), until="stopping"):
        lab.ec2.terminate_instances(InstanceIds=ids)
        assert lab.states() == ["shutting-down"]
    lab.becomes("terminated")


@pytest.mark.parametrize("action", ["start", "stop", "reboot"])
def test_nothing_can_be_done_with_a_terminated_machine(lab: Lab, action: str) -> None:
    ids = lab.launch()
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated")
    call = getattr(lab.ec2, f"{action}_instances")
    assert refused(call, InstanceIds=ids) == "IncorrectInstanceState"
    again = lab.ec2.terminate_instances(InstanceIds=ids)["TerminatingInstances"][0]
    assert again["CurrentState"] == again["PreviousState"] == {"Code": 48, "Name": "terminated"}


def test_a_stopped_machine_can_be_stopped_again_and_a_running_one_started(lab: Lab) -> None:
    ids = lab.launch()
    started = lab.ec2.start_instances(InstanceIds=ids)["StartingInstances"][0]
    assert started["CurrentState"]["Name"] == "running"
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    stopped = lab.ec2.stop_instances(InstanceIds=ids)["StoppingInstances"][0]
    assert stopped["CurrentState"]["Name"] == stopped["PreviousState"]["Name"] == "stopped"
    assert refused(lab.ec2.reboot_instances, InstanceIds=ids) == "IncorrectInstanceState"


def test_a_reboot_stays_running_and_answers_at_once(lab: Lab) -> None:
    ids = lab.launch()
    lab.machines.go.clear()
    lab.ec2.reboot_instances(InstanceIds=ids)
    assert lab.states() == ["running"]
    lab.machines.go.set()


@pytest.mark.parametrize(
    ("attribute", "action"), [("DisableApiTermination", "terminate"), ("DisableApiStop", "stop")]
)
def test_protection_refuses_until_it_is_lifted(lab: Lab, attribute: str, action: str) -> None:
    ids = lab.launch(**{attribute: True})
    call = getattr(lab.ec2, f"{action}_instances")
    assert refused(call, InstanceIds=ids) == "OperationNotPermitted"
    assert lab.states() == ["running"]
    lab.ec2.modify_instance_attribute(InstanceId=ids[0], **{attribute: {"Value": False}})
    call(InstanceIds=ids)


def test_if_one_of_several_is_protected_none_is_terminated(lab: Lab) -> None:
    ids = [*lab.launch(), *lab.launch(DisableApiTermination=True)]
    assert refused(lab.ec2.terminate_instances, InstanceIds=ids) == "OperationNotPermitted"
    assert lab.states() == ["running"] * 2


def test_a_machine_that_powers_off_is_stopped_or_terminated_as_it_was_launched(lab: Lab) -> None:
    stops = lab.launch()
    ends = lab.launch(InstanceInitiatedShutdownBehavior="terminate")
    for machine_id in (*stops, *ends):
        lab.machines.running[machine_id] = False
        lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("stopped", "terminated")


def test_protection_does_not_deny_an_end_that_came_from_inside(lab: Lab) -> None:
    stops = lab.launch(DisableApiStop=True)
    ends = lab.launch(InstanceInitiatedShutdownBehavior="terminate", DisableApiTermination=True)
    for machine_id in (*stops, *ends):
        lab.machines.running[machine_id] = False
        lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("stopped", "terminated")
    lab.ec2.start_instances(InstanceIds=stops)
    lab.becomes("running", "terminated")
    assert refused(lab.ec2.stop_instances, InstanceIds=stops) == "OperationNotPermitted"


def test_every_machine_of_a_launch_has_its_profile_and_shows_it(lab: Lab) -> None:
    iam = lab.emulator.client("iam")
    iam.create_instance_profile(InstanceProfileName="one")
    ids = lab.launch(2, IamInstanceProfile={"Name": "one"})
    found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    shown = [item["IamInstanceProfile"] for group in found for item in group["Instances"]]
    profile = iam.get_instance_profile(InstanceProfileName="one")["InstanceProfile"]
    assert shown == [{"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]}] * 2


def test_an_end_that_we_brought_about_is_not_followed(lab: Lab) -> None:
    ids = lab.launch()
    lab.emulator.api.instances.ended_by_itself(ids[0], 0)  # its container runs again by now
    assert lab.states() == ["running"]


# -- attributes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"InstanceType": {"Value": "t3.small"}},
        {"UserData": {"Value": b"x"}},
        {"Attribute": "instanceType", "Value": "t3.small"},
        {"EnaSupport": {"Value": True}},
    ],
)
def test_what_a_machine_boots_with_changes_only_while_it_is_stopped(
    lab: Lab, change: dict[str, Any]
) -> None:
    ids = lab.launch()
    call = lab.ec2.modify_instance_attribute
    assert refused(call, InstanceId=ids[0], **change) == "IncorrectInstanceState"
    lab.ec2.stop_instances(InstanceIds=ids)
    lab.becomes("stopped")
    call(InstanceId=ids[0], **change)


def test_power_off_behaviour_can_be_changed_and_leaves_the_groups(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    before = _groups(lab, machine_id)
    assert before
    change = {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, **change)
    assert _groups(lab, machine_id) == before
    shown = lab.ec2.describe_instance_attribute(
        InstanceId=machine_id, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert shown["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    lab.machines.running[machine_id] = False
    lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    lab.becomes("terminated")


def test_network_attributes_of_a_stopped_machine_leave_its_groups(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    before = _groups(lab, machine_id)
    lab.ec2.stop_instances(InstanceIds=[machine_id])
    lab.becomes("stopped")
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, EnaSupport={"Value": True})
    lab.ec2.modify_instance_attribute(InstanceId=machine_id, SriovNetSupport={"Value": "simple"})
    assert _groups(lab, machine_id) == before


def _groups(lab: Lab, machine_id: str) -> list[dict[str, str]]:
    found = lab.ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"][0]
    return list(found["NetworkInterfaces"][0]["Groups"]) + list(found["SecurityGroups"])


def test_monitoring_is_remembered(lab: Lab) -> None:
    ids = lab.launch()

    def monitored() -> str:
        found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
        return str(found["Monitoring"]["State"])

    assert monitored() == "disabled"
    reply = lab.ec2.monitor_instances(InstanceIds=ids)["InstanceMonitorings"][0]
    assert (reply["InstanceId"], reply["Monitoring"]["State"]) == (ids[0], "pending")
    assert monitored() == "enabled"
    lab.ec2.unmonitor_instances(InstanceIds=ids)
    assert monitored() == "disabled"


# -- ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine_id", "code"),
    [
        (UNKNOWN, "InvalidInstanceID.NotFound"),
        ("i-01234567", "InvalidInstanceID.NotFound"),
        ("i-nonsense", "InvalidInstanceID.Malformed"),
        ("kafka", "InvalidInstanceID.Malformed"),
    ],
)
@pytest.mark.parametrize("action", ["describe", "stop", "start", "reboot", "terminate", "monitor"])
def test_a_machine_that_is_not_there_is_named_as_ec2_does(
    lab: Lab, action: str, machine_id: str, code: str
) -> None:
    assert refused(getattr(lab.ec2, f"{action}_instances"), InstanceIds=[machine_id]) == code


@pytest.mark.parametrize(
    ("ami_id", "code"),
    [
        ("ami-0123456789abcdef0", "InvalidAMIID.NotFound"),
        ("debian", "InvalidAMIID.Malformed"),
        ("ami-debian", "InvalidAMIID.Malformed"),
    ],
)
def test_an_ami_that_is_not_there_is_named_as_ec2_does(lab: Lab, ami_id: str, code: str) -> None:
    assert refused(lab.launch, ImageId=ami_id) == code
    assert refused(lab.ec2.describe_images, ImageIds=[ami_id]) == code
    assert refused(lab.ec2.deregister_image, ImageId=ami_id) == code


# -- AMIs -----------------------------------------------------------------------------------


def image(lab: Lab, ami_id: str) -> dict[str, Any]:
    found = lab.ec2.describe_images(ImageIds=[ami_id], IncludeDisabled=True)["Images"]
    return dict(found[0]) if found else {}


def test_an_ami_is_pending_until_it_is_captured(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    lab.machines.go.clear()
    made = lab.ec2.create_image(InstanceId=machine_id, Name="one")["ImageId"]
    assert image(lab, made)["State"] == "pending"
    assert refused(lab.launch, ImageId=made) == "InvalidAMIID.Unavailable"
    assert lab.states() == ["running"]  # although it is rebooted
    lab.machines.go.set()
    wait.until(lambda: image(lab, made)["State"] == "available", what="the AMI", timeout_s=20)
    assert lab.machines.is_running(machine_id)


def test_a_failed_capture_is_told_and_leaves_no_ami(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    del lab.machines.running[machine_id]
    assert refused(lab.ec2.create_image, InstanceId=machine_id, Name="one") == "InternalError"
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []


def test_a_capture_that_fails_later_leaves_a_failed_ami(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    lab.machines.go.clear()
    made = lab.ec2.create_image(InstanceId=machine_id, Name="one", NoReboot=True)["ImageId"]
    del lab.machines.running[machine_id]
    lab.machines.go.set()
    wait.until(lambda: image(lab, made)["State"] == "failed", what="the failure", timeout_s=20)
    assert "no such machine" in image(lab, made)["StateReason"]["Message"]


def test_an_ami_of_a_terminated_machine_is_refused(lab: Lab) -> None:
    ids = lab.launch()
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated")
    code = refused(lab.ec2.create_image, InstanceId=ids[0], Name="one")
    assert code == "IncorrectInstanceState"


@pytest.mark.parametrize("name", ["a" * 129, "what?", "a:b", "naïve"])
def test_a_name_that_no_ami_may_have_is_refused(lab: Lab, name: str) -> None:
    machine_id = lab.launch()[0]
    code = refused(lab.ec2.create_image, InstanceId=machine_id, Name=name)
    assert code == "InvalidAMIName.Malformed"


def test_a_name_is_taken_once_even_at_the_same_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_id = lab.launch()[0]
    together, true = threading.Barrier(2), amis.Amis._named

    def looked(self: amis.Amis, name: str) -> str:
        found = true(self, name)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.5)  # both have looked, unless one keeps the other waiting
        return found

    monkeypatch.setattr(amis.Amis, "_named", looked)

    def make(_: int) -> str:
        try:
            return str(lab.ec2.create_image(InstanceId=machine_id, Name="same")["ImageId"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(2) as pool:
        made = sorted(pool.map(make, range(2)))
    assert made[0] == "InvalidAMIName.Duplicate"
    assert made[1].startswith("ami-")


def test_snapshots_carry_their_tags_and_go_when_asked(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    made = {}
    for name in ("stays", "goes"):
        tags = [
            {"ResourceType": kind, "Tags": [{"Key": "kind", "Value": kind}]}
            for kind in ("image", "snapshot")
        ]
        ami = lab.ec2.create_image(InstanceId=machine_id, Name=name, TagSpecifications=tags)
        found = image(lab, ami["ImageId"])
        assert found["Tags"] == [{"Key": "kind", "Value": "image"}]
        made[name] = (ami["ImageId"], found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])
        kept = lab.ec2.describe_snapshots(SnapshotIds=[made[name][1]])["Snapshots"][0]
        assert kept["Tags"] == [{"Key": "kind", "Value": "snapshot"}]
    lab.ec2.deregister_image(ImageId=made["stays"][0])
    lab.ec2.deregister_image(ImageId=made["goes"][0], DeleteAssociatedSnapshots=True)
    assert lab.ec2.describe_snapshots(SnapshotIds=[made["stays"][1]])["Snapshots"]
    code = refused(lab.ec2.describe_snapshots, SnapshotIds=[made["goes"][1]])
    assert code == "InvalidSnapshot.NotFound"


def test_a_deregistered_ami_is_unavailable(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    lab.ec2.deregister_image(ImageId=made)
    assert refused(lab.launch, ImageId=made) == "InvalidAMIID.Unavailable"
    assert refused(lab.ec2.deregister_image, ImageId=made) == "InvalidAMIID.Unavailable"
    assert refused(lab.ec2.disable_image, ImageId=made) == "InvalidAMIID.Unavailable"


def test_a_disabled_ami_hides_and_cannot_be_launched_until_it_is_enabled(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    lab.machines.disks.amis = lambda: {AMI, made}
    lab.ec2.disable_image(ImageId=made)
    assert image(lab, made)["State"] == "disabled"
    assert lab.ec2.describe_images(Owners=["self"])["Images"] == []
    by_state = [{"Name": "state", "Values": ["disabled"]}]
    found = lab.ec2.describe_images(Filters=by_state, Owners=["self"], IncludeDisabled=True)
    assert [one["ImageId"] for one in found["Images"]] == [made]
    assert refused(lab.launch, ImageId=made) == "InvalidAMIID.Unavailable"
    lab.ec2.enable_image(ImageId=made)
    assert image(lab, made)["State"] == "available"
    lab.launch(ImageId=made)


def test_a_deprecated_ami_says_since_when_to_the_minute(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    lab.ec2.enable_image_deprecation(ImageId=made, DeprecateAt="2030-01-01T00:00:31Z")
    assert image(lab, made)["DeprecationTime"] == "2030-01-01T00:01:00.000Z"
    lab.ec2.disable_image_deprecation(ImageId=made)
    assert "DeprecationTime" not in image(lab, made)


def test_a_protected_ami_is_not_deregistered(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    assert image(lab, made)["DeregistrationProtection"] == "disabled"
    lab.ec2.enable_image_deregistration_protection(ImageId=made, WithCooldown=True)
    assert image(lab, made)["DeregistrationProtection"] == "enabled-with-cooldown"
    assert refused(lab.ec2.deregister_image, ImageId=made) == "OperationNotPermitted"
    assert image(lab, made)["State"] == "available"
    lab.ec2.disable_image_deregistration_protection(ImageId=made)
    lab.ec2.deregister_image(ImageId=made)
