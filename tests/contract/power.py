"""A file system that loses its power: what was never synced to its disk is gone, as are its writers.

A killed process, and a killed container, leave what they wrote to the kernel, which writes it out
some seconds later. So no kill shows what a loss of power would: that is what this is for.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime import proc, wait

# FS_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH: nothing of what is in memory is written any
# more, the journal neither (https://docs.kernel.org/filesystems/ext4, "goingdown" in xfstests).
CUT = """
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
"""


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A file system of its own, on a file."""

    file: Path
    folder: Path

    def mount(self) -> None:
        """Mount it; what its journal has is replayed."""
        proc.run(["mount", "-o", "loop", self.file, self.folder], timeout_s=30)

    def lose_power(self) -> None:
        """Let nothing get to the disk from this moment on."""
        proc.run(["python3", "-c", CUT, self.folder], timeout_s=30)

    def unmount(self) -> None:
        """Forget what is in memory only; return when nobody has the file system any more.

        A container that was killed may have it for some time yet, and who mounts it before that
        gets what was cut, not what is on the disk.
        """
        proc.run(["umount", self.folder], timeout_s=30)
        held = ["losetup", "--associated", self.file]
        wait.until(
            lambda: not proc.run(held, timeout_s=10).stdout,
            what=f"{self.file} to be let go",
            timeout_s=60,
        )


@contextlib.contextmanager
def disk(where: Path, *, owner: int, size_mb: int = 768) -> Iterator[Disk]:
    """Yield a mounted file system whose data folder is the user's with the number `owner`."""
    name = uuid.uuid4().hex[:8]
    made = Disk(file=where / f"{name}.img", folder=where / name)
    made.folder.mkdir()
    proc.run(["truncate", f"--size={size_mb}M", made.file], timeout_s=10)
    proc.run(["mkfs.ext4", "-q", made.file], timeout_s=60)
    made.mount()
    try:
        data = made.folder / "data"
        data.mkdir()
        proc.run(["chown", f"{owner}:{owner}", data], timeout_s=10)
        proc.run(["sync", "--file-system", made.folder], timeout_s=60)
        yield made
    finally:
        with contextlib.suppress(Exception):  # it may be unmounted
            made.unmount()
        made.file.unlink()
