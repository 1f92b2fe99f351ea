"""Messages into documents: typed, bounded, and refused with a reason when they are neither.

Pure functions; nothing here talks to Kafka or the store.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

import msgspec
from bson import Binary, ObjectId
from msgspec import Meta

RAW_MOST_BYTES = 65_536  # of a poison message that are kept
_ESCAPE = ord("\\")  # JSON can hold a zero byte in no other way, and this is quick to look for

_UNREADABLE = (
    msgspec.DecodeError,
    UnicodeDecodeError,
    RecursionError,
    OverflowError,  # of a time that is before the year 1 or after 9999 in UTC
)

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Time = Annotated[datetime, Meta(tz=True)]


class GpuMetric(TypedDict):
    """A measurement of one GPU: percent, MiB, watts and the time it was taken."""

    host: _Name
    gpu_index: Annotated[int, Meta(ge=0, le=1023)]
    utilization: Annotated[float, Meta(ge=0, le=100)]
    mem_used_mb: Annotated[float, Meta(ge=0, le=1e9)]
    power_w: Annotated[float, Meta(ge=0, le=1e6)]
    ts: _Time


class TokenUsage(TypedDict):
    """Tokens that one call of a model used; cost in US dollars per token."""

    model: _Name
    prompt_tokens: _Count
    completion_tokens: _Count
    cost_per_token: Annotated[float, Meta(ge=0, le=1e6)]
    ts: _Time


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a message stands in Kafka."""

    topic: str
    partition: int
    offset: int


class PoisonError(Exception):
    """The message can never be stored as what it should be."""


_DECODERS: dict[type, Any] = {
    kind: msgspec.json.Decoder(kind, strict=True) for kind in (GpuMetric, TokenUsage)
}


def key_prefix(topic_id: str, partition: int) -> bytes:
    """Return how the keys of a partition's messages begin: 4 bytes of the topic's id, 2 of its own.

    The topic's id is random per creation, so a wiped Kafka never collides with kept documents.
    """
    return zlib.crc32(topic_id.encode()).to_bytes(4, "big") + partition.to_bytes(2, "big")


def document_id(prefix: bytes, offset: int) -> ObjectId:
    """Return a message's key: the partition's prefix and 6 bytes of offset.

    An ObjectId is the store's own key type; these grow in order per partition.
    """
    return ObjectId(prefix + offset.to_bytes(6, "big"))


def decode(value: bytes | None, kind: type[GpuMetric | TokenUsage]) -> dict[str, Any]:
    """Return the document in a message's value, as yet without a key.

    Raises:
        PoisonError: not JSON, a field missing, of another type or out of bounds, or a time
            without zone or beyond what the store can hold.
    """
    if value is None:
        reason = "the message has no value"
        raise PoisonError(reason)
    try:
        document: dict[str, Any] = _DECODERS[kind].decode(value)
        if document["ts"].tzinfo is not UTC:
            document["ts"] = document["ts"].astimezone(UTC)
    except _UNREADABLE as error:
        raise PoisonError(str(error)) from error
    if _ESCAPE in value and any(
        "\0" in text for text in document.values() if isinstance(text, str)
    ):
        reason = "a text holds a zero byte"
        raise PoisonError(reason)
    return document


def dead_letter(
    key: ObjectId, origin: Origin, value: bytes | None, reason: str, *, now: datetime
) -> dict[str, Any]:
    """Return the record of a poison message: reason, origin and its bytes, capped."""
    return {
        "_id": key,
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "reason": reason[:1000],
        "value": Binary(value[:RAW_MOST_BYTES]) if value is not None else None,
        "size_bytes": len(value) if value is not None else 0,
        "first_seen": now,
    }
