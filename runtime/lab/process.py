"""The lab's process as its operator sees it: started, found again and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

from runtime import proc, wait
from runtime.errors import LabError
from runtime.lab import slots
from runtime.settings import Settings

# What the API answers to `control` beside EC2; no S3 bucket can be called `-`.
IDENTITY = "/-/lab"
REPORT = "/-/report"
START_S = 180  # machines are brought back before the API answers
# moto reads these when it is imported, and takes freed addresses out of a set: which one comes
# first must be the same in every process, or a replay gives machines other addresses.
FOR_MOTO = {"MOTO_ENABLE_AMI_VALIDATION": "true", "PYTHONHASHSEED": "0"}


def start(settings: Settings) -> None:
    """Start the process and return when it serves.

    Raises:
        LabError: it ended; carries its last words.
        WaitError: it does not serve.
    """
    log = settings.lab_dir / "lab.log"
    pid = proc.detach(
        [sys.executable, "-m", "runtime.lab"],
        log=log,
        cwd=settings.root,
        env={
            "BULLION_LAB": settings.lab_name,
            "BULLION_LAB_PORT": str(port(settings)),
            "AWS_REGION": settings.region,
            "MOTO_AMIS_PATH": str(sources(settings)),
            **FOR_MOTO,
        },
    )
    _pid_file(settings).write_text(str(pid))

    def answers() -> bool:
        if not _is_alive(pid):  # its command line shows only after a moment
            message = f"the lab's process ended; its last words:\n{_tail(log)}"
            raise LabError(message, hint=f"see {log}")
        return _is_answering(settings)

    wait.until(
        answers, what="the lab's API", timeout_s=START_S, last=lambda: _tail(log), hint=f"see {log}"
    )


def end(settings: Settings) -> None:
    """End the process, if there is one; machines go on."""
    pid = _read_pid(settings)
    if pid and _is_ours(pid, settings):
        os.kill(pid, signal.SIGTERM)
        wait.until(lambda: not _is_alive(pid), what="the lab's process to end", timeout_s=60)
    _pid_file(settings).unlink(missing_ok=True)


def is_up(settings: Settings) -> bool:
    """Return whether this lab's process lives and serves."""
    pid = _read_pid(settings)
    return bool(pid and _is_ours(pid, settings) and _is_answering(settings))


def is_living(settings: Settings) -> bool:
    """Return whether this lab's process lives, once it serves: it may be starting."""
    pid = _read_pid(settings)
    if not pid or not _is_ours(pid, settings):
        return False
    wait.until(
        lambda: not _is_alive(pid) or _is_answering(settings),
        what="the lab, which is starting",
        timeout_s=START_S,
    )
    return _is_alive(pid)


def endpoint(settings: Settings) -> str:
    """Return the URL of the lab's API."""
    return f"http://127.0.0.1:{port(settings)}"


def port(settings: Settings) -> int:
    """Return the API's port: the operator's choice, or the slot's."""
    return settings.lab_port or slots.read(settings.lab_dir).port


def is_serving(port: int) -> bool:
    """Return whether something on this computer takes connections to a TCP port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(settings: Settings, path: str, *, timeout_s: float = 300) -> str:
    """Return what the lab's process answers at one of its own paths.

    Raises:
        OSError: nothing answers, or something else does.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"{endpoint(settings)}{path}", timeout=timeout_s) as answer:
        return str(answer.read().decode())


def _is_answering(settings: Settings) -> bool:
    """Return whether it is this lab that serves at its port: another may have been faster."""
    with contextlib.suppress(OSError, HTTPException):
        said = ask(settings, IDENTITY, timeout_s=5) if is_serving(port(settings)) else ""
        return said == settings.lab_id
    return False


def sources(settings: Settings) -> Path:
    """Return the file in which moto finds the lab's source AMIs."""
    return settings.lab_dir / "amis.json"


def _pid_file(settings: Settings) -> Path:
    return settings.lab_dir / "lab.pid"


def _read_pid(settings: Settings) -> int:
    path = _pid_file(settings)
    return int(path.read_text()) if path.exists() else 0


def _is_ours(pid: int, settings: Settings) -> bool:
    """Return whether `pid` is this lab's process, and not one that got its number later."""
    with contextlib.suppress(OSError):
        seen = Path(f"/proc/{pid}")
        is_lab = b"runtime.lab" in (seen / "cmdline").read_bytes().split(b"\0")
        called = f"BULLION_LAB={settings.lab_name}".encode()
        is_named = called in (seen / "environ").read_bytes().split(b"\0")
        return is_lab and is_named and (seen / "cwd").readlink() == settings.root and _is_alive(pid)
    return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _tail(log: Path) -> str:
    return (
        "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else "nothing"
    )
