"""Volumes on a machine: real block devices, and data that outlives machines."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.hypervisor import Hypervisor
from tests.machines.volumes.kit import (
    BY_ID,
    SOON,
    Create,
    Inside,
    Launch,
    attach,
    detach,
    mount_new,
    path_of,
    started_at,
    status_of,
)


def test_data_on_a_volume_survives_stop_start_reboot_and_the_machines_replacement(
    ec2: Any,
    hypervisor: Hypervisor,
    machine: str,
    launch: Launch,
    create: Create,
    inside: Inside,
) -> None:
    volume_id = create()
    path = path_of(volume_id)
    attach(ec2, volume_id, machine)
    inside(machine, f"mkfs.ext4 -q {path}; mount {path} /mnt; echo here > /mnt/it; sync")

    ec2.stop_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine])
    ec2.start_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_running").wait(InstanceIds=[machine])
    assert inside(machine, f"mount {path} /mnt; cat /mnt/it") == "here"

    first = started_at(hypervisor, machine)
    ec2.reboot_instances(InstanceIds=[machine])
    wait.until(lambda: started_at(hypervisor, machine) != first, what="the reboot", timeout_s=90)
    assert inside(machine, f"mount {path} /mnt; cat /mnt/it; umount /mnt") == "here"

    detach(ec2, volume_id)
    replacement = launch()
    attach(ec2, volume_id, replacement)
    assert inside(replacement, f"mount {path} /mnt; cat /mnt/it; umount /mnt") == "here"


def test_a_volume_has_the_names_that_udev_gives_it_on_ec2_and_loses_them_when_detached(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    first, second = create(), create(2)
    attach(ec2, first, machine, "/dev/sdf")
    attach(ec2, second, machine, "/dev/sdg")
    script = f"readlink -f {path_of(first)} {path_of(second)}_1; blockdev --getsize64 /dev/nvme2n1"
    assert inside(machine, script).split() == ["/dev/nvme1n1", "/dev/nvme2n1", str(2 << 30)]

    detach(ec2, first)

    assert inside(machine, "ls /dev/nvme*n1") == "/dev/nvme2n1"
    assert inside(machine, f"ls {BY_ID}*").split() == [path_of(second), f"{path_of(second)}_1"]
    third = create()
    attach(ec2, third, machine, "/dev/sdf")
    assert inside(machine, f"readlink -f {path_of(third)}") == "/dev/nvme1n1"


def test_a_mounted_volume_is_detaching_until_it_is_unmounted(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)

    ec2.detach_volume(VolumeId=volume_id)

    assert status_of(ec2, volume_id) == ("in-use", "detaching")
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=machine, Device="/dev/sdf")
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.delete_volume(VolumeId=volume_id)
    inside(machine, "echo still > /mnt/there; umount /mnt")
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig=SOON)


def test_a_unit_with_a_view_of_its_own_does_not_keep_a_volume_that_is_unmounted(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)
    inside(machine, "systemd-run --quiet --unit=apart --property=PrivateMounts=yes sleep 600")
    inside(machine, "umount /mnt")
    try:
        detach(ec2, volume_id)
    finally:
        inside(machine, "systemctl stop apart")


def test_force_detaches_a_volume_that_is_mounted(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)

    ec2.detach_volume(VolumeId=volume_id, Force=True)

    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id], WaiterConfig=SOON)
    assert "nvme" not in inside(machine, "cat /proc/mounts")


@pytest.mark.parametrize("stays", [False, True])
def test_a_machine_made_of_the_ami_of_another_does_not_see_its_volumes(
    ec2: Any, machine: str, launch: Launch, create: Create, inside: Inside, *, stays: bool
) -> None:
    attach(ec2, create(), machine)
    asked = {"InstanceId": machine, "Name": f"of {machine}", "NoReboot": stays}
    made = ec2.create_image(**asked)["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig=SOON)
    try:
        clone = launch(ImageId=made)
        assert inside(clone, "ls /dev/nvme*n1 /dev/disk/by-id/* 2>/dev/null || true") == ""
        assert inside(machine, "/lab/plug; ls /dev/nvme*n1") == "/dev/nvme1n1"
        ec2.terminate_instances(InstanceIds=[clone])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[clone])
    finally:
        ec2.deregister_image(ImageId=made)


def test_nothing_of_a_deleted_volume_is_left(
    ec2: Any, machine: str, create: Create, blocks: Blocks
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    detach(ec2, volume_id)

    ec2.delete_volume(VolumeId=volume_id)

    assert not blocks.has(volume_id)
    assert volume_id not in blocks.loops()
    with pytest.raises(ClientError, match=r"InvalidVolume\.NotFound"):
        ec2.describe_volumes(VolumeIds=[volume_id])


def test_a_volume_attached_to_a_stopped_machine_is_there_when_it_starts(
    ec2: Any, hypervisor: Hypervisor, machine: str, create: Create, inside: Inside
) -> None:
    ec2.stop_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine])
    volume_id = create()
    attach(ec2, volume_id, machine)
    ec2.start_instances(InstanceIds=[machine])
    wait.until(lambda: hypervisor.is_running(machine), what="it", timeout_s=60, every_s=0.05)
    # Asked of the first process, so as early as anything on the machine can ask.
    inside(machine, f"test -b {path_of(volume_id)}")
    wait.until(
        lambda: inside(machine, "systemctl is-system-running || true") in {"running", "degraded"},
        what="the machine's start",
        timeout_s=60,
    )
    detach(ec2, volume_id)
