"""One at a time: a lock that its holder's death releases."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from runtime.errors import BusyError


@contextlib.contextmanager
def hold(path: Path, *, what: str) -> Iterator[None]:
    """Hold the lock file at `path` while the body runs.

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
        yield
        file.truncate(0)
