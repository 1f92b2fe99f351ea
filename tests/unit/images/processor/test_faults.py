"""Each answer of a store is of one kind, and each kind is dealt with in one way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from bson.errors import InvalidDocument
from processor import faults
from processor.faults import Kind, StoreError
from processor.store import Store, Written, read_reply
from pymongo import errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 11000, "keyPattern": {"_id": 1}}, Kind.DUPLICATE),
        ({"code": 11000, "errmsg": "E11000 duplicate key: _id_"}, Kind.DUPLICATE),
        ({"code": 11000, "keyPattern": {"name": 1}, "errmsg": "dup name"}, Kind.DATA),
        ({"code": 121}, Kind.DATA),
        ({"code": 189}, Kind.INFRASTRUCTURE),
        ({"code": 14031}, Kind.INFRASTRUCTURE),
        ({"code": 13}, Kind.CONFIGURATION),
        ({"code": 4711}, Kind.UNKNOWN),
        ({}, Kind.UNKNOWN),
    ],
)
def test_a_refused_document_is_of_one_kind(error: dict[str, Any], kind: Kind) -> None:
    assert faults.of_document(error) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.AutoReconnect(), Kind.INFRASTRUCTURE),
        (errors.NetworkTimeout(), Kind.INFRASTRUCTURE),
        (errors.ServerSelectionTimeoutError(), Kind.INFRASTRUCTURE),
        (errors.WaitQueueTimeoutError(), Kind.INFRASTRUCTURE),
        (errors.OperationFailure("no", 91), Kind.INFRASTRUCTURE),
        (errors.OperationFailure("no", 18), Kind.CONFIGURATION),
        (errors.OperationFailure("no", 4711), Kind.UNKNOWN),
        (errors.ConfigurationError(), Kind.CONFIGURATION),
        (errors.DocumentTooLarge("no"), Kind.DATA),
        (InvalidDocument("no"), Kind.DATA),
        (OverflowError(), Kind.DATA),
        (RuntimeError(), Kind.UNKNOWN),
    ],
)
def test_an_exception_is_of_one_kind(error: Exception, kind: Kind) -> None:
    assert faults.of_exception(error) is kind


def test_a_reply_accounts_for_every_document() -> None:
    reply = {
        "ok": 1.0,
        "n": 2,
        "writeErrors": [
            {"index": 1, "code": 11000, "keyPattern": {"_id": 1}},
            {"index": 3, "code": 121, "errmsg": "Document failed validation"},
        ],
    }
    written = read_reply(reply, count=4)
    assert written == Written(stored=2, duplicates=1, refused={3: "Document failed validation"})


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"ok": 1.0, "writeConcernError": {"code": 64}}, Kind.INFRASTRUCTURE),
        ({"ok": 1.0, "writeErrors": [{"index": 0, "code": 11600}]}, Kind.INFRASTRUCTURE),
        ({"ok": 1.0, "writeErrors": [{"index": 0, "code": 4711}]}, Kind.UNKNOWN),
    ],
)
def test_a_reply_that_is_ok_but_tells_of_trouble_is_no_success(
    reply: dict[str, Any], kind: Kind
) -> None:
    with pytest.raises(StoreError) as caught:
        read_reply(reply, count=1)
    assert caught.value.kind is kind


def test_a_duplicate_of_which_the_store_tells_no_key_counts_as_stored_once_it_was_found() -> None:
    """FerretDB's words, which name the collection alone."""
    said = "E11000 duplicate key error collection: telemetry.gpu_metrics"
    reply = {"writeErrors": [{"index": at, "code": 11000, "errmsg": said} for at in (0, 3)]}
    assert faults.unclear_duplicates(reply) == [0, 3]
    written = read_reply(reply, count=4, stored=[0])
    assert written == Written(stored=2, duplicates=1, refused={3: said})
    clear = {"index": 0, "code": 11000, "keyPattern": {"name": 1}, "errmsg": said}
    assert faults.unclear_duplicates({"writeErrors": [clear, clear | {"code": 121}]}) == []


class Picky(Store):
    """A store that says of some documents why it stumbles, and takes the others."""

    def __init__(self, why: Callable[[int], Kind | None]) -> None:
        self.calls: list[int] = []
        self._why = why

    def _insert(self, _: str, documents: Sequence[Any]) -> Written:  # type: ignore[override]
        self.calls.append(len(documents))
        for document in documents:
            if kind := self._why(document["n"]):
                raise StoreError(kind, f"trouble with {document['n']}")
        return Written(stored=len(documents))


def documents(count: int) -> list[dict[str, Any]]:
    return [{"n": number} for number in range(count)]


def test_the_one_document_that_a_store_stumbles_over_is_found_by_halves() -> None:
    store = Picky(lambda n: Kind.UNKNOWN if n == 700 else None)
    written = store.insert_singly("c", documents(1000))
    assert written == Written(stored=999, refused={700: "trouble with 700"})
    assert len(store.calls) < 25


def test_a_store_that_takes_nothing_is_at_fault_itself() -> None:
    with pytest.raises(StoreError, match="trouble with 0"):
        Picky(lambda _: Kind.UNKNOWN).insert_singly("c", documents(4))


def test_a_document_that_cannot_even_be_sent_is_found_at_once() -> None:
    def why(n: int) -> Kind | None:
        return Kind.DATA if n == 3 else None

    class Strict(Picky):
        def _insert(self, _: str, documents: Sequence[Any]) -> Written:  # type: ignore[override]
            if [one["n"] for one in documents] == [3]:  # as the client says of a single one
                return Written(refused={0: "too large"})
            return super()._insert(_, documents)

    written = Strict(why).insert("c", documents(9))
    assert written == Written(stored=8, refused={3: "too large"})


def test_a_store_that_goes_away_while_halves_are_tried_refuses_no_document() -> None:
    store = Picky({1: Kind.UNKNOWN, 3: Kind.INFRASTRUCTURE}.get)
    with pytest.raises(StoreError) as caught:
        store.insert_singly("c", documents(4))
    assert caught.value.kind is Kind.INFRASTRUCTURE
