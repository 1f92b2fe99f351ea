"""The consume loop: take, decode, store, and only then commit.

An offset is committed when every message below it was journaled by the store, as its document or
as its dead letter. While the store is away the partitions are paused, the batch is kept and tried
again; polling goes on, so that the group keeps its member.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from pymongo.errors import PyMongoError

from processor.events import GpuMetric, Message, PoisonError, TokenUsage, dead_letter, decode
from processor.settings import Settings
from processor.store import Store

POLL_S = 0.2
BACKOFF_MOST_S = 10.0
_log = logging.getLogger(__name__)


@dataclass
class Progress:
    """What the loop has come to; read by the HTTP API, written by the loop alone."""

    consumed: int = 0
    stored: int = 0
    dead_letters: int = 0
    retries: int = 0
    assigned: list[str] = field(default_factory=list)
    sink_error: str = ""
    fatal: str = ""
    last_poll: float = 0.0

    def problems(self) -> list[str]:
        """Return why the loop is not healthy, nothing if it is."""
        found = []
        if self.fatal:
            found.append(f"stopped: {self.fatal}")
        if not self.assigned:
            found.append("no partitions assigned")
        if self.sink_error:
            found.append(f"store: {self.sink_error}")
        if time.monotonic() - self.last_poll > 60:
            found.append("the loop has not polled for a minute")
        return found


class Pipeline:
    """Runs the loop in a thread of its own between `start` and `stop`."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Prepare to consume what `settings` names into `store`."""
        self.progress = Progress()
        self._settings = settings
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consume", daemon=True)
        self._topic_ids: dict[str, str] = {}
        self._kinds: dict[str, tuple[str, type[GpuMetric | TokenUsage]]] = {
            settings.gpu_topic: ("gpu_metrics", GpuMetric),
            settings.token_topic: ("token_usage", TokenUsage),
        }

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish the batch in hand, commit it and leave the group, within `timeout_s` seconds."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka,
                "group.id": self._settings.consumer_group,
                "group.protocol": "consumer",  # KIP-848: a rebalance redelivers little
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "error_cb": lambda error: _log.warning("kafka: %s", error),
            }
        )
        try:
            consumer.subscribe(
                list(self._kinds),
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._revoked,
            )
            while not self._stopping.is_set():
                self._turn(consumer)
        except Exception as error:  # the supervisor restarts us; /health says why
            _log.exception("the loop stopped")
            self.progress.fatal = repr(error)
        finally:
            consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        self.progress.last_poll = time.monotonic()
        taken = consumer.consume(self._settings.consume_batch, POLL_S)
        self._track(consumer)
        batch = [message for message in (self._read(one) for one in taken) if message]
        if not batch or not self._store_until_done(consumer, batch):
            return
        self.progress.consumed += len(batch)
        self._commit(consumer, batch)

    def _read(self, taken: Any) -> Message | None:
        error = taken.error()
        if error is None:
            return Message(
                topic=taken.topic(),
                topic_id=self._topic_id(taken.topic()),
                partition=taken.partition(),
                offset=taken.offset(),
                value=taken.value(),
            )
        if error.fatal():
            raise KafkaException(error)
        _log.warning("kafka: %s", error)
        return None

    def _store_until_done(self, consumer: Consumer, batch: Sequence[Message]) -> bool:
        """Store a batch, waiting out an absent store; False if told to stop meanwhile."""
        delay_s, paused = 0.2, False
        documents, letters = self._sort(batch)
        while True:
            try:
                self._write(documents, letters, batch)
            except PyMongoError as error:
                self.progress.sink_error = str(error)[:300]
                self.progress.retries += 1
                _log.warning(
                    "the store does not answer, the batch of %d is kept: %s", len(batch), error
                )
            else:
                self.progress.sink_error = ""
                if paused:
                    consumer.resume(consumer.assignment())
                return True
            consumer.pause(consumer.assignment())  # again each time: some may be newly assigned
            paused = True
            wake = time.monotonic() + delay_s * random.uniform(0.8, 1.2)
            delay_s = min(delay_s * 2, BACKOFF_MOST_S)
            while time.monotonic() < wake:
                if self._stopping.is_set():
                    return False
                consumer.consume(1, POLL_S)  # paused, so nothing comes; the group keeps us
                self.progress.last_poll = time.monotonic()

    def _sort(self, batch: Sequence[Message]) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
        """Return documents with their messages per collection, and dead letters."""
        documents: dict[str, list[Any]] = {name: [] for name, _ in self._kinds.values()}
        letters = []
        for message in batch:
            name, kind = self._kinds[message.topic]
            try:
                documents[name].append((message, decode(message, kind)))
            except PoisonError as poison:
                letters.append(dead_letter(message, str(poison), now=datetime.now(UTC)))
        return documents, letters

    def _write(
        self,
        documents: dict[str, list[Any]],
        letters: list[dict[str, Any]],
        batch: Sequence[Message],
    ) -> None:
        late = list(letters)
        for name, pairs in documents.items():
            refused = self._store.insert(name, [document for _, document in pairs])
            late += [
                dead_letter(pairs[at][0], reason, now=datetime.now(UTC))
                for at, reason in refused.items()
            ]
        self._store.insert("dead_letters", late)
        self.progress.dead_letters += len(late)
        self.progress.stored += len(batch) - len(late)

    def _commit(self, consumer: Consumer, batch: Sequence[Message]) -> None:
        last: dict[tuple[str, int], int] = {}
        for message in batch:
            last[message.topic, message.partition] = message.offset + 1
        offsets = [
            TopicPartition(topic, number, offset) for (topic, number), offset in last.items()
        ]
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:  # they will be delivered again, and be found stored
            _log.warning("commit: %s", error)
            if error.args and isinstance(error.args[0], KafkaError) and error.args[0].fatal():
                raise

    def _topic_id(self, topic: str) -> str:
        """Return the topic's random id, which a recreated topic does not share."""
        if topic not in self._topic_ids:
            admin = AdminClient({"bootstrap.servers": self._settings.kafka})
            described = admin.describe_topics(TopicCollection([topic]), request_timeout=10)
            self._topic_ids[topic] = str(described[topic].result().topic_id)
        return self._topic_ids[topic]

    def _track(self, consumer: Consumer) -> None:
        self.progress.assigned = sorted(f"{p.topic}/{p.partition}" for p in consumer.assignment())

    def _assigned(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        _log.info("assigned %d partitions", len(partitions))
        self._topic_ids.clear()  # a topic may have been recreated

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        _log.info("revoked %d partitions", len(partitions))
