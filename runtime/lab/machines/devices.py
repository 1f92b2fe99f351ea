"""How an attached volume looks on a machine, and how the kernel speaks of its file; pure.

A volume is a file below the lab's folder, bound to a loop device of this computer. The machine
gets a node with that device's number under the name that Nitro gives it, and by-id links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

LOOP_MAJOR = 7
GONE = " (deleted)"  # what the kernel says behind the name of a file that is no more
_MODEL = "nvme-Amazon_Elastic_Block_Store"


@dataclass(frozen=True, kw_only=True)
class Device:
    """A volume plugged into a machine.

    Attributes:
        volume_id: vol-….
        number: of its NVMe controller on the machine, from 1; 0 is the root's.
        loop: number of the loop device on this computer.
    """

    volume_id: str
    number: int
    loop: int

    @property
    def name(self) -> str:
        """Return its name under /dev: whatever the request called it, as on Nitro."""
        return f"nvme{self.number}n1"

    @property
    def links(self) -> tuple[str, str]:
        """Return its names under /dev/disk/by-id, as udev's 60-persistent-storage.rules has them.

        The serial number is the id without its dash; the second name ends in the namespace.
        """
        serial = self.volume_id.replace("-", "")
        return f"{_MODEL}_{serial}", f"{_MODEL}_{serial}_1"


def table(devices: Iterable[Device]) -> str:
    """Return what /lab/plug reads: a line of name, loop number and links per device."""
    lines = (f"{one.name} {one.loop} {' '.join(one.links)}\n" for one in devices)
    return "".join(sorted(lines))


def next_number(taken: Iterable[int]) -> int:
    """Return the first free NVMe controller of a machine; the root's is 0."""
    used = set(taken)
    return next(number for number in range(1, len(used) + 2) if number not in used)


def file_name(lab: str, thing_id: str) -> str:
    """Return the name of a volume's or snapshot's file.

    It carries the lab's name because the last part of the path is all that the kernel tells of a
    loop device's file once the container that bound it is gone.
    """
    return f"bullion-{lab}-{thing_id}.img"


def volume_of(backing_file: str, lab: str) -> str:
    """Return which of the lab's volumes a loop device holds, "" if none; see `owner_of`."""
    owner, volume_id = owner_of(backing_file)
    return volume_id if owner == lab else ""


def owner_of(backing_file: str) -> tuple[str, str]:
    """Return the lab and the id of the volume that a loop device holds, both "" if it is none.

    `backing_file` is what /sys/block/loopN/loop/backing_file says.
    """
    name = backing_file.strip().removesuffix(GONE).rpartition("/")[2]
    match = re.fullmatch(r"bullion-(.+)-(vol-[0-9a-f]+)\.img", name)
    return (match[1], match[2]) if match else ("", "")


def mount_points(mountinfo: str, loop: int) -> list[str]:
    """Return where a machine has mounted a loop device, as its /proc/1/mountinfo says."""
    rows = (line.split() for line in mountinfo.splitlines())
    return [_unescape(row[4]) for row in rows if len(row) > 4 and row[2] == f"{LOOP_MAJOR}:{loop}"]


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
