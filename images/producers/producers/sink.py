"""Kafka as a sink that counts: a message is sent when the broker has confirmed it."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producers.messages import Batch
from producers.stop import Stop

DELIVERY_S = 30.0
STOP_S = 5.0  # for the last confirmations; Docker kills after ten
QUEUE = 100_000
_QUEUE_KIB = 65_536


class _Open:
    """A batch that is not confirmed whole, as yet."""

    def __init__(self, sink: Sink, batch: Batch) -> None:
        self.unconfirmed = len(batch.messages)
        self.lines = batch.lines
        self._sink = sink

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.unconfirmed -= 1
            self._sink.sent[message.topic()] += 1
        else:
            self._sink.fail(message.topic(), error)


class Sink:
    """Sends to the topics of each kind and keeps the count of what was confirmed.

    Attributes:
        sent: messages confirmed, by topic.
        failed: messages handed over that were not confirmed.
        taken: messages handed over, whatever became of them.
    """

    def __init__(
        self,
        kafka: str,
        topics: Mapping[str, str],
        *,
        stop: Stop,
        delivery_s: float = DELIVERY_S,
        queue: int = QUEUE,
    ) -> None:
        """Produce to the broker `kafka`, kind by kind to `topics`.

        A message that is not confirmed within `delivery_s` seconds has failed. At most `queue`
        wait at once.
        """
        self.sent: Counter[str] = Counter(dict.fromkeys(topics.values(), 0))
        self.failed = 0
        self.taken = 0
        self._topics = topics
        self._stop = stop
        self._delivery_s = delivery_s
        self._open: deque[_Open] = deque()
        self._lines = 0
        self._failure = ""
        self._trouble = ""
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,  # acks=all, in order, and no duplicates by a retry
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": queue,
                "queue.buffering.max.kbytes": _QUEUE_KIB,
                "delivery.timeout.ms": int(delivery_s * 1000),
                # Topics are there before we are: one that is not is said so soon, by its name.
                "topic.metadata.propagation.max.ms": int(min(5, delivery_s / 2) * 1000),
                "error_cb": self._warn,
            }
        )

    def send(self, batch: Batch) -> bool:
        """Queue a batch, waiting while the queue is full; False once it makes no sense to go on.

        That is when a message failed, or the run was told to end.
        """
        opened = _Open(self, batch)
        self._open.append(opened)
        produce, topics, delivered = self._producer.produce, self._topics, opened.delivered
        for kind, key, value in batch.messages:
            while True:
                try:
                    produce(topics[kind], value, key, on_delivery=delivered)
                except BufferError:
                    self._hear(0.1)
                except KafkaException as error:
                    self.taken += 1
                    self.fail(topics[kind], error.args[0])
                else:
                    self.taken += 1
                    break
                if self.failed or self._stop.signal:
                    return False
        return self.serve()

    def serve(self) -> bool:
        """Count what was confirmed or has failed since; False once it makes no sense to go on."""
        self._hear(0)
        self.lines()  # lets go of what is confirmed
        return not self.failed and not self._stop.signal

    def finish(self) -> None:
        """Wait until every message is confirmed or has failed; what is neither has failed.

        Once the run was told to end, a few seconds only.
        """
        until = time.monotonic() + self._delivery_s + 5
        is_told = False
        while (left := len(self._producer)) and time.monotonic() < until:
            self._hear(0.2)
            if self._stop.signal and not is_told:
                is_told = True
                until = min(until, time.monotonic() + STOP_S)
        self.failed += left

    def lines(self) -> int:
        """Return how many of a source's first lines are all confirmed."""
        while self._open and not self._open[0].unconfirmed:
            self._lines = self._open.popleft().lines
        return self._lines

    def why(self) -> str:
        """Return what is known of why messages failed."""
        return " · ".join(one for one in (self._failure, self._trouble) if one) or "no answer"

    def fail(self, topic: str, error: KafkaError) -> None:
        """Count a message that was not confirmed."""
        self.failed += 1
        self._failure = f"{topic}: {error.str()}"

    def _hear(self, timeout_s: float) -> None:
        """Hear what became of messages, waiting for some news for at most so long.

        A client that is done for raises here, once, and from then on fails all that it has.
        """
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._warn(error.args[0])

    def _warn(self, error: KafkaError) -> None:
        self._trouble = self._trouble or error.str()
