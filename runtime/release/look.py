"""What a person wants to know of releases: the rows of the list, and what differs between two."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runtime.contract.data import DataFormat
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.release import sbom
from runtime.release.record import Part, Release

Sboms = Mapping[Role, Mapping[str, Any]]  # {role: CycloneDX document}
ABSENT = "-"
_SHOWN = 12  # characters of a digest


@dataclass(frozen=True, kw_only=True)
class Row:
    """A release in the list.

    Attributes:
        channels: those that point to it.
        runs: names of the machines that run it.
        is_everywhere: all machines do.
        size_gb: of the root volumes of its AMIs, as snapshots are billed at most.
        verified: by what, in words.
        is_pruned: its AMIs are removed; it can't be launched any more.
    """

    version: str
    created_at: str
    age: str
    channels: tuple[str, ...]
    runs: tuple[str, ...]
    is_everywhere: bool
    size_gb: int
    verified: str
    stand_ins: tuple[str, ...]
    is_pruned: bool


def rows(
    releases: Sequence[Release],
    *,
    pruned: Collection[str],
    channels: Mapping[str, str],
    running: Mapping[str, str],
    now: datetime,
) -> list[Row]:
    """Return a row per release, in the order given.

    Args:
        releases: those that can be launched, and those that were pruned.
        pruned: the versions of the latter.
        channels: {channel: version it points to}.
        running: {machine: version that it runs}.
        now: aware.
    """
    return [
        Row(
            version=one.version,
            created_at=one.created_at,
            age=age(now - datetime.fromisoformat(one.created_at)),
            channels=tuple(name for name, version in channels.items() if version == one.version),
            runs=tuple(name for name, version in running.items() if version == one.version),
            is_everywhere=set(running.values()) == {one.version},
            size_gb=sum(part.size_gb for part in one.parts.values()),
            verified=verified(one),
            stand_ins=tuple(one.stand_ins()),
            is_pruned=one.version in pruned,
        )
        for one in releases
    ]


def verified(release: Release) -> str:
    """Return what a release was verified by, in words."""
    seen = release.verified
    sent = ", ".join(f"{name} +{rise}" for name, rise in seen.deltas.items())
    return f"{seen.checks} checks, {sent} on {seen.target}"


def age(passed: timedelta) -> str:
    """Return 5 min, 3 h or 12 d."""
    minutes = max(0, int(passed.total_seconds()) // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing of a role that differs between two releases; ABSENT where a side lacks it."""

    role: Role
    kind: str
    name: str
    before: str
    after: str


def diff(before: Release, after: Release, sboms: tuple[Sboms, Sboms]) -> list[Difference]:
    """Return what differs, by role.

    Args:
        before: the one, usually that which runs.
        after: the other.
        sboms: the bills of the AMIs of both.
    """
    found: list[Difference] = []
    for role in MACHINE_ROLES:
        left, right = _facts(before.parts[role]), _facts(after.parts[role])
        rows = [
            (kind, name, left[kind].get(name, ""), right[kind].get(name, ""))
            for kind in left
            for name in sorted(left[kind].keys() | right[kind].keys())
        ]
        packages = sbom.compare(sboms[0][role], sboms[1][role])
        rows += [
            (f"package ({change.where})", change.name, change.before, change.after)
            for changes in (packages.changed, packages.added, packages.removed)
            for change in changes
        ]
        found += [
            Difference(role=role, kind=kind, name=name, before=a or ABSENT, after=b or ABSENT)
            for kind, name, a, b in rows
            if a != b
        ]
    return found


def _facts(part: Part) -> dict[str, dict[str, str]]:
    """Return {kind: {name: value}} of what is on an AMI, but its packages."""
    images = {image.name.partition(":")[0]: image for image in part.images}
    return {
        "source AMI": {"": part.source_ami},
        "data format": {"": describe(part.data_format)} if part.data_format else {},
        "image": {
            name: image.id.removeprefix("sha256:")[:_SHOWN] for name, image in images.items()
        },
        "image base": {name: image.base for name, image in images.items()},
        "stand-in": {name: image.stand_in for name, image in images.items()},
        "parameter": dict(part.parameters),
        "file": {path: digest[:_SHOWN] for path, digest in part.files.items()},
    }


def describe(one: DataFormat) -> str:
    """Return a data format in words."""
    return f"{one.name}: writes {one.writes}, reads {one.reads_min} to {one.reads_max}"
