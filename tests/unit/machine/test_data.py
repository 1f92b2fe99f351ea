"""Which volume is the data volume, and whether it may be formatted: decided before it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.contract.data import LABEL
from runtime.errors import BootError
from runtime.machine import disks
from runtime.machine.data import Content, choose, must_format
from runtime.machine.disks import Disk

MIB = 1 << 20
OURS = {"TYPE": "ext4", "LABEL": LABEL, "FSBLOCKSIZE": "4096", "FSLASTBLOCK": str(64 * MIB // 4096)}


def disk(number: int) -> Disk:
    return Disk(volume=f"vol-0000000{number}", path=f"/dev/nvme{number}n1", number=f"259:{number}")


def content(*, is_zero: bool = False, size_bytes: int = 64 * MIB, **tags: str) -> Content:
    return Content(tags=tags, is_zero=is_zero, size_bytes=size_bytes)


@pytest.mark.parametrize(
    ("link", "volume"),
    [
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0", "vol-0123456789abcdef0"),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0_1", "vol-0123456789abcdef0"),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0-ns-1", "vol-0123456789abcdef0"),
        ("nvme-Amazon_Elastic_Block_Store_vol01234567", "vol-01234567"),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0-part1", ""),
        ("nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0_1-part1", ""),
        ("nvme-Amazon_EC2_NVMe_Instance_Storage_AWS0123456789abcdef0", ""),
        ("nvme-nvme.1d0f-766f6c30", ""),
    ],
)
def test_a_volume_is_a_whole_disk_of_the_block_store(link: str, volume: str) -> None:
    assert disks.volume_of(link) == volume


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    text = (
        "22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,discard\n"
        "23 22 0:5 / /proc rw - proc proc rw\n"
        "24 22 0:40 /@ /srv rw master:1 shared:7 - btrfs /dev/nvme2n1 rw\n"
    )
    assert disks.parse_mounts(text) == [
        ("259:1", "/", "/dev/nvme0n1p1"),
        ("0:5", "/proc", "proc"),
        ("0:40", "/srv", "/dev/nvme2n1"),
    ]


def test_a_partition_and_a_mapped_device_use_their_whole_disks(tmp_path: Path) -> None:
    for name, number in (("nvme0n1", "259:0"), ("nvme0n1/nvme0n1p1", "259:1"), ("dm-0", "253:0")):
        device = tmp_path / "devices" / name
        device.mkdir(parents=True)
        (device / "dev").write_text(f"{number}\n")
        (tmp_path / number).symlink_to(device)
    (tmp_path / "devices/nvme0n1/nvme0n1p1/partition").write_text("1\n")
    (tmp_path / "devices/dm-0/slaves").mkdir()
    (tmp_path / "devices/dm-0/slaves/nvme0n1p1").symlink_to(tmp_path / "devices/nvme0n1/nvme0n1p1")
    assert disks.whole_disks(["253:0"], sys=tmp_path) == {"259:0"}
    assert disks.whole_disks(["0:5"], sys=tmp_path) == {"0:5"}  # not a disk at all


def test_the_one_volume_that_carries_nothing_is_chosen() -> None:
    assert choose([disk(0), disk(1)], {"259:0"}) == disk(1)
    assert choose([disk(0)], {"259:0"}) is None
    assert choose([], set()) is None


def test_of_two_none_is_chosen_and_both_are_named() -> None:
    with pytest.raises(BootError, match=r"vol-00000001 \(/dev/nvme1n1\), vol-00000002"):
        choose([disk(0), disk(1), disk(2)], {"259:0"})


def test_only_a_blank_volume_is_formatted() -> None:
    assert must_format(disk(1), content(is_zero=True))
    assert not must_format(disk(1), content(**OURS))


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (content(TYPE="ext4"), "ext4 without a label"),
        (content(TYPE="ext4", LABEL="data"), "ext4 labelled 'data'"),
        (content(TYPE="xfs", LABEL=LABEL), "xfs labelled 'bullion-data'"),
        (content(PTTYPE="gpt"), "gpt without a label"),
        (content(TYPE="swap", is_zero=True), "swap without a label"),
        (content(), "no known signature, but not zeros either"),
        (content(USAGE="other", is_zero=True), "no known signature"),
    ],
)
def test_what_is_neither_blank_nor_ours_is_refused_by_volume_and_content(
    seen: Content, what: str
) -> None:
    with pytest.raises(BootError, match=rf"vol-00000001 \(/dev/nvme1n1\).*{what}") as refusal:
        must_format(disk(1), seen)
    assert "blkdiscard --zeroout /dev/nvme1n1" in refusal.value.hint


@pytest.mark.parametrize(
    ("size_bytes", "spare"),
    [(64 * MIB, 0), (64 * MIB + 4095, 0), (64 * MIB + 4096, 4096), (128 * MIB, 64 * MIB)],
)
def test_a_file_system_grows_by_whole_blocks(size_bytes: int, spare: int) -> None:
    assert content(size_bytes=size_bytes, **OURS).spare_bytes == spare


def test_a_file_system_of_unknown_size_does_not_grow() -> None:
    assert content(TYPE="ext4", LABEL=LABEL).spare_bytes == 0
