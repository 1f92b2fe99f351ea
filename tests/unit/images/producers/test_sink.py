"""What is promised of a run is what Kafka's client is told."""

from __future__ import annotations

from typing import Any

import pytest
from producers import sink
from producers.stop import Stop


def test_within_a_run_nothing_is_sent_twice_and_batches_are_compressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(sink, "Producer", told.update)
    sink.Sink("10.20.1.10:9092", {"gpu": "gpu.metrics.v1"}, stop=Stop())
    assert (told["enable.idempotence"], told["compression.type"]) == (True, "lz4")
    assert told["bootstrap.servers"] == "10.20.1.10:9092"
