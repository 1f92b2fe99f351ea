"""Digests of files as they land in an AMI: content, and whether it runs."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest(content: bytes) -> str:
    """Return the sha256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder that are sources, in order: what Python caches is none."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.relative_to(folder).parts
    )


def is_executable(path: Path) -> bool:
    """Return whether a file's owner may run it: all of its mode that an AMI takes over.

    The rest comes from the umask of whoever cloned the checkout.
    """
    return bool(path.stat().st_mode & 0o100)


def file_digest(path: Path) -> str:
    """Return a file's sha256, with "+x" behind it where it is executable."""
    return digest(path.read_bytes()) + ("+x" if is_executable(path) else "")
