"""The benchmark in small: a run of a contender counts and times what came, and nothing else."""

from __future__ import annotations

import pytest

from runtime.settings import Settings
from tests.bench.pipeline import load, run, stores
from tests.bench.pipeline.contenders import OURS, PLAIN
from tests.bench.pipeline.run import Bench
from tests.contract.pipeline import Pipeline

BACKLOG = 600_000
COST_US = 1_000  # a document, on each connection: the plain loop has one
MOST_MB = 200  # that a processor takes, whatever waits in Kafka


@pytest.fixture(scope="module")
def bench(
    broker: Pipeline, lab_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    """A benchmark on a broker with a small backlog."""
    broker.create_topics("bench", "bench-tokens")
    load.backlog(broker.kafka, "bench", BACKLOG)
    scratch = tmp_path_factory.mktemp("bench")
    return Bench(broker=broker, topic="bench", settings=lab_settings, scratch=scratch)


def test_a_plain_loop_is_no_faster_than_its_store(bench: Bench) -> None:
    came = bench.measure(PLAIN, "a slow stub", stores.stub(COST_US), 1_000)
    assert 0 < came.messages <= BACKLOG
    assert 0 < came.per_second <= 1e6 / COST_US
    assert came.cpu_us > 0


@pytest.mark.parametrize(("cost_us", "wanted"), [(20, BACKLOG), (COST_US, 12_000)])
def test_ours_takes_a_bounded_memory_at_any_backlog(
    bench: Bench, cost_us: int, wanted: int
) -> None:
    came = bench.measure(OURS, f"a stub of {cost_us}", stores.stub(cost_us), wanted)
    assert 0 < came.messages < BACKLOG
    assert came.per_second > 0
    assert came.cpu_us > 0
    assert came.rss_mb < MOST_MB


def test_the_producers_are_timed_by_what_is_confirmed(bench: Bench) -> None:
    assert bench.produced(1_000) > 0


def test_latency_is_that_of_the_messages_sent_at_a_rate(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "LATENCY_S", 1)
    came = bench.latency(1_000)
    assert 0 < came["p50"] <= came["p99"]
