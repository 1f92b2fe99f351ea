"""What moto does differently from EC2 about volumes; a failure means that it was mended."""

from __future__ import annotations

import pytest

from runtime.lab import translations, views
from runtime.lab.ec2 import Ec2, Refused, text
from tests.contract.plain import launch

ZONE = {"AvailabilityZone": "us-east-1a"}


def volume(ec2: Ec2, **more: str) -> str:
    """Return the id of a volume in moto's records."""
    return text(ec2.ask("CreateVolume", {**ZONE, "Size": "1", **more}), "volumeId")


def attach(ec2: Ec2, volume_id: str, machine_id: str) -> None:
    """Attach a volume in moto's records."""
    asked = {"VolumeId": volume_id, "InstanceId": machine_id, "Device": "/dev/sdf"}
    ec2.ask("AttachVolume", asked)


def test_moto_attaches_a_volume_twice_under_a_name_in_use_across_zones_to_a_dead_machine(
    ec2: Ec2,
) -> None:
    volume_id = volume(ec2, AvailabilityZone="us-east-1b")
    here = {"Placement.AvailabilityZone": "us-east-1a"}
    one, other = launch(ec2, **here), launch(ec2, **here)
    attach(ec2, volume_id, one)
    attach(ec2, volume(ec2), one)
    ec2.ask("TerminateInstances", {"InstanceId.1": other})
    attach(ec2, volume_id, other)


def test_moto_calls_it_something_else_when_a_free_volume_is_detached(ec2: Ec2) -> None:
    with pytest.raises(Refused) as refused:
        ec2.ask("DetachVolume", {"VolumeId": volume(ec2), "InstanceId": launch(ec2)})
    assert refused.value.code != "IncorrectState"


def test_moto_does_not_find_the_instance_of_an_attachment_by_itself(ec2: Ec2) -> None:
    volume_id = volume(ec2)
    attach(ec2, volume_id, launch(ec2))
    with pytest.raises((Refused, TypeError)):  # moto fails over the id that is not there
        ec2.ask("DetachVolume", {"VolumeId": volume_id})


def test_moto_makes_a_volume_without_size_and_shrinks_it(ec2: Ec2) -> None:
    volume_id = volume(ec2, Size="0")
    ec2.ask("ModifyVolume", {"VolumeId": volume_id, "Size": "2"})
    ec2.ask("ModifyVolume", {"VolumeId": volume_id, "Size": "1"})


@pytest.mark.parametrize(
    "asked",
    [
        {"Size": "20000", "VolumeType": "gp2"},
        {"Size": "1", "VolumeType": "st1"},
        {"Size": "1", "AvailabilityZone": ""},
    ],
)
def test_moto_makes_volumes_that_ec2_has_none_of(ec2: Ec2, asked: dict[str, str]) -> None:
    volume(ec2, **asked)


def test_moto_attaches_a_volume_under_a_name_that_no_device_has(ec2: Ec2) -> None:
    asked = {"VolumeId": volume(ec2), "InstanceId": launch(ec2), "Device": "disk"}
    ec2.ask("AttachVolume", asked)


def test_moto_makes_a_volume_of_a_snapshot_as_large_as_its_volume_grew_or_too_small(
    ec2: Ec2,
) -> None:
    volume_id = volume(ec2, Size="2")
    of = {
        **ZONE,
        "SnapshotId": text(ec2.ask("CreateSnapshot", {"VolumeId": volume_id}), "snapshotId"),
    }
    ec2.ask("ModifyVolume", {"VolumeId": volume_id, "Size": "5"})
    assert text(ec2.ask("CreateVolume", of), "size") == "5"
    assert text(ec2.ask("CreateVolume", of | {"Size": "1"}), "size") == "1"


def test_moto_shows_a_volume_as_made_attached_and_detached_at_once(ec2: Ec2) -> None:
    volume_id = volume(ec2)
    path = "volumeSet/item/attachmentSet/item/status"
    attach(ec2, volume_id, launch(ec2))
    found = ec2.ask("DescribeVolumes", {"VolumeId.1": volume_id})
    assert text(found, path) == "attached"

    translations.show_volume_states(found, {volume_id: "attaching"})

    assert text(found, path) == "attaching"


def test_a_snapshot_of_moto_is_done_at_once_and_grows_with_its_volume(ec2: Ec2) -> None:
    volume_id = volume(ec2)
    snapshot_id = text(ec2.ask("CreateSnapshot", {"VolumeId": volume_id}), "snapshotId")
    ec2.ask("ModifyVolume", {"VolumeId": volume_id, "Size": "5"})
    found = ec2.ask("DescribeSnapshots", {"SnapshotId.1": snapshot_id})
    assert text(found, "snapshotSet/item/status") == "completed"
    assert text(found, "snapshotSet/item/volumeSize") == "5"

    translations.show_snapshots(found, {snapshot_id: 1}, {snapshot_id: "pending"})

    assert text(found, "snapshotSet/item/status") == "pending"
    assert text(found, "snapshotSet/item/volumeSize") == "1"


def test_moto_makes_no_root_where_only_data_disks_are_mapped_and_keeps_them_at_the_end(
    ec2: Ec2,
) -> None:
    mapped = {
        "BlockDeviceMapping.1.DeviceName": "/dev/sdf",
        "BlockDeviceMapping.1.Ebs.VolumeSize": "1",
    }

    def disks_of(machine_id: str) -> dict[str, str]:
        found = ec2.machine(machine_id).findall("blockDeviceMapping/item")
        return {text(one, "deviceName"): text(one, "ebs/deleteOnTermination") for one in found}

    assert disks_of(launch(ec2, **mapped)) == {"/dev/sdf": "false"}
    filled = translations.complete_mapping(mapped, root_size_gb=8)
    assert disks_of(launch(ec2, **filled)) == {"/dev/sdf": "true", "/dev/xvda": "true"}


def test_moto_keeps_a_launch_whose_data_disk_it_refuses(ec2: Ec2) -> None:
    mapped = {
        "BlockDeviceMapping.1.DeviceName": "/dev/sdf",
        "BlockDeviceMapping.1.Ebs.SnapshotId": "snap-0123456789abcdef0",
    }
    with pytest.raises(Refused, match=r"InvalidSnapshot\.NotFound"):
        launch(ec2, **mapped)
    assert list(views.living(ec2))


def test_moto_names_the_root_sda1_of_a_machine_of_a_made_ami_however_it_is_mapped(ec2: Ec2) -> None:
    made = text(ec2.ask("CreateImage", {"InstanceId": launch(ec2), "Name": "one"}), "imageId")
    machine_id = launch(ec2, **translations.complete_mapping({"ImageId": made}, root_size_gb=8))
    found = ec2.ask("DescribeInstances", {"InstanceId.1": machine_id})
    path = "reservationSet/item/instancesSet/item"
    assert text(found, f"{path}/rootDeviceName") == "/dev/sda1"
    assert text(found, f"{path}/blockDeviceMapping/item/deviceName") == "/dev/xvda"

    translations.show_root_device(found)

    assert text(found, f"{path}/rootDeviceName") == "/dev/xvda"
