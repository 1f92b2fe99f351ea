"""What the consume loop does while Kafka or the store does not do its part, and when it can't go on.

On a real broker; the store only speaks the protocol.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from processor import consumer
from processor.topics import Prefixes

from runtime import wait
from tests.contract.loops import World
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
