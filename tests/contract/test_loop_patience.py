"""What the consume loop does while Kafka or the store does not do its part, and when it can't go on.

On a real broker; the store only speaks the protocol.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from processor import consumer, stall
from processor.topics import Prefixes

from runtime import wait
from tests.contract.loops import PARTITIONS, World
from tests.contract.pipeline import GPU_TOPIC, Pipeline, gpu
from tests.contract.test_faults import HOOK, killed_by

BUG = """
import msgspec

class Decoder:
    def __init__(self, *_, **__):
        pass

    def decode(self, _):
        raise LookupError("a bug")

msgspec.json.Decoder = Decoder
"""


def test_messages_wait_for_their_keys_while_kafka_does_not_tell_the_id_of_their_topic(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.topics.ASK_S", 0.5)
    sent = world.send("a", 50)
    loop = world.start(begin=False)
    right, loop._prefixes = loop._prefixes, Prefixes("127.0.0.1:1", loop._on_error)
    loop.start()
    world.until(lambda: bool(loop.progress.kafka), "the loop to say so")
    assert any("kafka: " in one for one in loop.progress.problems())
    assert (world.hosts(), loop.progress.fatal) == ([], "")
    loop._prefixes = right
    world.arrives(sent)
    world.until(lambda: sum(loop.progress.lag.values()) == 0, "all of it to be committed")
    assert loop.progress.problems() == []


def test_lag_grows_while_the_store_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "LAG_S", 0.2)
    loop = world.start()
    sent = world.send("a", 40)
    world.arrives(sent)
    world.sink.answer = lambda *_: {"ok": 0.0, "code": 11600, "errmsg": "going down"}
    world.send("b", 40)
    world.until(lambda: bool(loop.progress.sink), "the loop to say so")
    world.send("c", 1000)
    world.until(lambda: sum(loop.progress.lag.values()) == 1040, "the lag of all of them")


class Forgetful(Consumer):
    """A client that may lose all of its partitions, and does not say so."""

    is_lost = False

    def consume(self, *arguments: Any) -> list[Any]:
        if type(self).is_lost:
            self.pause(self.assignment())
        return list(super().consume(*arguments))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Forgetful]:
    """What loops make; it is looked after once it stands still for a second."""
    monkeypatch.setattr(Forgetful, "is_lost", False)
    monkeypatch.setattr(consumer, "Consumer", Forgetful)
    monkeypatch.setattr(consumer, "LAG_S", 0.2)
    monkeypatch.setattr(stall, "STILL_S", 1.0)
    return Forgetful


@pytest.mark.parametrize("had", [0, 40])
def test_a_client_that_gets_nothing_of_what_another_would_get_ends_the_loop(
    world: World, client: type[Forgetful], had: int
) -> None:
    loop = world.start()
    world.arrives(world.send("a", had))
    world.until(lambda: len(loop.progress.lag) == 2 * PARTITIONS, "all partitions")
    client.is_lost = True
    wait.pause(3)
    assert loop.progress.fatal == ""  # there is nothing to get
    world.send("b", 1)
    world.until(lambda: bool(loop.progress.fatal), "the loop to end")
    assert f"{world.gpu}/0: Kafka has more" in loop.progress.fatal


@pytest.mark.usefixtures("client")
def test_the_end_of_a_transaction_is_nothing_to_get(
    world: World,
) -> None:
    loop = world.start()
    config = {"bootstrap.servers": world.broker.kafka, "transactional.id": world.group}
    producer = Producer(config)
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(world.gpu, json.dumps(gpu("t-0")).encode(), partition=0)
    producer.commit_transaction(30)
    world.arrives({"t-0"})
    world.until(lambda: sum(loop.progress.lag.values()) == 1, "the offset of its end")
    wait.pause(5)
    assert loop.progress.fatal == ""


def test_a_loop_that_ends_by_itself_ends_the_program_so_that_docker_starts_it_again(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    processor = pipeline.containers["processor"]
    processor.stop(timeout=50)
    pipeline.send(GPU_TOPIC, gpu("bug-0"))
    (tmp_path / HOOK).write_text(BUG)
    tmp_path.chmod(0o755)  # the image does not run as root
    assert killed_by(pipeline, tmp_path / HOOK) == 1
    processor.start()
    assert pipeline.arrive("bug-", 1) == ["bug-0"]
    wait.until(lambda: pipeline.health()[0] == 200, what="/health to be good", timeout_s=60)
