"""What is stored is committed: by who has the partition, once it can be, and not backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from processor import consumer
from processor.batch import Batch
from processor.consumer import Pipeline
from processor.settings import Settings
from processor.store import Store, Written

SETTINGS = Settings(
    kafka="127.0.0.1:1",
    mongo="mongodb://127.0.0.1:1",
    gpu_topic="g",
    token_topic="t",
    database="d",
    consumer_group="group",
    consume_batch=10,
)
AWAY = KafkaError(KafkaError._WAIT_COORD)


class Willing(Store):
    """A store that takes everything."""

    def __init__(self) -> None:
        """Have no client."""

    def _insert(self, _: str, documents: Sequence[Any]) -> Written:
        return Written(stored=len(documents))


class Commits:
    """A consumer that keeps what it is asked to commit, or refuses."""

    def __init__(self) -> None:
        self.asked: list[dict[int, int]] = []
        self.error: KafkaError | None = None

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.asked.append({one.partition: one.offset for one in offsets})
        if self.error:
            raise KafkaException(self.error)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    monkeypatch.setattr(consumer, "AGAIN_S", 0.0)
    made = Pipeline(SETTINGS, Willing())
    made._on_assign(None, [TopicPartition("g", 0), TopicPartition("g", 1)])
    return made


def write(loop: Pipeline, **reach: int) -> None:
    """Have a batch stored that reaches so far, {p0: offset, p1: offset}."""
    places = {("g", int(name[1:])): offset for name, offset in reach.items()}
    rows: dict[str, list[Any]] = {"gpu_metrics": []}
    loop._writer.submit(
        Batch(
            documents=rows,
            messages=rows,
            letters=[],
            reach=places,
            assignment=loop._assignment,
            size=0,
            newest_s=0,
        )
    )
    loop._writer.wait(10)


class Silent:
    """A consumer that has no more messages."""

    def consume(self, *_: object) -> list[Any]:
        return []


def settle(loop: Pipeline, commits: Commits) -> None:
    loop._settle(commits, is_last=False)


def test_what_could_not_be_committed_is_committed_again_without_anything_new(
    loop: Pipeline,
) -> None:
    commits = Commits()
    write(loop, p0=5, p1=7)
    commits.error = AWAY
    settle(loop, commits)
    commits.error = None
    settle(loop, commits)
    settle(loop, commits)
    assert commits.asked == [{0: 5, 1: 7}, {0: 5, 1: 7}]
    assert loop.progress.commit_failures == 1


def test_a_commit_that_failed_later_is_made_again_and_never_behind_a_newer_one(
    loop: Pipeline,
) -> None:
    commits = Commits()
    write(loop, p0=5, p1=7)
    settle(loop, commits)
    write(loop, p0=9)
    settle(loop, commits)
    loop._on_commit(AWAY, [TopicPartition("g", 0, 5), TopicPartition("g", 1, 7)])
    settle(loop, commits)
    assert commits.asked == [{0: 5, 1: 7}, {0: 9}, {1: 7}]


def test_a_commit_that_failed_for_one_partition_is_told_and_made_again_for_that_one(
    loop: Pipeline,
) -> None:
    commits = Commits()

    class Failed:
        topic, partition, offset, error = "g", 1, 7, AWAY

    write(loop, p0=5, p1=7)
    settle(loop, commits)
    loop._on_commit(None, [TopicPartition("g", 0, 5), Failed()])
    settle(loop, commits)
    assert commits.asked == [{0: 5, 1: 7}, {1: 7}]
    assert (loop._committed, loop.progress.commit_failures) == ({("g", 0): 5}, 1)


def test_a_commit_that_nothing_is_heard_of_is_made_again_until_it_is_confirmed(
    loop: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "UNHEARD_S", -1.0)
    monkeypatch.setattr(consumer, "LAG_S", 0.0)
    monkeypatch.setattr(consumer.lag, "look", lambda *_, **__: {})
    commits = Commits()
    write(loop, p0=5, p1=7)
    settle(loop, commits)
    for confirmed in (TopicPartition("g", 0, 5), TopicPartition("g", 1, 7)):
        loop._on_commit(None, [confirmed])
        loop._look(commits)
        settle(loop, commits)
    assert commits.asked == [{0: 5, 1: 7}, {1: 7}]


def test_a_batch_from_before_a_partition_went_and_came_back_commits_nothing_of_it(
    loop: Pipeline,
) -> None:
    commits, gone = Commits(), [TopicPartition("g", 1)]
    write(loop, p0=5, p1=7)
    loop._on_lost(None, gone)  # somebody else may be further by now
    loop._on_assign(None, gone)
    settle(loop, commits)
    assert commits.asked == [{0: 5}]


def test_nothing_is_committed_again_of_a_partition_that_went(loop: Pipeline) -> None:
    commits = Commits()
    write(loop, p0=5, p1=7)
    settle(loop, commits)
    loop._on_commit(AWAY, [TopicPartition("g", 0, 5), TopicPartition("g", 1, 7)])
    loop._on_lost(None, [TopicPartition("g", 1)])
    settle(loop, commits)
    assert commits.asked == [{0: 5, 1: 7}, {0: 5}]


def test_nothing_waits_for_kafka_any_more_once_the_partition_of_what_waited_went(
    loop: Pipeline,
) -> None:
    class Message:
        topic, partition = (lambda _: "g"), (lambda _: 1)

    loop._held, loop.progress.kafka = [Message()], "no id"
    loop._on_lost(None, [TopicPartition("g", 1)])
    loop._take(Silent(), 10)
    assert (loop._held, loop.progress.kafka) == ([], "")
