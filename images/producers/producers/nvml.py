"""This machine's GPUs, through NVIDIA's own binding of its driver's management library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pynvml

from producers.messages import SourceError
from producers.sampling import Reading

_MIB = 2**20


@contextlib.contextmanager
def opened() -> Iterator[int]:
    """Yield how many GPUs there are, with the library ready.

    Raises:
        SourceError: there is no driver, or it has no GPU.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        message = f"nvml: there is no NVIDIA driver here: {error}"
        raise SourceError(message) from error
    try:
        number = pynvml.nvmlDeviceGetCount()
        if not number:
            message = "nvml: the NVIDIA driver has no GPU"
            raise SourceError(message)
        yield number
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def take(host: str, number: int) -> list[Reading]:
    """Return a reading of each of `number` GPUs; what one can't tell is said in it."""
    return [_read(host, index) for index in range(number)]


def _read(host: str, index: int) -> Reading:
    ts = datetime.now(UTC)
    try:
        device = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError as error:  # lost, or not for us to see
        why = str(error)
        return Reading(
            host=host, gpu_index=index, utilization=why, mem_used_mb=why, power_w=why, ts=ts
        )
    return Reading(
        host=host,
        gpu_index=index,
        utilization=_tell(lambda: pynvml.nvmlDeviceGetUtilizationRates(device).gpu),
        mem_used_mb=_tell(lambda: _used_bytes(device) / _MIB),
        power_w=_tell(lambda: pynvml.nvmlDeviceGetPowerUsage(device) / 1000),
        ts=ts,
    )


def _used_bytes(device: object) -> int:
    # Version 2 leaves out what the driver keeps for itself, as DCGM does.
    return int(pynvml.nvmlDeviceGetMemoryInfo(device, version=pynvml.nvmlMemory_v2).used)


def _tell(ask: Callable[[], float]) -> float | str:
    try:
        return round(ask(), 3)
    except pynvml.NVMLError as error:
        return str(error)
