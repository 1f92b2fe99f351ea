"""The consume loop on a real broker, into a store that fails in every way: nothing lost or twice.

The loop runs in this process and the store only speaks the protocol (sink.py), so that what it
answers can be chosen. test_pipeline.py shows the same of the real images.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupType
from confluent_kafka.admin import AdminClient
from processor import consumer, store
from processor.consumer import Pipeline as Loop
from processor.faults import Kind
from processor.store import Store
from processor.writer import READY, WRITERS

from runtime import wait
from tests.contract.loops import PARTITIONS, World, hold_first_insert, settings_of
from tests.contract.sink import Sink


def test_what_is_sent_is_stored_once_and_committed(world: World) -> None:
    sent = world.send("a", 5000)
    loop = world.start()
    world.arrives(sent)
    world.until(lambda: sum(loop.progress.lag.values()) == 0, "no lag")
    loop.stop(30)
    again = world.start()
    sent |= world.send("b", 10)
    world.arrives(sent)
    assert again.progress.duplicates == 0  # it was committed, so nothing came again
    assert again.progress.consumed == 10


def test_documents_and_dead_letters_are_acknowledged_from_the_journal(world: World) -> None:
    sent = world.send("a", 10)
    world.send("b", 10, topic=world.tokens)  # which they are none of, so dead letters
    world.start()
    world.arrives(sent)
    world.until(lambda: len(world.letters()) == 10, "the dead letters")
    assert set(world.sink.commands) == {"gpu_metrics", "dead_letters"}
    assert all((one["w"], one["j"]) == (1, True) for one in world.sink.concerns)


def test_its_group_is_balanced_by_the_broker(world: World) -> None:
    loop = world.start()
    world.until(lambda: len(loop.progress.assigned) == 2 * PARTITIONS, "all partitions")
    admin = AdminClient({"bootstrap.servers": world.broker.kafka})
    described = admin.describe_consumer_groups([world.group])[world.group].result(30)
    assert described.type is ConsumerGroupType.CONSUMER


def test_a_loop_told_to_stop_under_load_commits_all_that_it_stored(world: World) -> None:
    world.sink.cost_s = 0.0005
    sent = world.send("a", 3000)
    loop = world.start()
    world.until(lambda: len(world.hosts()) > 500, "some documents")
    loop.stop(60)
    stored = len(world.hosts())
    again = world.start()
    world.arrives(sent)
    assert 500 < stored < len(sent)  # it was under load
    assert again.progress.duplicates == 0


def test_a_store_that_is_away_under_load_loses_nothing_and_costs_no_place_in_the_group(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(consumer, "MAX_POLL_MS", 6000)
    loop = world.start()
    sent = world.send("a", 500)
    world.arrives(sent)
    rebalances = loop.progress.rebalances
    world.sink.hangs.set()
    sent |= world.send("b", 5000)
    world.until(lambda: loop.progress.in_flight == WRITERS + READY, "as many batches as may be")
    world.sink.close()
    world.until(lambda: bool(loop.progress.sink), "the loop to say so")
    assert loop.progress.sink_kind is Kind.INFRASTRUCTURE
    wait.pause(9)  # longer than a member may not poll
    assert len(loop.progress.assigned) == 2 * PARTITIONS
    assert loop.progress.consumed == 500
    assert loop.progress.in_flight == WRITERS + READY  # nothing more was taken
    kept, world.sink = world.sink.kept, Sink(world.sink.port)
    world.sink.kept = kept
    world.arrives(sent)
    assert world.letters() == []
    assert loop.progress.problems() == []
    assert loop.progress.rebalances == rebalances
    assert "poll interval" not in caplog.text  # of which Kafka tells once it is polled again


def test_a_store_that_hangs_is_left_after_a_while_and_asked_again(world: World) -> None:
    loop = world.start()
    sent = world.send("a", 300)
    world.arrives(sent)
    world.sink.hangs.set()
    sent |= world.send("b", 300)
    world.until(lambda: bool(loop.progress.sink), "the loop to say so")
    world.sink.hangs.clear()
    world.arrives(sent)
    assert world.letters() == []


def test_an_insert_that_is_never_answered_is_made_again_though_all_else_is(world: World) -> None:
    released = hold_first_insert(world)
    sent = world.send("a", 300)
    world.start()
    world.arrives(sent)
    released.set()


def test_partitions_that_went_are_committed_by_their_new_owner_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "REVOKE_S", 0.1)
    monkeypatch.setattr(store, "SOCKET_MS", 100_000)
    released = hold_first_insert(world)
    sent = world.send("a", 40)
    world.send("a", 40, topic=world.tokens)  # which they are none of, so dead letters
    first = world.start()
    world.until(lambda: first.progress.in_flight > 0, "a batch on its way")
    second = world.start()
    world.until(lambda: len(second.progress.assigned) == PARTITIONS, "the second to have half")
    theirs = dict.fromkeys(second.progress.assigned, 20)
    sent |= world.send("b", 40)
    world.send("b", 40, topic=world.tokens)
    world.until(lambda: world.committed() == theirs, "the second's commits, and no others")
    released.set()
    world.until(lambda: len(world.committed()) == 2 * PARTITIONS, "the first's commits")
    assert world.committed() | theirs == world.committed()
    world.arrives(sent)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"ok": 1.0, "n": 0, "writeConcernError": {"code": 64}}, Kind.INFRASTRUCTURE),
        ({"ok": 0.0, "code": 11600, "errmsg": "interrupted at shutdown"}, Kind.INFRASTRUCTURE),
        ({"ok": 0.0, "code": 4711, "errmsg": "something new"}, Kind.UNKNOWN),
        ({"ok": 0.0, "code": 13, "errmsg": "not authorized"}, Kind.CONFIGURATION),
    ],
    ids=["not journaled", "going down", "unknown", "not authorized"],
)
def test_what_is_not_surely_stored_is_not_committed_and_no_dead_letter(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reply: dict[str, Any],
    kind: Kind,
) -> None:
    monkeypatch.setattr(consumer, "SLOW_S", 1.5)  # longer than any other pause here
    refusals = iter([reply] * 4)
    world.sink.answer = lambda _, __: next(refusals, None)
    loop = world.start()
    sent = world.send("a", 50)
    world.until(lambda: loop.progress.sink_kind is kind, f"a fault of kind {kind}")
    assert loop.progress.commits == 0
    world.arrives(sent)
    assert world.letters() == []
    told = [one for one in caplog.records if "next try in" in one.getMessage()]
    assert told
    for one in told:  # where somebody has to correct something, loudly and seldom
        is_slow = "next try in 1.5 s" in one.getMessage()
        assert (one.levelname == "ERROR", is_slow) == (kind is Kind.CONFIGURATION,) * 2


def test_one_refused_document_is_a_dead_letter_and_its_neighbours_are_stored(world: World) -> None:
    world.sink.judge = lambda document: (
        {"code": 121, "errmsg": "not valid"} if document.get("host") == "a-7" else None
    )
    sent = world.send("a", 300)
    loop = world.start()
    world.arrives(sent - {"a-7"})
    (letter,) = world.letters()
    assert (json.loads(letter["value"])["host"], letter["reason"]) == ("a-7", "not valid")
    world.until(lambda: sum(loop.progress.lag.values()) == 0, "all of it to be committed")


def test_a_document_that_a_store_stumbles_over_for_no_known_reason_is_found(world: World) -> None:
    stumble = {"code": 4711, "errmsg": "something new"}
    world.sink.judge = lambda document: stumble if document.get("host") == "a-7" else None
    sent = world.send("a", 300)
    world.start()
    world.arrives(sent - {"a-7"})
    world.until(lambda: len(world.letters()) == 1, "the dead letter")
    assert "something new" in world.letters()[0]["reason"]


def test_a_run_of_bad_messages_is_told_of_until_good_ones_have_come(world: World) -> None:
    loop = world.start()
    world.send("bad", 1500, topic=world.tokens)
    world.until(lambda: loop.progress.dead_letters == 1500, "1500 dead letters")
    assert any("dead letters" in one for one in loop.progress.problems())
    good = world.send("good", 2500)
    world.arrives(good)
    assert loop.progress.problems() == []
    assert loop.progress.consumed == loop.progress.stored + loop.progress.dead_letters == 4000


def test_a_slow_store_bounds_what_is_taken(world: World) -> None:
    world.sink.cost_s = 0.0005
    sent = world.send("a", 5000)
    loop = world.start()
    seen: set[int] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            seen.add(loop.progress.in_flight)

    watching = threading.Thread(target=watch)
    watching.start()
    world.arrives(sent)
    ended.set()
    watching.join()
    assert world.sink.most_at_once == WRITERS  # overlapping, and no more than that
    assert max(seen) <= WRITERS + READY


def test_loops_that_come_and_go_under_load_lose_nothing(world: World) -> None:
    world.sink.cost_s = 0.0002
    sent = world.send("a", 2000)
    first = world.start()
    for number in range(3):
        other = world.start()
        sent |= world.send(f"b{number}", 2000)
        world.until(lambda other=other: bool(other.progress.assigned), "the other to have a part")
        wait.pause(0.5)
        other.stop(60)
    first.stop(60)
    world.start()
    world.arrives(sent)
    assert world.letters() == []


def test_a_recreated_topic_collides_with_nothing_that_is_kept(world: World) -> None:
    world.start()
    sent = world.send("first", 400)
    world.arrives(sent)
    world.loops[0].stop(30)
    world.broker.delete_topics(world.gpu)
    world.until(lambda: world.gpu not in world.broker.topics(), "the topic to be gone")
    world.broker.create_topics(world.gpu)
    world.group += "-again"  # its offsets went with Kafka
    sent |= world.send("second", 400)
    world.start()
    world.arrives(sent)


def test_lag_is_what_is_not_committed_and_nothing_else(world: World) -> None:
    world.send("a", 40)
    hold = threading.Event()
    held: dict[str, Any] = {"ok": 0.0, "code": 11600, "errmsg": "hold"}
    world.sink.answer = lambda _, __: None if hold.is_set() else held
    loop = world.start()
    world.until(lambda: sum(loop.progress.lag.values()) == 40, "the lag of what is not stored")
    assert len(loop.progress.lag) == 2 * PARTITIONS  # empty ones, too: 0, and not -1
    assert min(loop.progress.lag.values()) == 0
    hold.set()
    world.until(lambda: sum(loop.progress.lag.values()) == 0, "no lag")


def test_what_aged_out_before_it_was_taken_is_no_lag_and_stops_nothing(world: World) -> None:
    first = world.start()
    sent = world.send("a", 40)
    world.arrives(sent)
    world.until(lambda: sum(loop_lag(first)) == 0, "all of it to be committed")
    first.stop(30)
    late = world.send("b", 40)
    world.broker.age_out(world.gpu, 15)  # half of these
    sent |= late - {f"b-{number}" for number in range(20)}
    hold = threading.Event()
    held: dict[str, Any] = {"ok": 0.0, "code": 11600, "errmsg": "hold"}
    world.sink.answer = lambda _, __: None if hold.is_set() else held
    again = world.start()
    world.until(lambda: sum(loop_lag(again)) == 20, "the lag of what is there")
    hold.set()
    world.arrives(sent)


def loop_lag(loop: Loop) -> list[int]:
    """Return its lag by partition, once it knows that of all, or one that is none before."""
    return list(loop.progress.lag.values()) if len(loop.progress.lag) == 2 * PARTITIONS else [-1]


def test_a_broker_that_is_away_is_told_of_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    nobody = settings_of("nobody", kafka="127.0.0.1:1", mongo="mongodb://127.0.0.1:1")
    away = Store(nobody.mongo, "d")
    loop = Loop(nobody, away)
    loop.start()
    wait.pause(4)
    loop.stop(30)
    away.close()
    told = [one.getMessage() for one in caplog.records if "kafka:" in one.getMessage()]
    assert any("refused" in line for line in told)
    assert len(told) <= len({line.partition("str=")[0] for line in told}) <= 3  # one of each kind
