"""A batch accounts for each of its messages, and reaches as far as its last one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from processor.batch import DEAD_LETTERS, sort
from processor.events import GpuMetric, TokenUsage, document_id, key_prefix
from processor.faults import StoreError
from processor.store import Written
from processor.writer import Outcome, write

GPU = {"host": "a", "gpu_index": 0, "utilization": 1, "mem_used_mb": 1, "power_w": 1}
TOKENS = {"model": "m", "prompt_tokens": 1, "completion_tokens": 2, "cost_per_token": 0.5}
TS = {"ts": "2026-11-24T12:00:00Z"}
KINDS = {"g": ("gpu_metrics", GpuMetric), "t": ("token_usage", TokenUsage)}


class Taken(NamedTuple):
    """A message as the client gives it, whose fields are calls."""

    where: tuple[str, int, int]
    body: bytes | None

    def topic(self) -> str:
        return self.where[0]

    def partition(self) -> int:
        return self.where[1]

    def offset(self) -> int:
        return self.where[2]

    def value(self) -> bytes | None:
        return self.body

    def timestamp(self) -> tuple[int, int]:
        return 1, 1000 * self.where[2]


def taken(topic: str, partition: int, offset: int, value: object) -> Taken:
    return Taken((topic, partition, offset), json.dumps(value).encode())


MESSAGES = [
    taken("g", 0, 5, GPU | TS),
    taken("t", 1, 9, TOKENS | TS),
    taken("g", 0, 6, {"host": "a"}),
    taken("g", 2, 7, GPU | TS),
    Taken(("t", 1, 10), None),
]


def prefix(topic: str, partition: int) -> bytes:
    return key_prefix(f"id of {topic}", partition)


def test_each_message_is_a_document_of_its_collection_or_a_dead_letter() -> None:
    batch = sort(MESSAGES, KINDS, prefix)
    assert {name: len(rows) for name, rows in batch.documents.items()} == {
        "gpu_metrics": 2,
        "token_usage": 1,
    }
    assert [letter["offset"] for letter in batch.letters] == [6, 10]
    assert batch.size == len(MESSAGES)
    assert batch.newest_s == 10
    first = batch.documents["gpu_metrics"][0]
    assert first["_id"] == document_id(prefix("g", 0), 5)


def test_a_batch_reaches_beyond_the_last_message_of_each_partition_dead_or_alive() -> None:
    assert sort(MESSAGES, KINDS, prefix).reach == {("g", 0): 7, ("t", 1): 11, ("g", 2): 8}


class Remembering:
    """An insert that keeps what it is given and answers as it was told to."""

    def __init__(self, answers: Mapping[str, Written]) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self._answers = answers

    def __call__(self, collection: str, documents: Sequence[dict[str, Any]]) -> Written:
        self.kept.setdefault(collection, []).extend(documents)
        return self._answers.get(collection, Written(stored=len(documents)))


def test_what_the_store_refuses_becomes_a_dead_letter_with_its_bytes() -> None:
    insert = Remembering({"gpu_metrics": Written(stored=1, refused={1: "not valid"})})
    outcome = write(sort(MESSAGES, KINDS, prefix), insert)
    assert outcome == Outcome(stored=2, duplicates=0, dead_letters=3)
    letter = insert.kept[DEAD_LETTERS][-1]
    assert (letter["partition"], letter["offset"], letter["reason"]) == (2, 7, "not valid")
    assert json.loads(letter["value"]) == GPU | TS


def test_a_batch_is_not_through_while_a_dead_letter_of_it_is_not_kept() -> None:
    insert = Remembering({DEAD_LETTERS: Written(refused={0: "too large"})})
    with pytest.raises(StoreError, match="too large"):
        write(sort(MESSAGES, KINDS, prefix), insert)


def test_large_dead_letters_go_in_several_commands() -> None:
    bad = [Taken(("g", 0, offset), b"x" * 70_000) for offset in range(250)]
    sizes: list[int] = []

    def insert(_: str, documents: Sequence[Any]) -> Written:
        sizes.append(len(documents))
        return Written(stored=len(documents))

    assert write(sort(bad, KINDS, prefix), insert).dead_letters == 250
    assert sizes == [100, 100, 50]
