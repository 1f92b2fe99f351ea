"""Records of installed things, told by path and read: dpkg, apk, Python, jars, Go programs.

Where no package manager tells who put a program there, the program itself is listed by digest.
"""

from __future__ import annotations

import email.parser
import hashlib
import io
import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

Row = dict[str, str]

GO_LEAST_BYTES = 1 << 20  # no Go program is smaller
_APK = "lib/apk/db/installed"
_OS = ("etc/os-release", "usr/lib/os-release")
_GO_MAGIC = b"\xff Go buildinf:"
_JAR = re.compile(r"(?P<name>.+?)-(?P<version>\d[^/]*)\.jar")


class Finder:
    """Is asked for each file of a file system whether it wants it, and fed those."""

    def __init__(self) -> None:
        self._rows: dict[str, set[tuple[tuple[str, str], ...]]] = {
            "packages": set(),
            "python": set(),
            "jars": set(),
            "go": set(),
            "programs": set(),
        }
        self._os: Row = {}

    def wants(self, path: str, *, runs: bool) -> bool:
        """Return whether the file `path` (no leading slash) may be a record of something."""
        is_record = _is_dpkg(path) or _is_python(path) or path in {_APK, *_OS}
        return runs or is_record or path.endswith(".jar")

    def take(self, path: str, content: bytes) -> None:
        """Read a file that was wanted."""
        if _is_dpkg(path):
            self._add("packages", parse_dpkg(content.decode(errors="replace")))
        elif path == _APK:
            self._add("packages", parse_apk(content.decode(errors="replace")))
        elif path in _OS:
            self._os = parse_os_release(content.decode(errors="replace"))
        elif _is_python(path):
            self._add("python", parse_python(content.decode(errors="replace")))
        elif path.endswith(".jar"):
            self._add("jars", iter([parse_jar(path, content)]))
        else:
            modules = list(parse_go(content)) if len(content) >= GO_LEAST_BYTES else []
            self._add("go", iter(modules))
            if not modules:
                row = {"name": f"/{path}", "sha256": hashlib.sha256(content).hexdigest()}
                self._add("programs", iter([row]))

    def found(self) -> dict[str, Any]:
        """Return {kind: rows}, each once and in order, and "os": {"id", "version"}."""
        rows = {kind: [dict(row) for row in sorted(rows)] for kind, rows in self._rows.items()}
        return {**rows, "os": self._os} | ({"programs": []} if rows["packages"] else {})

    def _add(self, kind: str, rows: Iterator[Row]) -> None:
        self._rows[kind] |= {tuple(row.items()) for row in rows}


def parse_dpkg(text: str) -> Iterator[Row]:
    """Yield the installed packages of a dpkg status file; distroless ones have no status."""
    for block in text.split("\n\n"):
        fields = email.parser.HeaderParser().parsestr(block.strip("\n") + "\n")
        state = fields.get("Status", "install ok installed")
        if fields.get("Package") and fields.get("Version") and state.endswith(" installed"):
            yield {
                "name": fields["Package"].strip(),
                "version": fields["Version"].strip(),
                "arch": (fields.get("Architecture") or "").strip(),
            }


def parse_apk(text: str) -> Iterator[Row]:
    """Yield the packages of Alpine's database: one letter, a colon, the value."""
    for block in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in block.splitlines() if line[1:2] == ":")
        if fields.get("P") and fields.get("V"):
            yield {"name": fields["P"], "version": fields["V"], "arch": fields.get("A", "")}


def parse_os_release(text: str) -> Row:
    """Return {"id", "version"} of an os-release file, which is written as a shell reads it."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    plain = {name: "".join(shlex.split(value)) for name, value in fields.items()}
    return {"id": plain.get("ID", ""), "version": plain.get("VERSION_ID", "")}


def parse_python(text: str) -> Iterator[Row]:
    """Yield the one distribution that a METADATA or PKG-INFO file is of."""
    fields = email.parser.HeaderParser().parsestr(text)
    if fields.get("Name") and fields.get("Version"):
        yield {"name": fields["Name"].strip(), "version": fields["Version"].strip()}


def parse_jar(path: str, content: bytes) -> Row:
    """Return a jar by its Maven properties, else by its file's name; always with its digest."""
    told = _maven(content)
    named = _JAR.fullmatch(PurePosixPath(path).name)
    name = named["name"] if named else PurePosixPath(path).stem
    return {
        "name": told.get("artifactId", name),
        "version": told.get("version", named["version"] if named else ""),
        "group": told.get("groupId", ""),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def parse_go(content: bytes) -> Iterator[Row]:
    """Yield the modules that a Go program says it was built from, none if it is no such thing.

    The format is that of Go's debug/buildinfo since 1.18: a magic, flags, then two strings with
    their lengths before them, of which the second lists modules between two marks of 16 bytes.
    """
    at = content.find(_GO_MAGIC)
    if not content.startswith(b"\x7fELF") or at < 0 or not content[at + 15] & 2:
        return
    version, rest = _string(content, at + 32)
    modules, _ = _string(content, rest)
    yield {"name": "stdlib", "version": version.decode(errors="replace").removeprefix("go")}
    for line in modules[16:-16].decode(errors="replace").splitlines():
        kind, *told = line.split("\t")
        if kind in {"mod", "dep"} and len(told) >= 2:
            yield {"name": told[0], "version": told[1]}


def _string(content: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at `at`, and where it ends."""
    size = shift = 0
    while True:
        byte = content[at]
        at += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return content[at : at + size], at + size


def _maven(content: bytes) -> dict[str, str]:
    """Return what a jar says of itself, {} where it bundles others or says nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as jar:
            names = [name for name in jar.namelist() if name.endswith("/pom.properties")]
            if len(names) != 1:
                return {}
            lines = jar.read(names[0]).decode(errors="replace").splitlines()
    except (zipfile.BadZipFile, OSError):
        return {}
    return dict(line.strip().split("=", 1) for line in lines if "=" in line and line[0] != "#")


def _is_dpkg(path: str) -> bool:
    in_folder = path.startswith("var/lib/dpkg/status.d/") and not path.endswith(".md5sums")
    return path == "var/lib/dpkg/status" or in_folder


def _is_python(path: str) -> bool:
    return path.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO")) or (
        path.endswith(".egg-info") and "-packages/" in path
    )
