"""Messages become documents or dead letters; nothing in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from processor.events import (
    RAW_MOST_BYTES,
    GpuMetric,
    Message,
    PoisonError,
    TokenUsage,
    dead_letter,
    decode,
    document_id,
)
from processor.settings import SettingError, Settings
from processor.store import refused, unclear_duplicates
from pymongo.errors import PyMongoError

GPU = {
    "host": "gpu-a",
    "gpu_index": 0,
    "utilization": 50.5,
    "mem_used_mb": 1000,
    "power_w": 200.0,
    "ts": "2026-11-24T12:00:00+02:00",
}
ENV = {
    "BULLION_KAFKA": "k:9092",
    "BULLION_MONGO": "mongodb://m",
    "BULLION_GPU_TOPIC": "g",
    "BULLION_TOKEN_TOPIC": "t",
    "BULLION_DATABASE": "d",
    "BULLION_CONSUMER_GROUP": "c",
    "BULLION_CONSUME_BATCH": "10",
}


def message(value: object, **more: object) -> Message:
    body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    where = {"topic": "t", "topic_id": "id-1", "partition": 3, "offset": 70} | more
    return Message(value=body, **where)


def test_a_good_message_becomes_a_document_in_utc() -> None:
    document = decode(message(GPU), GpuMetric)
    assert document["ts"] == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert document["_id"] == document_id(message(GPU))
    assert document["mem_used_mb"] == 1000


def test_fields_that_are_not_known_yet_do_no_harm() -> None:
    assert "colour" not in decode(message(GPU | {"colour": "red"}), GpuMetric)


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
        (GPU | {"ts": "2026-11-24T12:00:00"}, "no time zone"),
        (GPU | {"ts": "yesterday"}, "RFC3339"),
        (GPU | {"ts": 7}, "Expected `datetime`"),
        (b'{"host": NaN}', "malformed"),
    ],
)
def test_poison_is_refused_with_its_reason(value: object, why: str) -> None:
    with pytest.raises(PoisonError, match=f"(?i){why}"):
        decode(message(value), GpuMetric)


def test_the_end_of_time_is_poison_and_no_crash() -> None:
    for ts in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        with pytest.raises(PoisonError):
            decode(message(GPU | {"ts": ts}), GpuMetric)


def test_a_gpu_message_in_the_token_topic_is_poison() -> None:
    with pytest.raises(PoisonError, match="model"):
        decode(message(GPU), TokenUsage)


def test_the_key_is_the_place_in_kafka_and_a_recreated_topic_has_others() -> None:
    keys = {
        document_id(message(GPU, **where))
        for where in ({}, {"offset": 71}, {"partition": 4}, {"topic_id": "id-2"})
    }
    assert len(keys) == 4
    assert document_id(message(GPU)) == document_id(message({}))


def test_a_dead_letter_keeps_origin_reason_and_capped_bytes() -> None:
    letter = dead_letter(message(b"x" * 100_000), "r" * 5000, now=datetime.now(UTC))
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("t", 3, 70)
    assert (len(letter["value"]), letter["size_bytes"]) == (RAW_MOST_BYTES, 100_000)
    assert len(letter["reason"]) == 1000


def test_a_duplicate_of_the_own_key_counts_as_stored() -> None:
    own = {"index": 0, "code": 11000, "keyPattern": {"_id": 1}}
    unclear = {"index": 1, "code": 11000, "errmsg": "E11000 duplicate key: _id_"}
    assert refused({"writeErrors": [own, unclear]}) == {}


def test_a_duplicate_of_another_index_and_a_broken_rule_are_the_documents_fault() -> None:
    other = {"index": 2, "code": 11000, "keyPattern": {"name": 1}, "errmsg": "dup name"}
    rule = {"index": 5, "code": 121, "errmsg": "Document failed validation"}
    assert refused({"writeErrors": [other, rule]}) == {
        2: "dup name",
        5: "Document failed validation",
    }


def test_a_duplicate_of_which_the_store_tells_no_key_counts_as_stored_once_it_was_found() -> None:
    """FerretDB's words, which name the collection alone."""
    said = "E11000 duplicate key error collection: telemetry.gpu_metrics"
    details = {"writeErrors": [{"index": at, "code": 11000, "errmsg": said} for at in (0, 3)]}
    assert unclear_duplicates(details) == [0, 3]
    assert refused(details, [0]) == {3: said}
    clear = {"index": 0, "code": 11000, "keyPattern": {"name": 1}, "errmsg": said}
    assert unclear_duplicates({"writeErrors": [clear, clear | {"code": 121}]}) == []


@pytest.mark.parametrize(
    "details",
    [
        {"writeConcernErrors": [{"code": 64, "errmsg": "waiting for replication timed out"}]},
        {"writeErrors": [{"index": 0, "code": 189, "errmsg": "primary stepped down"}]},
    ],
)
def test_what_is_not_the_documents_fault_is_tried_again(details: dict[str, object]) -> None:
    with pytest.raises(PyMongoError):
        refused(details)


@pytest.mark.parametrize("name", ENV)
def test_a_missing_setting_is_named(name: str) -> None:
    Settings.parse(ENV)
    with pytest.raises(SettingError, match=name):
        Settings.parse({key: value for key, value in ENV.items() if key != name})


@pytest.mark.parametrize("text", ["0", "many", "100001", "-1"])
def test_a_batch_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="BULLION_CONSUME_BATCH"):
        Settings.parse(ENV | {"BULLION_CONSUME_BATCH": text})
