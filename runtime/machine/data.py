"""The data volume: found, formatted only if blank, checked, grown and mounted; never guessed.

Kafka and mongo keep their data on an EBS volume that outlives the machine. Terraform attaches it
some seconds after the machine started, so it is waited for. What is neither blank nor ours is
refused by name, and nothing is written to it. The directory that a stack's container mounts is
made on the volume and nowhere else: without the volume the container can't start, so a stack
never writes to the root disk by mistake.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.contract import paths
from runtime.contract.data import DEVICE, LABEL, OWNERS
from runtime.contract.manifest import Manifest
from runtime.contract.roles import Role
from runtime.errors import BootError, CommandError
from runtime.machine import disks
from runtime.machine.disks import Disk
from runtime.machine.run import run

WAIT_S = 60.0  # of one try; the unit tries for ever
PROBE_S = 60
WORK_S = 7200  # a format or check that is cut short is worse than a slow one
OPTIONS = "noatime,nodev,nosuid,noexec,errors=remount-ro"
_NO_SIGNATURE = 2  # blkid's exit status
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Content:
    """What is on a device.

    Attributes:
        tags: what blkid finds: TYPE, LABEL, PTTYPE, …; {} where there is no signature.
        is_zero: whether the first and the last MiB hold nothing but zeros.
        size_bytes: of the device.
    """

    tags: Mapping[str, str]
    is_zero: bool
    size_bytes: int

    @property
    def spare_bytes(self) -> int:
        """Return by how much the device is larger than the file system on it."""
        block = int(self.tags.get("FSBLOCKSIZE", 0))
        spare = self.size_bytes - int(self.tags.get("FSLASTBLOCK", 0)) * block
        return spare if 0 < block <= spare else 0


def choose(found: Iterable[Disk], used: set[str]) -> Disk | None:
    """Return the one volume that nothing is mounted from, None while there is none.

    Args:
        found: the EBS volumes.
        used: major:minor of the disks that mounted file systems are on.

    Raises:
        BootError: there are several, and which is the data volume can't be told.
    """
    free = [disk for disk in found if disk.number not in used]
    if len(free) > 1:
        names = ", ".join(f"{disk.volume} ({disk.path})" for disk in free)
        message = f"{len(free)} volumes may be the data volume: {names}; none was touched"
        raise BootError(message, hint="detach all but the data volume")
    return free[0] if free else None


def must_format(disk: Disk, content: Content) -> bool:
    """Return whether a volume is blank; if not, it is ours.

    Raises:
        BootError: it is neither; says what is on it.
    """
    kind, label = content.tags.get("TYPE"), content.tags.get("LABEL")
    if (kind, label) == ("ext4", LABEL):
        return False
    if not content.tags and content.is_zero:
        return True
    if what := kind or content.tags.get("PTTYPE"):
        seen = f"{what} labelled {label!r}" if label else f"{what} without a label"
    else:  # as a format that was cut short leaves it, too
        seen = "no known signature, but not zeros either"
    message = f"{disk.volume} ({disk.path}) is neither blank nor ours: {seen}; it was not touched"
    wipe = f"sudo blkdiscard --zeroout {disk.path}"
    raise BootError(message, hint=f"detach it; or, if nothing on it is needed: {wipe}")


def mount(*, wait_s: float = WAIT_S) -> str:
    """Have the volume mounted and the stack's directory on it; return what it came to.

    Idempotent: a volume that is mounted already is only grown.

    Raises:
        BootError: no volume within `wait_s` seconds, several, one that is not ours, or damaged.
        CommandError: it could not be formatted or mounted.
    """
    role = read_role()
    if role not in OWNERS:
        return f"{role} keeps no data"
    if find_mounted() is None:
        _prepare(_await(wait_s))
    else:
        grow()
    folder = directory(role)
    folder.mkdir(mode=0o750, exist_ok=True)
    os.chown(folder, OWNERS[role], OWNERS[role])
    return describe()


def grow() -> None:
    """Let a mounted file system fill its volume, where the kernel lets us."""
    disk = find_mounted()
    if disk is None or not read_content(disk).spare_bytes:
        return
    try:
        run(["resize2fs", disk.path], timeout_s=WORK_S)
        _say(f"{disk.volume} has grown")
    except CommandError as error:
        _say(f"{disk.volume} can't grow while it is mounted, and will at the next boot: {error}")


def empty() -> None:
    """Delete what the stack stored; its directory stays.

    Raises:
        BootError: the volume is not mounted.
    """
    role = read_role()
    if role not in OWNERS:
        return
    _refuse_unmounted()
    for child in directory(role).iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def describe() -> str:
    """Return the mounted volume's id, its size and what is free.

    Raises:
        BootError: it is not mounted, and why, or it can't be written.
    """
    disk = _refuse_unmounted()
    space = os.statvfs(paths.DATA)
    if space.f_flag & os.ST_RDONLY:
        message = f"{disk.volume} can only be read: its file system has errors"
        raise BootError(message, hint="reboot the machine, which checks it; then see its journal")
    content = read_content(disk)
    size, free = content.size_bytes / _GIB, space.f_bavail * space.f_frsize / _GIB
    seen = f"{disk.volume}, {size:.1f} GiB, {free:.1f} GiB free"
    if content.spare_bytes:
        seen += f", {content.spare_bytes / _GIB:.1f} GiB more after a reboot"
    return seen


def directory(role: Role) -> Path:
    """Return where a role's stack keeps its data: not at the top, which is the file system's."""
    return Path(paths.DATA) / role


def find_mounted() -> Disk | None:
    """Return the volume that is mounted as the data volume, None where nothing is.

    Raises:
        BootError: what is mounted there is no EBS volume.
    """
    numbers = [number for number, point, _ in disks.read_mounts() if point == str(paths.DATA)]
    if not numbers:
        return None
    for disk in disks.find_ebs():
        if disk.number == numbers[-1]:
            return disk
    message = f"what is mounted at {paths.DATA} is no EBS volume"
    raise BootError(message, hint=f"sudo umount {paths.DATA}")


def read_role() -> Role:
    """Return the machine's role, or raise BootError when it has none."""
    try:
        return Manifest.parse(Path(paths.MANIFEST).read_text()).role
    except FileNotFoundError as error:
        message = f"there is no {paths.MANIFEST}: this is not one of Bullion's AMIs"
        raise BootError(message, hint="./invoke bake") from error


def read_content(disk: Disk) -> Content:
    """Return what is on a device, or raise BootError when that can't be told."""
    try:  # --probe: the device itself, not a cache that may remember another of its name
        argv = ["blkid", "--probe", "--output", "export", disk.path]
        said = run(argv, timeout_s=PROBE_S, ok=(0, _NO_SIGNATURE))
    except CommandError as error:  # 8: signatures that contradict each other
        message = f"{disk.volume} ({disk.path}) is refused, as its content is unclear: {error}"
        raise BootError(message, hint="detach it, and look at it on another machine") from error
    tags = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    tags.pop("DEVNAME", None)
    return Content(tags=tags, is_zero=disks.is_zero(disk.path), size_bytes=disks.measure(disk.path))


def _await(wait_s: float) -> Disk:
    """Return the data volume as soon as it is there."""
    until, is_told = time.monotonic() + wait_s, False
    while True:
        if disk := choose(disks.find_ebs(), disks.find_used()):
            return disk
        if time.monotonic() >= until:
            message = f"no data volume was attached within {wait_s:g} s; waiting on"
            raise BootError(message, hint=f"attach it as {DEVICE}, as terraform/ does")
        if not is_told:
            _say(f"waiting for a volume to be attached as {DEVICE}")
            is_told = True
        time.sleep(0.2)


def _prepare(disk: Disk) -> None:
    """Format or check a volume, and mount it."""
    content = read_content(disk)
    if must_format(disk, content):
        _say(f"{disk.volume} is blank: formatting {disk.path}")
        # Nothing is kept back for root, who stores nothing here.
        argv = ["mkfs.ext4", "-q", "-m", "0", "-L", LABEL, disk.path]
        run(argv, timeout_s=WORK_S)
    else:
        _check(disk, is_full=bool(content.spare_bytes))
        if content.spare_bytes:
            _say(f"{disk.volume} has grown: so does its file system")
            run(["resize2fs", disk.path], timeout_s=WORK_S)
    Path(paths.DATA).mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", "ext4", "-o", OPTIONS, disk.path, str(paths.DATA)]
    run(argv, timeout_s=WORK_S)


def _check(disk: Disk, *, is_full: bool) -> None:
    """Check a file system: replays its journal, mends what can be mended without asking."""
    try:
        force = ["-f"] if is_full else []  # resize2fs wants it
        run(["e2fsck", "-p", *force, disk.path], timeout_s=WORK_S, ok=(0, 1))
    except CommandError as error:
        message = f"the file system of {disk.volume} ({disk.path}) needs a person: {error}"
        raise BootError(message, hint=f"sudo e2fsck {disk.path}") from error


def _refuse_unmounted() -> Disk:
    """Return the mounted volume, or raise BootError saying why there is none."""
    if disk := find_mounted():
        return disk
    waiting = choose(disks.find_ebs(), disks.find_used())
    if waiting is None:
        message = "no volume is attached"
        raise BootError(message, hint=f"attach it as {DEVICE}: ./invoke deploy")
    must_format(waiting, read_content(waiting))
    message = f"{waiting.volume} is attached, but not mounted"
    raise BootError(message, hint="sudo systemctl status bullion-data")


def _say(text: str) -> None:
    print(f"bullion-data: {text}", file=sys.stderr, flush=True)
