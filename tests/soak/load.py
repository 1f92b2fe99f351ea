"""Messages at a steady rate, among them some that nothing can be made of; each has a name."""

from __future__ import annotations

import json
import threading

from confluent_kafka import Producer

from runtime import wait
from tests.contract.pipeline import GPU, GPU_TOPIC, TOKEN_TOPIC, TS

PER_SECOND = 500
POISON_EACH = 25
DELIVERY_S = 180
_TOKENS = {"prompt_tokens": 1, "completion_tokens": 1, "cost_per_token": 0.1, "ts": TS}
_TICK_S = 0.02


def message(name: str, number: int) -> tuple[str, str, bytes]:
    """Return the topic, the collection where it belongs, and the bytes of a message."""
    if number % POISON_EACH == 0:
        bad = (f"no JSON: {name}", {"host": name}, GPU | {"host": name, "utilization": 200})
        chosen = bad[number // POISON_EACH % len(bad)]
        body = chosen if isinstance(chosen, str) else json.dumps(chosen)
        return GPU_TOPIC, "dead_letters", body.encode()
    if number % 2:
        return GPU_TOPIC, "gpu_metrics", json.dumps(GPU | {"host": name, "ts": TS}).encode()
    return TOKEN_TOPIC, "token_usage", json.dumps(_TOKENS | {"model": name}).encode()


class Load:
    """Sends while it is on.

    Attributes:
        sent: {message: the collection where it belongs}.
        confirmed: messages that Kafka confirmed.
    """

    def __init__(self, kafka: str) -> None:
        """Send to the broker `kafka`."""
        self.sent: dict[str, str] = {}
        self.confirmed: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread()
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,
                "linger.ms": 5,
                "delivery.timeout.ms": DELIVERY_S * 1000,
                "error_cb": lambda _: None,
                "log_level": 0,
            }
        )

    def begin(self, prefix: str) -> None:
        """Begin to send messages whose names begin with `prefix`."""
        self._over.clear()
        self._thread = threading.Thread(target=self._run, args=(prefix,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Return when all that was sent is confirmed, or never will be."""
        self._over.set()
        self._thread.join()
        self._producer.flush(DELIVERY_S + 10)

    def _run(self, prefix: str) -> None:
        number = 0
        while not self._over.is_set():
            for _ in range(round(PER_SECOND * _TICK_S)):
                self._send(f"{prefix}{number}", number)
                number += 1
            self._producer.poll(0)
            wait.pause(_TICK_S)

    def _send(self, name: str, number: int) -> None:
        topic, where, body = message(name, number)
        self.sent[name] = where  # first: what Kafka's client refuses is not confirmed, either
        self._producer.produce(
            topic,
            body,
            on_delivery=lambda error, _: None if error else self.confirmed.add(name),
        )
