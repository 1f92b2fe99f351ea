"""The operator's side of the lab: start it, stop it, look at it, get into its machines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import console, lock, proc
from runtime.cloud.machines import STACK
from runtime.cloud.target import Target
from runtime.errors import LabError, RangeError, SpaceError, UsageError
from runtime.lab import leftovers, process, slots
from runtime.lab.machines import network, rootfs
from runtime.lab.machines.blocks import FOLDER, Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.slots import Slot
from runtime.settings import Settings, TargetName

NEEDED_GB = 12
SSH_USER = "admin"
_GIB = 1 << 30


def up(settings: Settings) -> Target:
    """Start the lab with everything that it had, or find it running, and return it as a target.

    What had to be brought back, and what is lost, is said.

    Raises:
        SpaceError, RangeError, ToolError: something the lab needs is not there; nothing was done.
        LabError: its process did not come up; its log is named.
    """
    client = connect()
    if not process.is_living(settings):
        _refuse_without_room(settings)
        # One lab at a time chooses its ports and ranges, or two would choose the same.
        with lock.take_turn(settings.cache_dir / "labs.lock", what=f"starting {settings.lab_id}"):
            _start(settings, client)
    for line in json.loads(process.ask(settings, process.REPORT)):
        console.warn(line)
    return target(settings)


def _start(settings: Settings, client: Any) -> None:
    settings.lab_dir.mkdir(parents=True, exist_ok=True)
    _make_key(settings.ssh_key)
    slot = _choose_slot(settings, Hypervisor(client, settings.lab_id))
    rootfs.ensure(
        client,
        lab=settings.lab_id,
        cache_dir=settings.cache_dir,
        catalogue=process.sources(settings),
    )
    with console.step("Starting the lab's EC2"):
        process.start(settings)
    try:
        slots.write_variables(settings.lab_dir, slot, subnet_id=_build_subnet(settings, slot))
    except LabError:  # a lab without its ranges would be taken for a good one
        process.end(settings)
        raise


def down(settings: Settings) -> None:
    """Stop the lab's process, then its machines, cleanly; `up` brings them back."""
    process.end(settings)
    hypervisor = Hypervisor(connect(), settings.lab_id)
    hypervisor.stop_all()
    blocks = _blocks(settings, hypervisor)
    for volume_id in blocks.loops():
        blocks.release(volume_id)


def reset(settings: Settings, *, yes: bool) -> list[str]:
    """Remove everything of this lab, its AMIs, ledger and state too; returns what it removed."""
    hypervisor = Hypervisor(connect(), settings.lab_id)
    blocks = _blocks(settings, hypervisor)
    pieces = [*leftovers.find_volumes(blocks), *leftovers.find(hypervisor)]
    found = _list_and_ask(pieces, f" and {settings.lab_dir}", yes=yes)
    process.end(settings)
    leftovers.remove(leftovers.find(hypervisor, leftovers.RUNNING))
    leftovers.remove([*leftovers.find_volumes(blocks), *leftovers.find(hypervisor)])
    shutil.rmtree(settings.lab_dir, ignore_errors=True)
    return found


def reset_vanished(*, yes: bool) -> list[str]:
    """Remove everything of labs whose checkout is gone; returns what it removed."""
    pieces = leftovers.find_vanished(connect())
    found = _list_and_ask(pieces, ", of checkouts that are gone,", yes=yes)
    leftovers.remove(pieces)
    return found


def status(settings: Settings) -> dict[str, Any]:
    """Return whether the lab runs, where, and the state of its machines and AMIs."""
    running = process.is_up(settings)
    hypervisor = Hypervisor(connect(), settings.lab_id)
    found: dict[str, Any] = {
        "lab": settings.lab_name,
        "up": running,
        "api": process.endpoint(settings) if running else None,
        "log": str(settings.lab_dir / "lab.log"),
        "containers": hypervisor.machines(),
    }
    if running:
        ec2 = target(settings).ec2
        found["machines"] = [
            {
                "id": machine["InstanceId"],
                "name": _tag(machine, "Name"),
                "state": machine["State"]["Name"],
                "address": machine.get("PrivateIpAddress", ""),
                "ami": machine["ImageId"],
            }
            for page in ec2.describe_instances()["Reservations"]
            for machine in page["Instances"]
        ]
        found["amis"] = {
            image["ImageId"]: image["Name"] for image in ec2.describe_images()["Images"]
        }
    return found


def shell(settings: Settings, machine: str) -> int:
    """Open a root shell on a machine, named by role, name or id; return the shell's status."""
    machine_id = find_machine(settings, machine)
    name = Hypervisor(connect(), settings.lab_id).name(machine_id)
    return proc.attach(["docker", "exec", "-it", name, "/bin/bash", "-l"])


def find_machine(settings: Settings, machine: str) -> str:
    """Return the id of a living machine, given its id, role or name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    reply = target(settings).ec2.describe_instances(
        Filters=[
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
        ]
    )
    known = names([item for page in reply["Reservations"] for item in page["Instances"]])
    if machine in known:
        return known[machine]
    message = f"the lab has no machine {machine!r}; it has: {', '.join(known) or 'none'}"
    raise UsageError(message, hint="./invoke lab.status")


def names(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return {id, tag Name, the same without its stack, or role: id} of machines.

    A role leads to the machine that has its very name, else to any that has the role.
    """
    known: dict[str, str] = {}
    for item in items:
        name = _tag(item, "Name")
        for word in (item["InstanceId"], name, name.removeprefix(f"{STACK}-")):
            known[word] = item["InstanceId"]
    for item in items:
        known.setdefault(_tag(item, "bullion:role"), item["InstanceId"])
    return {word: machine_id for word, machine_id in known.items() if word}


def target(settings: Settings) -> Target:
    """Return the running lab as a target.

    Raises:
        LabError: it is not running.
    """
    if not process.is_up(settings):
        message = f"the lab {settings.lab_name!r} is not running"
        raise LabError(message, hint="./invoke lab.up")
    return Target(
        name=TargetName.LAB,
        region=settings.region,
        endpoint=process.endpoint(settings),
        credentials={
            "AWS_ENDPOINT_URL": process.endpoint(settings),
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",  # moto checks no signatures
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        ssh_key=settings.ssh_key,
        ssh_user=SSH_USER,
        known_hosts=settings.lab_dir / "ssh" / "known_hosts",
        terraform_variables=slots.terraform_file(settings.lab_dir),
        packer_variables=slots.packer_file(settings.lab_dir),
        trial_variables=slots.trial_file(settings.lab_dir),
    )


def is_up(settings: Settings) -> bool:
    """Return whether this lab's process lives and serves."""
    return process.is_up(settings)


# -- pieces -------------------------------------------------------------------------------


def _list_and_ask(pieces: list[leftovers.Piece], of: str, *, yes: bool) -> list[str]:
    lines = [piece.line for piece in pieces]
    for line in lines:
        console.note(line)
    if not yes and not console.confirm(f"Remove these {len(lines)} things{of}?"):
        message = "nothing was removed"
        raise UsageError(message, hint="./invoke lab.reset --yes")
    return lines


def _blocks(settings: Settings, hypervisor: Hypervisor) -> Blocks:
    return Blocks(hypervisor.docker, settings.lab_id, settings.lab_dir / FOLDER)


def _choose_slot(settings: Settings, hypervisor: Hypervisor) -> Slot:
    """Return a free slot; a lab that has machines keeps its own, as their addresses are in it."""
    mine = hypervisor.bridges.interfaces()
    is_bound = bool(hypervisor.machines())

    def choose() -> Slot:
        return slots.choose(
            settings.lab_dir, used_by=lambda slot: _used_by(settings, slot, mine), is_bound=is_bound
        )

    try:
        return choose()
    except RangeError:
        removed = leftovers.make_room(hypervisor)
        for line in removed:
            console.note(f"removed of a lab that is down or gone: {line}")
        if not removed:
            raise
    return choose()


def _refuse_without_room(settings: Settings) -> None:
    free_gb = shutil.disk_usage(settings.root).free / _GIB
    if free_gb < NEEDED_GB:
        message = f"the lab and its AMIs need {NEEDED_GB} GiB of disk; {free_gb:.1f} GiB are free"
        raise SpaceError(message, hint="free some space: docker system df; ./invoke lab.reset")


def _used_by(settings: Settings, slot: Slot, mine: Collection[str]) -> str:
    """Return what on this computer uses a port or range of the slot, "" if nothing does."""
    if settings.lab_port and process.is_serving(settings.lab_port):
        message = f"port {settings.lab_port} on 127.0.0.1 is taken by something else"
        raise RangeError(message, hint="unset BULLION_LAB_PORT: a free one is found")
    if not settings.lab_port and process.is_serving(slot.port):
        return f"port {slot.port} by something that is not this lab"
    taken = {
        wanted: network.taken_by(wanted, mine) for wanted in (slot.build, slot.run, slot.trial)
    }
    return ", ".join(f"{wanted} by {by}" for wanted, by in taken.items() if by)


def _build_subnet(settings: Settings, slot: Slot) -> str:
    """Return the id of the default subnet that builders are launched in."""
    by_range = [{"Name": "cidr-block", "Values": [str(slot.build)]}]
    found = target(settings).ec2.describe_subnets(Filters=by_range)["Subnets"]
    if found:
        return str(found[0]["SubnetId"])
    message = f"the region {settings.region} has no default subnet {slot.build}"
    raise LabError(message, hint="AWS_REGION=us-east-1 ./invoke up")


def _make_key(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        proc.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bullion", "-f", path],
            timeout_s=30,
        )


def _tag(item: Mapping[str, Any], key: str) -> str:
    return next((tag["Value"] for tag in item.get("Tags", ()) if tag["Key"] == key), "")
