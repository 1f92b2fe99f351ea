"""What both sources that measure have in common: readings, what is left out, and the pace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from producers.messages import Batch, GpuMetric, Message, SourceError, from_metric

LEAST_PAUSE_S = 1.0  # without --interval: a driver measures no faster
_FIELDS = ("utilization", "mem_used_mb", "power_w")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What one GPU told: each value, or the reason in words why there is none.

    Attributes:
        host, gpu_index: which GPU.
        utilization: percent.
        mem_used_mb: MiB.
        power_w: watts.
        ts: when it was measured, with its zone.
    """

    host: str
    gpu_index: int
    utilization: float | str
    mem_used_mb: float | str
    power_w: float | str
    ts: datetime


class LeftOut:
    """Counts readings that can't be sent and says each reason once, on stderr."""

    def __init__(self) -> None:
        self.count = 0
        self._said: set[str] = set()

    def add(self, reason: str) -> None:
        """Count one reading."""
        self.count += 1
        if reason not in self._said:
            self._said.add(reason)
            print(f"producers: left out: {reason}", file=sys.stderr)


def to_message(reading: Reading) -> Message | str:
    """Return a reading's message, or in words why it can't be sent; a GPU tells all or nothing."""
    for name in _FIELDS:
        if isinstance(why := getattr(reading, name), str):
            return f"{reading.host} GPU {reading.gpu_index}: {name}: {why}"
    value = {name: getattr(reading, name) for name in GpuMetric.__struct_fields__}
    try:
        return from_metric(msgspec.convert(value, GpuMetric))
    except msgspec.ValidationError as error:
        return f"{reading.host} GPU {reading.gpu_index}: {error}"


def sample(
    take: Callable[[], Iterable[Reading]],
    *,
    name: str,
    count: int,
    pace: Callable[[], None],
    left_out: LeftOut,
) -> Iterator[Batch]:
    """Yield a batch per sampling until there are `count` messages.

    Args:
        take: takes one reading of every GPU.
        name: the source, for messages.
        count: most messages.
        pace: waits from one sampling to the next.
        left_out: told of every reading that can't be sent.

    Raises:
        SourceError: a sampling came to no message at all, or could not be taken.
    """
    sent = 0
    while True:
        ready: list[Message] = []
        for reading in take():
            told = to_message(reading)
            if isinstance(told, str):
                left_out.add(told)
            else:
                ready.append(told)
        if not ready:
            message = f"{name} has no GPU that tells utilization, memory and power"
            raise SourceError(message)
        ready = ready[: count - sent]
        sent += len(ready)
        yield Batch(messages=ready)
        if sent >= count:
            return
        pace()
