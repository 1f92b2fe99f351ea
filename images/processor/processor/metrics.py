"""The loop's counters for Prometheus, made when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from processor.progress import Progress


class _Loop(Collector):
    def __init__(self, progress: Progress, group: str) -> None:
        self._progress, self._group = progress, group

    def collect(self) -> Iterator[Metric]:
        progress = self._progress
        messages = CounterMetricFamily(
            "pipeline_messages", "Messages by what became of them", labels=["result"]
        )
        messages.add_metric(["stored"], float(progress.stored))
        messages.add_metric(["duplicate"], float(progress.duplicates))
        messages.add_metric(["dead_letter"], float(progress.dead_letters))
        yield messages
        for name, meaning, count in (
            ("retries", "Times that the store was tried again", progress.retries),
            ("commits", "Commits that Kafka confirmed", progress.commits),
            ("commit_errors", "Commits that failed", progress.commit_failures),
            ("rebalances", "Times that partitions were assigned", progress.rebalances),
        ):
            yield CounterMetricFamily(f"pipeline_{name}", meaning, value=float(count))
        for name, meaning, value in (
            ("inflight_batches", "Batches on their way to the store", float(progress.in_flight)),
            ("sink_up", "Whether the store takes messages", float(not progress.sink)),
            ("ready", "Whether messages flow", float(not progress.problems())),
            ("dead_letter_ratio", "Their part in the last thousand messages", progress.bad_share),
            ("time_lag_seconds", "Age of what was stored last, 0 if all is", progress.time_lag_s),
            ("last_commit_timestamp_seconds", "When Kafka confirmed one", progress.last_commit_s),
        ):
            yield GaugeMetricFamily(f"pipeline_{name}", meaning, value=value)
        lag = GaugeMetricFamily(  # as kafka_exporter calls it
            "kafka_consumergroup_lag",
            "Messages not yet committed",
            labels=["consumergroup", "topic", "partition"],
        )
        for place, count in progress.lag.items():
            topic, _, number = place.rpartition("/")
            lag.add_metric([self._group, topic, number], float(count))
        yield lag


def text(progress: Progress, group: str) -> bytes:
    """Return the counters of a loop in a consumer group in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Loop(progress, group))
    return generate_latest(registry)
