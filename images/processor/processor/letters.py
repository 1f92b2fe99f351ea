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
from collections.abc import Iterator, Sequence
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from processor.batch import DEAD_LETTERS, kinds_of
from processor.events import RAW_MOST_BYTES, PoisonError, decode
from processor.faults import StoreError
from processor.queries import to_json
from processor.settings import SettingError, Settings
from processor.store import Store

WRONG, FAILED = 2, 1  # exit statuses: a request that makes no sense, a store that does not answer


class Letters:
    """The dead letters of one database."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Look into `store`."""
        self._store = store
        self._letters = store.database[DEAD_LETTERS]
        self._kinds = kinds_of(settings)

    def list(self, limit: int) -> dict[str, Any]:
        """Return how many there are, and the newest without their values."""
        rows = self._letters.find({}, {"value": 0}).sort("first_seen", DESCENDING).limit(limit)
        total = self._letters.count_documents({})
        return {"total": total, "letters": [to_json(row) for row in rows]}

    def show(self, key: ObjectId) -> dict[str, Any] | None:
        """Return one with its value: as text, or in base64 where it is none."""
        found = self._letters.find_one({"_id": key})
        return None if found is None else to_json(found | readable(found["value"]))

    def replay(self, keys: Sequence[ObjectId]) -> dict[str, Any]:
        """Try to store letters, all without `keys`; return what became of them.

        Those that are still no documents stay, with their reasons.
        """
        stored, still = 0, dict[str, str]()
        for letter in self._chosen(keys):
            reason = self._replay(letter)
            if reason:
                still[str(letter["_id"])] = reason
            else:
                self._letters.delete_one({"_id": letter["_id"]})
                stored += 1
        return {"stored": stored, "still_dead": still}

    def drop(self, keys: Sequence[ObjectId]) -> dict[str, int]:
        """Delete letters, all without `keys`; return how many."""
        wanted = {"_id": {"$in": list(keys)}} if keys else {}
        return {"dropped": self._letters.delete_many(wanted).deleted_count}

    def _chosen(self, keys: Sequence[ObjectId]) -> Iterator[dict[str, Any]]:
        yield from list(self._letters.find({"_id": {"$in": list(keys)}} if keys else {}))

    def _replay(self, letter: dict[str, Any]) -> str:
        """Store a letter's document; return why it is none, "" if it is stored."""
        if letter["topic"] not in self._kinds:
            return f"its topic {letter['topic']} is none that is consumed"
        if letter["size_bytes"] > RAW_MOST_BYTES:
            return f"only the first {RAW_MOST_BYTES} of its {letter['size_bytes']} bytes were kept"
        collection, kind = self._kinds[letter["topic"]]
        value = letter["value"]
        try:
            document = decode(None if value is None else bytes(value), kind)
        except PoisonError as poison:
            return str(poison)
        written = self._store.insert(collection, [document | {"_id": letter["_id"]}])
        return next(iter(written.refused.values()), "")


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
    return 0


def _carry_out(letters: Letters, asked: argparse.Namespace) -> dict[str, Any] | None:
    if asked.command == "list":
        return letters.list(asked.limit)
    if asked.command == "show":
        return letters.show(asked.keys[0])
    return letters.replay(asked.keys) if asked.command == "replay" else letters.drop(asked.keys)


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
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
