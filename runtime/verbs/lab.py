"""The lab: start it, stop it, look at it, get into it, remove it."""

from __future__ import annotations

from collections import Counter

from runtime import console
from runtime.lab import control, coverage
from runtime.lab.coverage import Kind
from runtime.settings import Settings
from runtime.verbs.common import exclusive


@exclusive
def up(settings: Settings) -> None:
    """Start the lab and print its endpoint."""
    console.result(control.up(settings).endpoint)


@exclusive
def down(settings: Settings) -> None:
    """Stop the lab."""
    with console.step("Stopping the lab"):
        control.down(settings)


def status(settings: Settings, *, as_json: bool) -> None:
    """Show the lab's machines and AMIs."""
    found = control.status(settings)
    if as_json:
        console.result_json(found)
        return
    console.result(f"lab {found['lab']}: {found['api'] or 'not running (./invoke lab.up)'}")
    rows = [tuple(machine.values()) for machine in found.get("machines", ())]
    for line in console.layout(rows, header=("machine", "name", "state", "address", "AMI")):
        console.result(line)
    for ami, name in found.get("amis", {}).items():
        console.result(f"{ami}  {name}")


def show_coverage(settings: Settings, *, as_json: bool) -> None:
    """Show which EC2 actions are real, which are records, which are refused."""
    found = coverage.measure(settings.region)
    if as_json:
        console.result_json({one.action: {"kind": one.kind, "oddity": one.oddity} for one in found})
        return
    real = [one for one in found if one.kind is Kind.REAL]
    rows = [(one.action, one.oddity) for one in real]
    for line in console.layout(rows, header=("real", "what it is here")):
        console.result(line)
    counts = Counter(one.kind for one in found)
    meanings = {
        Kind.REAL: "carried out on this computer",
        Kind.RECORD: "kept and shown, nothing else happens",
        Kind.REFUSED: "answers UnsupportedOperation at once",
    }
    console.result("")
    summary = [(kind.value, str(counts[kind]), meanings[kind]) for kind in Kind]
    for line in console.layout(summary, header=("kind", "actions", "what it means")):
        console.result(line)
    console.note("every action by name: ./invoke lab.coverage --json")


def shell(settings: Settings, machine: str) -> int:
    """Open a root shell on a machine of the lab; return its status."""
    return control.shell(settings, machine)


def reset(settings: Settings, *, yes: bool, vanished: bool) -> None:
    """Remove everything of the lab, or of labs whose checkout is gone."""
    if vanished:
        removed = control.reset_vanished(yes=yes)
        console.note(f"removed {len(removed)} things of checkouts that are gone")
        return
    removed = control.reset(settings, yes=yes)
    console.note(f"removed {len(removed)} things and {settings.lab_dir}")
