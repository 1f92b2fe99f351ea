"""The loop's counters for Prometheus, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.progress import Progress

_COUNTERS = {
    "consumed": "Messages that are stored, as documents or dead letters, or were before",
    "stored": "Documents that are new",
    "duplicates": "Documents that were stored already",
    "dead_letters": "Messages that could not become documents",
    "retries": "Times that the store was tried again",
    "commits": "Commits that Kafka confirmed",
    "commit_failures": "Commits that failed; their messages are delivered again",
}


class _Loop(Collector):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        progress = self._progress
        for name, meaning in _COUNTERS.items():
            yield CounterMetricFamily(
                f"processor_{name}", meaning, value=float(getattr(progress, name))
            )
        gauges = {
            "in_flight": ("Batches on their way to the store", float(progress.in_flight)),
            "store_up": ("Whether the store takes messages", float(not progress.sink)),
            "ready": ("Whether messages flow", float(not progress.problems())),
            "bad_share": ("Part of the last thousand that became dead letters", progress.bad_share),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(f"processor_{name}", meaning, value=value)
        lag = GaugeMetricFamily(
            "processor_lag", "Messages not yet committed", labels=["topic", "partition"]
        )
        for place, messages in progress.lag.items():
            topic, _, number = place.rpartition("/")
            lag.add_metric([topic, number], float(messages))
        yield lag


def text(progress: Progress) -> bytes:
    """Return the counters in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Loop(progress))
    return generate_latest(registry)
