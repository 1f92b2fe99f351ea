"""Kafka's client at a standstill: it takes nothing more of a partition, though there is more.

Clients lose a partition, rarely, when a broker comes back (librdkafka's issue 5153): nothing is
fetched, nothing is said, and only a new client helps. That Kafka's end is further is no proof, as
the end of a transaction has an offset too, and is no message. That another client gets a message
from the very place is one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from processor.lag import Place

STILL_S = 15.0  # that a partition stands still before it is looked into, and until the next time
ASK_S = 1.0
READ_S = 5.0


class StallError(Exception):
    """Another client gets what this one does not."""


@dataclass(frozen=True)
class _Still:
    offset: int
    since: float
    is_behind: bool = False  # Kafka had more when it was looked into; that may just have come


class Watch:
    """How far each partition was taken, and since when no further."""

    def __init__(self, kafka: str) -> None:
        """Watch partitions of the broker `kafka`."""
        self._kafka = kafka
        self._still: dict[Place, _Still] = {}

    def excuse(self) -> None:
        """Hear that partitions have a reason to stand still."""
        self._still = {}

    def look(self, consumer: Any, taken: Mapping[Place, int]) -> None:
        """Look into the partitions that have stood still for too long.

        `taken` has the offset that comes next of each, or a negative one where none ever came.

        Raises:
            StallError: Kafka has more of one of them, for another client.
        """
        now, was = time.monotonic(), self._still
        self._still = {
            place: was[place]
            if place in was and was[place].offset == offset
            else _Still(offset, now)
            for place, offset in taken.items()
        }
        for place, still in self._still.items():
            if now - still.since < STILL_S:
                continue
            try:
                low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=ASK_S)
            except KafkaException:  # Kafka is what stands still
                self.excuse()
                return
            is_behind = high > max(low, still.offset)
            if is_behind and still.is_behind and _another_gets(self._kafka, place, still.offset):
                topic, number = place
                message = (
                    f"{topic}/{number}: Kafka has more from {still.offset} on, none of it comes"
                )
                raise StallError(message)
            self._still[place] = _Still(still.offset, now, is_behind)


def _another_gets(kafka: str, place: Place, offset: int) -> bool:
    """Return whether a client that is in no group gets a message from there."""
    reader = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "unused",  # one must be named: it is not joined, and nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,  # be told at once that there is nothing
            "log_level": 2,
        }
    )
    try:
        reader.assign([TopicPartition(*place, offset if offset >= 0 else OFFSET_BEGINNING)])
        return any(one.error() is None for one in reader.consume(1, READ_S))
    finally:
        reader.close()
