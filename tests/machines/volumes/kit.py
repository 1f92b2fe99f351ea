"""What the tests of volumes share: names, and the steps that Terraform takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from runtime.lab.machines.hypervisor import Hypervisor

SOON = {"Delay": 1, "MaxAttempts": 60}
BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
Launch = Callable[..., str]
Create = Callable[..., str]
Inside = Callable[[str, str], str]


def path_of(volume_id: str) -> str:
    """Return the name that udev on EC2 gives a volume."""
    return BY_ID + volume_id.replace("-", "")


def remove_volume(ec2: Any, volume_id: str) -> None:
    """Detach and delete a volume that may be in any state, or gone."""
    try:
        (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        if found["Attachments"]:
            ec2.detach_volume(VolumeId=volume_id, Force=True)
            ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig=SOON)
        ec2.delete_volume(VolumeId=volume_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidVolume.NotFound":
            raise


def attach(ec2: Any, volume_id: str, machine_id: str, device: str = "/dev/sdf") -> None:
    """Attach, and wait as Terraform does."""
    ec2.attach_volume(VolumeId=volume_id, InstanceId=machine_id, Device=device)
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume_id], WaiterConfig=SOON)


def mount_new(ec2: Any, machine_id: str, create: Create, inside: Inside) -> str:
    """Make a volume, attach it, and mount it with a file system at /mnt; return its id."""
    volume_id = create()
    attach(ec2, volume_id, machine_id)
    inside(machine_id, f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt")
    return volume_id


@contextlib.contextmanager
def snapshot(ec2: Any, volume_id: str) -> Iterator[str]:
    """Take a snapshot, wait as Terraform does, and yield its id; it is deleted afterwards."""
    snapshot_id = str(ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"])
    try:
        ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot_id], WaiterConfig=SOON)
        yield snapshot_id
    finally:
        ec2.delete_snapshot(SnapshotId=snapshot_id)


def detach(ec2: Any, volume_id: str) -> None:
    """Detach, and wait as Terraform does."""
    ec2.detach_volume(VolumeId=volume_id)
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig=SOON)


def started_at(hypervisor: Hypervisor, machine_id: str) -> str:
    """Return when a machine was switched on last; a reboot counts."""
    container = hypervisor.docker.containers.get(hypervisor.name(machine_id))
    return str(container.attrs["State"]["StartedAt"])


def status_of(ec2: Any, volume_id: str) -> tuple[str, str]:
    """Return a volume's state and its attachment's, "" if it has none."""
    (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return found["State"], next((a["State"] for a in found["Attachments"]), "")
