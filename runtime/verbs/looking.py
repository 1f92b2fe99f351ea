"""Looking at releases: the list, the whole of one, what differs between two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from runtime import console
from runtime.cloud import ami_guards, channels, machines
from runtime.cloud.ami_guards import Guards
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import CloudError, LabError, ReleaseError
from runtime.release import channel as following
from runtime.release import ledger, look
from runtime.release.look import Row
from runtime.release.record import Release
from runtime.settings import Settings
from runtime.verbs.common import find_target

_SHOWN = 12  # characters of a digest


def release_list(settings: Settings, *, as_json: bool) -> None:
    """List releases, the oldest first, and those that were pruned."""
    folder = settings.ledger_dir
    found = _rows(settings, ledger.load_all(folder), ledger.load_pruned(folder))
    if as_json:
        console.result_json([asdict(row) for row in found])
        return
    if not found:
        console.note("no release yet: ./invoke release.create")
        return
    rows = [
        (
            row.version,
            row.age,
            "pruned" if row.is_pruned else ", ".join(row.channels) or "-",
            _machines(row),
            f"{row.size_gb} GiB",
            row.verified,
            "; ".join(row.stand_ins) or "-",
        )
        for row in found
    ]
    header = ("release", "age", "channel", "runs on", "size", "verified", "stand-ins")
    _print(console.layout(rows, header=header))


def release_show(settings: Settings, *, version: str, as_json: bool) -> None:
    """Show all that is known of a release."""
    release = _find(settings, version)
    is_pruned = ledger.path(settings.ledger_dir, version) != release.variables
    (row,) = _rows(settings, [] if is_pruned else [release], [release] if is_pruned else [])
    guards = _guards(settings, release)
    if as_json:
        told = asdict(release) | {"variables": str(release.variables), "now": asdict(row)}
        about = {role: asdict(one) for role, one in guards.items()}
        console.result_json(told | {"guards": about})
        return
    _print(_summary(release, row))
    _print(_tables(release))
    _print(_guarded(guards))


def release_diff(settings: Settings, *, before: str, after: str, as_json: bool) -> None:
    """Show what differs between two releases, role by role."""
    one, two = _find(settings, before), _find(settings, after)
    found = look.diff(one, two, (_bills(one), _bills(two)))
    if as_json:
        console.result_json([asdict(difference) for difference in found])
        return
    for role in MACHINE_ROLES:
        rows = [(d.kind, d.name, d.before, d.after) for d in found if d.role == role]
        ids = {one.ami_ids[role], two.ami_ids[role]}
        same = "the same AMI" if len(ids) == 1 else "nothing differs but the AMI"
        console.result(f"{role}: " + (f"{len(rows)} differ" if rows else same))
        if rows:
            _print(f"  {line}" for line in console.layout(rows, header=("what", "", before, after)))
    if not found:
        console.result(f"{before} and {after} hold the same")


def _find(settings: Settings, version: str) -> Release:
    """Return a release, also one that was pruned."""
    pruned = {one.version: one for one in ledger.load_pruned(settings.ledger_dir)}
    return pruned.get(version) or ledger.load(settings.ledger_dir, version)


def _rows(
    settings: Settings, launchable: Sequence[Release], pruned: Sequence[Release]
) -> list[Row]:
    """Return the rows of the list; the ledger alone where nobody can be asked the rest."""
    held: dict[str, str] = {}
    running: dict[str, str] = {}
    try:
        target = find_target(settings)
        held = {name: _held(target, name) for name in channels.names(target)}
        running = {name: one.release for name, one in machines.find_all(target).items()}
    except (CloudError, LabError) as error:
        console.warn(f"channels and machines are not known: {error}")
    return look.rows(
        [*pruned, *launchable],
        pruned=[one.version for one in pruned],
        channels=held,
        running=running,
        now=datetime.now(UTC),
    )


def _guards(settings: Settings, release: Release) -> dict[Role, Guards]:
    """Return the guards of the AMIs that are there; none where nobody can be asked."""
    try:
        found = ami_guards.read(find_target(settings), release.ami_ids.values())
    except (CloudError, LabError) as error:
        console.warn(f"guards are not known: {error}")
        return {}
    return {role: found[i] for role, i in release.ami_ids.items() if i in found}


def _guarded(guards: Mapping[Role, Guards]) -> Iterator[str]:
    yield ""
    if not guards:
        yield "none of its AMIs is there"
        return
    told = {role: dict(ami_guards.describe(one)) for role, one in guards.items()}
    names = list(next(iter(told.values())))
    rows = [(role, *one.values()) for role, one in told.items()]
    yield from console.layout(rows, header=("role", *names))


def _held(target: Target, channel: str) -> str:
    """Return the release of a channel, "" if it stands between releases."""
    try:
        return following.current(channels.history(target, channel), channel)
    except ReleaseError as error:
        console.warn(str(error))
        return ""


def _bills(release: Release) -> dict[Role, Mapping[str, Any]]:
    return {role: ledger.read_sbom(release, role) for role in MACHINE_ROLES}


def _summary(release: Release, row: Row) -> Iterator[str]:
    facts = {
        "release": release.version
        + (" (pruned: it can't be launched any more)" if row.is_pruned else ""),
        "created": f"{release.created_at} ({row.age} ago), commit {release.commit}",
        "verified": f"{row.verified}, by {release.verified.by} at {release.verified.at}",
        "gate": release.gate,
        "channel": ", ".join(row.channels) or "none",
        "runs on": _machines(row),
        "stand-ins": "; ".join(row.stand_ins) or "none",
        "file": str(release.variables),
    }
    yield from (f"{name:10} {value}" for name, value in facts.items())


def _tables(release: Release) -> Iterator[str]:
    parts = release.parts
    yield ""
    yield from console.layout(
        [
            (
                role,
                part.ami_id,
                part.key[:_SHOWN],
                part.source_ami,
                f"{part.size_gb} GiB",
                str(len(part.files)),
                look.describe(part.data_format) if part.data_format else "-",
                part.sbom[:_SHOWN],
                ", ".join(part.snapshots),
            )
            for role, part in parts.items()
        ],
        header=("role", "AMI", "key", "source AMI", "size", "files", "data", "SBOM", "snapshots"),
    )
    yield ""
    yield from console.layout(
        [
            (
                role,
                image.name,
                image.id.removeprefix("sha256:")[:_SHOWN],
                image.base,
                image.origin,
                image.stand_in or "-",
            )
            for role, part in parts.items()
            for image in part.images
        ],
        header=("role", "image", "digest", "base", "from", "stand-in"),
    )
    yield ""
    names = sorted({name for part in parts.values() for name in part.parameters})
    yield from console.layout(
        [
            (name, next(p.parameters[name] for p in parts.values() if name in p.parameters))
            for name in names
        ],
        header=("parameter", "default"),
    )


def _machines(row: Row) -> str:
    return "all machines" if row.is_everywhere else ", ".join(row.runs) or "-"


def _print(lines: Iterator[str] | Sequence[str]) -> None:
    for line in lines:
        console.result(line)
