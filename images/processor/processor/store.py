"""Writing to the store: journaled, unordered, idempotent inserts, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo import MongoClient

from processor import faults
from processor.faults import Kind, StoreError

TIMEOUT_MS = 5000
SOCKET_MS = 30_000  # a store that does not answer for so long will not
MOST = 10_000  # documents of one command: far below the protocol's 48 MB, however long the names
WRITERS = 3  # batches on their way at once; more gain nothing
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
        stored = duplicates = 0
        refused: dict[int, str] = {}
        for start in range(0, len(documents), MOST):
            part = self._insert(collection, documents[start : start + MOST])
            stored += part.stored
            duplicates += part.duplicates
            refused |= {start + position: reason for position, reason in part.refused.items()}
        return Written(stored=stored, duplicates=duplicates, refused=refused)

    def insert_singly(self, collection: str, documents: Sequence[Mapping[str, Any]]) -> Written:
        """Store documents of which the store does not take some, for reasons it can't name.

        By halves, so that a few bad ones cost little. A document is refused only where others of
        the same call are taken: a store that takes nothing is at fault itself.

        Raises:
            StoreError: it takes none.
        """
        try:
            return self.insert(collection, documents)
        except StoreError as error:
            if len(documents) == 1 or error.kind not in {Kind.UNKNOWN, Kind.DATA}:
                raise
            halves = (documents[: len(documents) // 2], documents[len(documents) // 2 :])
        parts: list[Written | StoreError] = []
        for half in halves:
            try:
                parts.append(self.insert_singly(collection, half))
            except StoreError as error:
                if error.kind not in {Kind.UNKNOWN, Kind.DATA}:
                    raise
                parts.append(error)
        return _join(halves, parts)

    def ping(self) -> None:
        """Ask the server whether it is there; raises PyMongoError if not."""
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
        return read_reply(reply, count=len(documents))


def read_reply(reply: Mapping[str, Any], *, count: int) -> Written:
    """Return what a reply to the insert of `count` documents tells.

    Raises:
        StoreError: it tells of something that is not the documents' fault.
    """
    if concern := reply.get("writeConcernError"):
        raise StoreError(Kind.INFRASTRUCTURE, f"not journaled: {concern}")
    duplicates, refused = 0, dict[int, str]()
    for error in reply.get("writeErrors", ()):
        kind = faults.of_document(error)
        if kind is Kind.DUPLICATE:
            duplicates += 1
        elif kind is Kind.DATA:
            refused[int(error["index"])] = str(error.get("errmsg", "refused by the store"))
        else:
            raise StoreError(kind, f"the store failed: {error.get('errmsg', error.get('code'))}")
    return Written(stored=count - duplicates - len(refused), duplicates=duplicates, refused=refused)


def _join(
    halves: Sequence[Sequence[Mapping[str, Any]]], parts: Sequence[Written | StoreError]
) -> Written:
    if errors := [part for part in parts if isinstance(part, StoreError)]:
        if len(errors) == len(parts):
            raise errors[0]
        parts = [
            Written(refused=dict.fromkeys(range(len(half)), str(part)))
            if isinstance(part, StoreError)
            else part
            for half, part in zip(halves, parts, strict=True)
        ]
    first, second = (part for part in parts if isinstance(part, Written))
    shifted = {len(halves[0]) + position: why for position, why in second.refused.items()}
    return Written(
        stored=first.stored + second.stored,
        duplicates=first.duplicates + second.duplicates,
        refused={**first.refused, **shifted},
    )
