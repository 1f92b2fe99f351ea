"""Being told to end: SIGTERM and SIGINT cut waiting short, and nothing else."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType


class StoppedError(Exception):
    """The run was told to end while it waited."""


class Stop:
    """What the signals say.

    A handler may raise anywhere, also while a message is counted. So it raises only inside
    `waiting`; all else looks at `signal` between messages.

    Attributes:
        signal: the number of the signal that came; 0 while none has.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._is_waiting = False

    def install(self) -> None:
        """Take the signals; a container's first process gets none that it does not take."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Have a body that waits end by StoppedError once a signal comes, or has come before."""
        self._is_waiting = True
        try:
            if self.signal:
                raise StoppedError
            yield
        finally:
            self._is_waiting = False

    def pause(self, seconds: float) -> None:
        """Wait, or raise StoppedError."""
        if seconds > 0:
            with self.waiting():
                time.sleep(seconds)

    def _told(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        if self._is_waiting:
            raise StoppedError
