"""One at a time: a lock that its holder's death releases."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from runtime import console, wait
from runtime.errors import BusyError

TURN_S = 7200  # how long one run waits for another


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
def take_turn(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock file at `path` while the body runs, after whoever holds it has ended.

    Raises:
        WaitError: that takes too long; names who it is.
    """
    seen: list[BusyError] = []
    with contextlib.ExitStack() as held:

        def is_ours() -> bool:
            try:
                held.enter_context(hold(path, what=what))
            except BusyError as busy:
                seen.append(busy)
                return False
            return True

        if not is_ours():
            with console.step(f"Waiting, as {seen[0].message}"):
                wait.until(
                    is_ours,
                    what="the other run to end",
                    timeout_s=TURN_S,
                    every_s=0.5,
                    last=lambda: seen[-1].message,
                    hint=seen[-1].hint,
                )
        yield


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
