"""Runs every machine's own checks side by side and makes one report of them."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from runtime import console, wait
from runtime.cloud import machines, ssh
from runtime.cloud.machines import STACK, Machine
from runtime.cloud.target import Target
from runtime.contract.checks import Check, parse_checks
from runtime.contract.roles import MACHINE_ROLES, Role, role_of
from runtime.errors import BullionError, CheckError

READY_S = 240  # for a machine that has just been launched or restarted
CHECK_S = 60


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A check and the machine that it was made on."""

    machine: str
    check: Check


def run(
    target: Target, roles: Sequence[Role] = MACHINE_ROLES, *, stack: str = STACK
) -> list[Verdict]:
    """Return the verdicts of all machines of `roles`, after giving each time to come up.

    Raises:
        CloudError: EC2 can't be asked which machines there are.
    """
    known = machines.find_all(target, stack)
    names = choose(roles, known, machines.find_places(target, stack))
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(names)) as pool:
        found = pool.map(lambda name: _check(target, known.get(name), name), names)
        return [
            Verdict(machine=name, check=check)
            for name, checks in zip(names, found, strict=True)
            for check in checks
        ]


def choose(roles: Sequence[Role], known: Mapping[str, Machine], places: Iterable[str]) -> list[str]:
    """Return the names of the machines to be checked, role by role.

    Those that are there, those that a place is kept for, and one of each role in any case.
    """
    found: dict[str, None] = {}
    for role in roles:
        alive = [name for name, machine in known.items() if machine.role is role]
        missing = [name for name in places if role_of(name) is role]
        found |= dict.fromkeys([role, *sorted({*alive, *missing} - {role})])
    return [str(name) for name in found]


def report(verdicts: Sequence[Verdict]) -> None:
    """Show the verdicts as a table, and what to do about those that failed."""
    rows = [
        (
            v.machine,
            console.paint("✓", "32") if v.check.ok else "✗",
            v.check.name,
            v.check.seen.splitlines()[0][:70],
        )
        for v in verdicts
    ]
    console.table(rows, header=("machine", " ", "check", "seen"))
    for verdict in verdicts:
        if not verdict.check.ok:
            check = verdict.check
            console.error(f"{verdict.machine}: {check.name}")
            for what, text in (
                ("expected", check.expected),
                ("seen", check.seen),
                ("next", check.hint),
            ):
                console.note(f"    {what + ':':<10}{text}")


def to_json(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the verdicts as rows for a script."""
    return [{"machine": verdict.machine, **asdict(verdict.check)} for verdict in verdicts]


def refuse_failed(verdicts: Sequence[Verdict]) -> None:
    """Raise CheckError when a check failed, naming all that did."""
    failed = [verdict for verdict in verdicts if not verdict.check.ok]
    if failed:
        names = ", ".join(f"{verdict.machine}: {verdict.check.name}" for verdict in failed)
        message = f"{len(failed)} of {len(verdicts)} checks failed ({names})"
        raise CheckError(message, hint=failed[0].check.hint)


def _check(target: Target, machine: Machine | None, name: str) -> list[Check]:
    """Ask one machine until all its checks pass or its time is over; return the last answers."""
    if machine is None or machine.state != "running":
        seen = machine.state if machine else "not deployed"
        hint = "./invoke deploy"
        return [Check(name="machine", ok=False, expected="running", seen=seen, hint=hint)]
    until = time.monotonic() + READY_S
    try:
        ssh.wait_until_reachable(target, machine, timeout_s=READY_S)
        while True:
            asked = ssh.run(
                target,
                machine,
                ["sudo", "bullion", "check", "--json"],
                timeout_s=CHECK_S,
                ok=(0, 9, 13),
            )
            checks = (
                parse_checks(asked.stdout)
                if asked.stdout.strip()
                else [_unready(asked.stderr, name)]
            )
            if all(check.ok for check in checks) or not _may_still_come(checks, until):
                return [name_in_hint(check, machine) for check in checks]
            wait.pause(1)
    except BullionError as error:
        said = error.message.splitlines()[-1].strip(" |")
        return [
            Check(
                name="machine",
                ok=False,
                expected="answers over ssh",
                seen=said,
                hint=f"./invoke logs {name}",
            )
        ]


def name_in_hint(check: Check, machine: Machine) -> Check:
    """Return a check whose hint names the machine, which itself knows its role alone."""
    logs = "./invoke logs"
    return replace(
        check, hint=check.hint.replace(f"{logs} {machine.role}", f"{logs} {machine.name}")
    )


def _may_still_come(checks: Sequence[Check], until: float) -> bool:
    """Return whether a stack is still on its way up: its boot was good, and there is time left."""
    boot_failed = any(
        check.name == "boot" and not check.ok and "not booted" not in check.seen for check in checks
    )
    return not boot_failed and time.monotonic() < until


def _unready(said: str, name: str) -> Check:
    seen = said.strip().splitlines()[0] if said.strip() else "no answer"
    return Check(
        name="boot",
        ok=False,
        expected="ended well",
        seen=f"not booted: {seen}",
        hint=f"./invoke logs {name}",
    )
