"""What EC2 answers about volumes and snapshots, asked by boto3 of the lab's own API.

The API runs in this process over plain moto; nothing here gets as far as a machine.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime.errors import LabError
from runtime.lab.ec2 import Ec2, text
from runtime.lab.machines.blocks import Blocks
from tests.contract.emulator import Emulator

ZONE = "us-east-1a"
NOWHERE = "vol-0123456789abcdef0"


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The API and what is behind it.

    Attributes:
        ec2: a client of the API.
        records: moto behind it, to put machines into it that do not run.
        blocks: the files behind volumes.
        emulator: all of it.
    """

    ec2: Any
    records: Ec2
    blocks: Blocks
    emulator: Emulator

    def machine(self) -> str:
        """Return a machine that is in the records alone, in the zone."""
        return self.emulator.recorded(**{"Placement.AvailabilityZone": ZONE})

    def volume(self, **more: Any) -> str:
        """Return a new volume."""
        asked = {"AvailabilityZone": ZONE, "Size": 1} | more
        return str(self.ec2.create_volume(**asked)["VolumeId"])

    def attached(self) -> tuple[str, str]:
        """Return a volume and the machine that the records say it is attached to."""
        volume_id, machine_id = self.volume(), self.machine()
        asked = {"VolumeId": volume_id, "InstanceId": machine_id, "Device": "/dev/sdf"}
        self.records.ask("AttachVolume", asked)
        return volume_id, machine_id

    def refusal(self, action: str, **asked: Any) -> str:
        """Return the code with which an action is refused."""
        with pytest.raises(ClientError) as refused:
            getattr(self.ec2, action)(**asked)
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return str(refused.value.response["Error"]["Code"])


@pytest.fixture
def lab(emulator: Emulator) -> Iterator[Lab]:
    """The lab's API without machines."""
    client = emulator.client()
    blocks = emulator.api.attachments.blocks
    yield Lab(ec2=client, records=emulator.ec2, blocks=blocks, emulator=emulator)
    client.close()


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        ("MissingParameter", {}),
        ("InvalidParameterValue", {"Size": 0}),
        ("InvalidParameterValue", {"Size": 20_000, "VolumeType": "gp2"}),
        ("InvalidParameterValue", {"Size": 100, "VolumeType": "st1"}),
        ("InvalidSnapshot.NotFound", {"SnapshotId": "snap-0123456789abcdef0"}),
        ("UnsupportedOperation", {"Size": 4, "VolumeType": "io2", "MultiAttachEnabled": True}),
        ("DryRunOperation", {"Size": 1, "DryRun": True}),
    ],
)
def test_a_volume_that_ec2_would_not_make_is_refused_and_leaves_no_file(
    lab: Lab, code: str, asked: dict[str, Any]
) -> None:
    if code == "DryRunOperation":
        with pytest.raises(ClientError, match=code):
            lab.ec2.create_volume(AvailabilityZone=ZONE, **asked)
    else:
        assert lab.refusal("create_volume", AvailabilityZone=ZONE, **asked) == code
    assert not lab.blocks.files()


def test_a_volume_that_the_file_system_has_no_room_for_leaves_no_record(lab: Lab) -> None:
    before = lab.ec2.describe_volumes()["Volumes"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 29, hard))
    try:
        assert lab.refusal("create_volume", AvailabilityZone=ZONE, Size=1) == (
            "InsufficientVolumeCapacity"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert lab.ec2.describe_volumes()["Volumes"] == before
    assert not lab.blocks.files()


def test_a_new_volume_is_a_file_that_takes_no_room_and_goes_with_it(lab: Lab) -> None:
    volume_id = lab.volume(Size=100)
    (file,) = lab.blocks.files()
    assert file.stat().st_size == 100 << 30
    assert file.stat().st_blocks * 512 < 1 << 20

    lab.ec2.delete_volume(VolumeId=volume_id)

    assert not lab.blocks.files()
    assert lab.refusal("describe_volumes", VolumeIds=[volume_id]) == "InvalidVolume.NotFound"


def test_attaching_is_refused_as_ec2_refuses_it(lab: Lab) -> None:
    volume_id, machine_id = lab.attached()
    free = lab.volume()
    to = {"InstanceId": machine_id, "Device": "/dev/sdg"}
    assert lab.refusal("attach_volume", VolumeId=volume_id, **to) == "VolumeInUse"
    assert lab.refusal("attach_volume", VolumeId=NOWHERE, **to) == "InvalidVolume.NotFound"
    for device in ("/dev/sdf", "/dev/sdzzz", "disk"):
        asked = {"VolumeId": free, "InstanceId": machine_id, "Device": device}
        assert lab.refusal("attach_volume", **asked) == "InvalidParameterValue"
    asked = {"VolumeId": free, "InstanceId": "i-0123456789abcdef0", "Device": "/dev/sdg"}
    assert lab.refusal("attach_volume", **asked) == "InvalidInstanceID.NotFound"
    elsewhere = lab.volume(AvailabilityZone="us-east-1b")
    assert lab.refusal("attach_volume", VolumeId=elsewhere, **to) == "InvalidVolume.ZoneMismatch"
    lab.records.ask("TerminateInstances", {"InstanceId.1": machine_id})
    assert lab.refusal("attach_volume", VolumeId=free, **to) == "IncorrectState"


def test_a_volume_that_its_machine_does_not_get_to_see_stays_free(lab: Lab) -> None:
    volume_id, machine_id = lab.volume(), lab.machine()  # whose container is not there
    asked = {"VolumeId": volume_id, "InstanceId": machine_id, "Device": "/dev/sdf"}
    assert lab.refusal("attach_volume", **asked) == "InternalFailureInLab"
    (found,) = lab.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert (found["State"], found["Attachments"]) == ("available", [])
    lab.ec2.delete_volume(VolumeId=volume_id)


def test_detaching_is_refused_as_ec2_refuses_it(lab: Lab) -> None:
    volume_id, machine_id = lab.attached()
    assert lab.refusal("detach_volume", VolumeId=lab.volume()) == "IncorrectState"
    assert lab.refusal("detach_volume", VolumeId=NOWHERE) == "InvalidVolume.NotFound"
    for wrong in ({"InstanceId": lab.machine()}, {"InstanceId": machine_id, "Device": "/dev/sdg"}):
        assert lab.refusal("detach_volume", VolumeId=volume_id, **wrong) == (
            "InvalidAttachment.NotFound"
        )
    assert lab.refusal("delete_volume", VolumeId=volume_id) == "VolumeInUse"


def test_a_detach_that_failed_can_be_asked_for_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_id, _ = lab.attached()
    true, failed = lab.blocks.release, []

    def release(name: str) -> None:
        if not failed:
            failed.append(name)
            message = "no loop device lets go"
            raise LabError(message)
        true(name)

    monkeypatch.setattr(lab.blocks, "release", release)
    assert lab.refusal("detach_volume", VolumeId=volume_id) == "InternalFailureInLab"
    (found,) = lab.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert found["Attachments"][0]["State"] == "attached"
    lab.ec2.detach_volume(VolumeId=volume_id)
    lab.ec2.delete_volume(VolumeId=volume_id)


def test_a_volume_can_grow_and_not_shrink(lab: Lab) -> None:
    volume_id = lab.volume(Size=2)
    assert lab.refusal("modify_volume", VolumeId=volume_id, Size=1) == "InvalidParameterValue"
    assert lab.refusal("modify_volume", VolumeId=NOWHERE, Size=1) == "InvalidVolume.NotFound"

    lab.ec2.modify_volume(VolumeId=volume_id, Size=3)

    assert [file.stat().st_size for file in lab.blocks.files()] == [3 << 30]
    (found,) = lab.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert found["Size"] == 3


def test_a_snapshot_keeps_what_its_volume_held_when_that_changes_or_goes(lab: Lab) -> None:
    volume_id = lab.volume()
    (file,) = lab.blocks.files()
    with file.open("r+b") as volume:
        volume.seek(12345)
        volume.write(b"gold")
    asked = {"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "b"}]}
    made = lab.ec2.create_snapshot(VolumeId=volume_id, TagSpecifications=[asked])
    snapshot_id = made["SnapshotId"]
    assert (made["VolumeSize"], made["Tags"]) == (1, [{"Key": "a", "Value": "b"}])
    lab.ec2.modify_volume(VolumeId=volume_id, Size=5)
    lab.ec2.delete_volume(VolumeId=volume_id)
    (found,) = lab.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
    assert (found["VolumeSize"], found["State"]) == (1, "completed")

    lab.ec2.create_volume(AvailabilityZone=ZONE, SnapshotId=snapshot_id, Size=2)

    copy = next(one for one in lab.blocks.files() if "-vol-" in one.name)
    with copy.open("rb") as volume:
        volume.seek(12345)
        assert volume.read(5) == b"gold\0"
    assert copy.stat().st_size == 2 << 30
    assert copy.stat().st_blocks * 512 < 1 << 20
    lab.ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert [one for one in lab.blocks.files() if "-snap-" in one.name] == []


def test_a_volume_is_not_made_smaller_than_its_snapshot(lab: Lab) -> None:
    volume_id = lab.volume(Size=2)
    snapshot_id = lab.ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    lab.ec2.modify_volume(VolumeId=volume_id, Size=3)
    asked = {"AvailabilityZone": ZONE, "SnapshotId": snapshot_id}
    assert lab.refusal("create_volume", Size=1, **asked) == "InvalidParameterValue"
    found = lab.ec2.create_volume(**asked)
    assert found["Size"] == 2


def test_a_snapshot_of_an_ami_can_not_be_deleted_and_no_volume_comes_of_it(lab: Lab) -> None:
    made = lab.records.ask("CreateImage", {"InstanceId": lab.machine(), "Name": lab.machine()})
    found = lab.ec2.describe_images(ImageIds=[text(made, "imageId")])["Images"][0]
    snapshot_id = found["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert lab.refusal("delete_snapshot", SnapshotId=snapshot_id) == "InvalidSnapshot.InUse"
    asked = {"AvailabilityZone": ZONE, "SnapshotId": snapshot_id}
    assert lab.refusal("create_volume", **asked) == "UnsupportedOperation"
    assert lab.refusal("delete_snapshot", SnapshotId="snap-0123456789abcdef0") == (
        "InvalidSnapshot.NotFound"
    )


def test_a_root_disk_is_a_record_and_says_so(lab: Lab) -> None:
    machine_id = lab.machine()
    (found,) = lab.ec2.describe_instances(InstanceIds=[machine_id])["Reservations"]
    root = found["Instances"][0]["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert lab.refusal("create_snapshot", VolumeId=root) == "UnsupportedOperation"
    assert lab.refusal("detach_volume", VolumeId=root) == "UnsupportedOperation"
    lab.ec2.modify_volume(VolumeId=root, Size=20)  # as Terraform does with a root_block_device
    assert not lab.blocks.files()


def test_snapshots_that_would_be_records_alone_are_refused(lab: Lab) -> None:
    asked: Any = {"InstanceSpecification": {"InstanceId": lab.machine()}}
    assert lab.refusal("create_snapshots", **asked) == "UnsupportedOperation"
