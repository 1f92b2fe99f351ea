"""Messages become documents or dead letters; nothing in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from processor.events import (
    RAW_MOST_BYTES,
    GpuMetric,
    Origin,
    PoisonError,
    TokenUsage,
    dead_letter,
    decode,
    document_id,
    key_prefix,
)

GPU = {
    "host": "gpu-a",
    "gpu_index": 0,
    "utilization": 50.5,
    "mem_used_mb": 1000,
    "power_w": 200.0,
    "ts": "2026-11-24T12:00:00+02:00",
}


def body(value: object) -> bytes | None:
    return value if isinstance(value, bytes | None) else json.dumps(value).encode()


def test_a_good_message_becomes_a_document_in_utc() -> None:
    document = decode(body(GPU), GpuMetric)
    assert document["ts"] == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert document["mem_used_mb"] == 1000


def test_fields_that_are_not_known_yet_do_no_harm() -> None:
    assert "colour" not in decode(body(GPU | {"colour": "red"}), GpuMetric)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"nonsense", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"x": ' + b"[" * 100_000, "recursion"),
        ({}, "missing required field"),
        (GPU | {"utilization": 101}, "<= 100"),
        (GPU | {"utilization": "50"}, "Expected `float`"),
        (GPU | {"utilization": None}, "Expected `float`"),
        (GPU | {"gpu_index": -1}, ">= 0"),
        (GPU | {"gpu_index": 1.5}, "Expected `int`"),
        (GPU | {"host": ""}, "length >= 1"),
        (GPU | {"host": "h" * 257}, "length <= 256"),
        (GPU | {"host": "a\0b"}, "zero byte"),
        (GPU | {"ts": "2026-11-24T12:00:00"}, "timezone"),
        (GPU | {"ts": "yesterday"}, "RFC3339"),
        (GPU | {"ts": 7}, "Expected `datetime`"),
        (b'{"host": NaN}', "malformed"),
    ],
)
def test_poison_is_refused_with_its_reason(value: object, why: str) -> None:
    with pytest.raises(PoisonError, match=f"(?i){why}"):
        decode(body(value), GpuMetric)


def test_the_end_of_time_is_poison_and_no_crash() -> None:
    for ts in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(PoisonError):
            decode(body(GPU | {"ts": ts}), GpuMetric)


def test_a_gpu_message_in_the_token_topic_is_poison() -> None:
    with pytest.raises(PoisonError, match="model"):
        decode(body(GPU), TokenUsage)


def test_the_key_is_the_place_in_kafka_and_a_recreated_topic_has_others() -> None:
    places = [("id-1", 3, 70), ("id-1", 3, 71), ("id-1", 4, 70), ("id-2", 3, 70)]
    keys = [document_id(key_prefix(topic, number), offset) for topic, number, offset in places]
    assert len(set(keys)) == len(places)
    assert keys[0] == document_id(key_prefix("id-1", 3), 70)
    assert keys[0] < keys[1]


def test_a_dead_letter_keeps_origin_reason_and_capped_bytes() -> None:
    key = document_id(key_prefix("id", 3), 70)
    origin = Origin(topic="t", partition=3, offset=70)
    letter = dead_letter(key, origin, b"x" * 100_000, "r" * 5000, now=datetime.now(UTC))
    assert (letter["_id"], letter["topic"], letter["partition"]) == (key, "t", 3)
    assert letter["offset"] == 70
    assert (len(letter["value"]), letter["size_bytes"]) == (RAW_MOST_BYTES, 100_000)
    assert len(letter["reason"]) == 1000
