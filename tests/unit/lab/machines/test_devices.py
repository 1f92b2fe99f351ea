"""How an attached volume looks, and how the kernel speaks of its file."""

from __future__ import annotations

import pytest

from runtime.lab.machines import devices
from runtime.lab.machines.devices import Device


def test_a_device_has_the_names_that_nitro_and_udev_give_it() -> None:
    one = Device(volume_id="vol-0abc", number=2, loop=17)
    assert one.name == "nvme2n1"
    assert one.links == (
        "nvme-Amazon_Elastic_Block_Store_vol0abc",
        "nvme-Amazon_Elastic_Block_Store_vol0abc_1",
    )


def test_the_table_has_a_line_per_device_in_the_order_of_names() -> None:
    second = Device(volume_id="vol-0b", number=2, loop=3)
    first = Device(volume_id="vol-0a", number=1, loop=4)
    lines = devices.table([second, first]).splitlines()
    assert [line.split()[:2] for line in lines] == [["nvme1n1", "4"], ["nvme2n1", "3"]]
    assert devices.table([]) == ""


@pytest.mark.parametrize(
    ("taken", "number"), [([], 1), ([1], 2), ([2], 1), ([1, 3], 2), ([3, 2, 1], 4)]
)
def test_a_new_device_takes_the_first_free_number(taken: list[int], number: int) -> None:
    assert devices.next_number(taken) == number


@pytest.mark.parametrize(
    ("backing_file", "volume_id"),
    [
        ("/bullion-lab-e1fe0f-vol-0abc.img\n", "vol-0abc"),
        ("/volumes/bullion-lab-e1fe0f-vol-0abc.img", "vol-0abc"),
        ("/bullion-lab-e1fe0f-vol-0abc.img (deleted)\n", "vol-0abc"),
        ("/bullion-lab-e1fe0f-snap-0abc.img", ""),
        ("/bullion-lab-ffffff-vol-0abc.img", ""),
        ("/other-bullion-lab-e1fe0f-vol-0abc.img", ""),
        ("/home/somebody/disk.img", ""),
        ("", ""),
    ],
)
def test_only_the_labs_own_volumes_are_recognised_behind_loop_devices(
    backing_file: str, volume_id: str
) -> None:
    assert devices.volume_of(backing_file, "lab-e1fe0f") == volume_id


def test_a_file_is_recognised_by_the_name_it_was_given() -> None:
    name = devices.file_name("lab-e1fe0f", "vol-0abc")
    assert devices.volume_of(f"/somewhere/{name}", "lab-e1fe0f") == "vol-0abc"


def test_mount_points_are_those_of_the_device_in_their_order_with_spaces() -> None:
    mountinfo = """\
20 1 0:50 / / rw - overlay overlay rw
21 20 7:1 / /srv/my\\040data rw - ext4 /dev/nvme1n1 rw
22 20 7:11 / /other rw - ext4 /dev/nvme2n1 rw
23 21 7:1 /sub /again rw - ext4 /dev/nvme1n1 rw
"""
    assert devices.mount_points(mountinfo, 1) == ["/srv/my data", "/again"]
    assert devices.mount_points(mountinfo, 2) == []
