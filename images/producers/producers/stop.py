"""Waiting, and what cuts it short: SIGTERM, SIGINT, and a message that failed meanwhile."""

from __future__ import annotations

import contextlib
import math
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import BinaryIO

_LOOK_S = 0.2


class StoppedError(Exception):
    """The run was told to end while it waited, or it makes no sense to go on."""


class Stop:
    """What the signals say, and the waiting that heeds them.

    A handler may raise anywhere, also while a message is counted. So it raises only inside
    `waiting`; all else looks at `signal` between messages.

    Attributes:
        signal: the number of the signal that came; 0 while none has.
        meanwhile: done a few times a second of waiting; False from it ends that.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.meanwhile: Callable[[], bool] = lambda: True
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
        self._wait((), seconds)

    def await_input(self, file: BinaryIO) -> None:
        """Wait until a file has something to read, or its end, or raise StoppedError."""
        self._wait((file,), math.inf)

    def _wait(self, files: Sequence[BinaryIO], seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            with self.waiting():
                ready, _, _ = select.select(files, (), (), min(left, _LOOK_S))
            if ready:
                return
            if not self.meanwhile():
                raise StoppedError

    def _told(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        if self._is_waiting:
            raise StoppedError
