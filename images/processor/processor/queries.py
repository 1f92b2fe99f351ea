"""Reading what is stored: each question bounded in time and size, and served by an index."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pymongo
from bson import ObjectId
from pymongo import DESCENDING
from pymongo.database import Database

PATIENCE_S = 5.0  # of a question with all that it takes: its turn, finding the server, reading
TURNS = 4  # questions that are answered at once: each takes of the time that the loop needs
PAGE_MOST = 1000
_Answer = TypeVar("_Answer")


class BusyError(Exception):
    """A question's turn did not come in time."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some documents, the newest first.

    Attributes:
        after: where the next page begins, "" if this is the last.
    """

    rows: list[dict[str, Any]]
    after: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """A time range, its end not included; None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def match(self) -> dict[str, Any]:
        """Return it as a condition on `ts`, {} for all of time."""
        bounds = {"$gte": self.since, "$lt": self.until}
        wanted = {name: value for name, value in bounds.items() if value is not None}
        return {"ts": wanted} if wanted else {}


class Queries:
    """Questions to one database, each to be asked by `ask`, which bounds its time."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        """Ask `database`."""
        self._database = database
        self._turns = asyncio.Semaphore(TURNS)

    async def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Return what a question comes to, asked in a thread of its own when its turn comes.

        Raises:
            PyMongoError: the store did not answer in time, or not at all.
            BusyError: others took all the time there was.
        """
        with pymongo.timeout(PATIENCE_S):  # from here on, in the thread too: it has our context
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._turns.acquire()
            except TimeoutError:
                message = f"{TURNS} questions are answered at once, and others were first"
                raise BusyError(message) from None
            try:
                return await asyncio.to_thread(question)
            finally:
                self._turns.release()

    def latest_gpu(self) -> dict[str, Any] | None:
        """Return the newest GPU measurement, with what the catalogue knows of that GPU."""
        newest = self._database["gpu_metrics"].find_one(sort=[("ts", DESCENDING)])
        if newest is None:
            return None
        known = self._database["gpus"].find_one({"gpu_index": newest["gpu_index"]})
        return newest | {"gpu": known}

    def gpu_metrics(
        self, *, host: str, gpu_index: int | None, span: Span, limit: int, after: str
    ) -> Page:
        """Return measurements of a host's GPUs, or of one of them, the newest first.

        Raises:
            ValueError: `after` is none that a page gave.
        """
        wanted: dict[str, Any] = {"host": host, **span.match()}
        if gpu_index is not None:
            wanted["gpu_index"] = gpu_index
        return self._page("gpu_metrics", wanted, limit=limit, after=after)

    def token_usage(self, *, model: str, span: Span, limit: int, after: str) -> Page:
        """Return single calls of a model, the newest first; raises as `gpu_metrics`."""
        wanted = {"model": model, **span.match()}
        return self._page("token_usage", wanted, limit=limit, after=after)

    def token_sums(self, *, model: str, span: Span) -> list[dict[str, Any]]:
        """Return calls, tokens and cost in US dollars per model, or of one model.

        The sums are made here, of no more than the fields needed: the stand-in for MongoDB can't
        multiply.
        """
        wanted = ({"model": model} if model else {}) | span.match()
        fields = ("model", "prompt_tokens", "completion_tokens", "cost_per_token")
        rows = self._database["token_usage"].find(
            wanted, dict.fromkeys(fields, 1), batch_size=10_000
        )
        sums: dict[str, dict[str, Any]] = {}
        for row in rows:
            add_usage(sums, row)
        return sorted(sums.values(), key=lambda one: -one["cost_usd"])

    def _page(self, collection: str, wanted: Mapping[str, Any], *, limit: int, after: str) -> Page:
        conditions = [dict(wanted), *([_beyond(after)] if after else [])]
        found = self._database[collection].find({"$and": conditions} if after else conditions[0])
        ordered = found.sort([("ts", DESCENDING), ("_id", DESCENDING)]).limit(limit + 1)
        rows = list(ordered)
        page = rows[:limit]
        return Page(rows=page, after=cursor_of(page[-1]) if len(rows) > limit else "")


def add_usage(sums: dict[str, dict[str, Any]], row: Mapping[str, Any]) -> None:
    """Add one call to the sums per model."""
    empty = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost_usd": 0.0}
    one = sums.setdefault(row["model"], {"model": row["model"], **empty})
    one["calls"] += 1
    one["prompt_tokens"] += row["prompt_tokens"]
    one["completion_tokens"] += row["completion_tokens"]
    one["cost_usd"] += (row["prompt_tokens"] + row["completion_tokens"]) * row["cost_per_token"]


def cursor_of(row: Mapping[str, Any]) -> str:
    """Return what tells a document's place among others: its time, then its key."""
    return f"{_instant(row['ts'])}_{row['_id']}"


def to_json(value: Any) -> Any:
    """Return a document with its keys and times as text."""
    if isinstance(value, dict):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_json(inner) for inner in value]
    if isinstance(value, ObjectId):
        return str(value)
    return _instant(value) if isinstance(value, datetime) else value


def _instant(ts: datetime) -> str:
    """Return a time in UTC without a plus, which would be a space where it is asked with."""
    return ts.isoformat().replace("+00:00", "Z")


def _beyond(after: str) -> dict[str, Any]:
    """Return the condition of what comes behind a cursor.

    Its bound on `ts` stands outside of the alternatives: so an index is read from there on.
    """
    time, _, key = after.partition("_")
    message = f"after is {after!r}, not what a page gave"
    if not time.endswith("Z") or not ObjectId.is_valid(key):
        raise ValueError(message)
    try:
        ts = datetime.fromisoformat(time)
    except ValueError:
        raise ValueError(message) from None
    return {"ts": {"$lte": ts}, "$or": [{"ts": {"$lt": ts}}, {"_id": {"$lt": ObjectId(key)}}]}
