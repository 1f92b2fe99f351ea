"""A loss of power under the real store and the real broker: what was confirmed is on the disk."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from processor.faults import StoreError
from processor.store import Store

from runtime import wait
from runtime.settings import Settings
from tests.contract import power
from tests.contract.pipeline import Pipeline

KAFKA_USER, MONGO_USER = 1000, 999
UNDER_LOAD_S = 3  # less than the kernel waits before it writes out what nobody synced
NEVER = str(2**63 - 1)


@pytest.fixture
def pipeline(lab_settings: Settings, tmp_path: Path) -> Iterator[Pipeline]:
    with Pipeline(lab_settings, tmp_path) as made:
        yield made


def lose_power(pipeline: Pipeline, name: str, disk: power.Disk) -> None:
    """Cut the disk of a container and end it; return when it runs again from what was left."""
    disk.lose_power()
    pipeline.containers[name].kill("SIGKILL")
    pipeline.containers[name].wait()
    disk.unmount()
    disk.mount()
    pipeline.containers[name].start()
    pipeline.wait_healthy(name)


def test_what_the_store_acknowledged_outlives_a_loss_of_power(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    acknowledged = set[ObjectId]()

    def write() -> None:
        while True:
            documents: list[dict[str, Any]] = [{"_id": ObjectId()} for _ in range(20)]
            try:
                store.insert("acknowledged", documents)
            except StoreError:
                return
            acknowledged.update(one["_id"] for one in documents)

    with power.disk(tmp_path, owner=MONGO_USER) as disk, ThreadPoolExecutor(1) as pool:
        pipeline.start_store(disk.folder / "data")
        store = Store(f"mongodb://{pipeline.address('mongo')}:27017", "telemetry")
        writing = pool.submit(write)
        wait.until(lambda: len(acknowledged) > 100, what="some documents", timeout_s=60)
        wait.pause(UNDER_LOAD_S)
        lose_power(pipeline, "mongo", disk)
        writing.result(60)
        store.close()
        with pipeline.database() as database:
            found = {row["_id"] for row in database["acknowledged"].find({}, {"_id": 1})}
        pipeline.containers["mongo"].stop(timeout=20)
    assert len(acknowledged) > 100
    assert acknowledged - found == set()


class Sender:
    """Sends to some topics at once until it is told to end, and keeps what was confirmed."""

    def __init__(self, kafka: str, topics: tuple[str, ...]) -> None:
        self.confirmed: dict[str, set[str]] = {topic: set() for topic in topics}
        self.over = threading.Event()
        self._producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, "acks": "all"})

    def run(self) -> None:
        number = 0
        while not self.over.is_set():
            for topic, confirmed in self.confirmed.items():
                name = f"{topic}-{number}"
                self._producer.produce(
                    topic,
                    name,
                    on_delivery=lambda error, _, name=name, confirmed=confirmed: (
                        None if error else confirmed.add(name)
                    ),
                )
            number += 1
            self._producer.poll(0.001)
        self._producer.purge()
        self._producer.flush(10)


def read(kafka: str, topic: str) -> set[str]:
    """Return all that a topic of one partition holds."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": uuid.uuid4().hex})
    try:
        place = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=30)
        consumer.assign([place])
        found = set[str]()
        while len(found) < end:
            found |= {one.value().decode() for one in consumer.consume(5000, 1) if not one.error()}
        return found
    finally:
        consumer.close()


def commit(kafka: str, place: TopicPartition) -> Callable[[], int]:
    """Commit an offset; return what asks which one is committed."""
    config = {"bootstrap.servers": kafka, "group.id": "g", "enable.auto.commit": False}
    consumer = Consumer(config)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()

    def committed() -> int:
        again = Consumer(config)
        (found,) = again.committed([place], timeout=30)
        again.close()
        return int(found.offset)

    return committed


def test_what_the_broker_confirmed_outlives_a_loss_of_power_as_it_was_flushed(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    flushed, unflushed = "flushed", "unflushed"
    with power.disk(tmp_path, owner=KAFKA_USER) as disk, ThreadPoolExecutor(1) as pool:
        pipeline.start_kafka(disk.folder / "data")
        admin = AdminClient({"bootstrap.servers": pipeline.kafka})
        topics = [
            NewTopic(flushed, 1, 1),
            NewTopic(unflushed, 1, 1, config={"flush.messages": NEVER}),
        ]
        for future in admin.create_topics(topics).values():
            future.result(30)
        committed = commit(pipeline.kafka, TopicPartition(flushed, 0, 7))
        sender = Sender(pipeline.kafka, (flushed, unflushed))
        sending = pool.submit(sender.run)
        wait.pause(UNDER_LOAD_S)
        lose_power(pipeline, "kafka", disk)
        sender.over.set()
        sending.result(60)
        lost = {
            topic: len(confirmed - read(pipeline.kafka, topic))
            for topic, confirmed in sender.confirmed.items()
        }
        assert committed() == 7
        pipeline.containers["kafka"].stop(timeout=50)
    assert len(sender.confirmed[flushed]) > 100
    assert lost[flushed] == 0
    assert lost[unflushed] > 0  # what the setting is there for
