"""A user's own messages: JSON Lines in a file, checked whole, or on stdin, as they come."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from producers.messages import MOST_BYTES, Batch, Message, SourceError, from_line
from producers.stop import Stop

_CHUNK_BYTES = 1 << 20


def from_file(path: Path, *, batch_size: int, stop: Stop) -> Iterator[Batch]:
    """Yield the messages of a file, which is checked whole before the first.

    Raises:
        SourceError: it can't be read, holds no messages, or a line is none.
    """
    name = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            message = f"{name} can't be read: it is no file (--source - reads stdin)"
            raise SourceError(message)
        with path.open("rb") as file:
            lines = partial(file.readline, MOST_BYTES + 2)
            with stop.waiting():
                if not sum(1 for _ in _batches(iter(lines, b""), name, batch_size)):
                    message = f"{name} holds no messages"
                    raise SourceError(message)
            file.seek(0)
            yield from _batches(iter(lines, b""), name, batch_size)
    except OSError as error:
        message = f"{name} can't be read: {error}"
        raise SourceError(message) from error


def from_stdin(*, batch_size: int, stop: Stop) -> Iterator[Batch]:
    """Yield the messages of stdin as they come; a batch never waits for what has not come yet.

    Raises:
        SourceError: a line is no message, after those before it; or there were no messages.
    """
    rest, number, is_empty = b"", 0, True
    while True:
        stop.await_input(sys.stdin.buffer)  # of which `read1` leaves nothing in a buffer
        with stop.waiting():
            chunk = sys.stdin.buffer.read1(_CHUNK_BYTES)
        *lines, rest = (rest + chunk).split(b"\n")
        if rest and (not chunk or len(rest) > MOST_BYTES):
            lines.append(rest)  # the last without an end, or too long to go on
        for batch in _batches(lines, "stdin", batch_size, start=number):
            is_empty = False
            yield batch
        number += len(lines)
        if not chunk:
            break
    if is_empty:
        message = "stdin holds no messages"
        raise SourceError(message)


def _batches(
    lines: Iterable[bytes], name: str, batch_size: int, *, start: int = 0
) -> Iterator[Batch]:
    """Yield the messages in lines, numbered after `start`; those before a bad line come first."""
    ready: list[Message] = []
    number = start
    for number, line in enumerate(lines, start + 1):
        content = line.strip()
        if not content:
            continue
        try:
            ready.append(from_line(content, name, number))
        except SourceError:
            if ready:
                yield Batch(messages=ready, lines=number - 1)
            raise
        if len(ready) >= batch_size:
            yield Batch(messages=ready, lines=number)
            ready = []
    if ready:
        yield Batch(messages=ready, lines=number)
