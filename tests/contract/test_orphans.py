"""A plugin whose program was killed is ended, and nothing else that holds the same file."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import lock, orphans, wait

PLUGIN, PROGRAM = "terraform-provider-probe_v1", "terraform"
ORPHAN = "./{} 600 >/dev/null 2>&1 &"
CHILD = "./{} 600 >/dev/null 2>&1; true"
SHELLS: list[subprocess.Popen[bytes]] = []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run's file, and two programs that may hold it."""
    for name in (PLUGIN, PROGRAM):
        shutil.copy(shutil.which("sleep") or "", tmp_path / name)
    path = tmp_path / "run"
    yield path
    for pid in orphans._holders(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while SHELLS:
        SHELLS.pop().wait(10)


def start(run: Path, script: str, name: str) -> None:
    """Start a program that goes on holding the run's file, as the shell does that it is made by."""
    with lock.hold(run, what="a test") as held:
        argv = ["sh", "-c", script.format(name)]
        SHELLS.append(subprocess.Popen(argv, cwd=run.parent, pass_fds=[held]))
    wait.until(lambda: name in names(run), what=f"{name} to run", timeout_s=10)


def names(run: Path) -> list[str]:
    """Return the names of the programs that hold the file."""
    found = []
    for pid in orphans._holders(run):
        with contextlib.suppress(OSError):  # it has just ended
            found.append(Path(f"/proc/{pid}/exe").readlink().name)
    return found


def test_a_plugin_whose_program_is_gone_is_ended_and_holds_the_run_no_more(run: Path) -> None:
    start(run, ORPHAN, PLUGIN)
    wait.until(lambda: names(run) == [PLUGIN], what="its program to be gone", timeout_s=10)
    assert [one.partition(" ")[0] for one in orphans.end_plugins(run)] == [PLUGIN]
    wait.until(lambda: not lock.is_held(run), what="the lock to be free", timeout_s=10)


def test_a_plugin_whose_program_lives_is_left_alone(run: Path) -> None:
    start(run, CHILD, PLUGIN)
    assert orphans.end_plugins(run) == []
    assert PLUGIN in names(run)


def test_a_program_whose_run_is_gone_is_left_to_end_by_itself(run: Path) -> None:
    start(run, ORPHAN, PROGRAM)
    assert orphans.end_plugins(run) == []
    assert PROGRAM in names(run)
