"""Builds the container images, hermetically, and keeps each as an archive to be loaded by a bake.

Nothing is fetched during a Docker build: wheels come into the context beforehand, by hash. An
image whose inputs did not change is not built again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException

from runtime import console, lock, proc
from runtime.bake import bases
from runtime.bake.bases import INPUTS, Base
from runtime.bake.digests import file_digest, files_below, is_executable
from runtime.contract.manifest import ImageRecord
from runtime.errors import BakeError, ToolError, UsageError
from runtime.settings import Settings

BASE_OF = {"kafka": "kafka", "mongo": "mongo", "processor": "python", "producers": "python"}
NAMES = tuple(BASE_OF)
UNUSED_S = 86400
_PYTHON = "3.13"


@dataclass(frozen=True, kw_only=True)
class BuiltImage:
    """An image that is ready to be baked: its record, and the archive that `docker load` takes."""

    record: ImageRecord
    archive: Path


def build(settings: Settings, names: Sequence[str] = NAMES) -> dict[str, BuiltImage]:
    """Return {name: image}, each built or found unchanged.

    Raises:
        UsageError: there is no such image.
        ToolError: Docker does not answer.
        BakeError: a base or an image could not be made.
    """
    for name in names:
        if name not in NAMES:
            message = f"there is no image {name!r}; there are: {', '.join(NAMES)}"
            raise UsageError(message, hint="./invoke images.build")
    client = _connect()
    bases.choose_all(settings, client, [BASE_OF[name] for name in names])  # asks registries, once
    # One at a time on a computer: checkouts share the cache, and so do tests side by side.
    with lock.take_turn(settings.cache_dir / "images.lock", what=f"images of {settings.root}"):
        return {name: _build_one(settings, client, name) for name in names}


def choose_bases(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Return {name: what its base would be now}; nothing is made or pulled.

    Raises:
        ToolError: Docker does not answer.
    """
    chosen = bases.choose_all(settings, _connect(), [BASE_OF[name] for name in names])
    return {name: chosen[BASE_OF[name]] for name in names}


def inputs(settings: Settings, name: str) -> dict[str, str]:
    """Return {path: sha256} of everything that the image depends on, for the bake key."""
    found = bases.inputs(settings, BASE_OF[name])
    for path in _sources(settings.root / "images" / name):
        found[str(path.relative_to(settings.root))] = file_digest(path)
    return found


def _connect() -> Any:
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        message = f"Docker does not answer: {error}"
        raise ToolError(message, hint="docker info") from error
    return client


def _build_one(settings: Settings, client: Any, name: str) -> BuiltImage:
    base = bases.ensure(settings, client, BASE_OF[name])
    digest = hashlib.sha256(json.dumps([inputs(settings, name), base.version]).encode()).hexdigest()
    found = client.images.list(filters={"label": [f"{INPUTS}={digest}", f"bullion.image={name}"]})
    if not found:
        with console.step(f"Building image {name} on {base.version}"):
            image_id = _build_image(settings, client, name, base, digest)
    else:
        image_id = str(found[0].id)
    reference = f"bullion/{name}:{image_id.removeprefix('sha256:')[:12]}"
    client.images.get(image_id).tag(*reference.split(":"))
    record = ImageRecord(
        name=reference, id=image_id, base=base.version, origin=base.origin, stand_in=base.stand_in
    )
    return BuiltImage(record=record, archive=_save(settings, client, record))


def _build_image(settings: Settings, client: Any, name: str, base: Base, digest: str) -> str:
    source = settings.root / "images" / name
    with tempfile.TemporaryDirectory(dir=settings.cache_dir) as scratch:
        context = Path(scratch) / name
        context.mkdir()
        for path in _sources(source):
            _copy(path, context / path.relative_to(source))
        lock = source / "requirements.lock"
        if lock.exists():
            _download_wheels(settings, lock, context / "wheels")
        labels = {INPUTS: digest, "bullion.image": name}
        return bases.build(
            client, context, tag=f"bullion/{name}:latest", labels=labels, BASE=base.reference
        )


def _copy(path: Path, target: Path) -> None:
    """Copy a file with modes that do not tell whose umask the checkout was made with."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    shutil.copyfile(path, target)
    target.chmod(0o755 if is_executable(path) else 0o644)


def _sources(folder: Path) -> list[Path]:
    """Return the files of an image's context; its base is none."""
    return [path for path in files_below(folder) if "base" not in path.relative_to(folder).parts]


def _download_wheels(settings: Settings, lock: Path, wheels: Path) -> None:
    """Fetch the locked wheels, for the images' Python and not this computer's."""
    proc.run(
        [
            settings.root / ".venv/bin/python",
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--only-binary=:all:",
            "--python-version",
            _PYTHON,
            "--dest",
            wheels,
            "-r",
            lock,
        ],
        timeout_s=600,
    )


def _save(settings: Settings, client: Any, record: ImageRecord) -> Path:
    """Return the image's archive, written once per id."""
    folder = settings.cache_dir / "images"
    archive = folder / f"{record.name.replace('/', '-').replace(':', '-')}.tar"
    if archive.exists():
        archive.touch()
        return archive
    folder.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    with console.step(f"Saving {record.name}"), partial.open("wb") as out:
        for chunk in client.images.get(record.name).save(chunk_size=1 << 20, named=record.name):
            out.write(chunk)
    if not partial.stat().st_size:
        message = f"Docker saved nothing of {record.name}"
        raise BakeError(message, hint="docker system df")
    partial.replace(archive)
    for old in folder.glob(f"{archive.name.rpartition('-')[0]}-*.tar"):
        # Another checkout may be about to bake it: it goes when nobody has used it for a day.
        if old != archive and time.time() - old.stat().st_mtime > UNUSED_S:
            old.unlink(missing_ok=True)
    return archive
