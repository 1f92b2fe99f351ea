"""AMIs are made, kept and refused as EC2 does; ids that are none are named."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from runtime.lab.actions import amis
from runtime.lab.memory.records import AMI as RECORDED
from tests.contract.emulator import AMI
from tests.contract.scripted import UNKNOWN, Lab, refused


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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer about an AMI that is not made does not take long."""
    monkeypatch.setattr(amis, "PATIENCE_S", 0.5)


def image(lab: Lab, ami_id: str) -> dict[str, Any]:
    found = lab.ec2.describe_images(ImageIds=[ami_id], IncludeDisabled=True)["Images"]
    return dict(found[0]) if found else {}


@pytest.mark.usefixtures("impatient")
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


@pytest.mark.usefixtures("impatient")
def test_a_capture_that_fails_later_leaves_a_failed_ami(lab: Lab) -> None:
    machine_id = lab.launch()[0]
    lab.machines.go.clear()
    made = lab.ec2.create_image(InstanceId=machine_id, Name="one", NoReboot=True)["ImageId"]
    del lab.machines.running[machine_id]
    lab.machines.go.set()
    wait.until(lambda: image(lab, made)["State"] == "failed", what="the failure", timeout_s=20)
    assert "no such machine" in image(lab, made)["StateReason"]["Message"]


@pytest.mark.usefixtures("impatient")
def test_an_ami_that_is_deregistered_while_it_is_made_leaves_no_disk(lab: Lab) -> None:
    machine_id, kept = lab.launch()[0], []
    true = lab.machines.capture

    def capture(machine_id: str, ami_id: str) -> None:
        true(machine_id, ami_id)
        kept.append(ami_id)

    lab.machines.capture = capture
    lab.machines.disks.discard = lambda ami_id: ami_id in kept and kept.remove(ami_id)
    lab.machines.go.clear()
    made = lab.ec2.create_image(InstanceId=machine_id, Name="one", NoReboot=True)["ImageId"]
    lab.ec2.deregister_image(ImageId=made)
    lab.machines.go.set()
    amis_of = lab.emulator.api.amis
    wait.until(lambda: made not in amis_of._unfinished, what="the capture", timeout_s=20)
    wait.until(lambda: kept == [], what="the disk to go", timeout_s=5, every_s=0.05)
    assert amis_of.records.get(RECORDED, made) == {}


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


def test_a_source_ami_is_somebody_elses(lab: Lab) -> None:
    for change in (lab.ec2.deregister_image, lab.ec2.disable_image):
        assert refused(change, ImageId=AMI) == "AuthFailure"
    support = {"ImageId": AMI, "ImdsSupport": {"Value": "v2.0"}}
    assert refused(lab.ec2.modify_image_attribute, **support) == "AuthFailure"
    lab.launch()


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


def test_an_ami_says_when_it_was_last_launched(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    assert "LastLaunchedTime" not in image(lab, made)
    lab.machines.disks.amis = lambda: {AMI, made}
    lab.launch(ImageId=made)
    launched = datetime.fromisoformat(image(lab, made)["LastLaunchedTime"])
    assert datetime.now(UTC) - launched < timedelta(minutes=1)


def test_a_protected_ami_is_not_deregistered(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    assert image(lab, made)["DeregistrationProtection"] == "disabled"
    lab.ec2.enable_image_deregistration_protection(ImageId=made, WithCooldown=True)
    assert image(lab, made)["DeregistrationProtection"] == "enabled-with-cooldown"
    assert refused(lab.ec2.deregister_image, ImageId=made) == "OperationNotPermitted"
    assert image(lab, made)["State"] == "available"
    lab.ec2.disable_image_deregistration_protection(ImageId=made)
    lab.ec2.deregister_image(ImageId=made)


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_an_ami_is_encrypted_as_the_root_that_it_was_made_of(lab: Lab, is_encrypted: bool) -> None:
    mapping = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": is_encrypted}}]
    machine_id = lab.launch(BlockDeviceMappings=mapping)[0]
    made = lab.ec2.create_image(InstanceId=machine_id, Name="one")["ImageId"]
    assert image(lab, made)["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is is_encrypted


def test_machines_of_an_ami_with_imdsv2_need_tokens_unless_their_launch_says_otherwise(
    lab: Lab,
) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    lab.machines.disks.amis = lambda: {AMI, made}
    lab.ec2.modify_image_attribute(ImageId=made, ImdsSupport={"Value": "v2.0"})

    def options(**more: Any) -> tuple[str, int]:
        ids = lab.launch(ImageId=made, **more)
        found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
        shown = found["MetadataOptions"]
        return shown["HttpTokens"], shown["HttpPutResponseHopLimit"]

    assert options() == ("required", 2)
    assert options(MetadataOptions={"HttpTokens": "optional"}) == ("optional", 2)
    assert options(MetadataOptions={"HttpPutResponseHopLimit": 1}) == ("required", 1)


def test_an_ami_tells_that_its_machines_are_to_have_imdsv2(lab: Lab) -> None:
    made = lab.ec2.create_image(InstanceId=lab.launch()[0], Name="one")["ImageId"]
    assert "ImdsSupport" not in image(lab, made)
    wanted = {"ImageId": made, "ImdsSupport": {"Value": "v1.0"}}
    assert refused(lab.ec2.modify_image_attribute, **wanted) == "InvalidParameterValue"
    lab.ec2.modify_image_attribute(**wanted | {"ImdsSupport": {"Value": "v2.0"}})
    assert image(lab, made)["ImdsSupport"] == "v2.0"
    lab.ec2.modify_image_attribute(ImageId=made, LaunchPermission={"Add": [{"Group": "all"}]})
    assert image(lab, made)["Public"]
