"""Releases for tests to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runtime.contract.data import DataFormat
from runtime.contract.manifest import ImageRecord
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.release import ledger
from runtime.release.record import Part, Release, Verification

IDS = {role: f"ami-{number:017x}" for number, role in enumerate(MACHINE_ROLES, start=1)}
SBOMS = {role: f'{{"of": "{role}"}}\n' for role in MACHINE_ROLES}
STAND_IN = ImageRecord(name="i", id="sha256:1", base="b", origin="packages", stand_in="not MongoDB")
KAFKA = DataFormat(name="kafka", writes=27, reads_min=7, reads_max=27)


def part(role: Role, **other: object) -> Part:
    one = Part(
        ami_id=IDS[role],
        key=f"{role}-key",
        source_ami="ami-0000000000000000b",
        images=(STAND_IN,) if role is Role.MONGO else (),
        parameters={"batch_size": "100"},
        files={"/usr/bin/bullion": "0" * 64},
        data_format=KAFKA if role is Role.KAFKA else None,
        sbom=ledger.sha256(SBOMS[role]),
        snapshots=(f"snap-{role}",),
        size_gb=8,
    )
    return replace(one, **other)  # type: ignore[arg-type]


def release(folder: Path, version: str = "2026.11.24", **other: object) -> Release:
    """Return a whole release that would stand in `folder`."""
    one = Release(
        version=version,
        created_at="2026-11-24T10:00:00+00:00",
        commit="c0ffee",
        parts={role: part(role) for role in MACHINE_ROLES},
        verified=Verification(
            by="Ann <ann@example.org>",
            at="2026-11-24T09:59:00+00:00",
            target="lab",
            checks=27,
            deltas={"gpu_metrics": 100},
        ),
        gate="did not run: no scanner found",
        variables=ledger.path(folder, version),
    )
    return replace(one, **other)  # type: ignore[arg-type]


def written(folder: Path, version: str = "2026.11.24", **other: object) -> Release:
    """Write a release into `folder`."""
    return ledger.write(release(folder, version, **other), SBOMS)
