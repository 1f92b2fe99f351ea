"""What a killed test left in Docker: it carries the process that made it, which is no more."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

LABEL = "bullion.test"


def mine() -> dict[str, str]:
    """Return the label of what this process makes."""
    return {LABEL: _process(str(os.getpid()))}


def remove_left(docker: Any) -> None:
    """Remove containers and networks of processes that are gone; a range would stay taken."""
    everything = {"filters": {"label": LABEL}}
    for container in docker.containers.list(all=True, ignore_removed=True, **everything):
        if _is_gone(container.labels[LABEL]):
            container.remove(force=True, v=True)
    for net in docker.networks.list(**everything):
        if _is_gone(net.attrs["Labels"][LABEL]):
            net.remove()


def _is_gone(maker: str) -> bool:
    host, pid, _ = maker.split()
    return host == socket.gethostname() and _process(pid) != maker


def _process(pid: str) -> str:
    """Return where a process is, its id, and when it started, "-" if it is gone."""
    started = "-"
    with contextlib.suppress(OSError):
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{socket.gethostname()} {pid} {started}"
