"""Readings become messages or are left out by name; a run ends at its count."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from producers import sampling
from producers.messages import GPU, Batch, SourceError
from producers.sampling import LeftOut, Reading, to_message

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def reading(index: int = 0, **changes: object) -> Reading:
    told = {"utilization": 12, "mem_used_mb": 345.5, "power_w": 67.8}
    return Reading(host="rack-1", gpu_index=index, ts=NOW, **(told | changes))


def test_a_reading_is_a_message_with_its_host_as_the_key() -> None:
    kind, key, value = to_message(reading(3))
    assert (kind, key) == (GPU, b"rack-1")
    assert json.loads(value) == {
        "host": "rack-1",
        "gpu_index": 3,
        "utilization": 12,
        "mem_used_mb": 345.5,
        "power_w": 67.8,
        "ts": "2026-11-24T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"power_w": "Not Supported"}, "rack-1 GPU 0: power_w: Not Supported"),
        ({"utilization": 101}, "rack-1 GPU 0: Expected `float` <= 100"),
        ({"mem_used_mb": -1}, "rack-1 GPU 0: Expected `float` >= 0"),
    ],
)
def test_a_reading_that_is_not_whole_is_no_message(changes: dict[str, object], why: str) -> None:
    told = to_message(reading(**changes))
    assert isinstance(told, str)
    assert told.startswith(why)


def sample(samplings: list[list[Reading]], count: int) -> tuple[list[Batch], int, LeftOut]:
    """Return the batches of a run, how often it paused, and what it left out."""
    pauses: list[None] = []
    left_out = LeftOut()
    batches = sampling.sample(
        iter(samplings).__next__,
        name="mine",
        count=count,
        pace=lambda: pauses.append(None),
        left_out=left_out,
    )
    return list(batches), len(pauses), left_out


def test_a_run_ends_at_its_count_and_pauses_between_samplings_only() -> None:
    both = [reading(0), reading(1)]
    batches, pauses, _ = sample([both, both, both], count=3)
    assert [len(batch.messages) for batch in batches] == [2, 1]
    assert pauses == 1


def test_what_is_left_out_is_counted_each_time_and_said_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both = [reading(0), reading(1, power_w="Not Supported")]
    batches, _, left_out = sample([both, both, both], count=3)
    assert [len(batch.messages) for batch in batches] == [1, 1, 1]
    assert left_out.count == 3
    said = "producers: left out: rack-1 GPU 1: power_w: Not Supported\n"
    assert capsys.readouterr().err == said


def test_a_sampling_without_a_message_ends_the_run() -> None:
    dumb = [reading(0, power_w="Not Supported")]
    with pytest.raises(SourceError, match="mine has no GPU that tells"):
        sample([dumb], count=3)
    with pytest.raises(SourceError, match="mine has no GPU that tells"):
        sample([[reading()], dumb], count=3)
