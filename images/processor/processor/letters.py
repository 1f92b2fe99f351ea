"""Dead letters, looked at and dealt with: `python -m processor.letters list|show|replay|drop`.

JSON on stdout. A letter that is replayed goes only after its document is stored, under the key that
the message would have had: whenever this is interrupted, nothing is lost and nothing is twice.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, DeleteOne
from pymongo.errors import PyMongoError

from processor.batch import DEAD_LETTERS, kinds_of
from processor.events import RAW_MOST_BYTES, PoisonError, decode
from processor.faults import Kind, StoreError
from processor.queries import to_json
from processor.settings import SettingError, Settings
from processor.store import Store

# Exit statuses: a store that does not answer, a request that makes no sense, a replay that ended
# before its end, whose report is on stdout all the same.
FAILED, WRONG, ENDED = 1, 2, 3
REPLAY_S = 540  # then a replay ends by itself: who asked for it waits no longer than 600 s
AT_ONCE = 1000  # documents that are stored with one insert, letters that go with one delete
TOLD = 100  # reasons in a report
_READ = 100  # letters of 64 KiB each, in one answer of the store


@dataclass
class Replayed:
    """What became of letters.

    Attributes:
        stored, still_dead: how many are documents now, and how many are still none and stay.
        reasons: {id: why} of the first that stay.
        ended: why the rest was not tried, "" if all were.
    """

    stored: int = 0
    still_dead: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    ended: str = ""

    def keep(self, key: ObjectId, reason: str) -> None:
        """Count a letter that stays."""
        self.still_dead += 1
        if len(self.reasons) < TOLD:
            self.reasons[str(key)] = reason


class Letters:
    """The dead letters of one database."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Look into `store`."""
        self._store = store
        self._letters = store.database[DEAD_LETTERS]
        self._kinds = kinds_of(settings)

    def list(self, limit: int) -> dict[str, Any]:
        """Return how many there are, and the newest without their values."""
        found = self._letters.find({}, {"value": 0}).sort("first_seen", DESCENDING).limit(limit)
        rows = [to_json(row) for row in found]
        return {"total": self._letters.count_documents({}), "letters": rows}

    def show(self, key: ObjectId) -> dict[str, Any] | None:
        """Return one with its value: as text, or in base64 where it is none."""
        found = self._letters.find_one({"_id": key})
        return None if found is None else to_json(found | readable(found["value"]))

    def replay(self, keys: Sequence[ObjectId]) -> Replayed:
        """Try to store letters, all without `keys`, in the order of their keys."""
        done, end = Replayed(), time.monotonic() + REPLAY_S
        waiting: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in self._kinds.values()}
        wanted = {"_id": {"$in": list(keys)}} if keys else {}
        try:
            for letter in self._letters.find(wanted, batch_size=_READ).sort("_id", ASCENDING):
                if time.monotonic() > end:
                    done.ended = f"it took {REPLAY_S} s"
                    break
                try:
                    collection, document = self._document(letter)
                except PoisonError as poison:
                    done.keep(letter["_id"], str(poison))
                    continue
                waiting[collection].append(document)
                if len(waiting[collection]) == AT_ONCE:
                    self._store_all(collection, waiting[collection], done)
                    waiting[collection] = []
            for collection, documents in waiting.items():
                self._store_all(collection, documents, done)
        except (PyMongoError, StoreError) as error:
            done.ended = f"the store does not answer: {str(error)[:300]}"
        return done

    def drop(self, keys: Sequence[ObjectId], until: datetime | None) -> dict[str, int]:
        """Delete letters, all without `keys`, none first seen after `until`; return how many."""
        wanted: dict[str, Any] = {"_id": {"$in": list(keys)}} if keys else {}
        if until:
            wanted["first_seen"] = {"$lte": until}
        return {"dropped": self._letters.delete_many(wanted).deleted_count}

    def _document(self, letter: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a letter's collection and document, or raise PoisonError where it is none."""
        if letter["topic"] not in self._kinds:
            reason = f"its topic {letter['topic']} is none that is consumed"
            raise PoisonError(reason)
        if letter["size_bytes"] > RAW_MOST_BYTES:
            reason = (
                f"only the first {RAW_MOST_BYTES} of its {letter['size_bytes']} bytes were kept"
            )
            raise PoisonError(reason)
        collection, kind = self._kinds[letter["topic"]]
        value = letter["value"]
        document = decode(None if value is None else bytes(value), kind)
        return collection, document | {"_id": letter["_id"]}

    def _store_all(
        self, collection: str, documents: Sequence[dict[str, Any]], done: Replayed
    ) -> None:
        """Store documents of letters, and delete the letters of those that are."""
        if not documents:
            return
        try:
            refused = self._store.insert_singly(collection, documents).refused
        except StoreError as error:
            if error.kind is not Kind.UNKNOWN:
                raise
            refused = dict.fromkeys(range(len(documents)), str(error))
        keys = [document["_id"] for document in documents]
        for position, reason in refused.items():
            done.keep(keys[position], reason)
        stored = [key for position, key in enumerate(keys) if position not in refused]
        if stored:
            # One by one in one command: FerretDB on SQLite finds several keys by reading all.
            self._letters.bulk_write([DeleteOne({"_id": key}) for key in stored], ordered=False)
        done.stored += len(stored)


def readable(value: bytes | None) -> dict[str, Any]:
    """Return a letter's value as JSON can hold it."""
    if value is None:
        return {"value": None}
    try:
        return {"value": bytes(value).decode()}
    except UnicodeDecodeError:
        return {"value": None, "value_base64": base64.b64encode(bytes(value)).decode()}


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return its exit status."""
    asked = _parser().parse_args(arguments)
    if asked.command in {"replay", "drop"} and bool(asked.keys) == asked.all:
        print("name letters by their ids, or give --all", file=sys.stderr)
        return WRONG
    try:
        settings = Settings.parse(os.environ)
    except SettingError as error:
        print(f"processor: {error}", file=sys.stderr)
        return WRONG
    store = Store(settings.mongo, settings.database)
    try:
        result = _carry_out(Letters(settings, store), asked)
    except (PyMongoError, StoreError) as error:
        print(f"the store does not answer: {str(error)[:300]}", file=sys.stderr)
        return FAILED
    finally:
        store.close()
    if result is None:
        print(f"there is no dead letter {asked.keys[0]}", file=sys.stderr)
        return WRONG
    print(json.dumps(result))
    return ENDED if result.get("ended") else 0


def _carry_out(letters: Letters, asked: argparse.Namespace) -> dict[str, Any] | None:
    if asked.command == "list":
        return letters.list(asked.limit)
    if asked.command == "show":
        return letters.show(asked.keys[0])
    if asked.command == "replay":
        return asdict(letters.replay(asked.keys))
    return letters.drop(asked.keys, asked.until)


def _key(text: str) -> ObjectId:
    if not ObjectId.is_valid(text):
        message = f"{text!r} is no id of a dead letter: 24 hexadecimal digits"
        raise argparse.ArgumentTypeError(message)
    return ObjectId(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="letters", description="Dead letters of the pipeline.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="how many there are, and the newest")
    listing.add_argument("--limit", type=int, default=100, help="most to list")
    shown = commands.add_parser("show", help="one with its value")
    shown.add_argument("keys", nargs=1, type=_key, metavar="ID")
    for name, text in (("replay", "try to store"), ("drop", "delete")):
        one = commands.add_parser(name, help=f"{text} letters, by id or all")
        one.add_argument("keys", nargs="*", type=_key, metavar="ID")
        one.add_argument("--all", action="store_true", help="every one")
    commands.choices["drop"].add_argument(
        "--until", type=datetime.fromisoformat, help="none first seen after this time"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
