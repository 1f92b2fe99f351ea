"""A release is created: AMIs run as a trial stack, are verified, and only then recorded."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runtime import console, proc, wait
from runtime.bake import bake as baking
from runtime.bake import key
from runtime.bake.bake import Baked
from runtime.cloud import ami_guards, amis, machines, ssh
from runtime.cloud.ami_guards import Guards
from runtime.cloud.target import Target
from runtime.contract import paths
from runtime.contract.manifest import Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.deploy import ready, trial
from runtime.errors import ReleaseError, WaitError
from runtime.release import gate, ledger, sbom
from runtime.release.record import Part, Release, Verification
from runtime.settings import Settings
from runtime.verbs.common import exclusive, find_target
from runtime.verify import checks, workflow

GOOD_FOR = timedelta(days=365)  # then its AMIs count as deprecated; they can be launched by id
ALLOWED = "packer/allowed-vulnerabilities.json"
TOLD_S = 30  # EC2 may tell of new tags a while after it took them
_READ_S = 60


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a machine of the trial says of the AMI it was launched from."""

    manifest: Manifest
    inventory: Mapping[str, Any]


@exclusive
def create(settings: Settings, *, version: str, keep: bool) -> None:
    """Bake what changed, verify the four AMIs beside the running stack, record them."""
    chosen = choose_version(settings, version)
    target = find_target(settings)
    ready.require(settings, target, trial=True)
    baked = baking.bake(settings, target, version=chosen)
    console.result(make(settings, target, chosen, baked, keep=keep).version)


def choose_version(settings: Settings, version: str = "") -> str:
    """Return `version`, or the next one for "".

    Raises:
        ReleaseError: there can be no release of this version.
    """
    if not version:
        return ledger.next_version(settings.ledger_dir, datetime.now(UTC).date())
    ledger.refuse_version(settings.ledger_dir, version)
    return version


def make(
    settings: Settings,
    target: Target,
    version: str,
    baked: Mapping[Role, Baked],
    *,
    keep: bool = False,
) -> Release:
    """Return the new release of what was baked, verified as a stack of its own.

    Raises:
        CheckError: a check or the workflow failed; nothing is recorded, the stack is gone.
        ReleaseError: machines, guards or the scan say that these AMIs must not be released.
    """
    ami_ids = {role: baked[role].ami_id for role in MACHINE_ROLES}
    with trial.launched(settings, target, version=version, ami_ids=ami_ids, keep=keep) as stack:
        verified = _verify(settings, target, stack)
        found = {role: _read(target, stack, role) for role in MACHINE_ROLES}
        tagged = amis.images_tag(target, ami_ids.values())
        for role in MACHINE_ROLES:
            refuse_other(
                found[role].manifest, baked[role], images=tagged.get(ami_ids[role], "gone")
            )
    created_at = datetime.now(UTC).replace(microsecond=0)
    guards = _guard(target, version, ami_ids, created_at)
    sboms = {
        role: sbom.to_json(
            sbom.to_cyclonedx(
                found[role].inventory,
                role=role,
                version=version,
                ami_id=ami_ids[role],
                at=created_at.isoformat(),
            )
        )
        for role in MACHINE_ROLES
    }
    scanned = _scan(settings, sboms)
    release = Release(
        version=version,
        created_at=created_at.isoformat(),
        commit=baking.commit(settings.root),
        parts={
            role: _part(found[role].manifest, guards[ami_ids[role]], sboms[role])
            for role in MACHINE_ROLES
        },
        verified=verified,
        gate=scanned,
        variables=ledger.path(settings.ledger_dir, version),
    )
    written = ledger.write(release, sboms)
    console.note(f"recorded release {version}: {written.variables}")
    return written


def refuse_other(seen: Manifest, baked: Baked, *, images: str) -> None:
    """Raise ReleaseError unless a machine has the role, the key and the images of its AMI.

    Images are compared with the AMI's own tag, as it may come from another computer, where the
    same sources make images of other ids.
    """
    facts = (
        ("role", seen.role, baked.role),
        ("key", seen.key, baked.key),
        ("images", key.of_images(seen.images), images),
    )
    for what, said, wanted in facts:
        if said != wanted:
            message = (
                f"the {baked.role} machine is of another bake: its manifest says {what} {said},"
                f" and {baked.ami_id} has {wanted}"
            )
            raise ReleaseError(message, hint=f"./invoke bake --role {baked.role} --force")


def _verify(settings: Settings, target: Target, stack: str) -> Verification:
    with console.step(f"Verifying {stack}"):
        verdicts = checks.run(target, stack=stack)
        checks.report(verdicts)
        checks.refuse_failed(verdicts)
        outcome = workflow.run(target, count=workflow.COUNT, stack=stack)
    return Verification(
        by=_author(settings.root),
        at=datetime.now(UTC).replace(microsecond=0).isoformat(),
        target=target.name,
        checks=len(verdicts),
        deltas=outcome.deltas(),
    )


def _read(target: Target, stack: str, role: Role) -> Found:
    machine = machines.find(target, role, stack)

    def text(path: object) -> str:
        return ssh.run(target, machine, ["sudo", "cat", str(path)], timeout_s=_READ_S).stdout

    inventory = json.loads(text(paths.INVENTORY))
    return Found(manifest=Manifest.parse(text(paths.MANIFEST)), inventory=inventory)


def _guard(
    target: Target, version: str, ami_ids: Mapping[Role, str], created_at: datetime
) -> dict[str, Guards]:
    """Return {AMI id: guards}, complete but for the protection that a promote brings."""
    known = ami_guards.read(target, ami_ids.values())
    ami_guards.complete(target, known.values(), release=version, deprecate_at=created_at + GOOD_FOR)
    guards: dict[str, Guards] = {}

    def have_tags() -> bool:
        guards.update(ami_guards.read(target, ami_ids.values()))
        return not any(one.missing_tags for one in guards.values())

    with contextlib.suppress(WaitError):  # what is missing then is a fault
        wait.until(have_tags, what="EC2 to tell of tags", timeout_s=TOLD_S, every_s=1)
    faults = [f"{one.ami_id}: {fault}" for one in guards.values() for fault in one.faults()]
    faults += [f"{ami_id}: it is gone" for ami_id in ami_ids.values() if ami_id not in guards]
    if faults:
        message = f"these AMIs are not fit to be released: {'; '.join(faults)}"
        raise ReleaseError(message, hint="correct packer/sources.pkr.hcl; ./invoke bake --force")
    return guards


def _scan(settings: Settings, sboms: Mapping[Role, str]) -> str:
    """Return what became of the scan, or raise ReleaseError if it refuses."""
    allowed = settings.root / ALLOWED
    with tempfile.TemporaryDirectory() as scratch:
        files = []
        for role, text in sboms.items():
            files.append(Path(scratch) / f"{role}{sbom.SUFFIX}")
            files[-1].write_text(text)
        verdict = gate.scan(files, allowed, today=datetime.now(UTC).date())
    console.note(f"scan for vulnerabilities: {verdict}")
    gate.require(verdict, allowed)
    return str(verdict)


def _part(manifest: Manifest, guards: Guards, bill: str) -> Part:
    return Part(
        ami_id=guards.ami_id,
        key=manifest.key,
        source_ami=manifest.source_ami,
        images=manifest.images,
        parameters=manifest.parameters,
        files=manifest.files,
        data_format=manifest.data_format,
        sbom=ledger.sha256(bill),
        snapshots=guards.snapshots,
        size_gb=guards.size_gb,
    )


def _author(root: Path) -> str:
    """Return who does this, as git has it, else the login's name."""

    def ask(key: str) -> str:
        said = proc.run(["git", "-C", root, "config", key], timeout_s=10, ok=range(256))
        return said.stdout.strip()

    name, address = ask("user.name"), ask("user.email")
    return f"{name} <{address}>" if name else pwd.getpwuid(os.getuid()).pw_name
