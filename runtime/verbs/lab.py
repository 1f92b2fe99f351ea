"""The lab: start it, stop it, look at it, get into it, remove it."""

from __future__ import annotations

from runtime import console
from runtime.lab import control
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
