"""What the loop says of itself: healthy, or why not."""

from __future__ import annotations

import time

from processor import metrics
from processor.progress import WINDOW, Progress


def working() -> Progress:
    return Progress(assigned=["g/0"])


def add(progress: Progress, *, good: int, bad: int) -> None:
    progress.add(size=good + bad, stored=good, duplicates=0, dead_letters=bad)


def test_a_loop_that_works_has_no_problems() -> None:
    progress = working()
    add(progress, good=5000, bad=10)
    assert progress.problems() == []


def test_each_trouble_is_told() -> None:
    progress = Progress(fatal="bug", sink="away", last_poll=time.monotonic() - 61)
    said = " ".join(progress.problems())
    for word in ("bug", "away", "no partitions", "not polled"):
        assert word in said


def test_mostly_dead_letters_make_it_unready_until_messages_are_good_again() -> None:
    progress = working()
    add(progress, good=100_000, bad=0)
    for _ in range(3):
        add(progress, good=100, bad=400)
    assert "80 % of the last messages" in progress.problems()[0]
    for _ in range(3):
        add(progress, good=500, bad=0)
    assert progress.problems() == []


def test_a_few_bad_messages_of_few_are_no_alarm() -> None:
    progress = working()
    add(progress, good=0, bad=WINDOW - 1)
    assert progress.bad_share == 0.0


def test_metrics_tell_counters_gauges_and_the_lag_of_each_partition() -> None:
    progress = working()
    progress.lag = {"gpu.metrics.v1/3": 42}
    add(progress, good=7, bad=1)
    lines = metrics.text(progress, "processor").decode().splitlines()
    assert 'pipeline_messages_total{result="stored"} 7.0' in lines
    assert 'pipeline_messages_total{result="dead_letter"} 1.0' in lines
    where = 'consumergroup="processor",partition="3",topic="gpu.metrics.v1"'
    assert f"kafka_consumergroup_lag{{{where}}} 42.0" in lines
    assert "pipeline_ready 1.0" in lines
    assert "pipeline_dead_letter_ratio 0.0" in lines


def test_how_old_the_last_message_is_counts_while_others_wait() -> None:
    progress = working()
    progress.newest_s = time.time() - 100
    assert progress.time_lag_s == 0.0
    progress.lag = {"g/0": 0, "g/1": 1}
    assert 100 <= progress.time_lag_s < 200
