"""Whether the machines are what was deployed: gathers what there is, has it compared, says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime

from runtime import console
from runtime.cloud import channels, machines, ssh
from runtime.cloud.amis import RELEASE_TAG
from runtime.cloud.machines import Machine
from runtime.cloud.observed import observe
from runtime.cloud.target import Target
from runtime.contract.roles import role_of
from runtime.contract.status import BootStatus
from runtime.deploy.terraform import Terraform
from runtime.errors import BullionError, DriftError, UsageError
from runtime.release import drift as compare
from runtime.release import ledger, look
from runtime.release.drift import Applied, Report, Seen
from runtime.settings import Settings
from runtime.verbs.common import find_target

ASK_S = 60


def drift(settings: Settings, *, channel: str, as_json: bool) -> None:
    """Compare machines, release and channel; DriftError if anything differs."""
    target = find_target(settings)
    with console.step("Reading what was applied"):
        applied = _applied(settings, target)
    with console.step("Asking the machines"):
        seen = _look(target)
    releases = {one.version: one for one in ledger.load_all(settings.ledger_dir)}
    history = channels.history(target, channel)
    pointed = {role: entries[-1] for role, entries in history.items() if entries}
    report = compare.compare(seen, applied, releases=releases, channel=pointed)
    if as_json:
        console.result_json(asdict(report) | {"machines": {n: asdict(s) for n, s in seen.items()}})
    else:
        _show(report, seen, datetime.now(UTC))
    if report.differences:
        message = f"{len(report.differences)} things are not as release {report.release} has them"
        raise DriftError(message, hint="./invoke deploy, and ./invoke refresh for parameters")


def _applied(settings: Settings, target: Target) -> dict[str, Applied]:
    terraform = Terraform(settings, target)
    terraform.init()
    found = terraform.machines()
    if not found:
        message = f"nothing is deployed on {target.name}"
        raise UsageError(message, hint="./invoke deploy")
    return {
        name: Applied(
            id=one["id"],
            role=role,
            ami_id=one["ami"],
            tags=one["tags"] or {},
            user_data_sha1=one["user_data"] or "",
        )
        for name, one in found.items()
        if (role := role_of(name))
    }


def _look(target: Target) -> dict[str, Seen]:
    found = machines.find_all(target)
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        asked = {name: pool.submit(_see, target, one) for name, one in found.items()}
    return {name: one.result() for name, one in asked.items()}


def _see(target: Target, machine: Machine) -> Seen:
    told = observe(target, machine)
    known = Seen(
        id=machine.id,
        state=machine.state,
        ami_id=machine.ami_id,
        launched_at=told.launched_at,
        tags=told.tags,
        user_data=told.user_data,
    )
    if machine.state != "running":
        return known
    try:
        files = json.loads(_ask(target, machine, "changed"))
        status = BootStatus.parse(_ask(target, machine, "status"))
        changed, missing = tuple(files["changed"]), tuple(files["missing"])
    except (BullionError, ValueError, KeyError) as error:
        return replace(known, silence=f"does not tell its files: {error}".splitlines()[0])
    return replace(known, changed=changed, missing=missing, in_force=status.parameters)


def _ask(target: Target, machine: Machine, what: str) -> str:
    words = ["sudo", "bullion", what, "--json"]
    return ssh.run(target, machine, words, timeout_s=ASK_S).stdout


def _show(report: Report, seen: Mapping[str, Seen], now: datetime) -> None:
    rows = [
        (
            machine,
            one.id,
            one.ami_id,
            one.tags.get(RELEASE_TAG, "-"),
            look.age(now - one.launched_at),
            ", ".join(f"{name}={value}" for name, value in one.overrides.items()) or "-",
        )
        for machine, one in seen.items()
    ]
    header = ("machine", "id", "AMI", "release", "age", "overrides")
    for line in console.layout(rows, header=header):
        console.result(line)
    console.result("")
    for name in ("release", "channel", "newest"):
        console.result(f"{name:8} {getattr(report, name) or 'none'}")
    if not report.differences:
        console.result("nothing differs")
        return
    console.result("")
    found = [(one.machine or "all", one.kind, one.expected, one.seen) for one in report.differences]
    for line in console.layout(found, header=("machine", "what", "should be", "is")):
        console.result(line)
