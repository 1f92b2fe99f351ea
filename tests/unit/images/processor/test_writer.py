"""Batches are finished in the order they were taken, and written again as their fault asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from processor import store as stores
from processor.batch import DEAD_LETTERS, Batch
from processor.faults import Kind, StoreError
from processor.store import Store, Written
from processor.writer import ISOLATE_AFTER, READY, REFUSE_AFTER, WRITERS, Writer, write

AWAY, UNKNOWN = (StoreError(kind, kind) for kind in (Kind.INFRASTRUCTURE, Kind.UNKNOWN))


def batch(number: int, size: int = 1) -> Batch:
    return Batch(
        documents={"c": [{"_id": f"{number}-{place}"} for place in range(size)]},
        messages={"c": [object()] * size},
        letters=[],
        reach={("t", 0): number},
        assignment=0,
        size=size,
        newest_s=0,
    )


class Scripted(Store):
    """A store whose commands do as they are told."""

    def __init__(self, insert: Callable[[str, Sequence[Any]], Written]) -> None:
        self._do = insert  # and no client

    def _insert(self, collection: str, documents: Sequence[Any]) -> Written:
        return self._do(collection, documents)


def stored(_: str, documents: Sequence[Any]) -> Written:
    return Written(stored=len(documents))


def settle(writer: Writer) -> StoreError | None:
    """Wait until the first batch is through or has failed; return why it has."""
    writer.wait(10)
    return writer.failure()


def test_batches_are_finished_in_the_order_they_were_taken() -> None:
    held = threading.Event()

    def insert(collection: str, documents: Sequence[Any]) -> Written:
        if documents[0]["_id"] == "1-0":
            held.wait(10)
        return stored(collection, documents)

    writer = Writer(Scripted(insert))
    writer.submit(batch(1))
    writer.submit(batch(2))
    writer._row[1].future.result(10)
    assert list(writer.finished()) == []
    held.set()
    writer.wait(10)
    assert [one.reach["t", 0] for one, _ in writer.finished()] == [1, 2]


def test_a_row_that_is_full_has_no_room() -> None:
    held = threading.Event()
    writer = Writer(Scripted(lambda *_: held.wait(10) and Written(stored=1)))
    for number in range(WRITERS + READY):
        assert writer.has_room
        writer.submit(batch(number))
    assert not writer.has_room
    held.set()


def test_failures_of_a_store_that_is_away_are_no_reason_to_look_for_a_document_at_fault() -> None:
    failures: Iterator[StoreError] = iter([AWAY] * (ISOLATE_AFTER + 1) + [UNKNOWN])
    sizes: list[int] = []

    def insert(collection: str, documents: Sequence[Any]) -> Written:
        sizes.append(len(documents))
        if error := next(failures, None):
            raise error
        return stored(collection, documents)

    writer = Writer(Scripted(insert))
    writer.submit(batch(1, size=8))
    while settle(writer):
        writer.retry()
    ((_, outcome),) = writer.finished()
    assert outcome.stored == 8
    assert set(sizes) == {8}  # whole each time


def test_a_document_alone_that_no_store_takes_becomes_a_dead_letter_in_the_end() -> None:
    tries = 0

    def insert(collection: str, documents: Sequence[Any]) -> Written:
        nonlocal tries
        if collection == DEAD_LETTERS:
            return stored(collection, documents)
        tries += 1
        raise UNKNOWN

    class Message:
        topic = partition = offset = value = lambda _: None

    writer = Writer(Scripted(insert))
    writer.submit(Batch(**vars(batch(1)) | {"messages": {"c": [Message()]}}))
    while settle(writer):
        writer.retry()
    ((_, outcome),) = writer.finished()
    assert (outcome.stored, outcome.dead_letters) == (0, 1)
    assert tries == REFUSE_AFTER + 1


@pytest.mark.parametrize("lost", [1, -1], ids=["lost", "doubled"])
def test_a_batch_of_which_not_each_message_came_to_something_is_not_through(lost: int) -> None:
    with pytest.raises(RuntimeError, match="10 messages: stored="):
        write(batch(1, size=10), lambda _, rows: Written(stored=len(rows) - lost))


def test_more_documents_than_one_command_takes_go_in_several_and_none_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "MOST", 3)
    seen: list[str] = []

    def insert(collection: str, documents: Sequence[Any]) -> Written:
        assert len(documents) <= 3
        seen.extend(one["_id"] for one in documents)
        return stored(collection, documents)

    outcome = write(batch(1, size=10), Scripted(insert).insert)
    assert outcome.stored == 10
    assert seen == [f"1-{place}" for place in range(10)]
