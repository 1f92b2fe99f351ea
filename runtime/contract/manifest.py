"""The manifest: the record, baked into an AMI, of what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from runtime.contract.data import DataFormat
from runtime.contract.roles import Role
from runtime.errors import BullionError


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One container image of an AMI.

    Attributes:
        name: bullion/<name>:<first 12 of id>, as the stack's compose file says.
        id: sha256:… of the image's configuration, checked after the load.
        base: what it was built from, by digest or package version.
        origin: "registry" or "packages".
        stand_in: empty, or what this is instead of the real thing ("FerretDB 1.24.2 on SQLite,
            not MongoDB"); never hidden from a person.
    """

    name: str
    id: str
    base: str
    origin: str
    stand_in: str = ""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an AMI contains; no clock and no host name, so that same key means same manifest.

    Attributes:
        role, version, key, source_ami: what was baked, when first, from what.
        images: the container images.
        packages: {Debian package: version}, counted on the machine.
        files: {path: sha256} of all that was copied onto /, base's files too, as they landed.
        parameters: {name: default as text}.
        data_format: of what is kept on its data volume, None where it has none.
    """

    role: Role
    version: str
    key: str
    source_ami: str
    images: tuple[ImageRecord, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    data_format: DataFormat | None = None

    def to_json(self) -> str:
        """Return the manifest as indented JSON."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str) -> Manifest:
        """Return the manifest in `text`, or raise BullionError naming what is wrong."""
        try:
            value = json.loads(text)
            images = tuple(ImageRecord(**image) for image in value.pop("images"))
            kept = value.pop("data_format", None)
            own = {"role": Role(value["role"]), "images": images}
            return cls(**(value | own), data_format=DataFormat.parse(kept) if kept else None)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = f"the manifest is damaged: {error!r}"
            raise BullionError(
                message, hint="bake the role again: ./invoke bake --role ROLE --force"
            ) from error
