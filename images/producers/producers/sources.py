"""Where messages come from, by the name that the parameter `message_source` gives."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from producers import lines, sampling
from producers.messages import Batch, SourceError
from producers.sampling import LeftOut
from producers.simulation import simulate
from producers.stop import Stop

BATCH = 1000  # without a pause between batches


def open_source(
    asked: argparse.Namespace, env: Mapping[str, str], *, stop: Stop, left_out: LeftOut
) -> Iterator[Batch]:
    """Yield the batches of the source that was asked for, with its pauses between them.

    Raises:
        SourceError: there is no such source, or it can't tell what could be sent.
    """
    batch_size = asked.batch_size if asked.interval else BATCH
    pace = partial(stop.pause, asked.interval)
    if asked.source == "simulation":
        start = datetime.now(UTC)
        made = simulate(count=asked.count, seed=asked.seed, start=start, batch_size=batch_size)
        return _paced(made, pace)
    if asked.source == "-":
        return _paced(lines.from_stdin(batch_size=batch_size, stop=stop), pace)
    if asked.source.startswith("/"):
        path = Path(asked.source)
        return _paced(lines.from_file(path, batch_size=batch_size, stop=stop), pace)
    measure = partial(
        sampling.sample,
        name=asked.source,
        count=asked.count,
        pace=partial(stop.pause, asked.interval or sampling.LEAST_PAUSE_S),
        left_out=left_out,
    )
    # The libraries of these two take a tenth of a second to load.
    if asked.source == "nvml":
        return _from_nvml(env.get("BULLION_HOST", ""), measure)
    if asked.source.startswith("http://"):
        from producers import prometheus  # noqa: PLC0415

        return measure(partial(prometheus.take, asked.source, stop=stop))
    message = (
        f"there is no source {asked.source!r}; there are: simulation, nvml, -, "
        "a file's absolute path, http://host:port/metrics"
    )
    raise SourceError(message)


def _from_nvml(host: str, measure: Callable[..., Iterator[Batch]]) -> Iterator[Batch]:
    from producers import nvml  # noqa: PLC0415

    if not host:
        message = "nvml: BULLION_HOST is not set, and a container's own name is not the machine's"
        raise SourceError(message)
    with nvml.opened() as number:
        yield from measure(partial(nvml.take, host, number))


def _paced(batches: Iterator[Batch], pace: Callable[[], None]) -> Iterator[Batch]:
    is_first = True
    for batch in batches:
        if not is_first:
            pace()
        is_first = False
        yield batch
