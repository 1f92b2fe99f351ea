"""Topics on a real broker, as its machine makes them: they grow, and loops take what is new."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import pytest
from confluent_kafka.admin import AdminClient

from runtime.settings import ROOT
from tests.contract.loops import PARTITIONS, World
from tests.contract.pipeline import Pipeline

PROBE = ROOT / "runtime/rootfs/kafka/usr/lib/bullion/probe"
MORE = 6


@pytest.fixture(scope="module")
def probe() -> SimpleNamespace:
    """The program on the broker's machine."""
    return SimpleNamespace(**runpy.run_path(str(PROBE)))  # which leaves no bytecode beside it


def ensure(probe: SimpleNamespace, world: World, partitions: int) -> dict[str, dict[str, int]]:
    """Have the topics made as wanted; return what there is of them."""
    admin = AdminClient({"bootstrap.servers": world.broker.kafka})
    names = {"BULLION_GPU_TOPIC": world.gpu, "BULLION_TOKEN_TOPIC": world.tokens}
    probe.ensure(admin, names | {"BULLION_TOPIC_PARTITIONS": str(partitions)})
    return dict(probe.describe(admin, [world.gpu, world.tokens])["topics"])


def sizes(found: dict[str, dict[str, int]]) -> set[tuple[int, int]]:
    return {(topic["partitions"], topic["leaders"]) for topic in found.values()}


def test_missing_topics_are_made_and_those_there_are_stay(
    broker: Pipeline, world: World, probe: SimpleNamespace
) -> None:
    broker.delete_topics(world.tokens)
    world.until(lambda: world.tokens not in broker.topics(), "the topic to be gone")
    assert sizes(ensure(probe, world, PARTITIONS)) == {(PARTITIONS, PARTITIONS)}


def test_a_loop_takes_what_is_in_partitions_that_are_added_while_it_runs(
    world: World, probe: SimpleNamespace
) -> None:
    loop = world.start()
    sent = world.send("before", 400)
    world.arrives(sent)

    assert sizes(ensure(probe, world, MORE)) == {(MORE, MORE)}

    world._producer.list_topics(world.gpu, timeout=10)  # else it learns of them in five minutes
    sent |= world.send("after", 600, partitions=MORE)
    world.arrives(sent)
    assert len(loop.progress.assigned) == 2 * MORE
    assert world.letters() == []


def test_fewer_partitions_than_there_are_change_nothing_and_it_is_said(
    world: World, probe: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sizes(ensure(probe, world, 1)) == {(PARTITIONS, PARTITIONS)}
    said = capsys.readouterr().out
    for name in (world.gpu, world.tokens):
        assert f"topic {name} keeps its {PARTITIONS} partitions; 1 has no effect on it" in said


def test_as_many_loops_as_there_are_partitions_of_both_topics_have_one_each(world: World) -> None:
    """So nobody is idle up to twice topic_partitions, which is what Terraform refuses beyond."""
    loops = [world.start() for _ in range(2 * PARTITIONS)]
    world.until(lambda: all(len(one.progress.assigned) == 1 for one in loops), "one for each")
    assert len({one.progress.assigned[0] for one in loops}) == 2 * PARTITIONS
    world.arrives(world.send("a", 400))
