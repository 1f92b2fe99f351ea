"""Kafka, the store and the processor as containers of the real images, for one test module."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool
from pymongo import MongoClient

from runtime import wait
from runtime.bake import images
from runtime.contract import parameters
from runtime.contract.roles import Role
from runtime.errors import RangeError
from runtime.lab.machines import network
from runtime.lab.machines.client import connect
from runtime.machine.check import INDEXES
from runtime.machine.render import server_properties
from runtime.settings import Settings
from tests.contract import killed

KAFKA, MONGO, PROCESSORS = "kafka", "mongo", ("processor", "processor-2", "processor-3")
GPU_TOPIC, TOKEN_TOPIC = "gpu.metrics.v1", "token.usage.v1"
GPU = {"host": "gpu-a", "gpu_index": 0, "utilization": 50, "mem_used_mb": 9, "power_w": 200}
TS = "2026-11-24T12:00:00Z"
# Beside those that labs take (runtime/lab/slots.py).
_RANGES = [ipaddress.IPv4Network(f"10.{number}.7.0/24") for number in range(60, 70)]


def gpu(host: str) -> dict[str, object]:
    """Return a measurement of a host."""
    return GPU | {"host": host, "ts": TS}


class Pipeline:
    """The three containers on a network of their own, and clients of each."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        """Build images where needed and start Kafka and the store; the processor comes later."""
        self._records = {name: one.record for name, one in images.build(settings).items()}
        self.images = {name: record.name for name, record in self._records.items()}
        self.docker = connect()
        killed.remove_left(self.docker)
        self.id = f"bullion-test-{uuid.uuid4().hex[:8]}"
        self.range, self.network = self._take_range()
        self.containers: dict[str, Any] = {}
        self._properties = scratch / "server.properties"
        values = parameters.resolve(Role.KAFKA, {})
        self._properties.write_text(server_properties(self.address("kafka"), values))

    def __enter__(self) -> Self:
        """Be removed at the end, however it comes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove all of it."""
        self.remove()

    def address(self, name: str) -> str:
        """Return the fixed address of "kafka", "mongo" or a processor."""
        return str(self.range[10 + (KAFKA, MONGO, *PROCESSORS).index(name)])

    def start(self) -> None:
        """Start all three and wait until each is healthy by its own check."""
        self.start_kafka()
        self.start_store()
        self.create_topics(GPU_TOPIC, TOKEN_TOPIC)
        self.start_processor()
        self.wait_healthy("processor")

    def start_kafka(self, data: Path | None = None) -> None:
        """Start Kafka alone, its data in a folder or of its own; wait until it is healthy."""
        mounts = {str(self._properties): {"bind": "/etc/kafka/server.properties", "mode": "ro"}}
        mounts |= {str(data): {"bind": "/var/lib/kafka/data", "mode": "rw"}} if data else {}
        self._run("kafka", volumes=mounts)
        self.wait_healthy("kafka")

    def start_store(self, data: Path | None = None) -> None:
        """Start the store alone, its data in a folder or of its own; wait until it is healthy."""
        self._run("mongo", volumes={str(data): {"bind": "/data/db", "mode": "rw"}} if data else {})
        self.wait_healthy("mongo")
        with self.database() as database:  # as a machine does before anything flows
            for name in INDEXES.keys() - set(database.list_collection_names()):
                database.create_collection(name)

    def start_processor(self, name: str = "processor") -> None:
        """Start one of the processors; return at once."""
        self._run(name, environment=self.environment(), read_only=True)

    def base_of(self, name: str) -> str:
        """Return what an image is made of, and of a stand-in that it is one."""
        record = self._records[name]
        return str(record.stand_in or record.base)

    @property
    def kafka(self) -> str:
        """Return the broker's address and port."""
        return f"{self.address('kafka')}:9092"

    def create_topics(self, *names: str) -> None:
        """Make topics of four partitions."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        for future in admin.create_topics([NewTopic(name, 4, 1) for name in names]).values():
            future.result(30)

    def delete_topics(self, *names: str) -> None:
        """Delete topics with all that is in them."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        for future in admin.delete_topics(list(names)).values():
            future.result(30)

    def age_out(self, topic: str, before: int) -> None:
        """Delete messages below an offset from each of a topic's partitions, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number, before) for number in partitions]
        for future in admin.delete_records(places).values():
            future.result(30)

    def topics(self) -> set[str]:
        """Return the topics that the broker has."""
        return set(AdminClient({"bootstrap.servers": self.kafka}).list_topics(timeout=10).topics)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the variables of processor and producers."""
        return {
            "BULLION_KAFKA": f"{self.address('kafka')}:9092",
            "BULLION_MONGO": f"mongodb://{self.address('mongo')}:27017",
            "BULLION_GPU_TOPIC": GPU_TOPIC,
            "BULLION_TOKEN_TOPIC": TOKEN_TOPIC,
            "BULLION_DATABASE": "telemetry",
            "BULLION_CONSUMER_GROUP": "processor",
            "BULLION_CONSUME_BATCH": "500",
        } | more

    def send(self, topic: str, *values: object) -> None:
        """Send values (bytes as they are, the rest as JSON) to partition 0, confirmed."""
        failed: list[str] = []
        config = {"bootstrap.servers": f"{self.address('kafka')}:9092", "enable.idempotence": True}
        producer = Producer(config)
        for value in values:
            body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            while True:
                try:
                    producer.produce(
                        topic,
                        body,
                        partition=0,
                        on_delivery=lambda error, _: failed.append(str(error)) if error else None,
                    )
                except BufferError:
                    producer.poll(0.1)
                else:
                    break
        assert producer.flush(60) == 0
        assert failed == []

    @contextlib.contextmanager
    def database(self) -> Iterator[Any]:
        """Yield the database, and close its client."""
        with MongoClient(
            self.address("mongo"), 27017, tz_aware=True, serverSelectionTimeoutMS=20_000
        ) as client:
            yield client["telemetry"]

    def hosts(self, prefix: str = "") -> list[str]:
        """Return the host of every stored GPU measurement, one per document, in order.

        Only of hosts that begin so, where a prefix is given.
        """
        with self.database() as database:
            rows = list(database["gpu_metrics"].find({}, {"host": 1}))
        return sorted(row["host"] for row in rows if row["host"].startswith(prefix))

    def arrive(self, prefix: str, count: int) -> list[str]:
        """Wait until `count` documents of such hosts are stored, then a little longer."""
        wait.until(
            lambda: len(self.hosts(prefix)) >= count,
            what=f"{count} documents of {prefix}",
            timeout_s=120,
            every_s=0.5,
            last=lambda: f"{len(self.hosts(prefix))}; {self.health()}",
        )
        wait.pause(2)
        return self.hosts(prefix)

    def get(self, path: str, **query: object) -> tuple[int, Any]:
        """Return status and JSON body of a question to the processor; (0, {}) if nobody answers."""
        asked = f"?{urllib.parse.urlencode(query)}" if query else ""
        url = f"http://{self.address('processor')}:8080{path}{asked}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except OSError:
            return 0, {}

    def letters(self, *words: str) -> tuple[int, Any]:
        """Run the program for dead letters in the processor; return its status and its JSON."""
        argv = ["/opt/venv/bin/python", "-m", "processor.letters", *words]
        status, (out, _) = self.containers["processor"].exec_run(argv, demux=True)
        return status, json.loads(out) if out else None

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of /health; (0, {}) where nobody answers."""
        return self.get("/health")

    def wait_healthy(self, *names: str) -> None:
        """Wait until the containers' own health checks pass."""
        for name in names:
            wait.until(
                lambda name=name: self._state(name)["Health"]["Status"] == "healthy",
                what=f"{name} to be healthy",
                timeout_s=120,
                last=lambda name=name: self.containers[name].logs(tail=8).decode(),
            )

    def started_at(self, name: str) -> str:
        """Return when a container was last started."""
        return str(self._state(name)["StartedAt"])

    def produce(
        self, *arguments: str, volumes: Mapping[str, Any] | None = None, **environment: str
    ) -> tuple[int, str, str]:
        """Run the producers' image once; return its status, its stdout and its stderr."""
        container = self.docker.containers.run(
            self.images["producers"],
            list(arguments),
            labels=killed.mine(),
            environment=self.environment(**environment),
            volumes=dict(volumes or {}),
            network=self.id,
            detach=True,
        )
        try:
            status = container.wait(timeout=120)["StatusCode"]
            out, err = (
                container.logs(stdout=is_out, stderr=not is_out) for is_out in (True, False)
            )
            return int(status), out.decode(), err.decode()
        finally:
            container.remove(force=True, v=True)

    def remove(self) -> None:
        """Remove containers, their volumes and the network, at whatever moment we were ended.

        Docker goes on with what it was asked for when nobody waits for the answer any more: hence
        by name, and once more.
        """
        self._remove_containers()
        self.network.remove()
        self._remove_containers()
        self.docker.close()

    def _take_range(self) -> tuple[ipaddress.IPv4Network, Any]:
        """Make the network in the first free range; Docker refuses one just taken by a neighbour."""
        reasons = []
        for one in _RANGES:
            if reason := network.taken_by(one):
                reasons.append(reason)
                continue
            pool = IPAMPool(subnet=str(one), gateway=str(one[1]))
            ipam = IPAMConfig(pool_configs=[pool])
            try:
                return one, self.docker.networks.create(self.id, ipam=ipam, labels=killed.mine())
            except APIError as error:
                reasons.append(f"{one}: {error.explanation}")
        message = f"no network range is free for a test: {'; '.join(reasons)}"
        raise RangeError(message, hint="docker network ls")

    def _remove_containers(self) -> None:
        for container in self.docker.containers.list(all=True, filters={"name": f"{self.id}-"}):
            container.remove(force=True, v=True)

    def _run(self, name: str, **options: Any) -> None:
        address = self.docker.api.create_endpoint_config(ipv4_address=self.address(name))
        self.containers[name] = self.docker.containers.run(
            self.images[name.partition("-")[0]],
            name=f"{self.id}-{name}",
            labels=killed.mine(),
            network=self.id,
            networking_config={self.id: address},
            detach=True,
            **options,
        )

    def _state(self, name: str) -> dict[str, Any]:
        container = self.containers[name]
        container.reload()
        return dict(container.attrs["State"])
