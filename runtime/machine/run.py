"""Starting programs on the machine, with the standard library alone; its one door to them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import IO

from runtime.errors import BootError, CommandError

TAIL_LINES = 20


def run(argv: Sequence[str | PurePath], *, timeout_s: float, ok: Sequence[int] = (0,)) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        CommandError: its exit status is not in `ok`, or it ran past `timeout_s` seconds.
        BootError: there is no such program.
    """
    words = [str(part) for part in argv]
    try:
        ended = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(
            " ".join(words), status=124, tail=f"stopped after {timeout_s:g} s"
        ) from None
    except FileNotFoundError as error:
        message = f"{words[0]} is not on this machine"
        raise BootError(message, hint="the AMI is damaged: bake the role again") from error
    if ended.returncode not in ok:
        said = ended.stderr.strip() or ended.stdout.strip()
        tail = "\n".join(said.splitlines()[-TAIL_LINES:])
        raise CommandError(" ".join(words), status=ended.returncode, tail=tail)
    return ended.stdout


@contextlib.contextmanager
def stream(argv: Sequence[str | PurePath], *, timeout_s: float) -> Iterator[IO[bytes]]:
    """Start a program and read its standard output as it comes.

    Raises:
        CommandError: it failed, or did not end within `timeout_s` seconds after the body.
    """
    words = [str(part) for part in argv]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise CommandError(" ".join(words), status=1, tail="no output")
        try:
            yield process.stdout
            process.stdout.read()  # whatever is behind the end of what was wanted
            status = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
    if status != 0:
        raise CommandError(" ".join(words), status=status, tail="see above")


def attach(argv: Sequence[str | PurePath]) -> int:
    """Run a program on this terminal and return its exit status."""
    return subprocess.run([str(part) for part in argv], check=False).returncode
