"""What a program that we start does when we are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from runtime import lock, wait
from runtime.settings import ROOT

PARENT = """
import sys
from pathlib import Path
from runtime import lock, proc
with lock.hold(Path(sys.argv[1]), what="a run") as held:
    with proc.stream([sys.executable, "-c", sys.argv[2]], inherits=[held]) as running:
        print(*running.lines)
"""
CHILD = "import os, time; print(os.getpid(), file=open({path!r}, 'w')); time.sleep({s})"


def start(folder: Path, child: str) -> tuple[subprocess.Popen[bytes], int]:
    path = folder / "pid"
    argv = [sys.executable, "-c", PARENT, folder / "lock", child.format(path=str(path), s=60)]
    parent = subprocess.Popen(argv, cwd=ROOT)
    text = wait.until(lambda: path.exists() and path.read_text(), what="the child", timeout_s=20)
    return parent, int(text)


def test_a_program_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    parent, child = start(tmp_path, CHILD)
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    wait.until(lambda: not alive(child), what="the child's end", timeout_s=10)


def test_one_that_will_not_end_holds_its_run_until_it_does(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + CHILD
    parent, child = start(tmp_path, stubborn)
    assert lock.is_held(tmp_path / "lock")
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    time.sleep(0.2)
    assert lock.is_held(tmp_path / "lock")
    os.kill(child, signal.SIGKILL)
    wait.until(lambda: not lock.is_held(tmp_path / "lock"), what="the lock", timeout_s=10)


def alive(number: int) -> bool:
    """Return whether a process runs; one that ended and that nobody asked after does not."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
