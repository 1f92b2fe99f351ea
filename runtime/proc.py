"""The only place that starts programs: no shell, stdin closed, a minimal environment.

Every failure carries a command line that can be pasted into a terminal, with secrets redacted,
and the last lines of what the program said.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import CommandError, ToolError

TAIL_LINES = 20
_TIED = ("setpriv", "--pdeathsig", "TERM", "--")
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TERM",
    "TMPDIR",
    "USER",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "DOCKER_HOST",
    "SSH_AUTH_SOCK",
)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
PAST_PROXIES = ("NO_PROXY", "no_proxy")
_HERE = "localhost,127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Completed:
    """A program that ended: its output as text and how long it took in seconds."""

    stdout: str
    stderr: str
    status: int
    seconds: float


def minimal_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the few variables every program gets, with `extra` over them.

    A proxy is for what is elsewhere, never for this computer: the lab is on it.
    """
    known = (*PASSED_ON, *PROXIES, *PAST_PROXIES)
    kept = {name: os.environ[name] for name in known if name in os.environ}
    if kept.keys() & set(PROXIES):
        past = kept.get("no_proxy") or kept.get("NO_PROXY")
        kept |= dict.fromkeys(PAST_PROXIES, f"{past},{_HERE}" if past else _HERE)
    return kept | dict(extra or {})


def find(program: str, *, needed_by: str, hint: str = "") -> Path:
    """Return where `program` is, or raise ToolError naming it and what needs it."""
    if found := shutil.which(program):
        return Path(found)
    message = f"{program} is not on this computer; {needed_by} needs it"
    raise ToolError(message, hint=hint or f"install {program}, or run ./invoke, which does")


def render(argv: Sequence[str | Path], redact: Sequence[str] = ()) -> str:
    """Return `argv` as one line that a shell would take, without the secrets in `redact`."""
    return _hide(shlex.join(str(part) for part in argv), redact)


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text_in: str | None = None,
    ok: Sequence[int] = (0,),
    redact: Sequence[str] = (),
) -> Completed:
    """Run a program to its end and return what it said.

    Raises:
        ToolError: there is no such program.
        CommandError: its exit status is not in `ok`, or it ran past `timeout_s` seconds.
    """
    started = time.monotonic()
    with _start(
        argv, cwd=cwd, env=env, stdin=subprocess.PIPE if text_in is not None else None
    ) as p:
        try:
            out, err = p.communicate(text_in, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(p)
            out, err = p.communicate()
            tail = f"{_tail(out + err, redact)}\n(stopped after {timeout_s:g} s)"
            raise CommandError(render(argv, redact), status=124, tail=tail) from None
        except BaseException:
            _end(p)
            raise
    if p.returncode not in ok:
        tail = _tail(err if err.strip() else out, redact)
        raise CommandError(render(argv, redact), status=p.returncode, tail=tail)
    seconds = time.monotonic() - started
    return Completed(stdout=out, stderr=err, status=p.returncode, seconds=seconds)


class Stream:
    """A running program whose output is read line by line; see `stream`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wrap a started process; use `stream` to get one."""
        self._process = process
        self.lines: Iterator[str] = (line.rstrip("\n") for line in process.stdout or ())

    def interrupt(self) -> None:
        """Ask the program and its children to clean up and stop (SIGINT to their group)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self, timeout_s: float) -> int:
        """Return the exit status, after ending the program if `timeout_s` seconds pass."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            _end(self._process)
            return 124


@contextlib.contextmanager
def stream(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    grace_s: float = 60,
    inherits: Sequence[int] = (),
) -> Iterator[Stream]:
    """Start a program in its own process group and read its output (both kinds) by line.

    Leaving the context early interrupts it and gives it `grace_s` seconds to clean up. It gets
    the file descriptors in `inherits`, and SIGTERM should we be killed, where that can be had.
    """
    if shutil.which(_TIED[0]):
        argv = [*_TIED, *argv]
    process = _start(argv, cwd=cwd, env=env, stdin=None, merged=True, inherits=inherits)
    running = Stream(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.interrupt()
            running.wait(grace_s)
        if process.stdout:
            process.stdout.close()


def attach(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> int:
    """Run a program on this terminal (a remote shell, a followed log) and return its status."""
    with subprocess.Popen([str(a) for a in argv], env=minimal_env(env)) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal has sent it to the child as well
                continue


def detach(
    argv: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> int:
    """Start a program that outlives this one, its output appended to `log`; return its pid."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=minimal_env(env),
            start_new_session=True,
        )
    process.returncode = 0  # nobody waits for it: Python would warn of a child that goes on
    return process.pid


def _start(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    stdin: int | None,
    merged: bool = False,
    inherits: Sequence[int] = (),
) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=minimal_env(env),
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=inherits,
        )
    except FileNotFoundError as error:
        message = f"{argv[0]} is not on this computer (or {cwd} is not there)"
        raise ToolError(message, hint="./invoke finds or installs what is needed") from error


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a program and its children: SIGINT, five seconds, SIGKILL."""
    for number, grace_s in ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
            return


def _tail(output: str, redact: Sequence[str]) -> str:
    return _hide("\n".join(output.strip().splitlines()[-TAIL_LINES:]), redact)


def _hide(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    return text
