"""The ledger: per release a file of AMI ids that Terraform takes, and one of what is in them.

A release is immutable. `<version>.tfvars.json` is Terraform's input; `<version>.json` beside it
says which key, source AMI, images and bases each role has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from runtime.contract.manifest import Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError

_VERSION = re.compile(r"\d{4}\.\d{2}\.\d{2}(\.\d+)?")
_AMI = re.compile(r"ami-[0-9a-f]{8,17}")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of the whole set.

    Attributes:
        version: YYYY.MM.DD, with .N for the Nth of a day.
        ami_ids: {role: AMI id} of the four roles.
        variables: the file that Terraform takes.
        manifests: {role: manifest} as baked, {} where the second file is missing.
    """

    version: str
    ami_ids: Mapping[Role, str]
    variables: Path
    manifests: Mapping[Role, Manifest]

    def stand_ins(self) -> list[str]:
        """Return what stands in for something else in this release."""
        images = [image for manifest in self.manifests.values() for image in manifest.images]
        return sorted({image.stand_in for image in images if image.stand_in})


def next_version(folder: Path, today: date) -> str:
    """Return the first free version of `today`."""
    day = f"{today:%Y.%m.%d}"
    taken = set(_versions(folder))
    tries = (day, *(f"{day}.{number}" for number in range(2, 10_000)))
    return next(version for version in tries if version not in taken)


def write(
    folder: Path, version: str, ami_ids: Mapping[Role, str], manifests: Mapping[Role, Manifest]
) -> Release:
    """Record a release.

    Raises:
        ReleaseError: the version exists, or a role is missing; nothing is changed.
    """
    absent = [str(role) for role in MACHINE_ROLES if role not in ami_ids]
    if absent:
        message = f"a release needs all roles; missing: {', '.join(absent)}"
        raise ReleaseError(message, hint="./invoke bake")
    folder.mkdir(parents=True, exist_ok=True)
    variables = folder / f"{version}.tfvars.json"
    if variables.exists():
        message = f"release {version} exists already, and a release never changes"
        raise ReleaseError(message, hint="./invoke release.list")
    about = {str(role): asdict(manifest) for role, manifest in manifests.items()}
    _write(folder / f"{version}.json", about)
    _write(variables, {"release": version, "ami_ids": dict(ami_ids)})
    return load(folder, version)


def load(folder: Path, version: str) -> Release:
    """Return a release.

    Raises:
        ReleaseError: there is none of that version, or its file is damaged; names the file.
    """
    path = folder / f"{version}.tfvars.json"
    if not path.exists():
        known = ", ".join(_versions(folder)) or "none"
        message = f"there is no release {version!r}; there are: {known}"
        raise ReleaseError(message, hint="./invoke release.list")
    value = _read(path)
    ids = value.get("ami_ids", {})
    sound = (
        value.get("release") == version
        and set(ids) == set(MACHINE_ROLES)
        and all(isinstance(ami, str) and _AMI.fullmatch(ami) for ami in ids.values())
    )
    if not sound:
        message = f"{path} is damaged: it does not hold release {version} with four AMI ids"
        raise ReleaseError(message, hint=f"restore {path.name}, or bake again: ./invoke bake")
    about = folder / f"{version}.json"
    manifests = _read(about) if about.exists() else {}
    return Release(
        version=version,
        ami_ids={Role(role): ami for role, ami in ids.items()},
        variables=path,
        manifests={Role(role): Manifest.parse(json.dumps(row)) for role, row in manifests.items()},
    )


def latest(folder: Path) -> Release | None:
    """Return the newest release, None if there is none."""
    versions = _versions(folder)
    return load(folder, versions[-1]) if versions else None


def load_all(folder: Path) -> list[Release]:
    """Return all releases, the oldest first."""
    return [load(folder, version) for version in _versions(folder)]


def _versions(folder: Path) -> list[str]:
    names = (path.name.removesuffix(".tfvars.json") for path in folder.glob("*.tfvars.json"))
    known = (name for name in names if _VERSION.fullmatch(name))
    return sorted(known, key=lambda version: [int(part) for part in version.split(".")])


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        message = f"{path} is damaged: {error}"
        raise ReleaseError(
            message, hint=f"restore {path.name}, or bake again: ./invoke bake"
        ) from error


def _write(path: Path, value: Mapping[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    new.replace(path)
