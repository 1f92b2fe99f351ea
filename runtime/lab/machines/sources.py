"""The source AMIs, which nobody makes by a request: given to moto in a file (MOTO_AMIS_PATH)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runtime.lab import translations

SOURCE_OWNER = "136693071363"  # the account that publishes Debian's AMIs
SHELF = 20  # source AMIs that a lab can have had


def entry(ami_id: str, *, name: str, description: str) -> dict[str, Any]:
    """Return a source AMI as moto reads it."""
    return {
        "ami_id": ami_id,
        "name": name,
        "description": description,
        "owner_id": SOURCE_OWNER,
        "creation_date": "2026-01-01T00:00:00.000Z",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": translations.ROOT_DEVICE,
        "root_device_type": "ebs",
        "sriov": "simple",
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the source AMIs that this lab has had, oldest first."""
    found = {row["ami_id"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    return list(found.values())


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the source AMIs as moto reads them, at least one, atomically.

    moto draws random numbers for each before it makes the default VPC, whose ids must stay: so
    it is always given as many, the last again and again.
    """
    newest = rows[-SHELF:]
    new = path.with_suffix(".new")
    new.write_text(json.dumps([*newest, *[newest[-1]] * (SHELF - len(newest))], indent=1))
    new.replace(path)
