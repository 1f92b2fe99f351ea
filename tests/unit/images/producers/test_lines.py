"""A file is checked whole before anything of it is sent; stdin is sent as it comes."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from producers.lines import from_file, from_stdin
from producers.messages import TOKEN, Batch, SourceError
from producers.stop import Stop, StoppedError


def line(number: int) -> bytes:
    value = {"model": "m", "prompt_tokens": number, "completion_tokens": 2, "cost_per_token": 0.1}
    return json.dumps(value | {"ts": "2026-11-24T12:00:00Z"}).encode()


def read(path: Path, batch_size: int = 100) -> list[Batch]:
    return list(from_file(path, batch_size=batch_size, stop=Stop()))


def test_a_file_is_sent_as_it_stands_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n" + line(1) + b" \r\n\n" + line(2))
    (batch,) = read(path)
    assert batch == Batch(messages=[(TOKEN, b"m", line(1)), (TOKEN, b"m", line(2))], lines=4)


def test_a_batch_knows_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([line(1), b"", line(2), line(3), b""]))
    assert [(len(b.messages), b.lines) for b in read(path, batch_size=2)] == [(2, 3), (1, 4)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (line(1) + b"\nnonsense\n" + line(2), "line 2 is not JSON"),
        (line(1) + b"\n\n{}\n", "line 3 has neither the fields"),
        (line(1) + b"\n" + line(2)[:-5], "line 2 is not JSON: Input data was truncated"),
        (line(1) + b"\n" + b"x" * 2_000_000, "line 2 is longer than"),
        (b"\xff\xfe\x00", "line 1 is not JSON"),
        (b"", "holds no messages"),
        (b"\n\n", "holds no messages"),
    ],
)
def test_a_bad_file_is_refused_before_its_first_message(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=why):
        next(from_file(path, batch_size=1, stop=Stop()))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # would be waited for
    for name in ("absent", "pipe", "."):
        with pytest.raises(SourceError, match="can't be read"):
            read(tmp_path / name)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes | None], None]]:
    """Write to stdin what is given; None ends it."""
    out, into = os.pipe()
    with os.fdopen(out, "rb") as pipe, io.TextIOWrapper(pipe) as text:
        monkeypatch.setattr("sys.stdin", text)
        yield lambda data: os.close(into) if data is None else os.write(into, data)


def test_a_line_of_stdin_does_not_wait_for_the_next(stdin) -> None:
    batches = from_stdin(batch_size=100, stop=Stop())
    stdin(line(1) + b"\n" + line(2)[:9])
    assert next(batches) == Batch(messages=[(TOKEN, b"m", line(1))], lines=1)
    stdin(line(2)[9:] + b"\n" + line(3))
    assert next(batches) == Batch(messages=[(TOKEN, b"m", line(2))], lines=2)
    stdin(None)
    assert list(batches) == [Batch(messages=[(TOKEN, b"m", line(3))], lines=3)]


def test_waiting_for_stdin_ends_once_it_makes_no_sense_to_go_on(stdin) -> None:
    stop, answers = Stop(), iter([True, True, False])
    stop.meanwhile = lambda: next(answers)
    batches = from_stdin(batch_size=100, stop=stop)
    stdin(line(1) + b"\n")
    assert next(batches).lines == 1
    with pytest.raises(StoppedError):
        next(batches)
    assert list(answers) == []


def test_of_stdin_nothing_that_has_come_is_left_when_it_waits(stdin) -> None:
    stop, found = Stop(), []
    stop.meanwhile = lambda: False
    stdin(b"".join(line(number) + b"\n" for number in range(500)))  # more than a buffer holds
    with pytest.raises(StoppedError):
        found.extend(from_stdin(batch_size=7, stop=stop))
    assert sum(len(batch.messages) for batch in found) == 500


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"nonsense\n" + line(3), "stdin line 3 is not JSON"),
        (line(2)[:-5], "stdin line 3 is not JSON: Input data was truncated"),
    ],
)
def test_what_came_before_a_bad_line_of_stdin_is_sent(stdin, bad: bytes, why: str) -> None:
    stdin(line(1) + b"\n\n" + bad)
    stdin(None)
    batches = from_stdin(batch_size=100, stop=Stop())
    assert next(batches) == Batch(messages=[(TOKEN, b"m", line(1))], lines=2)
    with pytest.raises(SourceError, match=why):
        next(batches)


def test_an_empty_stdin_is_refused(stdin) -> None:
    stdin(b"\n \n")
    stdin(None)
    with pytest.raises(SourceError, match="stdin holds no messages"):
        next(from_stdin(batch_size=1, stop=Stop()))


def test_a_line_of_stdin_without_an_end_is_given_up(stdin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.lines.MOST_BYTES", 1000)
    monkeypatch.setattr("producers.messages.MOST_BYTES", 1000)
    stdin(b"x" * 2000)  # and goes on
    with pytest.raises(SourceError, match="stdin line 1 is longer than 1000 bytes"):
        next(from_stdin(batch_size=1, stop=Stop()))
