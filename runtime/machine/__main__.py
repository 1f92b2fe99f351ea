"""Entry point of the program on the machine: `bullion boot | check | status | …`.

Runs under `python3 -I`, as root. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from runtime.contract import checks, paths
from runtime.errors import BullionError, CheckError, UsageError
from runtime.machine import boot, data, inventory, stack
from runtime.machine.changed import changed
from runtime.machine.check import check, has_probe
from runtime.machine.imds import Imds
from runtime.machine.run import attach


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return its exit status."""
    parser = _parser()
    asked, rest = parser.parse_known_args(arguments)
    asked.arguments = rest
    if rest and asked.command not in _PASSES_ON:
        parser.error(f"unknown: {' '.join(rest)}")
    if os.geteuid() != 0:
        print(
            "bullion: must run as root\n  hint: sudo bullion " + " ".join(arguments),
            file=sys.stderr,
        )
        return UsageError.code
    try:
        return int(_COMMANDS[asked.command](asked) or 0)
    except BullionError as error:
        print(f"bullion: {error}", file=sys.stderr)
        return error.code


def _boot(_: argparse.Namespace) -> int:
    status = boot.boot(Imds())
    took = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in status.phases.items())
    print(
        f"bullion-boot: {status.role or 'no role'} {'ok' if status.ok else 'FAILED'} ({took})",
        file=sys.stderr,
    )
    if not status.ok:
        print(f"bullion-boot: {status.error}", file=sys.stderr)
    return 0 if status.ok else 13


def _data(asked: argparse.Namespace) -> None:
    print(f"bullion-data: {data.mount(wait_s=asked.wait)}", file=sys.stderr)


def _check(asked: argparse.Namespace) -> int:
    found = check()
    if asked.json:
        print(checks.to_json(found))
    else:
        for one in found:
            print(f"{'ok  ' if one.ok else 'FAIL'} {one.name}: {one.seen}")
    return 0 if all(one.ok for one in found) else CheckError.code


def _status(asked: argparse.Namespace) -> None:
    status = boot.read_status()
    print(
        status.to_json() if asked.json else f"{status.role} {'ok' if status.ok else status.error}"
    )


def _ensure(_: argparse.Namespace) -> int:
    """Make topics, indexes and seeds where the role has a store; nothing elsewhere."""
    return attach([paths.PROBE, "ensure"]) if has_probe() else 0


def _reset(asked: argparse.Namespace) -> None:
    if not asked.yes:
        message = "this deletes every stored document"
        raise UsageError(message, hint="sudo bullion reset --yes")
    stack.reset()


def _inventory(asked: argparse.Namespace) -> None:
    if asked.write:
        inventory.write()
    else:
        print(inventory.read(), end="")


def _changed(asked: argparse.Namespace) -> None:
    found = changed()
    if asked.json:
        print(json.dumps(found))
        return
    for what, names in found.items():
        for name in names:
            print(f"{what} {name}")


# Whose arguments are those of a program in a container.
_PASSES_ON = {"produce", "letters"}
_COMMANDS = {
    "boot": _boot,
    "data": _data,
    "check": _check,
    "status": _status,
    "ensure": _ensure,
    "inventory": _inventory,
    "changed": _changed,
    "counts": lambda _: print(stack.counts()),
    "letters": lambda asked: stack.letters(asked.arguments),
    "produce": lambda asked: stack.produce(asked.arguments),
    "refresh": lambda _: stack.refresh(Imds()),
    "reset": _reset,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bullion", description="This machine, as Bullion baked it."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "boot": "configure the stack from peers and parameters; starts nothing",
        "data": "mount the data volume, formatted if it is blank; waits for it",
        "check": "check that this machine does its part",
        "status": "what the last boot came to",
        "ensure": "make topics, or indexes and seeds, where they are missing",
        "inventory": "packages of this machine and in its images, as JSON",
        "changed": "baked files that are not what was baked",
        "counts": "documents per collection, as JSON",
        "letters": "list, show, replay or drop dead letters (processor only)",
        "produce": "send one run of messages (producers only)",
        "refresh": "read tags and peers again and bring the stack in line",
        "reset": "delete the stack's data and start anew",
    }
    made = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    made["inventory"].add_argument(
        "--write", action="store_true", help="take it; once, while baking"
    )
    for name in ("check", "status", "changed"):
        made[name].add_argument("--json", action="store_true", help="as JSON")
    made["data"].add_argument(
        "--wait", type=float, default=data.WAIT_S, metavar="S", help="seconds to wait for it"
    )
    made["reset"].add_argument("--yes", action="store_true", help="really")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
