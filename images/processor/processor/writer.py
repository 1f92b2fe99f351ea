"""Batches on their way to the store: a few at once, finished in the order they were taken.

How many are on their way bounds memory, and is the back-pressure: while there is no room nothing
is taken. A batch that could not be written stays where it is in the row until it can.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from processor.batch import DEAD_LETTERS, Batch
from processor.faults import Kind, StoreError
from processor.store import Store, Written

WRITERS = 3  # batches that are written at once; more gain nothing
READY = 2  # further ones, so that a writer has the next at once
_LETTERS = 100  # of 64 KiB each, in one command
ISOLATE_AFTER = 5  # failures for an unknown reason, before the document at fault is looked for
REFUSE_AFTER = 20  # the same, before one is at fault without another of its batch being taken


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a batch: stored + duplicates + dead letters are its size."""

    stored: int
    duplicates: int
    dead_letters: int


@dataclass
class Flight:
    """A batch on its way."""

    batch: Batch
    future: Future[Outcome]
    unknown: int = 0  # failures in a row for an unknown reason


class Writer:
    """Writes batches, a few at once."""

    def __init__(self, store: Store) -> None:
        """Write into `store`."""
        self._store = store
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="write")
        self._row: collections.deque[Flight] = collections.deque()

    def __len__(self) -> int:
        """Return how many batches are not finished."""
        return len(self._row)

    @property
    def has_room(self) -> bool:
        """Return whether another batch may be taken."""
        return len(self._row) < WRITERS + READY

    def submit(self, batch: Batch) -> None:
        """Begin to write a batch."""
        self._row.append(Flight(batch=batch, future=self._start(batch, unknown=0)))

    def wait(self, timeout_s: float) -> None:
        """Return when the first batch of the row is through, or the time is over."""
        if self._row:
            concurrent.futures.wait([self._row[0].future], timeout=timeout_s)

    def finished(self) -> Iterator[tuple[Batch, Outcome]]:
        """Yield the batches that are stored, in the order they were taken, and forget them."""
        while self._row and self._row[0].future.done() and not self._row[0].future.exception():
            flight = self._row.popleft()
            yield flight.batch, flight.future.result()

    def failure(self) -> StoreError | None:
        """Return why the first batch of the row could not be written, None if it may yet be.

        Raises:
            Exception: what no store can cause, so a bug.
        """
        if not self._row or not self._row[0].future.done():
            return None
        error = self._row[0].future.exception()
        if error is None or isinstance(error, StoreError):
            return error
        raise error

    def retry(self) -> None:
        """Write again what could not be written."""
        for flight in self._row:
            if flight.future.done() and (error := flight.future.exception()):
                is_unknown = isinstance(error, StoreError) and error.kind is Kind.UNKNOWN
                flight.unknown = flight.unknown + 1 if is_unknown else 0
                flight.future = self._start(flight.batch, unknown=flight.unknown)

    def _start(self, batch: Batch, *, unknown: int) -> Future[Outcome]:
        if unknown < ISOLATE_AFTER:
            return self._pool.submit(write, batch, self._store.insert)
        is_last_resort = unknown >= REFUSE_AFTER
        insert = functools.partial(self._store.insert_singly, is_last_resort=is_last_resort)
        return self._pool.submit(write, batch, insert)


def write(batch: Batch, insert: Callable[..., Written]) -> Outcome:
    """Write a batch with `insert`: documents, then dead letters of what is none or was refused.

    Raises:
        StoreError: some of it may not be stored; the same call may be made again.
        RuntimeError: not all of it came to something, which is a bug and must not be committed.
    """
    stored = duplicates = 0
    letters = list(batch.letters)
    for collection, documents in batch.documents.items():
        if documents:
            written = insert(collection, documents)
            stored += written.stored
            duplicates += written.duplicates
            letters += batch.letters_of(collection, written.refused)
    for start in range(0, len(letters), _LETTERS):
        written = insert(DEAD_LETTERS, letters[start : start + _LETTERS])
        if written.refused:  # then nothing can be kept of it, and it must not be lost
            reason = next(iter(written.refused.values()))
            raise StoreError(Kind.UNKNOWN, f"a dead letter is refused: {reason}")
    if stored + duplicates + len(letters) != batch.size:
        message = f"{batch.size} messages: {stored=}, {duplicates=}, {len(letters)} dead letters"
        raise RuntimeError(message)
    return Outcome(stored=stored, duplicates=duplicates, dead_letters=len(letters))
