"""The ledger: a folder with one file per release, and the SBOMs of its AMIs beside it.

A release is immutable: `<version>.tfvars.json` and `<version>.sbom/<role>.cdx.json` are written
once. Files of pruned releases stand in `pruned/`; their versions are not used again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError
from runtime.release.record import SUFFIX, Release

PRUNED = "pruned"
_VERSION = re.compile(r"\d{4}\.\d{2}\.\d{2}(\.\d+)?")


def next_version(folder: Path, today: date) -> str:
    """Return the first free version of `today`, or of the newest day where that is later."""
    taken = _versions(folder) + _versions(folder / PRUNED)
    newest = max(taken, key=_number, default="")
    day = max(f"{today:%Y.%m.%d}", ".".join(newest.split(".")[:3]))
    tries = (day, *(f"{day}.{number}" for number in range(2, 10_000)))
    return next(one for one in tries if not newest or _number(one) > _number(newest))


def refuse_version(folder: Path, version: str) -> None:
    """Raise ReleaseError unless a release of this version may be made."""
    if not _VERSION.fullmatch(version):
        message = f"{version!r} is no version; one looks like 2026.11.25 or 2026.11.25.2"
        raise ReleaseError(message, hint="./invoke release.create, which takes the next")
    taken = _versions(folder) + _versions(folder / PRUNED)
    if version in taken:
        message = f"release {version} exists already, and a release never changes"
        raise ReleaseError(message, hint="./invoke release.list")
    newest = max(taken, key=_number, default="")
    if newest and _number(version) < _number(newest):
        message = f"release {version} would be older than {newest}, which exists"
        raise ReleaseError(message, hint="./invoke release.create, which takes the next")


def path(folder: Path, version: str) -> Path:
    """Return where the file of a release stands."""
    return folder / f"{version}{SUFFIX}"


def sbom_path(release: Release, role: Role) -> Path:
    """Return where the SBOM of a role stands."""
    return release.variables.parent / f"{release.version}.sbom" / f"{role}.cdx.json"


def write(release: Release, sboms: Mapping[Role, str]) -> Release:
    """Record a release and {role: text of its SBOM}, for good.

    Raises:
        ReleaseError: the version exists, a role is missing, or an SBOM is not the release's;
            nothing is changed.
    """
    absent = [str(role) for role in MACHINE_ROLES if role not in release.parts or role not in sboms]
    if absent:
        message = f"a release needs all roles and their SBOMs; missing: {', '.join(absent)}"
        raise ReleaseError(message, hint="./invoke release.create")
    other = [role for role in MACHINE_ROLES if release.parts[role].sbom != sha256(sboms[role])]
    if other:
        message = f"the SBOM of {other[0]} is not that of release {release.version}"
        raise ReleaseError(message, hint="./invoke release.create")
    folder = release.variables.parent
    refuse_version(folder, release.version)
    folder.mkdir(parents=True, exist_ok=True)
    bills = sbom_path(release, Role.KAFKA).parent
    shutil.rmtree(bills, ignore_errors=True)  # of a run that was killed before the record
    bills.mkdir()
    for role in MACHINE_ROLES:
        sbom_path(release, role).write_text(sboms[role])
    new = release.variables.with_suffix(".new")
    new.write_text(release.to_json())
    try:
        os.link(new, release.variables)  # never over one that is there
    except FileExistsError as error:
        message = f"release {release.version} exists already, and a release never changes"
        raise ReleaseError(message, hint="./invoke release.list") from error
    finally:
        new.unlink()
    return load(folder, release.version)


def load(folder: Path, version: str) -> Release:
    """Return a release.

    Raises:
        ReleaseError: there is none of that version, or its file is damaged, incomplete, renamed
            or was changed by hand; names the file.
    """
    file = path(folder, version)
    if not file.exists():
        known = ", ".join(_versions(folder)) or "none"
        message = f"there is no release {version!r}; there are: {known}"
        if path(folder / PRUNED, version).exists():
            message = f"release {version} was pruned: its AMIs are gone; there are: {known}"
        raise ReleaseError(message, hint="./invoke release.list")
    return _read(file)


def latest(folder: Path) -> Release | None:
    """Return the newest release, None if there is none."""
    versions = _versions(folder)
    return load(folder, versions[-1]) if versions else None


def load_all(folder: Path) -> list[Release]:
    """Return all releases, the oldest first."""
    return [load(folder, version) for version in _versions(folder)]


def load_pruned(folder: Path) -> list[Release]:
    """Return the releases that can't be launched any more, the oldest first."""
    gone = folder / PRUNED
    return [_read(path(gone, version)) for version in _versions(gone)]


def retire(folder: Path, version: str) -> None:
    """Move a release to those that were pruned, so that nothing launches it any more."""
    gone = folder / PRUNED
    gone.mkdir(exist_ok=True)
    file = path(folder, version)
    for one in (file.with_name(f"{version}.sbom"), file):  # the record last: it makes the release
        if one.exists():
            one.replace(gone / one.name)


def read_sbom(release: Release, role: Role) -> dict[str, Any]:
    """Return the SBOM of a role.

    Raises:
        ReleaseError: it is gone, or not what it was; names the file.
    """
    file = sbom_path(release, role)
    text = file.read_text() if file.exists() else ""
    if sha256(text) == release.parts[role].sbom:
        return dict(json.loads(text))
    message = f"{file} {'was changed after it was written' if text else 'is gone'}"
    raise ReleaseError(message, hint=f"restore {file.name} of {file.parent.name}")


def sha256(text: str) -> str:
    """Return the digest that a release has of an SBOM."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read(file: Path) -> Release:
    try:
        return Release.parse(file.read_text(), file)
    except (ValueError, OSError) as error:
        message = f"{file} {error}"
        hint = f"restore {file.name}, or move it away and make another: ./invoke release.create"
        raise ReleaseError(message, hint=hint) from error


def _versions(folder: Path) -> list[str]:
    names = (file.name.removesuffix(SUFFIX) for file in folder.glob(f"*{SUFFIX}"))
    return sorted((name for name in names if _VERSION.fullmatch(name)), key=_number)


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
