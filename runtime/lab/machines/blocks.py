"""The files behind volumes and snapshots, and the loop devices that volumes are bound to.

Files belong to whoever runs the lab. Binding one to a loop device needs the kernel's consent, which
a user in the docker group has only by way of Docker: a short-lived container of an AMI of this lab
does it, with SYS_ADMIN and nodes of its own, so that nothing here needs root on this computer.
What is bound is read from /sys, where anybody may.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError, ContainerError

from runtime import proc
from runtime.errors import LabError, SpaceError
from runtime.lab.machines import devices, labels
from runtime.lab.machines.devices import GONE
from runtime.lab.machines.labels import AMI, KIND, LABEL

FOLDER = "volumes"  # below the lab's own
COPY_S = 3600
_GIB = 1 << 30
_SYS = Path("/sys/block")
_LOOP_CONTROL = "c 10:237 rwm"
_BIND = """\
[ -c /dev/loop-control ] || mknod /dev/loop-control c 10 237
for attempt in 1 2 3 4 5 6 7 8 9 10; do  # somebody else may be faster
  free=$(losetup --find)
  number=${free#/dev/loop}
  number=${number%% *}
  [ -b "/dev/loop$number" ] || mknod "/dev/loop$number" b 7 "$number"
  if losetup "/dev/loop$number" "/volumes/$1"; then
    echo "$number"
    exit
  fi
done
exit 1
"""
_ON_ONE = """\
[ -b "/dev/loop$2" ] || mknod "/dev/loop$2" b 7 "$2"
grep -q "/$1\\( (deleted)\\)\\?$" "/sys/block/loop$2/loop/backing_file" || exit 0
"""
_RELEASE = _ON_ONE + 'losetup --detach "/dev/loop$2"\n'
_GROW = _ON_ONE + 'losetup --set-capacity "/dev/loop$2"\n'


def orphans() -> list[tuple[str, str, int]]:
    """Return (lab, volume id, number) of loop devices whose file was deleted below them.

    Its room on the disk is taken as long as the device holds it.
    """
    gone = ((devices.owner_of(file), loop) for loop, file in _backing_files() if GONE in file)
    return [(lab, volume_id, loop) for (lab, volume_id), loop in gone if lab]


def _backing_files() -> Iterator[tuple[int, str]]:
    for entry in _SYS.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # released in this moment
            yield int(entry.parent.parent.name.removeprefix("loop")), entry.read_text()


class Blocks:
    """The volumes and snapshots of one lab, as files and loop devices."""

    def __init__(self, client: Any, lab: str, folder: Path) -> None:
        """Keep the files of the lab called `lab` in `folder`."""
        self._docker = client
        self._lab = lab
        self.folder = folder

    # -- files ----------------------------------------------------------------------------

    def has(self, thing_id: str) -> bool:
        """Return whether a volume or snapshot is a file here; those of root disks are not."""
        return self._path(thing_id).exists()

    def files(self) -> list[Path]:
        """Return the files of all volumes and snapshots."""
        return sorted(self.folder.glob(devices.file_name(self._lab, "*")))

    def create(self, volume_id: str, size_gb: int) -> None:
        """Make a blank volume, which takes room as it is written to.

        Raises:
            SpaceError: this computer's file system does not hold files of that size.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._path(volume_id).open("xb") as file:
                file.truncate(size_gb * _GIB)
        except OSError as error:
            self.delete(volume_id)
            if error.errno not in {errno.EFBIG, errno.ENOSPC, errno.EDQUOT}:
                raise
            message = f"a volume of {size_gb} GiB has no room in {self.folder}: {error.strerror}"
            raise SpaceError(message, hint="ask for a smaller one; df -h") from error

    def copy(self, source_id: str, target_id: str, *, size_gb: int) -> None:
        """Copy a volume or snapshot into another of `size_gb`, at least the source's.

        What was never written is not copied. The rest is, byte by byte, unless the file system
        shares blocks (reflink: XFS, btrfs): the time grows with use, not with size.

        Raises:
            SpaceError: it would not fit; nothing was copied.
        """
        source, target = self._path(source_id), self._path(target_id)
        used, free = source.stat().st_blocks * 512, shutil.disk_usage(self.folder).free
        if used >= free:
            message = (
                f"a copy of {source_id} takes {used / _GIB:.1f} GiB; {free / _GIB:.1f} are free"
            )
            raise SpaceError(message, hint="delete snapshots or volumes; docker system df")
        partial = target.with_suffix(".partial")
        try:
            proc.run(["cp", "--sparse=always", "--reflink=auto", source, partial], timeout_s=COPY_S)
            with partial.open("r+b") as file:
                file.truncate(size_gb * _GIB)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def grow(self, volume_id: str, size_gb: int) -> None:
        """Make a volume larger, on its machine too if it is attached."""
        with self._path(volume_id).open("r+b") as file:
            there = os.fstat(file.fileno()).st_size  # nothing is cut off, whoever was first
            file.truncate(max(size_gb * _GIB, there))
        loop = self.loops().get(volume_id)
        if loop is not None:
            self._help(_GROW, devices.file_name(self._lab, volume_id), str(loop))

    def delete(self, thing_id: str) -> None:
        """Remove a volume's or snapshot's file; one that is not there is no error."""
        self._path(thing_id).unlink(missing_ok=True)

    # -- loop devices ---------------------------------------------------------------------

    def loops(self) -> dict[str, int]:
        """Return {volume id: number of its loop device} of what is bound now."""
        found = ((devices.volume_of(file, self._lab), loop) for loop, file in _backing_files())
        return {volume_id: loop for volume_id, loop in found if volume_id}

    def is_leaving(self, volume_id: str) -> bool:
        """Return whether a volume's loop device goes as soon as nobody holds it."""
        loop = self.loops().get(volume_id)
        if loop is None:
            return False
        flag = _SYS / f"loop{loop}" / "loop" / "autoclear"
        return flag.exists() and flag.read_text().strip() == "1"

    def bind(self, volume_id: str) -> int:
        """Return the number of the volume's loop device, bound now if it was not.

        Raises:
            LabError: its file is gone, or this computer's kernel has no loop devices to give.
        """
        bound = self.loops().get(volume_id)
        if bound is not None:
            return bound
        if not self.has(volume_id):
            message = f"the file of volume {volume_id} is gone: {self._path(volume_id)}"
            raise LabError(message, hint="its data is lost; delete the volume")
        folder = {str(self.folder): {"bind": "/volumes", "mode": "rw"}}
        return int(self._help(_BIND, devices.file_name(self._lab, volume_id), volumes=folder))

    def release(self, volume_id: str) -> None:
        """Let a volume's loop device go: at once, or when the last who holds it lets go."""
        loop = self.loops().get(volume_id)
        if loop is not None:
            self._help(_RELEASE, devices.file_name(self._lab, volume_id), str(loop))

    def _path(self, thing_id: str) -> Path:
        return self.folder / devices.file_name(self._lab, thing_id)

    def _help(self, script: str, *arguments: str, volumes: Mapping[str, Any] | None = None) -> str:
        """Run a script over loop devices in a container that may, and return what it said."""
        own, any_lab = f"{LABEL}={self._lab}", LABEL
        images = labels.images(self._docker, own, AMI) or labels.images(self._docker, any_lab, AMI)
        if not images:
            message = "loop devices are set up by way of a lab's AMI, and there is none"
            raise LabError(message, hint="./invoke lab.up makes one; or sudo losetup --detach …")
        try:
            said = self._docker.containers.run(
                images[0]["Id"],
                entrypoint=["/bin/sh", "-euc", script, "blocks"],
                command=list(arguments),
                network_mode="none",
                remove=True,
                cap_add=["SYS_ADMIN", "MKNOD"],
                security_opt=["apparmor=unconfined"],
                device_cgroup_rules=[f"b {devices.LOOP_MAJOR}:* rwm", _LOOP_CONTROL],
                volumes=volumes or {},
                labels={LABEL: self._lab, KIND: "copy"},
            )
        except ContainerError as error:
            seen = (error.stderr or b"").decode(errors="replace").strip()
            message = f"this computer's kernel gave no loop device: {seen}"
            raise LabError(message, hint="sudo modprobe loop; losetup --list") from error
        except APIError as error:
            message = f"Docker could not set up a loop device: {error.explanation}"
            raise LabError(message, hint="docker info") from error
        return bytes(said).decode().strip()
