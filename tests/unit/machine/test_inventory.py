"""What is on a machine and in its images is told by records of every kind that is there."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.contract import paths
from runtime.contract.manifest import Manifest
from runtime.contract.roles import Role
from runtime.errors import BootError
from runtime.machine import inventory
from runtime.machine.changed import changed
from runtime.machine.packages import GO_LEAST_BYTES

DPKG = """Package: openssl
Status: install ok installed
Architecture: amd64
Version: 3.5.1-1
Description: a toolkit
 of two lines

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
METADATA = "Metadata-Version: 2.4\nName: fastapi\nVersion: 0.120.0\n\nfastapi is a framework\n"
OS = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'


def jar(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"META-INF/maven/g/{name}/pom.properties", text)
    return out.getvalue()


def program(modules: str) -> bytes:
    """Return the bytes of a Go program as far as its build information."""
    version, listed = b"go1.24.4", b"\x30" * 16 + modules.encode() + b"\x31" * 16
    size = len(listed)
    varint = bytes([size & 0x7F | 0x80, size >> 7])
    head = b"\x7fELF" + b"\0" * 28 + b"\xff Go buildinf:" + bytes([8, 2]) + b"\0" * 16
    return (head + bytes([len(version)]) + version + varint + listed).ljust(GO_LEAST_BYTES, b"\0")


def look(*files: tuple[str, bytes, int]) -> dict[str, object]:
    """Return the inventory of an archive as Docker exports it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, mode in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    out.seek(0)

    def read() -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        with tarfile.open(fileobj=out, mode="r|") as archive:
            for entry in archive:
                yield archive, entry

    return inventory.look(read())


def test_an_image_of_debian_tells_its_packages_and_what_python_has() -> None:
    found = look(
        ("var/lib/dpkg/status", DPKG.encode(), 0o644),
        ("usr/lib/os-release", OS.encode(), 0o644),
        (
            "opt/venv/lib/python3.13/site-packages/fastapi-0.1.dist-info/METADATA",
            METADATA.encode(),
            0o644,
        ),
        ("usr/bin/openssl", b"\x7fELF", 0o755),
    )
    assert found == {
        "os": {"id": "debian", "version": "13"},
        "packages": [{"name": "openssl", "version": "3.5.1-1", "arch": "amd64"}],
        "python": [{"name": "fastapi", "version": "0.120.0"}],
        "jars": [],
        "go": [],
        "programs": [],
    }


def test_an_image_of_alpine_tells_its_packages() -> None:
    database = b"C:Q1abc=\nP:musl\nV:1.2.5-r10\nA:x86_64\n\nP:zlib\nV:1.3.1-r2\nA:x86_64\n"
    found = look(("lib/apk/db/installed", database, 0o644))
    assert [row["name"] for row in found["packages"]] == ["musl", "zlib"]


def test_a_jar_tells_its_maven_name_or_else_that_of_its_file() -> None:
    own = "#comment\nversion=4.3.1\ngroupId=org.apache.kafka\nartifactId=kafka-clients\n"
    plain, bundle = jar(), jar(one=own, other=own)
    found = look(
        ("opt/kafka/libs/kafka-clients-4.jar", jar(one=own), 0o644),
        ("opt/kafka/libs/scala-library-2.13.18.jar", plain, 0o644),
        ("opt/kafka/libs/bundle-1.0.jar", bundle, 0o644),
        ("opt/kafka/libs/broken.jar", b"no zip", 0o644),
    )
    rows = [(row["group"], row["name"], row["version"]) for row in found["jars"]]
    assert sorted(rows) == [
        ("", "broken", ""),
        ("", "bundle", "1.0"),
        ("", "scala-library", "2.13.18"),
        ("org.apache.kafka", "kafka-clients", "4.3.1"),
    ]
    assert hashlib.sha256(plain).hexdigest() in {row["sha256"] for row in found["jars"]}


def test_a_go_program_tells_its_modules_and_others_go_by_digest_where_nobody_lists_them() -> None:
    said = "path\tcmd\nmod\tgithub.com/FerretDB/FerretDB\t(devel)\t\ndep\tgolang.org/x/sys\tv0.30.0\th1:x\nbuild\t-trimpath=true\n"
    found = look(("ferretdb", program(said), 0o755), ("bin/busybox", b"\x7fELF", 0o755))
    assert found["go"] == [
        {"name": "github.com/FerretDB/FerretDB", "version": "(devel)"},
        {"name": "golang.org/x/sys", "version": "v0.30.0"},
        {"name": "stdlib", "version": "1.24.4"},
    ]
    assert found["programs"] == [
        {"name": "/bin/busybox", "sha256": hashlib.sha256(b"\x7fELF").hexdigest()}
    ]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine on which two files were baked."""
    files = {"/etc/one": b"1", "/usr/lib/two": b"2"}
    for path, content in files.items():
        (tmp_path / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path[1:]).write_bytes(content)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    write_manifest(tmp_path, digests)
    return tmp_path


def write_manifest(root: Path, files: dict[str, str]) -> None:
    baked = Manifest(role=Role.KAFKA, version="v", key="k", source_ami="ami-1", files=files)
    path = root / str(paths.MANIFEST)[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(baked.to_json())


def test_a_machine_as_baked_has_changed_nothing(machine: Path) -> None:
    assert changed(machine) == {"changed": [], "missing": []}


def test_baked_files_of_other_content_or_gone_are_named(machine: Path) -> None:
    (machine / "etc/one").write_text("another")
    (machine / "usr/lib/two").unlink()
    assert changed(machine) == {"changed": ["/etc/one"], "missing": ["/usr/lib/two"]}


def test_a_manifest_that_tells_no_files_is_refused(machine: Path) -> None:
    write_manifest(machine, {})
    with pytest.raises(BootError, match="tells no files"):
        changed(machine)


def test_a_machine_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BootError, match="no manifest"):
        changed(tmp_path)
