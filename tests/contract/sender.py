"""The producers' program as a process of this computer, and all that a broker holds of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from runtime import wait
from runtime.settings import ROOT
from tests.contract.pipeline import Pipeline

PROGRAM = [sys.executable, "-m", "producers"]
_NEW = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended: its exit status, its report ({} for none) and what it said."""

    status: int
    report: dict[str, Any]
    said: str


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Runs the program with two topics of its own."""

    pipeline: Pipeline
    gpu_topic: str
    token_topic: str
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def made(cls, pipeline: Pipeline) -> Iterator[Sender]:
        """Make the topics; in the end, end what still runs."""
        name = uuid.uuid4().hex[:8]
        made = cls(pipeline=pipeline, gpu_topic=f"gpu-{name}", token_topic=f"token-{name}")
        pipeline.create_topics(made.gpu_topic, made.token_topic)
        try:
            yield made
        finally:
            for process in made.started:
                if process.poll() is None:
                    process.kill()
                    process.communicate()

    def environment(self, **more: str) -> dict[str, str]:
        """Return the program's variables."""
        topics = {"BULLION_GPU_TOPIC": self.gpu_topic, "BULLION_TOKEN_TOPIC": self.token_topic}
        return self.pipeline.environment(**topics) | more

    def start(self, *words: str, kafka: str = "") -> subprocess.Popen[bytes]:
        """Start the program, with pipes to it."""
        own = {"PYTHONPATH": str(ROOT / "images/producers"), "PATH": os.environ["PATH"]}
        env = own | self.environment(**({"BULLION_KAFKA": kafka} if kafka else {}))
        pipe = subprocess.PIPE
        argv = [*PROGRAM, *words]
        process = subprocess.Popen(argv, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes], given: bytes | None = b"") -> Ended:
        """Give the program the rest of its stdin, or leave that open, and wait for its end."""
        if given is None:
            process.wait(30)
        out, err = process.communicate(given, timeout=60)
        lines = out.decode().splitlines()
        report = json.loads(lines[-1]) if lines else {}
        return Ended(status=process.returncode, report=report, said=err.decode())

    def run(self, *words: str, given: bytes = b"", kafka: str = "") -> Ended:
        """Run the program to its end."""
        return self.end(self.start(*words, kafka=kafka), given)

    def wait_for(self, count: int) -> None:
        """Wait until the broker holds `count` messages of GPUs."""
        wait.until(
            lambda: self.held() >= count,
            what=f"{count} messages",
            timeout_s=60,
            every_s=0.05,
            last=lambda: str(self.held()),
        )

    def held(self, topic: str = "") -> int:
        """Return how many messages the broker holds in a topic; the GPUs' without."""
        with self._consumer() as consumer:
            ends = self._ends(consumer, topic or self.gpu_topic)
        return sum(ends.values())

    def read(self, topic: str = "") -> list[tuple[int, bytes]]:
        """Return (partition, value) of all messages in a topic, in the order of each partition."""
        name = topic or self.gpu_topic
        found: list[tuple[int, bytes]] = []
        with self._consumer() as consumer:
            ends = self._ends(consumer, name)
            consumer.assign([TopicPartition(name, number, 0) for number in ends])
            while len(found) < sum(ends.values()):
                for message in consumer.consume(5000, 1):
                    assert message.error() is None, message.error()
                    found.append((message.partition(), message.value()))
        return found

    def values(self, topic: str = "") -> list[bytes]:
        """Return the values of all messages in a topic."""
        return [value for _, value in self.read(topic)]

    def _consumer(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.pipeline.kafka,
                "group.id": "reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )

    @staticmethod
    def _ends(consumer: Consumer, topic: str) -> dict[int, int]:
        def ask() -> dict[int, int]:
            partitions = consumer.list_topics(topic, 10).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), 10)[1]
                for number in partitions
            }

        try:
            return ask()
        except KafkaException as error:  # a new topic's leaders may not all know it, as yet
            if error.args[0].code() not in _NEW:
                raise
            wait.pause(1)
            return ask()


def gpu_lines(numbers: Sequence[int] | range) -> Iterator[bytes]:
    """Yield a line of JSON with its end for each number, no two the same."""
    value = {"host": "file", "gpu_index": 0, "utilization": 50, "mem_used_mb": 9, "power_w": 200}
    for number in numbers:
        ts = f"2026-11-24T12:{number // 60 % 60:02}:{number % 60:02}.{number:06}Z"
        yield json.dumps(value | {"host": f"file-{number % 7}", "ts": ts}).encode() + b"\n"
