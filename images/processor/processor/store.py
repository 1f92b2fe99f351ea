"""The store: journaled, unordered, idempotent inserts and a few bounded reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bson.errors import InvalidDocument
from pymongo import DESCENDING, MongoClient
from pymongo.errors import BulkWriteError, DocumentTooLarge, PyMongoError
from pymongo.write_concern import WriteConcern

DUPLICATE = 11000
VALIDATION = 121
TIMEOUT_MS = 5000


class Store:
    """Collections of one database; every write is acknowledged after the journal has it."""

    def __init__(self, uri: str, database: str) -> None:
        """Connect lazily to `uri`; nothing is asked yet."""
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            tz_aware=True,
            serverSelectionTimeoutMS=TIMEOUT_MS,
            connectTimeoutMS=TIMEOUT_MS,
            socketTimeoutMS=30_000,
            retryWrites=False,  # a standalone server has none; our key makes a repeat safe
        )
        self._database = self._client.get_database(
            database, write_concern=WriteConcern(w=1, j=True, wtimeout=20_000)
        )

    def insert(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """Store documents; return {position: reason} of those the store will never take.

        A document whose key is there already counts as stored.

        Raises:
            PyMongoError: nothing is known to be stored; the same call may be made again.
        """
        if not documents:
            return {}
        try:
            self._database[collection].insert_many(list(documents), ordered=False)
        except BulkWriteError as error:
            unclear = {at: documents[at]["_id"] for at in unclear_duplicates(error.details)}
            stored = self._stored(collection, list(unclear.values()))
            return refused(error.details, [at for at, key in unclear.items() if key in stored])
        except (InvalidDocument, DocumentTooLarge, OverflowError) as error:
            if len(documents) == 1:
                return {0: str(error)}
            return self._one_by_one(collection, documents)
        return {}

    def latest_gpu(self) -> dict[str, Any] | None:
        """Return the newest GPU measurement, with what the catalogue knows of that GPU."""
        newest = self._database["gpu_metrics"].find_one(
            sort=[("ts", DESCENDING)], max_time_ms=TIMEOUT_MS
        )
        if newest is None:
            return None
        known = self._database["gpus"].find_one({"gpu_index": newest["gpu_index"]})
        return newest | {"gpu": known}

    def ping(self) -> None:
        """Ask the server whether it is there; raises PyMongoError if not."""
        self._client.admin.command("ping")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _stored(self, collection: str, keys: Sequence[Any]) -> set[Any]:
        """Return those of `keys` that a document has."""
        if not keys:
            return set()
        found = self._database[collection].find({"_id": {"$in": list(keys)}}, {"_id": 1})
        return {document["_id"] for document in found}

    def _one_by_one(
        self, collection: str, documents: Sequence[Mapping[str, Any]]
    ) -> dict[int, str]:
        found: dict[int, str] = {}
        for position, document in enumerate(documents):
            if refused_here := self.insert(collection, [document]):
                found[position] = refused_here[0]
        return found


def refused(details: Mapping[str, Any], stored: Collection[int] = ()) -> dict[int, str]:
    """Return {position: reason} out of a bulk write's details; a duplicate key is no refusal.

    Args:
        details: as pymongo has them.
        stored: positions of unclear duplicates whose own key was found in the store.

    Raises:
        PyMongoError: the details tell of something that is not the documents' fault.
    """
    if details.get("writeConcernErrors"):
        message = f"not journaled: {details['writeConcernErrors']}"
        raise PyMongoError(message)
    found = {}
    for error in details.get("writeErrors", ()):
        if error["code"] == DUPLICATE and (is_own_key(error) or error["index"] in stored):
            continue
        if error["code"] not in {DUPLICATE, VALIDATION}:
            message = f"the store failed: {error.get('errmsg', error['code'])}"
            raise PyMongoError(message)
        found[error["index"]] = error.get("errmsg", "refused by the store")
    return found


def is_own_key(error: Mapping[str, Any]) -> bool:
    """Return whether a duplicate is of `_id`, which means that the document is stored already."""
    pattern = error.get("keyPattern")
    return pattern == {"_id": 1} if pattern else "_id" in error.get("errmsg", "_id")


def unclear_duplicates(details: Mapping[str, Any]) -> list[int]:
    """Return positions of duplicates of which the store does not tell the key, as FerretDB's."""
    return [
        error["index"]
        for error in details.get("writeErrors", ())
        if error["code"] == DUPLICATE and not error.get("keyPattern") and not is_own_key(error)
    ]
