"""Volumes that a launch makes, and that end with it or not."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime.lab.machines.blocks import Blocks
from tests.machines.volumes.kit import (
    Inside,
    Launch,
    path_of,
    remove_volume,
    status_of,
)


def test_data_disks_of_a_launch_are_there_at_the_first_start_and_go_as_they_were_mapped(
    ec2: Any, launch: Launch, inside: Inside, blocks: Blocks
) -> None:
    ends = launch(
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}},
            {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": False}},
        ]
    )
    (found,) = ec2.describe_instances(InstanceIds=[ends])["Reservations"][0]["Instances"]
    mapped = {m["DeviceName"]: m["Ebs"]["VolumeId"] for m in found["BlockDeviceMappings"]}
    assert sorted(mapped) == ["/dev/sdf", "/dev/sdg", "/dev/xvda"]
    try:
        inside(ends, f"test -b {path_of(mapped['/dev/sdf'])}; mkfs.ext4 -q /dev/nvme2n1")
        ec2.terminate_instances(InstanceIds=[ends])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[ends])
        assert not blocks.has(mapped["/dev/sdf"])
        assert status_of(ec2, mapped["/dev/sdg"]) == ("available", "")
        assert mapped["/dev/sdg"] not in blocks.loops()
    finally:
        remove_volume(ec2, mapped["/dev/sdg"])


@pytest.mark.parametrize(
    ("code", "disk"),
    [
        ("MissingParameter", {"DeleteOnTermination": True}),
        ("InvalidParameterValue", {"VolumeSize": 0}),
        ("InvalidSnapshot.NotFound", {"SnapshotId": "snap-0123456789abcdef0"}),
    ],
)
def test_a_launch_with_a_data_disk_that_can_not_be_made_leaves_no_machine(
    ec2: Any, launch: Launch, code: str, disk: dict[str, Any]
) -> None:
    before = ec2.describe_instances()["Reservations"]
    with pytest.raises(ClientError, match=code):
        launch(BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": disk}])
    assert ec2.describe_instances()["Reservations"] == before
