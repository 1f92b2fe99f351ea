"""Ids of topics: random per creation, so that a recreated topic's messages get other keys."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AdminClient

from processor.events import key_prefix

ASK_S = 10


class Prefixes:
    """How the keys of each partition's messages begin."""

    def __init__(self, kafka: str, on_error: Callable[[KafkaError], None]) -> None:
        """Ask at `kafka`; what is wrong with it is told by `on_error`, from another thread."""
        self._asked = {
            "bootstrap.servers": kafka,
            "reconnect.backoff.ms": 1000,
            "log_level": 2,
            "error_cb": on_error,
        }
        self._ids: dict[str, str] = {}
        self._known: dict[tuple[str, int], bytes] = {}

    def of(self, topic: str, partition: int) -> bytes:
        """Return the prefix of a partition.

        Raises:
            KafkaException: it is not known, and Kafka does not tell it now.
        """
        if (topic, partition) not in self._known:
            self._known[topic, partition] = key_prefix(self._id(topic), partition)
        return self._known[topic, partition]

    def forget(self) -> None:
        """Ask again: a topic may have been recreated."""
        self._ids.clear()
        self._known.clear()

    def _id(self, topic: str) -> str:
        if topic not in self._ids:
            admin = AdminClient(self._asked)
            described = admin.describe_topics(TopicCollection([topic]), request_timeout=ASK_S)
            self._ids[topic] = str(described[topic].result().topic_id)
        return self._ids[topic]
