"""A release's whole record: what Terraform launches, what is in it, who verified it; pure.

Its file is Terraform's input and the record in one: Terraform takes `release` and `ami_ids` and
ignores the key `//`, which holds the rest and a digest over all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.contract.data import DataFormat
from runtime.contract.manifest import ImageRecord
from runtime.contract.roles import MACHINE_ROLES, Role

RECORD = "//"  # Terraform's own key for comments
SUFFIX = ".tfvars.json"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One role of a release.

    Attributes:
        ami_id: what is launched.
        key: of its bake.
        source_ami: what it was baked on.
        images: its container images.
        parameters: {name: default as text}.
        files: {path on the machine: sha256} of what was copied onto it.
        data_format: of its data volume, None where it has none.
        sbom: sha256 of its SBOM's file.
        snapshots: of its AMI.
        size_gb: of its root volume.
    """

    ami_id: str
    key: str
    source_ami: str
    images: tuple[ImageRecord, ...]
    parameters: Mapping[str, str]
    files: Mapping[str, str]
    data_format: DataFormat | None
    sbom: str
    snapshots: tuple[str, ...]
    size_gb: int

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Part:
        """Return the part in `value`, or raise TypeError, KeyError or ValueError."""
        kind = value["data_format"]
        own = {
            "images": tuple(ImageRecord(**image) for image in value["images"]),
            "snapshots": tuple(value["snapshots"]),
            "data_format": DataFormat.parse(kind) if kind is not None else None,
        }
        return cls(**(dict(value) | own))


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Who verified a release.

    Attributes:
        by: name and address of the person, as git or the computer knows it.
        at: when, UTC in ISO 8601.
        target: where: lab or aws.
        checks: how many passed on the machines.
        deltas: {collection: by how much it rose} when messages went through the whole workflow.
    """

    by: str
    at: str
    target: str
    checks: int
    deltas: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of the whole set.

    Attributes:
        version: YYYY.MM.DD, with .N for the Nth of a day.
        created_at: UTC in ISO 8601.
        commit: of the checkout that it was made in.
        parts: {role: what it has} of the four roles.
        verified: by whom, when, where.
        gate: what became of the scan for vulnerabilities.
        variables: the file, which Terraform takes.
    """

    version: str
    created_at: str
    commit: str
    parts: Mapping[Role, Part]
    verified: Verification
    gate: str
    variables: Path

    @property
    def ami_ids(self) -> dict[Role, str]:
        """Return {role: AMI id}."""
        return {role: part.ami_id for role, part in self.parts.items()}

    def stand_ins(self) -> list[str]:
        """Return what stands in for something else in this release."""
        images = [image for part in self.parts.values() for image in part.images]
        return sorted({image.stand_in for image in images if image.stand_in})

    def to_json(self) -> str:
        """Return the text of its file."""
        record = asdict(self)
        del record["variables"], record["version"]
        whole = {
            "release": self.version,
            "ami_ids": {str(role): ami_id for role, ami_id in self.ami_ids.items()},
            RECORD: record,
        }
        record["digest"] = digest(whole)
        return json.dumps(whole, indent=1, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str, path: Path) -> Release:
        """Return the release in the file `path`, whose `text` this is.

        Raises:
            ValueError: it is not one, or not as it was written; says what is wrong.
        """
        try:
            whole = json.loads(text)
            record = dict(whole[RECORD])
            said = record.pop("digest")
        except (ValueError, TypeError, KeyError) as error:
            message = f"is damaged: {error!r}"
            raise ValueError(message) from error
        if said != digest(whole):
            message = "was changed after it was written: its digest is another"
            raise ValueError(message)
        version = whole.get("release")
        if path.name != f"{version}{SUFFIX}":
            message = f"was renamed: it holds release {version}"
            raise ValueError(message)
        try:
            parts = {Role(role): Part.parse(part) for role, part in record["parts"].items()}
            own = {"parts": parts, "verified": Verification(**record["verified"])}
            release = cls(version=version, variables=path, **(record | own))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = f"is damaged: {error!r}"
            raise ValueError(message) from error
        absent = [str(role) for role in MACHINE_ROLES if role not in parts]
        if absent or whole.get("ami_ids") != release.ami_ids:
            about = f"it lacks {', '.join(absent)}" if absent else "its AMI ids are at odds"
            message = f"is incomplete: {about}"
            raise ValueError(message)
        return release


def digest(whole: Mapping[str, Any]) -> str:
    """Return the sha256 over all that a release's file says, but the digest itself."""
    record = {name: value for name, value in whole[RECORD].items() if name != "digest"}
    text = json.dumps(dict(whole) | {RECORD: record}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
