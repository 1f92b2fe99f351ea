"""What a person sees: steps, notes and tables on stderr, results on stdout.

Nothing here decides anything. Off a terminal there is no cursor movement and no colour, so that
logs stay readable; a step that runs long says so every `HEARTBEAT_S` seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn, TextIO

PIPE_CLOSED = 141  # as a shell tells of a program that SIGPIPE ended

HEARTBEAT_S = 30
_GREEN, _RED, _YELLOW, _DIM, _BOLD = "32", "31", "33", "2", "1"


class _State:
    """The only mutable module state: how deep steps nest, and who may write."""

    depth = 0
    lock = threading.RLock()


def result(text: str) -> None:
    """Print what a script may read; end where nobody reads on, as with `| head`."""
    try:
        print(text, file=sys.stdout, flush=True)  # noqa: T201
    except BrokenPipeError:
        _end_unread()


@contextlib.contextmanager
def quiet_if_unread() -> Iterator[None]:
    """End without a word where nobody reads on, whoever prints: Invoke prints its lists itself."""
    try:
        try:
            yield
        finally:
            print(end="", flush=True)  # noqa: T201 - where stdout is closed, this does nothing
    except BrokenPipeError:
        if not _is_unread():  # it was another pipe
            raise
        _end_unread()


def result_json(value: object) -> None:
    """Print a value as JSON for a script."""
    result(json.dumps(value, indent=2, sort_keys=True, default=str))


def note(text: str) -> None:
    """Tell something worth knowing."""
    _say(text)


def warn(text: str) -> None:
    """Tell something that may need action."""
    _say(paint(f"! {text}", _YELLOW))


def error(text: str) -> None:
    """Tell what went wrong."""
    _say(paint(f"✗ {text}", _RED))


@contextlib.contextmanager
def step(title: str, *, expected_s: float | None = None) -> Iterator[None]:
    """Print `title`, run the body, end with ✓ or ✗ and seconds.

    Args:
        title: what is being done, in the -ing form.
        expected_s: how long it took before, in seconds, to say what remains.
    """
    about = f" (about {duration(expected_s)})" if expected_s else ""
    _say(f"• {title}{paint(about, _DIM)}")
    started, over = time.monotonic(), threading.Event()
    threading.Thread(target=_beat, args=(title, started, expected_s, over), daemon=True).start()
    _State.depth += 1
    mark, colour = "✗", _RED
    try:
        yield
        mark, colour = "✓", _GREEN
    finally:
        over.set()
        _State.depth -= 1
        _say(f"{paint(mark, colour)} {title} {paint(duration(time.monotonic() - started), _DIM)}")


def table(
    rows: Sequence[Sequence[str]], *, header: Sequence[str], stream: TextIO | None = None
) -> None:
    """Print aligned columns, to stderr unless `stream` says otherwise."""
    out = stream or sys.stderr
    for line in layout(rows, header=header):
        print(line, file=out, flush=True)


def layout(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> list[str]:
    """Return aligned lines: the header, a rule, the rows. A cell may hold several lines."""
    cells = [tuple(header), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [
        max(len(part) for row in cells for part in row[at].split("\n")) for at in range(len(header))
    ]
    lines: list[str] = []
    for number, row in enumerate(cells):
        split = [cell.split("\n") for cell in row]
        for level in range(max(len(parts) for parts in split)):
            padded = (
                (parts[level] if level < len(parts) else "").ljust(width)
                for parts, width in zip(split, widths, strict=True)
            )
            lines.append("  ".join(padded).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return lines


def banner(lines: Sequence[str], *, good: bool = True) -> None:
    """Print a frame around `lines`, for the end of something long."""
    width = max(len(line) for line in lines)
    body = [f"║ {line.ljust(width)} ║" for line in lines]
    frame = ["╔" + "═" * (width + 2) + "╗", *body, "╚" + "═" * (width + 2) + "╝"]
    _say(paint("\n".join(frame), _GREEN if good else _RED))


class Live:
    """Lines that are redrawn in place on a terminal, and printed when they change off one."""

    def __init__(self) -> None:
        """Start with nothing drawn."""
        self._drawn: list[str] = []
        self._said: set[str] = set()

    def draw(self, lines: Sequence[str], *, plain: Sequence[str] = ()) -> None:
        """Redraw `lines`; off a terminal print those of `plain` that were not printed before."""
        with _State.lock:
            if not is_terminal():
                for line in plain:
                    if line not in self._said:
                        self._said.add(line)
                        _say(line)
                return
            if self._drawn:
                sys.stderr.write(f"\x1b[{len(self._drawn)}F")
            for line in lines:
                sys.stderr.write(f"\x1b[2K{line}\n")
            sys.stderr.flush()
            self._drawn = list(lines)


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but y or yes, or no terminal at all, is a no."""
    if not sys.stdin or not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def duration(seconds: float) -> str:
    """Return 4.2 s, 3 min 05 s or 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def is_terminal() -> bool:
    """Return whether stderr is a terminal that may be redrawn."""
    return sys.stderr.isatty()


def paint(text: str, colour: str) -> str:
    """Return `text` in an ANSI colour where stderr is a terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m" if text and is_terminal() else text


def _beat(title: str, started: float, expected_s: float | None, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        elapsed = time.monotonic() - started
        remaining = (expected_s or 0) - elapsed
        left = f", about {duration(remaining)} left" if remaining > 0 else ""
        _say(paint(f"… {title}: {duration(elapsed)}{left}", _DIM))


def _is_unread() -> bool:
    reader = select.poll()
    reader.register(sys.stdout, 0)
    return any(event & select.POLLERR for _, event in reader.poll(0))


def _end_unread() -> NoReturn:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the last flush
    raise SystemExit(PIPE_CLOSED) from None


def _say(text: str) -> None:
    with _State.lock:
        indent = "  " * _State.depth
        for line in text.splitlines() or [""]:
            print(f"{indent}{line}", file=sys.stderr, flush=True)  # noqa: T201
