"""Processes of the real images killed where it hurts most: nothing lost, nothing twice.

The table of faults and the tests that show them is in tests/README.md.
"""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from processor import store as module
from processor.faults import StoreError
from processor.store import Store, Written
from pymongo import MongoClient, monitoring

from runtime import wait
from tests.contract import killed
from tests.contract.pipeline import GPU_TOPIC, TOKEN_TOPIC, Pipeline, gpu
from tests.observing import at_rest

AWAY_S = 20
KILLED = 137  # a container's status after SIGKILL
# Python imports a module of this name before anything else.
HOOK = "sitecustomize.py"
BEFORE_IT_WRITES = """
import os, signal
from pymongo.database import Database
command = Database.command
def killed(self, name, *args, **more):
    if name == "insert":
        os.kill(os.getpid(), signal.SIGKILL)
    return command(self, name, *args, **more)
Database.command = killed
"""
BETWEEN_WRITE_AND_COMMIT = """
import os, signal
import confluent_kafka
class Consumer(confluent_kafka.Consumer):
    def commit(self, *args, **more):
        os.kill(os.getpid(), signal.SIGKILL)
confluent_kafka.Consumer = Consumer
"""


def dead_letters(pipeline: Pipeline) -> int:
    with pipeline.database() as database:
        return int(database["dead_letters"].count_documents({}))


def killed_by(pipeline: Pipeline, hook: Path) -> int:
    """Run a processor that kills itself as the hook says; return its status."""
    mounts = {str(hook.parent): {"bind": "/hook", "mode": "ro"}}
    container = pipeline.docker.containers.run(
        pipeline.images["processor"],
        labels=killed.mine(),
        environment=pipeline.environment(PYTHONPATH="/hook"),
        network=pipeline.id,
        volumes=mounts,
        init=True,  # the kernel spares the first process of a container
        detach=True,
    )
    try:
        return int(container.wait(timeout=60)["StatusCode"])
    finally:
        container.remove(force=True, v=True)


@pytest.mark.parametrize(
    ("name", "hook"),
    [("before", BEFORE_IT_WRITES), ("between", BETWEEN_WRITE_AND_COMMIT)],
    ids=["before it writes", "between write and commit"],
)
def test_a_processor_killed_at_the_worst_moment_loses_nothing_and_stores_nothing_twice(
    pipeline: Pipeline, tmp_path: Path, name: str, hook: str
) -> None:
    letters = dead_letters(pipeline)
    processor = pipeline.containers["processor"]
    processor.stop(timeout=50)
    hosts = [f"{name}-{number:04}" for number in range(2000)]
    pipeline.send(GPU_TOPIC, *map(gpu, hosts))
    (tmp_path / HOOK).write_text(hook)
    tmp_path.chmod(0o755)  # the image does not run as root

    status = killed_by(pipeline, tmp_path / HOOK)
    written = at_rest(lambda: len(pipeline.hosts(f"{name}-")))
    processor.start()

    assert pipeline.arrive(f"{name}-", len(hosts)) == sorted(hosts)
    assert status == KILLED
    assert (written > 0) == (hook is BETWEEN_WRITE_AND_COMMIT)
    assert pipeline.health()[1]["duplicates"] == written  # all of it was delivered again
    assert dead_letters(pipeline) == letters


def test_a_broker_killed_under_load_and_away_for_a_while_loses_nothing_and_doubles_nothing(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    """With the broker goes the group's coordinator, as there is but one."""
    started = pipeline.started_at("processor")
    hosts = [f"broker-{number:04}" for number in range(5000)]
    source = tmp_path / "lines"
    source.write_text("".join(f"{json.dumps(gpu(host))}\n" for host in hosts))
    mount = {str(source): {"bind": "/lines", "mode": "ro"}}
    pace = ("--source", "/lines", "--batch-size", "50", "--interval", "0.1", "--delivery", "110")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(pipeline.produce, *pace, volumes=mount)
        wait.until(lambda: pipeline.hosts("broker-"), what="the first", timeout_s=60)
        pipeline.containers["kafka"].kill("SIGKILL")
        wait.pause(AWAY_S)
        assert not run.done()
        pipeline.containers["kafka"].start()
        status, said, complained = run.result()

    report = json.loads(said)
    assert (status, report["failed"], report["sent"][GPU_TOPIC]) == (0, 0, len(hosts)), complained
    assert pipeline.arrive("broker-", len(hosts)) == sorted(hosts)
    assert pipeline.started_at("processor") == started
    wait.until(lambda: pipeline.health()[0] == 200, what="/health to be good", timeout_s=60)


def test_a_group_that_kafka_no_longer_knows_is_joined_anew_once_docker_starts_the_processor_again(
    pipeline: Pipeline,
) -> None:
    """A broker on an empty disk, say: to its client that is an end, and one it says but once."""
    processor, started = pipeline.containers["processor"], pipeline.started_at("processor")
    processor.update(restart_policy={"Name": "on-failure"})  # as the machine's compose file has it
    pipeline.send(GPU_TOPIC, gpu("known-0"))
    pipeline.arrive("known-", 1)
    pipeline.containers["kafka"].remove(force=True, v=True)
    pipeline.start_kafka()
    pipeline.create_topics(GPU_TOPIC, TOKEN_TOPIC)
    pipeline.send(GPU_TOPIC, gpu("known-1"))

    arrived = pipeline.arrive("known-", 2)
    processor.update(restart_policy={"Name": "no"})

    assert arrived == ["known-0", "known-1"]
    assert pipeline.started_at("processor") != started


class Heard(monitoring.CommandListener):
    """Keeps what a client looks for."""

    def __init__(self) -> None:
        self.filters: list[Any] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.filters.append(event.command["filter"])

    def succeeded(self, event: object) -> None: ...
    def failed(self, event: object) -> None: ...


def test_a_duplicate_of_the_key_is_told_from_another_without_reading_all_documents(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FerretDB names no key, and finds several only by reading all, which takes ever longer."""
    heard = Heard()
    monkeypatch.setattr(module, "MongoClient", partial(MongoClient, event_listeners=[heard]))
    store = Store(f"mongodb://{pipeline.address('mongo')}:27017", "telemetry")
    rows = [{"_id": ObjectId(), "n": number} for number in range(5)]
    other = {"_id": ObjectId(), "n": 3}
    try:
        store.insert("plain", rows)
        assert store.insert("plain", [*rows, other]) == Written(stored=1, duplicates=5)
        store.database["strict"].create_index("n", unique=True)
        store.insert("strict", rows)
        written = store.insert("strict", [*rows, other])
    finally:
        store.close()
    assert (written.stored, written.duplicates, list(written.refused)) == (0, 5, [5])
    assert heard.filters in ([], [{"_id": one["_id"]} for one in (*rows, other)])


def write_until_it_is_gone(store: Store, acknowledged: set[ObjectId]) -> None:
    while True:
        documents: list[dict[str, Any]] = [{"_id": ObjectId()} for _ in range(20)]
        try:
            store.insert("acknowledged", documents)
        except StoreError:
            return
        acknowledged |= {one["_id"] for one in documents}


def test_what_the_store_acknowledged_outlives_its_kill(pipeline: Pipeline) -> None:
    """Of the process: what a loss of power leaves is in test_power_cut.py."""
    rng, acknowledged = random.Random(14), set[ObjectId]()
    for _ in range(2):
        store = Store(f"mongodb://{pipeline.address('mongo')}:27017", "telemetry")
        before = len(acknowledged)
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write_until_it_is_gone, store, acknowledged)
            wait.until(
                lambda before=before: len(acknowledged) > before, what="the first", timeout_s=60
            )
            wait.pause(rng.uniform(0.5, 1.5))
            pipeline.containers["mongo"].kill("SIGKILL")
            writing.result(60)
        store.close()
        pipeline.containers["mongo"].start()
        pipeline.wait_healthy("mongo")
        with pipeline.database() as database:
            found = {row["_id"] for row in database["acknowledged"].find({}, {"_id": 1})}
        assert len(acknowledged) > before
        assert acknowledged - found == set()
