"""Consume loops in this process, on a real broker and into a store that only speaks the protocol."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient
from processor.consumer import Pipeline as Loop
from processor.settings import Settings as LoopSettings
from processor.store import Store

from runtime import wait
from tests.contract.pipeline import GPU, TS, Pipeline
from tests.contract.sink import Sink

PARTITIONS = 4
BATCH = 200


def settings_of(name: str, *, kafka: str, mongo: str) -> LoopSettings:
    """Return the settings of loops in a group and with topics of their own; batches are small."""
    return LoopSettings(
        kafka=kafka,
        mongo=mongo,
        gpu_topic=f"gpu-{name}",
        token_topic=f"tokens-{name}",
        database="d",
        consumer_group=f"group-{name}",
        consume_batch=BATCH,
    )


class World:
    """Two topics of their own, a sink, and as many loops as a test starts."""

    def __init__(self, broker: Pipeline) -> None:
        self.broker = broker
        self.sink = Sink()
        self.settings = settings_of(uuid.uuid4().hex[:8], kafka=broker.kafka, mongo=self.sink.uri)
        self.gpu, self.tokens = self.settings.gpu_topic, self.settings.token_topic
        self.group = self.settings.consumer_group
        self.broker.create_topics(self.gpu, self.tokens)
        self.loops: list[Loop] = []
        self.stores: list[Store] = []
        self._producer = Producer({"bootstrap.servers": broker.kafka, "enable.idempotence": True})

    def start(self, *, begin: bool = True) -> Loop:
        self.stores.append(Store(self.sink.uri, "d"))
        loop = Loop(self.settings, self.stores[-1])
        if begin:
            loop.start()
        self.loops.append(loop)
        return loop

    def send(
        self, prefix: str, count: int, *, topic: str = "", partitions: int = PARTITIONS
    ) -> set[str]:
        """Send measurements, confirmed, over all partitions; return their hosts."""
        failed: list[str] = []
        hosts = [f"{prefix}-{number}" for number in range(count)]
        for number, host in enumerate(hosts):
            self._producer.produce(
                topic or self.gpu,
                json.dumps(GPU | {"host": host, "ts": TS}).encode(),
                partition=number % partitions,
                on_delivery=lambda error, _: failed.append(str(error)) if error else None,
            )
            if number % 1000 == 0:
                self._producer.poll(0)
        assert self._producer.flush(60) == 0
        assert failed == []
        return set(hosts)

    def hosts(self) -> list[str]:
        return [one["host"] for one in list(self.sink.kept["gpu_metrics"].values())]

    def letters(self) -> list[dict[str, Any]]:
        return list(self.sink.kept["dead_letters"].values())

    def arrives(self, hosts: set[str], *, timeout_s: float = 60) -> None:
        """Wait until exactly these are stored and committed, and no more come."""
        self.until(lambda: set(self.hosts()) >= hosts, f"{len(hosts)} documents", timeout_s)
        wait.pause(1)
        assert sorted(self.hosts()) == sorted(hosts)

    def until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        wait.until(
            is_so,
            what=what,
            timeout_s=timeout_s,
            every_s=0.05,
            last=lambda: (
                f"{len(self.hosts())} stored; {[vars(one.progress) for one in self.loops]}"
            ),
        )

    def committed(self) -> dict[str, int]:
        return committed(self.broker.kafka, self.group)

    def close(self) -> None:
        for loop in self.loops:
            loop.stop(60)
        for one in self.stores:
            one.close()
        self.sink.close()
        del self._producer  # or it would go on asking for a broker that is gone


def committed(kafka: str, group: str) -> dict[str, int]:
    """Return {topic/partition: offset} of what a group has committed."""
    admin = AdminClient({"bootstrap.servers": kafka})
    asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
    found = asked[group].result(30).topic_partitions
    return {f"{one.topic}/{one.partition}": one.offset for one in found}


def hold_first_insert(world: World) -> threading.Event:
    """Have the first insert wait for the event; all else is answered."""
    released, is_first = threading.Event(), iter([True])
    world.sink.answer = lambda *_: next(is_first, False) and released.wait(120) and None
    return released
