"""Snapshots, sizes and copies: what is on a volume stays what it is."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from runtime.lab.machines.blocks import Blocks
from tests.machines.volumes.kit import (
    SOON,
    Create,
    Inside,
    Launch,
    attach,
    mount_new,
    path_of,
    snapshot,
)

WRITER = """
number=0
while [ ! -e /run/enough ]; do
  number=$((number + 1))
  for megabyte in 0 299; do
    printf %08d $number | dd of=/mnt/data bs=1M seek=$megabyte conv=notrunc,fsync status=none
  done
done
"""
READER = "for megabyte in 0 299; do dd if=/mnt/data bs=8 skip=${megabyte}M iflag=skip_bytes count=1"
READER += " status=none; echo; done"


def test_a_snapshot_of_a_volume_in_use_holds_what_was_written_until_then(
    ec2: Any,
    machine: str,
    create: Create,
    inside: Inside,
    blocks: Blocks,
) -> None:
    volume_id = create()
    attach(ec2, volume_id, machine)
    inside(
        machine,
        f"mkfs.ext4 -q {path_of(volume_id)}; mount {path_of(volume_id)} /mnt; echo 1 > /mnt/before",
    )
    with snapshot(ec2, volume_id) as snapshot_id:
        inside(machine, "echo 2 > /mnt/after; umount /mnt")  # writes go on

        restored = create(2, SnapshotId=snapshot_id)
        attach(ec2, restored, machine, "/dev/sdg")
        script = f"mount {path_of(restored)} /mnt; ls /mnt; umount /mnt"
        assert inside(machine, script).split() == ["before", "lost+found"]
        assert inside(machine, f"blockdev --getsize64 {path_of(restored)}") == str(2 << 30)

        ec2.modify_volume(VolumeId=volume_id, Size=3)
        (found,) = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        assert found["VolumeSize"] == 1
    assert not blocks.has(snapshot_id)
    with pytest.raises(ClientError, match=r"InvalidSnapshot\.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[snapshot_id])


def test_a_snapshot_is_of_one_moment_while_the_machine_goes_on_writing(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    def numbers() -> list[int]:
        return [int(number) for number in inside(machine, READER).split()]

    volume_id = create()
    path = path_of(volume_id)
    attach(ec2, volume_id, machine)
    inside(machine, f"mkfs.ext4 -q {path}; mount {path} /mnt; rm -f /run/enough")
    # What is written last lies far behind what is written first: a copy gets there later.
    inside(machine, "dd if=/dev/urandom of=/mnt/data bs=1M count=300 conv=fsync status=none")
    inside(machine, f"setsid sh -c '{WRITER}' >/dev/null 2>&1 &")
    wait.until(
        lambda: inside(machine, READER).replace("\n", "").isdigit(),
        what="the writer",
        timeout_s=30,
    )
    with snapshot(ec2, volume_id) as snapshot_id:
        then = numbers()[0]
        wait.until(lambda: numbers()[1] > then, what="the writer to go on", timeout_s=30)
        inside(machine, "touch /run/enough; until umount /mnt 2>/dev/null; do sleep 0.1; done")
        restored = create(None, SnapshotId=snapshot_id)
        attach(ec2, restored, machine, "/dev/sdg")
        inside(machine, f"mount {path_of(restored)} /mnt")
        first, second = numbers()
        inside(machine, "umount /mnt")
        assert first - second in {0, 1}


def test_a_snapshot_that_would_not_be_of_one_moment_is_refused_and_leaves_none(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)
    inside(machine, "mount --bind /bin/false $(readlink -f $(command -v fsfreeze))")
    try:
        with pytest.raises(ClientError, match=rf"IncorrectState.*{volume_id}.*/mnt.*Unmount"):
            ec2.create_snapshot(VolumeId=volume_id)
        of_volume = [{"Name": "volume-id", "Values": [volume_id]}]
        assert not ec2.describe_snapshots(Filters=of_volume)["Snapshots"]
    finally:
        inside(machine, "umount $(readlink -f $(command -v fsfreeze)); umount /mnt")


def test_what_its_user_holds_is_copied_and_stays_held(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)
    inside(machine, "fsfreeze --freeze /mnt")
    try:
        with snapshot(ec2, volume_id):
            pass
    finally:
        inside(machine, "fsfreeze --unfreeze /mnt; umount /mnt")  # the first fails unless held


def test_a_volume_grows_under_a_mounted_file_system(
    ec2: Any, machine: str, create: Create, inside: Inside
) -> None:
    volume_id = mount_new(ec2, machine, create, inside)

    ec2.modify_volume(VolumeId=volume_id, Size=2)

    assert inside(machine, f"blockdev --getsize64 {path_of(volume_id)}") == str(2 << 30)
    # Growing a file system that is mounted takes CAP_SYS_RESOURCE, which this computer may lack.
    inside(machine, f"umount /mnt; e2fsck -fy {path_of(volume_id)}; resize2fs {path_of(volume_id)}")
    size_kb = inside(machine, f"mount {path_of(volume_id)} /mnt; df --output=size /mnt | tail -1")
    assert int(size_kb) > 3 << 19  # more than 1.5 GiB
    inside(machine, "umount /mnt")
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        ec2.modify_volume(VolumeId=volume_id, Size=1)


def test_finished_layers_of_an_ami_take_no_room_in_its_machines(
    ec2: Any, machine: str, launch: Launch, inside: Inside
) -> None:
    """Links, where the copier's one mount holds both; a copy by content is its silent way out."""
    layer, other = "/var/lib/docker/overlay2/done", "/var/lib/docker/other"
    files = f"{layer}/committed {layer}/diff/file {other}"  # Docker marks what is finished
    inside(machine, f"mkdir -p {layer}/diff; touch {files}")
    made = ec2.create_image(InstanceId=machine, Name="layered", NoReboot=True)["ImageId"]
    try:
        ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig=SOON)
        links = inside(launch(ImageId=made), f"stat --format=%h {layer}/diff/file {other}").split()
    finally:
        ec2.deregister_image(ImageId=made, DeleteAssociatedSnapshots=True)
        inside(machine, f"rm -r {layer} {other}")
    assert int(links[0]) > 1
    assert links[1] == "1"
