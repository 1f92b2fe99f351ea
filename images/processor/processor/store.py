"""Writing to the store: journaled, unordered, idempotent inserts, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymongo
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from processor import faults
from processor.faults import Kind, StoreError

TIMEOUT_MS = 5000
PING_S = 3  # less than the container's health check waits, so that it gets the reason
SOCKET_MS = 30_000  # a store that does not answer for so long will not
MOST = 10_000  # documents of one command: far below the protocol's 48 MB, however long the names
_CONCERN = {"w": 1, "j": True, "wtimeout": 20_000}


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of some documents: all of them are accounted for.

    Attributes:
        stored, duplicates: how many are new, and how many were there.
        refused: {position: reason} of those that the store will never take.
    """

    stored: int = 0
    duplicates: int = 0
    refused: Mapping[int, str] = field(default_factory=dict)


class Store:
    """Collections of one database; every write is acknowledged after the journal has it."""

    def __init__(self, uri: str, database: str) -> None:
        """Connect lazily to `uri`; nothing is asked yet."""
        self.client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            tz_aware=True,
            serverSelectionTimeoutMS=TIMEOUT_MS,
            connectTimeoutMS=TIMEOUT_MS,
            socketTimeoutMS=SOCKET_MS,
            retryWrites=False,  # a standalone server has none; our key makes a repeat safe
        )
        self.database = self.client.get_database(database)

    def insert(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> Written:
        """Store documents, whose keys tell those that are there already.

        Raises:
            StoreError: nothing is known to be stored; the same call may be made again.
        """
        chunks = [documents[start : start + MOST] for start in range(0, len(documents), MOST)]
        parts = []
        for chunk in chunks:
            try:
                parts.append(self._insert(collection, chunk))
            except StoreError as error:
                if error.kind is not Kind.DATA or len(chunk) == 1:
                    raise
                parts.append(self._by_halves(collection, chunk))  # one can't even be sent
        return _join([len(chunk) for chunk in chunks], parts)

    def insert_singly(
        self,
        collection: str,
        documents: Sequence[Mapping[str, Any]],
        *,
        is_last_resort: bool = False,
    ) -> Written:
        """Store documents of which the store does not take some, for reasons it can't name.

        By halves, so that a few bad ones cost little. A document is refused only where others of
        the same call are taken: a store that takes nothing is at fault itself. As a last resort
        those are refused, too, as one that is alone would be tried for ever.

        Raises:
            StoreError: it takes none.
        """
        try:
            return self.insert(collection, documents)
        except StoreError as error:
            if error.kind is not Kind.UNKNOWN:
                raise
            if is_last_resort and len(documents) == 1:
                return Written(refused={0: str(error)})
            if len(documents) == 1:
                raise
        return self._by_halves(collection, documents, is_last_resort=is_last_resort)

    def _by_halves(
        self,
        collection: str,
        documents: Sequence[Mapping[str, Any]],
        *,
        is_last_resort: bool = False,
    ) -> Written:
        middle = len(documents) // 2
        halves = (documents[:middle], documents[middle:])
        parts: list[Written] = []
        failures: list[StoreError] = []
        for half in halves:
            try:
                part = self.insert_singly(collection, half, is_last_resort=is_last_resort)
                parts.append(part)
            except StoreError as error:
                if error.kind is not Kind.UNKNOWN:
                    raise
                failures.append(error)
                parts.append(Written(refused=dict.fromkeys(range(len(half)), str(error))))
        if len(failures) == len(halves):
            raise failures[0]
        return _join([len(half) for half in halves], parts)

    def ping(self) -> None:
        """Ask the server whether it is there; raises PyMongoError if it does not say so in time."""
        with pymongo.timeout(PING_S):
            self.client.admin.command("ping")

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def _insert(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> Written:
        """Store few enough documents with one command.

        The command itself, at half the cost of `insert_many`; its reply has to be read, as
        refusals and a missing journal come inside one that is ok.
        """
        try:
            reply = self.database.command(
                "insert", collection, documents=documents, ordered=False, writeConcern=_CONCERN
            )
        except Exception as error:
            kind = faults.of_exception(error)
            if kind is Kind.DATA and len(documents) == 1:
                return Written(refused={0: str(error)})
            raise StoreError(kind, f"{type(error).__name__}: {error}") from error
        unclear = {at: documents[at]["_id"] for at in faults.unclear_duplicates(reply)}
        known = self._known(collection, list(unclear.values()))
        stored = [at for at, key in unclear.items() if key in known]
        return read_reply(reply, count=len(documents), stored=stored)

    def _known(self, collection: str, keys: Sequence[Any]) -> set[Any]:
        """Return those of `keys`, each of a document refused as a duplicate, that a document has.

        Where the key alone must be unique, all. Else they are asked for one by one: FerretDB on
        SQLite finds one key by its index, and several by reading all documents, which takes longer
        than it may as soon as there are some ten thousand.
        """
        if not keys:
            return set()
        documents = self.database[collection]
        try:
            indexes = documents.index_information()
            if not any(one.get("unique") for name, one in indexes.items() if name != "_id_"):
                return set(keys)
            found = (
                documents.find_one({"_id": key}, {"_id": 1}, max_time_ms=TIMEOUT_MS) for key in keys
            )
            return {document["_id"] for document in found if document is not None}
        except PyMongoError as error:
            raise StoreError(faults.of_exception(error), str(error)) from error


def read_reply(reply: Mapping[str, Any], *, count: int, stored: Collection[int] = ()) -> Written:
    """Return what a reply to the insert of `count` documents tells.

    `stored` are positions of duplicates of which it tells no key and whose own was found.

    Raises:
        StoreError: it tells of something that is not the documents' fault.
    """
    if concern := reply.get("writeConcernError"):
        raise StoreError(Kind.INFRASTRUCTURE, f"not journaled: {concern}")
    duplicates, refused = 0, dict[int, str]()
    for error in reply.get("writeErrors", ()):
        is_found = error.get("index") in stored
        kind = Kind.DUPLICATE if is_found else faults.of_document(error)
        if kind is Kind.DUPLICATE:
            duplicates += 1
        elif kind is Kind.DATA:
            refused[int(error["index"])] = str(error.get("errmsg", "refused by the store"))
        else:
            raise StoreError(kind, f"the store failed: {error.get('errmsg', error.get('code'))}")
    return Written(stored=count - duplicates - len(refused), duplicates=duplicates, refused=refused)


def _join(sizes: Sequence[int], parts: Sequence[Written]) -> Written:
    """Return what became of documents that were written in parts of these sizes."""
    refused: dict[int, str] = {}
    start = 0
    for size, part in zip(sizes, parts, strict=True):
        refused |= {start + position: why for position, why in part.refused.items()}
        start += size
    return Written(
        stored=sum(part.stored for part in parts),
        duplicates=sum(part.duplicates for part in parts),
        refused=refused,
    )
