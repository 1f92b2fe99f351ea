"""What is really on this machine and in its container images: packages, by reading their records.

Made once, while an AMI is baked and Docker still runs; printed ever after.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtime.contract import paths
from runtime.errors import BootError
from runtime.machine.packages import Finder
from runtime.machine.run import run, stream

EXPORT_S = 600
_DPKG = "var/lib/dpkg/status"
_OS = "etc/os-release"
_PYTHON = ("usr/lib/python3/dist-packages", "usr/local/lib/python3.*/dist-packages")


def write() -> None:
    """Take the inventory and keep it where `read` finds it."""
    found = _machine(Path("/"))
    found["images"] = {name: _image(name) for name in _image_names()}
    path = Path(paths.INVENTORY)
    path.parent.mkdir(parents=True, exist_ok=True)  # base has nothing else there yet
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    path.chmod(0o644)


def read() -> str:
    """Return the inventory as JSON.

    Raises:
        BootError: none was made.
    """
    try:
        return Path(paths.INVENTORY).read_text()
    except OSError as error:
        message = f"this machine has no inventory: {error}"
        raise BootError(message, hint="the AMI is damaged or old: bake the role again") from error


def _machine(root: Path) -> dict[str, Any]:
    finder = Finder()
    records = [f"{base}/{depth}" for base in _PYTHON for depth in ("*.egg-info", "*/*")]
    found = [root / name for name in (_DPKG, _OS)]
    for path in [*found, *(path for record in records for path in root.glob(record))]:
        name = str(path.relative_to(root))
        if path.is_file() and finder.wants(name, runs=False):
            finder.take(name, path.read_bytes())
    rows = finder.found()
    return {kind: rows[kind] for kind in ("os", "packages", "python")}


def _image_names() -> list[str]:
    listed = run(
        ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], timeout_s=60
    ).split()
    return sorted(set(listed))


def _image(name: str) -> dict[str, Any]:
    """Return what a container image holds, out of the file system of one that never starts."""
    container = run(
        ["docker", "create", "--network", "none", name, "inventory"], timeout_s=60
    ).strip()
    try:
        return look(_files(container))
    finally:
        run(["docker", "rm", "--force", "--volumes", container], timeout_s=60)


def _files(container: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    with (
        stream(["docker", "export", container], timeout_s=EXPORT_S) as out,
        tarfile.open(fileobj=out, mode="r|") as archive,
    ):
        for entry in archive:
            yield archive, entry


def look(files: Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]) -> dict[str, Any]:
    """Return what the regular files of an archive say of packages."""
    finder = Finder()
    for archive, entry in files:
        name = entry.name.removeprefix("./").lstrip("/")
        if entry.isreg() and finder.wants(name, runs=bool(entry.mode & 0o111)):
            content = archive.extractfile(entry)
            finder.take(name, content.read() if content else b"")
    return finder.found()
