"""The simulation is the same for a seed, and plausible."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from producers.messages import GPU, TOKEN, Message, from_line
from producers.simulation import simulate

START = datetime(2026, 11, 24, tzinfo=UTC)


def series(seed: int, count: int = 400, batch_size: int = 50) -> list[Message]:
    batches = simulate(count=count, seed=seed, start=START, batch_size=batch_size)
    return [message for batch in batches for message in batch.messages]


def test_a_seed_gives_the_same_series_and_another_seed_another() -> None:
    assert series(1) == series(1, batch_size=7)
    assert series(1) != series(2)


def test_count_is_per_kind_and_batches_are_as_large_as_was_asked() -> None:
    kinds = [kind for kind, _, _ in series(1, count=7)]
    assert (kinds.count(GPU), kinds.count(TOKEN)) == (7, 7)
    sizes = [len(b.messages) for b in simulate(count=7, seed=1, start=START, batch_size=6)]
    assert sizes == [6, 6, 2]


def test_what_is_simulated_is_what_a_file_may_hold() -> None:
    for message in series(1):
        assert from_line(message[2], "", 1) == message


@pytest.mark.parametrize("seed", range(5))
def test_the_values_are_what_such_cards_do(seed: int) -> None:
    gpus = [json.loads(value) for kind, _, value in series(seed, 2000) if kind == GPU]
    assert all(0 <= gpu["utilization"] <= 100 for gpu in gpus)
    assert all(20 <= gpu["power_w"] <= 420 for gpu in gpus)
    assert all(0 <= gpu["mem_used_mb"] <= 40_960 for gpu in gpus)
    busy = [gpu["power_w"] for gpu in gpus if gpu["utilization"] > 80]
    idle = [gpu["power_w"] for gpu in gpus if gpu["utilization"] < 10]
    assert min(len(busy), len(idle)) > 50
    assert sum(busy) / len(busy) > 3 * sum(idle) / len(idle)
