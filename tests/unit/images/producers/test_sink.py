"""What is promised of a run is what Kafka's client is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from producers import sink
from producers.messages import Batch
from producers.stop import Stop


def test_within_a_run_nothing_is_sent_twice_and_batches_are_compressed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(sink, "Producer", told.update)
    sink.Sink("10.20.1.10:9092", {"gpu": "gpu.metrics.v1"}, stop=Stop())
    assert (told["enable.idempotence"], told["compression.type"]) == (True, "lz4")
    assert told["bootstrap.servers"] == "10.20.1.10:9092"


class DoneFor:
    """A client whose first poll says that it is done for; what it has fails by the next."""

    def __init__(self, _: object) -> None:
        self.waiting: list[Callable[[KafkaError, None], None]] = []
        self.said = False

    def produce(self, topic: str, *_: bytes, on_delivery: Any) -> None:
        message = type("Message", (), {"topic": lambda _: topic})()
        self.waiting.append(lambda error, _: on_delivery(error, message))

    def poll(self, _: float) -> int:
        if not self.said:
            self.said = True
            raise KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "lost track"))
        for tell in self.waiting:
            tell(KafkaError(KafkaError._PURGE_QUEUE), None)
        self.waiting = []
        return 1

    def __len__(self) -> int:
        return len(self.waiting)


def test_a_client_that_is_done_for_ends_the_run_with_its_counts_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sink, "Producer", DoneFor)
    made = sink.Sink("10.20.1.10:9092", {"gpu": "gpu.metrics.v1"}, stop=Stop())
    made.send(Batch(messages=[("gpu", b"a", b"{}")] * 3, lines=3))
    made.finish()
    assert (made.taken, made.failed, made.sent.total()) == (3, 3, 0)
    assert "lost track" in made.why()
