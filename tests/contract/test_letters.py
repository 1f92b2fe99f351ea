"""Dead letters are replayed by the thousand, and what stops one stops no other; no container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from processor import letters
from processor.events import Origin, dead_letter
from processor.faults import DUPLICATE
from processor.letters import Letters, Replayed
from processor.store import Store

from tests.contract.loops import settings_of
from tests.contract.pipeline import gpu
from tests.contract.sink import Sink

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SETTINGS = settings_of("x", kafka="127.0.0.1:1", mongo="mongodb://127.0.0.1:1")
MANY = 2 * letters.AT_ONCE + 500


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.close()


def fill(sink: Sink, *hosts: str) -> list[ObjectId]:
    """Put a letter per host in the store, each of a good measurement; return their ids."""
    keys = []
    for number, host in enumerate(hosts):
        key, value = ObjectId(number.to_bytes(12, "big")), json.dumps(gpu(host)).encode()
        origin = Origin(topic=SETTINGS.gpu_topic, partition=0, offset=number)
        sink.kept["dead_letters"][key] = dead_letter(key, origin, value, "?", now=NOW)
        keys.append(key)
    return keys


def replay(sink: Sink) -> Replayed:
    store = Store(sink.uri, "d")
    try:
        return Letters(SETTINGS, store).replay([])
    finally:
        store.close()


def test_letters_are_stored_by_the_thousand_under_the_keys_of_their_messages(sink: Sink) -> None:
    keys = fill(sink, *(f"h-{number}" for number in range(MANY)))
    assert replay(sink) == Replayed(stored=MANY)
    assert list(sink.kept["gpu_metrics"]) == keys
    assert sink.kept["dead_letters"] == {}
    assert sink.commands["gpu_metrics"] == 3


@pytest.mark.parametrize(
    ("hosts", "fault"),
    [
        (["a", "bad", "b", "c"], {"code": 4711, "errmsg": "something new"}),
        (["bad"], {"code": 4711, "errmsg": "something new"}),
        (["a", "bad", "b"], {"code": 121, "errmsg": "something new"}),
        (["a", "bad", "b"], {"code": DUPLICATE, "errmsg": "something new", "keyPattern": {"n": 1}}),
    ],
)
def test_a_letter_that_the_store_does_not_take_stays_and_stops_no_other(
    sink: Sink, hosts: list[str], fault: dict[str, Any]
) -> None:
    bad = fill(sink, *hosts)[hosts.index("bad")]
    sink.judge = lambda document: fault if document["host"] == "bad" else None
    done = replay(sink)
    assert (done.stored, done.still_dead, done.ended) == (len(hosts) - 1, 1, "")
    assert "something new" in done.reasons[str(bad)]
    assert list(sink.kept["dead_letters"]) == [bad]


def test_a_report_counts_all_that_stay_and_names_some(sink: Sink) -> None:
    fill(sink, *[""] * (letters.TOLD + 5))  # no host has no name
    done = replay(sink)
    assert (done.still_dead, len(done.reasons)) == (letters.TOLD + 5, letters.TOLD)


def test_a_replay_that_the_store_ends_tells_how_far_it_came(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sink, *(f"h-{number}" for number in range(MANY)))
    away = {"ok": 1.0, "n": 0, "writeConcernError": {"code": 64, "errmsg": "away"}}
    sink.answer = lambda *_: away if sink.commands["gpu_metrics"] > 1 else None
    parameters = {"GPU_TOPIC": SETTINGS.gpu_topic, "TOKEN_TOPIC": "t", "CONSUMER_GROUP": "g"}
    parameters |= {"KAFKA": "127.0.0.1:1", "MONGO": sink.uri, "DATABASE": "d", "CONSUME_BATCH": "9"}
    for name, value in parameters.items():
        monkeypatch.setenv(f"BULLION_{name}", value)

    status = letters.main(["replay", "--all"])

    told = json.loads(capsys.readouterr().out)
    assert (status, told["stored"], told["still_dead"]) == (letters.ENDED, letters.AT_ONCE, 0)
    assert "away" in told["ended"]
    assert len(sink.kept["dead_letters"]) == MANY - letters.AT_ONCE


def test_a_replay_ends_in_time_and_says_so(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "REPLAY_S", -1)
    fill(sink, "a")
    assert "it took" in replay(sink).ended
    assert len(sink.kept["dead_letters"]) == 1
