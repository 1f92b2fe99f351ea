"""Kafka as a sink that counts: a message is sent when the broker has confirmed it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

DELIVERY_S = 30.0


class Sink:
    """Sends to the topics of each kind and keeps the count of what was confirmed."""

    def __init__(
        self, kafka: str, topics: Mapping[str, str], *, delivery_s: float = DELIVERY_S
    ) -> None:
        """Produce to the broker `kafka`, kind by kind to `topics`.

        A message that is not confirmed within `delivery_s` seconds has failed.
        """
        self.sent: Counter[str] = Counter(dict.fromkeys(topics.values(), 0))
        self.failed = 0
        self.last_error = ""
        self._topics = topics
        self._delivery_s = delivery_s
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,  # acks=all, and no duplicates by a retry
                "compression.type": "lz4",
                "linger.ms": 5,
                "delivery.timeout.ms": int(delivery_s * 1000),
                "error_cb": self._warned,
            }
        )

    def send(self, kind: str, value: Mapping[str, Any]) -> None:
        """Queue one message; waits while the queue is full."""
        body = json.dumps(value, separators=(",", ":")).encode()
        key = str(value.get("host") or value.get("model")).encode()
        while True:
            try:
                self._producer.produce(self._topics[kind], body, key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.5)
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Wait until every message is confirmed or has failed."""
        until = time.monotonic() + self._delivery_s + 5
        while self._producer.flush(1) and time.monotonic() < until:
            pass
        left = len(self._producer)
        self.failed += left

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.sent[message.topic()] += 1
        else:
            self.failed += 1
            self.last_error = str(error)

    def _warned(self, error: KafkaError) -> None:
        self.last_error = self.last_error or str(error)
