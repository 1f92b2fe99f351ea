"""What a store's answer means for a write, in five kinds, each dealt with in a way of its own.

A duplicate of the own key is a success: the document is there. A fault of the data concerns one
document, which becomes a dead letter. Everything else concerns the batch, which is kept: until the
store is back (infrastructure), until somebody corrects what it was told (configuration), or until
it is known which document it stumbles over (unknown).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WTimeoutError,
)

# https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
DUPLICATE = 11000
_DATA = {121, 10334, 17280}  # a validator, too large a document, too long a key
_CONFIGURATION = {13, 18, 8000}  # unauthorized, authentication failed, a hosted store's refusal
_INFRASTRUCTURE = {
    6,  # host unreachable
    7,  # host not found
    64,  # write concern failed
    89,  # network timeout
    91,  # shutdown in progress
    189,  # primary stepped down
    9001,  # socket exception
    10107,  # not writable primary
    11600,  # interrupted at shutdown
    11602,  # interrupted by a change of the replica set's state
    13435,  # not primary, no secondary ok
    13436,  # not primary or secondary
    14031,  # out of disk space
}


class Kind(StrEnum):
    """What is to be done about a fault."""

    DUPLICATE = "duplicate"
    DATA = "data"
    INFRASTRUCTURE = "infrastructure"
    CONFIGURATION = "configuration"
    UNKNOWN = "unknown"


class StoreError(Exception):
    """A write of several documents of which nothing is known to be stored; it may be repeated."""

    def __init__(self, kind: Kind, message: str) -> None:
        """Keep the `kind` of fault, and `message` for a person."""
        super().__init__(message)
        self.kind = kind


def of_document(error: Mapping[str, Any]) -> Kind:
    """Return the kind of one entry of a reply's `writeErrors`."""
    if error.get("code") == DUPLICATE:  # of another index than the key's: the document's fault
        return Kind.DUPLICATE if _is_of_key(error) else Kind.DATA
    return of_code(error.get("code"))


def unclear_duplicates(reply: Mapping[str, Any]) -> list[int]:
    """Return positions of duplicates of which a reply does not tell the key, as FerretDB's."""
    return [
        int(error["index"])
        for error in reply.get("writeErrors", ())
        if error.get("code") == DUPLICATE and not error.get("keyPattern") and not _is_of_key(error)
    ]


def _is_of_key(error: Mapping[str, Any]) -> bool:
    pattern = error.get("keyPattern")
    return pattern == {"_id": 1} if pattern else "_id" in error.get("errmsg", "_id")


def of_code(code: int | None) -> Kind:
    """Return the kind of a server's error code."""
    if code in _DATA:
        return Kind.DATA
    if code in _CONFIGURATION:
        return Kind.CONFIGURATION
    return Kind.INFRASTRUCTURE if code in _INFRASTRUCTURE else Kind.UNKNOWN


def of_exception(error: Exception) -> Kind:
    """Return the kind of what the store's client raised."""
    if isinstance(error, BSONError | DocumentTooLarge | OverflowError | UnicodeEncodeError):
        return Kind.DATA
    if isinstance(
        error, ConnectionFailure | ExecutionTimeout | WaitQueueTimeoutError | WTimeoutError
    ):
        return Kind.INFRASTRUCTURE
    if isinstance(error, ConfigurationError | InvalidOperation):
        return Kind.CONFIGURATION
    if isinstance(error, OperationFailure):
        return of_code(error.code)
    return Kind.INFRASTRUCTURE if isinstance(error, PyMongoError) else Kind.UNKNOWN
