"""Block devices as this machine's kernel shows them; only reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_BY_ID = Path("/dev/disk/by-id")
_SYS = Path("/sys/dev/block")
# The whole disk: without -part1, and with or without the namespace that newer rules append.
_EBS = re.compile(r"nvme-Amazon_Elastic_Block_Store_vol([0-9a-f]{8,17})(?:_1|-ns-1)?")
_EDGE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Disk:
    """An EBS volume that is attached to this machine.

    Attributes:
        volume: its id, vol-…
        path: the kernel's name for it, such as /dev/nvme1n1.
        number: major:minor, which tells devices apart whatever they are called.
    """

    volume: str
    path: str
    number: str


def volume_of(link: str) -> str:
    """Return the volume id in a by-id name, "" where it names no whole EBS disk."""
    found = _EBS.fullmatch(link)
    return f"vol-{found[1]}" if found else ""


def find_ebs() -> list[Disk]:
    """Return the EBS volumes that are attached, each once, in the order of their ids."""
    found: dict[str, Disk] = {}
    for link in sorted(_BY_ID.glob("*")):
        volume, path = volume_of(link.name), link.resolve()
        if volume and path.is_block_device():
            number = _number(path)
            found[number] = Disk(volume=volume, path=str(path), number=number)
    return list(found.values())


def parse_mounts(mountinfo: str) -> list[tuple[str, str, str]]:
    """Return (major:minor, mount point, source) of each line of /proc/self/mountinfo."""
    rows = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        rows.append((left.split()[2], left.split()[4], right.split()[1]))
    return rows


def read_mounts() -> list[tuple[str, str, str]]:
    """Return (major:minor, mount point, source) of everything mounted."""
    return parse_mounts(Path("/proc/self/mountinfo").read_text())


def find_used() -> set[str]:
    """Return the major:minor of every disk that a mounted file system is on."""
    numbers = set()
    for number, _, source in read_mounts():
        numbers.add(number)
        # Some file systems have a number of their own, but name their device.
        if source.startswith("/dev/") and Path(source).is_block_device():
            numbers.add(_number(Path(source)))
    return whole_disks(numbers)


def whole_disks(numbers: Iterable[str], *, sys: Path = _SYS) -> set[str]:
    """Return the disks below devices: of a partition its disk, of a mapped device its parts'."""
    found = set()
    for number in numbers:
        device = (sys / number).resolve()
        if (device / "partition").exists():
            found |= whole_disks([(device.parent / "dev").read_text().strip()], sys=sys)
        elif parts := list((device / "slaves").glob("*")):
            found |= whole_disks([(part / "dev").read_text().strip() for part in parts], sys=sys)
        else:
            found.add(number)
    return found


def measure(path: str) -> int:
    """Return a device's size in bytes."""
    with Path(path).open("rb") as device:
        return device.seek(0, os.SEEK_END)


def is_zero(path: str) -> bool:
    """Return whether the first and the last MiB of a device hold nothing but zeros."""
    with Path(path).open("rb") as device:
        first = device.read(_EDGE)
        device.seek(max(0, measure(path) - _EDGE))
        return not any(first) and not any(device.read(_EDGE))


def _number(path: Path) -> str:
    device = path.stat().st_rdev
    return f"{os.major(device)}:{os.minor(device)}"
