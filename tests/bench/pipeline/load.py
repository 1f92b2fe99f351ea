"""What is sent: a backlog as fast as it goes, or so many messages a second."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import Producer

from runtime import console
from tests.contract.pipeline import GPU, TS

HOSTS = 500


def backlog(kafka: str, topic: str, count: int) -> float:
    """Send `count` measurements, confirmed; return how many a second."""
    producer = connect(kafka)
    failed: list[str] = []
    bodies = [json.dumps(GPU | {"host": f"gpu-{n:03}", "ts": TS}).encode() for n in range(HOSTS)]
    started = time.monotonic()
    with console.step(f"Sending {count} messages"):
        for number in range(count):
            while True:
                try:
                    producer.produce(topic, bodies[number % HOSTS], on_delivery=_note(failed))
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
        assert producer.flush(120) == 0
    assert failed == []
    return count / (time.monotonic() - started)


def pace(producer: Producer, topic: str, *, rate: int, seconds: float, epoch: float | None) -> int:
    """Send `rate` messages a second and return how many.

    Each says when it was sent, in seconds since `epoch`, or 0 without one.
    """
    count = int(rate * seconds)
    head = json.dumps(GPU | {"host": "gpu-a", "ts": TS, "mem_used_mb": 0})
    started = time.monotonic()
    for number in range(count):
        if number % max(1, rate // 200) == 0:
            producer.poll(0)
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        now = time.time() - epoch if epoch else 0.0
        producer.produce(topic, head.replace('"mem_used_mb": 0', f'"mem_used_mb": {now:.4f}'))
    assert producer.flush(60) == 0
    return count


def connect(kafka: str) -> Producer:
    """Return a producer that confirms, and sends in large batches."""
    return Producer(
        {
            "bootstrap.servers": kafka,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 500_000,
        }
    )


def _note(failed: list[str]) -> Any:
    return lambda error, _: failed.append(str(error)) if error else None
