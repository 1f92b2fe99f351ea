"""The bake key: the hash of everything a bake depends on. Same key, same AMI, nothing to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from runtime.bake import images, stage
from runtime.bake.digests import digest as digest_of
from runtime.bake.digests import file_digest
from runtime.contract.manifest import ImageRecord
from runtime.contract.roles import Role
from runtime.settings import Settings

Inputs = Mapping[str, str]  # {what: sha256 or literal}; no clock, no host name, no absolute path


def collect(
    settings: Settings, role: Role, *, source: str, tools: Inputs, origin: str = ""
) -> dict[str, str]:
    """Return what the bake of `role` depends on.

    Args:
        settings: where the checkout is.
        role: what is baked.
        source: what it starts from: the source AMI's id for base, base's key for the roles.
        tools: {tool: version} of what bakes.
        origin: what its container image is built from, and where that came from.
    """
    found = {"source AMI" if role is Role.BASE else "base AMI's key": source}
    found |= {f"tool {name}": version for name, version in tools.items()}
    found |= _files(settings.root, settings.root / "packer", ("*.pkr.hcl", "provisioners/*.sh"))
    found |= stage.inputs(settings.root, role)
    if role is not Role.BASE:
        found |= {"container base": origin} | images.inputs(settings, role)
    return found


def digest(inputs: Inputs) -> str:
    """Return the key of `inputs`: 64 hexadecimal digits."""
    return digest_of(json.dumps(inputs, sort_keys=True).encode())


def of_images(records: Iterable[ImageRecord]) -> str:
    """Return what the tag of an AMI says of the container images in it."""
    return digest({image.name: image.id for image in records})


def changed(before: Inputs, after: Inputs) -> list[str]:
    """Return the names of inputs that differ, in order."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )


def _files(root: Path, folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    return {
        str(path.relative_to(root)): file_digest(path)
        for pattern in patterns
        for path in sorted(folder.glob(pattern))
    }
