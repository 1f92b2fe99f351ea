"""Plugins of Terraform and Packer that outlive the program that started them.

A program whose run is killed ends when it next writes to nobody, and then does not end its plugins.
Those ask for nothing by themselves, and hold on to what they inherited for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PLUGINS = ("terraform-provider-", "packer-plugin-")


def end_plugins(path: Path) -> list[str]:
    """End the plugins that have the file at `path` open and whose program is gone; name them."""
    holders = set(_holders(path))
    ended = []
    for pid in sorted(holders):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            name = Path(f"/proc/{pid}/exe").readlink().name
            if name.startswith(_PLUGINS) and _parent(pid) not in holders:
                os.kill(pid, signal.SIGTERM)
                ended.append(f"{name} ({pid})")
    return ended


def _holders(path: Path) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(file.readlink() == path for file in (entry / "fd").iterdir()):
                yield int(entry.name)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
