"""How far behind a consumer is, per partition."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

Place = tuple[str, int]  # topic and partition
_log = logging.getLogger(__name__)


def look(
    consumer: Any, places: Iterable[Place], committed: dict[Place, int], *, is_fetching: bool
) -> dict[str, int]:
    """Return {topic/partition: messages not yet committed} where it is known.

    `committed` is completed from Kafka. What the consumer knows of a partition's end it knows from
    fetches; while there are none (`is_fetching`), Kafka is asked.
    """
    found = {}
    for topic, number in sorted(places):
        here = TopicPartition(topic, number)
        try:
            low, high = consumer.get_watermark_offsets(here, cached=True)
            if high < 0 or not is_fetching:
                low, high = consumer.get_watermark_offsets(here, timeout=1)
            if (topic, number) not in committed:
                (kept,) = consumer.committed([here], timeout=1)
                if kept.error is None:  # none yet, or one that has aged out: from the first on
                    committed[topic, number] = kept.offset
        except KafkaException as error:
            _log.warning("lag of %s/%d: %s", topic, number, error)
            continue
        if (topic, number) in committed:
            found[f"{topic}/{number}"] = max(0, high - max(committed[topic, number], low))
    return found
