"""Volumes as a client of EC2 and a person on the machine see them: real block devices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from runtime.lab import control, rootfs, slots
from runtime.lab.blocks import FOLDER, Blocks
from runtime.lab.hypervisor import Hypervisor, connect
from runtime.settings import Settings

BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
Launch = Callable[..., str]
Create = Callable[..., str]


def path_of(volume_id: str) -> str:
    """Return the name that udev on EC2 gives a volume."""
    return BY_ID + volume_id.replace("-", "")


@pytest.fixture(scope="module")
def ec2(lab_settings: Settings) -> Any:
    """The checkout's lab; nothing needs to be deployed in it."""
    return control.up(lab_settings).ec2


@pytest.fixture(scope="module")
def hypervisor(lab_settings: Settings) -> Hypervisor:
    """What machines run on, to look inside them."""
    return Hypervisor(connect(), lab_settings.lab_id)


@pytest.fixture(scope="module")
def blocks(lab_settings: Settings, hypervisor: Hypervisor) -> Blocks:
    """What is behind volumes."""
    return Blocks(hypervisor.docker, lab_settings.lab_id, lab_settings.lab_dir / FOLDER)


@pytest.fixture(scope="module")
def launch(ec2: Any, lab_settings: Settings) -> Iterator[Launch]:
    """Launch a machine of the lab's own AMI, where builders go; all are terminated at the end."""
    made: list[str] = []
    subnet_id = json.loads(slots.packer_file(lab_settings.lab_dir).read_text())["subnet_id"]

    def run(**more: Any) -> str:
        found = ec2.run_instances(
            ImageId=rootfs.ami_id(), SubnetId=subnet_id, MinCount=1, MaxCount=1, **more
        )
        made.append(found["Instances"][0]["InstanceId"])
        return made[-1]

    yield run
    if made:
        ec2.terminate_instances(InstanceIds=made)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=made)


@pytest.fixture(scope="module")
def machine(launch: Launch) -> str:
    """A machine that tests may plug volumes into, and must unplug them from."""
    return launch()


@pytest.fixture
def create(ec2: Any, machine: str) -> Iterator[Create]:
    """Create volumes in the machine's zone; whatever happens to them, none is left."""
    made: list[str] = []
    placement = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    zone = placement["Placement"]["AvailabilityZone"]

    def run(size_gb: int | None = 1, **more: Any) -> str:
        if size_gb:
            more["Size"] = size_gb
        made.append(ec2.create_volume(**{"AvailabilityZone": zone, **more})["VolumeId"])
        ec2.get_waiter("volume_available").wait(VolumeIds=[made[-1]])
        return made[-1]

    yield run
    for volume_id in made:
        remove_volume(ec2, volume_id)


def remove_volume(ec2: Any, volume_id: str) -> None:
    """Detach and delete a volume that may be in any state, or gone."""
    try:
        (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        if found["Attachments"]:
            ec2.detach_volume(VolumeId=volume_id, Force=True)
            ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id])
        ec2.delete_volume(VolumeId=volume_id)
    except ClientError as error:
        if error.response["Error"]["Code"] != "InvalidVolume.NotFound":
            raise


@pytest.fixture
def inside(hypervisor: Hypervisor) -> Callable[..., str]:
    """Run a shell script as root on a machine and return what it said."""

    def run(machine_id: str, script: str) -> str:
        status, said = hypervisor.run_inside(machine_id, ["sh", "-ec", script])
        assert status == 0, f"{script}\n{said}"
        return said

    return run


def attach(ec2: Any, volume_id: str, machine_id: str, device: str = "/dev/sdf") -> None:
    """Attach, and wait as Terraform does."""
    ec2.attach_volume(VolumeId=volume_id, InstanceId=machine_id, Device=device)
    ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume_id])


def detach(ec2: Any, volume_id: str) -> None:
    """Detach, and wait as Terraform does."""
    ec2.detach_volume(VolumeId=volume_id)
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id])


def status_of(ec2: Any, volume_id: str) -> tuple[str, str]:
    """Return a volume's state and its attachment's, "" if it has none."""
    (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return found["State"], next((a["State"] for a in found["Attachments"]), "")


def test_data_on_a_volume_survives_stop_start_reboot_and_the_machines_replacement(
    ec2: Any, machine: str, launch: Launch, create: Create, inside: Callable[..., str]
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

    ec2.reboot_instances(InstanceIds=[machine])
    assert inside(machine, f"mount {path} /mnt; cat /mnt/it; umount /mnt") == "here"

    detach(ec2, volume_id)
    replacement = launch()
    attach(ec2, volume_id, replacement)
    assert inside(replacement, f"mount {path} /mnt; cat /mnt/it; umount /mnt") == "here"


def test_a_volume_has_the_names_that_udev_gives_it_on_ec2_and_loses_them_when_detached(
    ec2: Any, machine: str, create: Create, inside: Callable[..., str]
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
    ec2: Any, machine: str, create: Create, inside: Callable[..., str]
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    inside(machine, f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt")

    ec2.detach_volume(VolumeId=volume_id)

    assert status_of(ec2, volume_id) == ("in-use", "detaching")
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=machine, Device="/dev/sdf")
    with pytest.raises(ClientError, match="VolumeInUse"):
        ec2.delete_volume(VolumeId=volume_id)
    inside(machine, "echo still > /mnt/there; umount /mnt")
    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id])


def test_force_detaches_a_volume_that_is_mounted(
    ec2: Any, machine: str, create: Create, inside: Callable[..., str]
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    inside(machine, f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt")

    ec2.detach_volume(VolumeId=volume_id, Force=True)

    ec2.get_waiter("volume_available").wait(VolumeIds=[volume_id])
    assert "nvme" not in inside(machine, "cat /proc/mounts")


def test_a_snapshot_of_a_volume_in_use_holds_what_was_written_until_then(
    ec2: Any,
    machine: str,
    create: Create,
    inside: Callable[..., str],
    blocks: Blocks,
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    inside(
        machine,
        f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt; echo 1 > /mnt/before",
    )
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    try:
        ec2.get_waiter("snapshot_completed").wait(SnapshotIds=[snapshot_id])
        inside(machine, "echo 2 > /mnt/after; umount /mnt")  # writes go on

        restored = create(2, SnapshotId=snapshot_id)
        attach(ec2, restored, machine, "/dev/sdg")
        script = f"mount {path_of(restored)} /mnt; ls /mnt; umount /mnt"
        assert inside(machine, script).split() == ["before", "lost+found"]
        assert inside(machine, f"blockdev --getsize64 {path_of(restored)}") == str(2 << 30)

        ec2.modify_volume(VolumeId=volume_id, Size=3)
        (found,) = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        assert found["VolumeSize"] == 1
    finally:
        ec2.delete_snapshot(SnapshotId=snapshot_id)
    assert not blocks.has(snapshot_id)
    with pytest.raises(ClientError, match=r"InvalidSnapshot\.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[snapshot_id])


def test_a_volume_grows_under_a_mounted_file_system(
    ec2: Any, machine: str, create: Create, inside: Callable[..., str]
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    inside(machine, f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt")

    ec2.modify_volume(VolumeId=volume_id, Size=2)

    assert inside(machine, f"blockdev --getsize64 {path_of(volume_id)}") == str(2 << 30)
    # Growing a file system that is mounted takes CAP_SYS_RESOURCE, which this computer may lack.
    inside(machine, f"umount /mnt; e2fsck -fy {path_of(volume_id)}; resize2fs {path_of(volume_id)}")
    size_kb = inside(machine, f"mount {path_of(volume_id)} /mnt; df --output=size /mnt | tail -1")
    assert int(size_kb) > 3 << 19  # more than 1.5 GiB
    inside(machine, "umount /mnt")
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2.modify_volume(VolumeId=volume_id, Size=1)


def test_data_disks_of_a_launch_are_there_at_the_first_start_and_go_as_they_were_mapped(
    ec2: Any, launch: Launch, inside: Callable[..., str], blocks: Blocks
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
    ec2: Any, machine: str, create: Create, inside: Callable[..., str]
) -> None:
    ec2.stop_instances(InstanceIds=[machine])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[machine])
    volume_id = create()
    attach(ec2, volume_id, machine)
    ec2.start_instances(InstanceIds=[machine])
    # Asked of the first process, so as early as anything on the machine can ask.
    inside(machine, f"test -b {path_of(volume_id)}")
    wait.until(
        lambda: inside(machine, "systemctl is-system-running || true") in {"running", "degraded"},
        what="the machine's start",
        timeout_s=60,
    )
    detach(ec2, volume_id)
