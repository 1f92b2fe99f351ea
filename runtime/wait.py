"""The only place that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from runtime.errors import WaitError

T = TypeVar("T")


def until(
    probe: Callable[[], T | None],
    *,
    what: str,
    timeout_s: float,
    every_s: float = 0.2,
    last: Callable[[], str] = lambda: "nothing",
    hint: str = "",
) -> T:
    """Call `probe` until it returns something true, and return that.

    Args:
        probe: returns a true value when done, anything false while not.
        what: what is being waited for, as it should stand in the error.
        timeout_s: seconds to give it; the first probe is always made.
        every_s: seconds between two probes.
        last: describes the last state seen, for the error.
        hint: what to type when it does not come.

    Raises:
        WaitError: it did not come true in `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if found := probe():
            return found
        if time.monotonic() >= deadline:
            raise WaitError(what, timeout_s=timeout_s, last=last(), hint=hint)
        time.sleep(every_s)


def pause(seconds: float) -> None:
    """Sleep for `seconds`, for callers that pace themselves."""
    time.sleep(seconds)
