"""One at a time: a lock that its holder's death releases."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import BusyError


@contextlib.contextmanager
def hold(path: Path, *, what: str) -> Iterator[int]:
    """Hold the lock file at `path` while the body runs, which gets its descriptor.

    A program that inherits the descriptor holds the lock, too, until it ends.

    Raises:
        BusyError: another process holds it; names what it does and its number.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            message = f"another run is at work here: {file.read().strip() or 'unknown'}"
            raise BusyError(message, hint="wait until it ends, or interrupt it") from None
        file.truncate(0)
        file.write(f"{what}, process {os.getpid()}\n")
        file.flush()
        yield file.fileno()
        file.truncate(0)


@contextlib.contextmanager
def mark(folder: Path, run: str, *, what: str) -> Iterator[int]:
    """Hold a file named as a run while the body runs, and remove it afterwards.

    So a file in `folder` that nobody holds is of a run that was killed.
    """
    path = folder / run
    with hold(path, what=what) as descriptor:
        try:
            yield descriptor
        finally:
            path.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock file at `path`."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def find_killed(folder: Path) -> list[str]:
    """Return the runs whose file is in `folder` and held by nobody."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in files if not is_held(path))


def find_at_work(folder: Path) -> list[str]:
    """Return the runs whose file in `folder` a process holds."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in files if is_held(path))
