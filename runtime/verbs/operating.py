"""Working on running machines: produce, refresh, reset, shells and logs."""

from __future__ import annotations

import re

from runtime import console, proc
from runtime.cloud import machines
from runtime.cloud import ssh as remote
from runtime.contract import parameters
from runtime.contract.roles import MACHINE_ROLES, Role, parse_role
from runtime.errors import UsageError
from runtime.settings import Settings
from runtime.verbs.common import exclusive, find_target
from runtime.verify import workflow

MOST_MESSAGES = 10_000_000
_UNITS = ("bullion-boot", "bullion-data", "bullion-stack", "docker")


def produce(settings: Settings, *, count: str, interval: str, source: str) -> None:
    """Send one run and print its report."""
    target = find_target(settings)
    sent = workflow.produce(
        target,
        count=parse_count(count),
        interval_s=parse_seconds(interval),
        source=parse_source(source),
    )
    said = {"sent": dict(sent.by_topic), "failed": sent.failed, "left_out": sent.left_out}
    console.result_json(said | {"seconds": sent.seconds})


@exclusive
def refresh(settings: Settings, *, role: str) -> None:
    """Bring the stacks of machines in line with their tags."""
    target = find_target(settings)
    known = machines.find_all(target).values()
    for one in [parse_role(role)] if role else MACHINE_ROLES:
        # One after the other: the rest of a role go on meanwhile.
        for name in [machine.name for machine in known if machine.role is one] or [one]:
            with console.step(f"Refreshing {name}"):
                machine = machines.find(target, name)
                remote.run(target, machine, ["sudo", "bullion", "refresh"], timeout_s=400)


@exclusive
def reset_mongo(settings: Settings, *, yes: bool) -> None:
    """Delete every stored document and apply the seeds again."""
    target = find_target(settings)
    mongo = machines.find(target, Role.MONGO)
    console.note(f"stored now: {workflow.counts(target, mongo)}")
    if not yes and not console.confirm("Delete every stored document?"):
        message = "nothing was deleted"
        raise UsageError(message, hint="./invoke mongo-factory-reset --yes")
    with console.step("Resetting the store"):
        remote.run(target, mongo, ["sudo", "bullion", "reset", "--yes"], timeout_s=400)
    console.note(f"stored now: {workflow.counts(target, mongo)}")


def ssh(settings: Settings, machine: str) -> int:
    """Open a shell on a machine; return its status."""
    target = find_target(settings)
    return proc.attach(remote.command(target, machines.find(target, machine), [], tty=True))


def logs(settings: Settings, machine: str, *, follow: bool) -> int:
    """Show a machine's journal of boot, stack and containers; return the status."""
    target = find_target(settings)
    units = [f"--unit={name}" for name in _UNITS]
    words = ["sudo", "journalctl", "--no-pager", "-n", "200", *units, *(["-f"] if follow else [])]
    return proc.attach(remote.command(target, machines.find(target, machine), words, tty=follow))


def parse_count(text: str) -> int | None:
    """Return the number of messages in `text`, None for "", or raise UsageError."""
    if not text:
        return None
    if text.isdigit() and 1 <= int(text) <= MOST_MESSAGES:
        return int(text)
    message = f"--count is {text!r}; allowed: a whole number from 1 to {MOST_MESSAGES}"
    raise UsageError(message, hint="./invoke produce --count 100")


def parse_source(text: str) -> str:
    """Return the source in `text`, or raise UsageError; stdin is one on the machine only."""
    if not text:
        return ""
    if text == "-":
        message = "--source - reads stdin, and that of this computer does not reach the machine"
        raise UsageError(message, hint="on it: sudo bullion produce --source - < FILE")
    (known,) = (one for one in parameters.CATALOG if one.name == "message_source")
    if re.fullmatch(known.pattern, text):
        return text
    message = f"--source is {text!r}; allowed: {known.meaning}"
    raise UsageError(message, hint="./invoke produce --source simulation")


def parse_seconds(text: str) -> float | None:
    """Return the seconds in `text`, None for "", or raise UsageError."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1
    if 0 <= value <= 3600:
        return value
    message = f"--interval is {text!r}; allowed: seconds from 0 to 3600"
    raise UsageError(message, hint="./invoke produce --interval 0.5")
