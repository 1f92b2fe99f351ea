"""A batch: what was taken at once, sorted into what is to be written and how far it reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from processor.events import (
    GpuMetric,
    Origin,
    PoisonError,
    TokenUsage,
    dead_letter,
    decode,
    document_id,
)
from processor.settings import Settings

DEAD_LETTERS = "dead_letters"
Kinds = Mapping[str, tuple[str, type[GpuMetric | TokenUsage]]]  # {topic: (collection, its type)}


def kinds_of(settings: Settings) -> Kinds:
    """Return where the messages of each topic go, and what they must be."""
    return {
        settings.gpu_topic: ("gpu_metrics", GpuMetric),
        settings.token_topic: ("token_usage", TokenUsage),
    }


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some messages in the order in which they were taken.

    Attributes:
        documents: {collection: documents}.
        messages: {collection: the message of each document}.
        letters: dead letters of what is no document.
        reach: {(topic, partition): the offset after the last message}.
        assignment: which assignment of partitions they were taken in.
        size: how many messages it is made of.
        newest_s: when the last of them was sent, in seconds since 1970.
    """

    documents: Mapping[str, Sequence[dict[str, Any]]]
    messages: Mapping[str, Sequence[Any]]
    letters: Sequence[dict[str, Any]]
    reach: Mapping[tuple[str, int], int]
    assignment: int
    size: int
    newest_s: float

    def letters_of(self, collection: str, refused: Mapping[int, str]) -> list[dict[str, Any]]:
        """Return dead letters of the documents that the store refused, by position."""
        now = datetime.now(UTC)
        made = []
        for position, reason in refused.items():
            message = self.messages[collection][position]
            key: ObjectId = self.documents[collection][position]["_id"]
            made.append(dead_letter(key, _origin(message), message.value(), reason, now=now))
        return made


def sort(
    taken: Sequence[Any], kinds: Kinds, prefix_of: Callable[[str, int], bytes], assignment: int = 0
) -> Batch:
    """Sort messages, at least one, as confluent_kafka gives them and without errors.

    `prefix_of` returns how the keys of a partition's messages begin.
    """
    documents: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in kinds.values()}
    messages: dict[str, list[Any]] = {name: [] for name in documents}
    letters: list[dict[str, Any]] = []
    reach: dict[tuple[str, int], int] = {}
    lanes: dict[tuple[str, int], tuple[bytes, Any, list[Any], list[Any]]] = {}
    for message in taken:  # each of these lines is run for each message: they are few and plain
        place = message.topic(), message.partition()
        if place not in lanes:
            collection, kind = kinds[place[0]]
            lanes[place] = prefix_of(*place), kind, documents[collection], messages[collection]
        prefix, kind, of_kind, taken_of_kind = lanes[place]
        offset, value = message.offset(), message.value()
        reach[place] = offset + 1
        key = document_id(prefix, offset)
        try:
            document = decode(value, kind)
        except PoisonError as poison:
            now = datetime.now(UTC)
            letters.append(dead_letter(key, _origin(message), value, str(poison), now=now))
            continue
        document["_id"] = key
        of_kind.append(document)
        taken_of_kind.append(message)
    return Batch(
        documents=documents,
        messages=messages,
        letters=letters,
        reach=reach,
        assignment=assignment,
        size=len(taken),
        newest_s=taken[-1].timestamp()[1] / 1000,
    )


def _origin(message: Any) -> Origin:
    return Origin(topic=message.topic(), partition=message.partition(), offset=message.offset())
