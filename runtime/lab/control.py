"""The operator's side of the lab: start it, stop it, look at it, get into its machines."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime import console, proc, wait
from runtime.cloud.target import Target
from runtime.errors import LabError, RangeError, SpaceError, UsageError
from runtime.lab import amis, leftovers, network, rootfs, slots
from runtime.lab.blocks import FOLDER, Blocks
from runtime.lab.hypervisor import Hypervisor, connect
from runtime.lab.slots import Slot
from runtime.settings import Settings, TargetName

NEEDED_GB = 12
SSH_USER = "admin"
_GIB = 1 << 30


def up(settings: Settings) -> Target:
    """Start the lab, or find it running, and return it as a target.

    Raises:
        SpaceError, RangeError, ToolError: something the lab needs is not there; nothing was done.
        LabError: its process did not come up; its log is named.
    """
    if is_up(settings):
        return target(settings)
    client = connect()
    _refuse_without_room(settings)
    settings.lab_dir.mkdir(parents=True, exist_ok=True)
    _make_key(settings.ssh_key)
    lab = settings.lab_id
    hypervisor = Hypervisor(client, lab)
    leftovers.remove_machines(hypervisor)
    for name in hypervisor.remove_idle_networks():
        console.note(f"removed the idle network {name} of a lab that is gone")
    slot = slots.choose(settings.lab_dir, used_by=lambda slot: _used_by(settings, slot))
    path = settings.lab_dir / "amis.json"
    rootfs.ensure(client, lab=lab, cache_dir=settings.cache_dir, catalogue=path)
    kept = [row for row in amis.read_catalogue(path) if row["ami_id"] in hypervisor.disks.amis()]
    amis.write_catalogue(path, kept)
    with console.step("Starting the lab's EC2"):
        _start(settings, kept)
    try:
        slots.write_variables(settings.lab_dir, slot, subnet_id=_build_subnet(settings, slot))
    except LabError:  # a lab without its ranges would be taken for a good one
        down(settings)
        raise
    return target(settings)


def down(settings: Settings) -> None:
    """Stop the lab's process and remove its machines and networks; AMIs and volumes stay."""
    with contextlib.suppress(FileNotFoundError):
        pid = _read_pid(settings)
        if pid and _is_ours(pid):
            os.kill(pid, signal.SIGTERM)
            wait.until(lambda: not _is_ours(pid), what="the lab's process to end", timeout_s=20)
        _pid_file(settings).unlink()
    hypervisor = Hypervisor(connect(), settings.lab_id)
    for machine_id in hypervisor.machines():
        hypervisor.remove(machine_id)
    leftovers.remove(leftovers.find(hypervisor, leftovers.RUNNING))
    blocks = _blocks(settings, hypervisor)
    for volume_id in blocks.loops():
        blocks.release(volume_id)


def reset(settings: Settings, *, yes: bool) -> list[str]:
    """Remove everything of this lab, its AMIs, ledger and state too; returns what it removed."""
    hypervisor = Hypervisor(connect(), settings.lab_id)
    blocks = _blocks(settings, hypervisor)
    found = [piece.line for piece in [*leftovers.find_volumes(blocks), *leftovers.find(hypervisor)]]
    for line in found:
        console.note(line)
    if not yes and not console.confirm(f"Remove these {len(found)} things and {settings.lab_dir}?"):
        message = "nothing was removed"
        raise UsageError(message, hint="./invoke lab.reset --yes")
    down(settings)
    leftovers.remove([*leftovers.find_volumes(blocks), *leftovers.find(hypervisor)])
    shutil.rmtree(settings.lab_dir, ignore_errors=True)
    return found


def status(settings: Settings) -> dict[str, Any]:
    """Return whether the lab runs, where, and the state of its machines and AMIs."""
    running = is_up(settings)
    hypervisor = Hypervisor(connect(), settings.lab_id)
    found: dict[str, Any] = {
        "lab": settings.lab_name,
        "up": running,
        "api": endpoint(settings) if running else None,
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
    """Open a root shell on a machine, named by role or id; return the shell's status."""
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
    known: dict[str, str] = {}
    for item in (item for page in reply["Reservations"] for item in page["Instances"]):
        for name in (item["InstanceId"], _tag(item, "bullion:role"), _tag(item, "Name")):
            if name:
                known[name] = item["InstanceId"]
    if machine in known:
        return known[machine]
    message = f"the lab has no machine {machine!r}; it has: {', '.join(known) or 'none'}"
    raise UsageError(message, hint="./invoke lab.status")


def target(settings: Settings) -> Target:
    """Return the running lab as a target.

    Raises:
        LabError: it is not running.
    """
    if not is_up(settings):
        message = f"the lab {settings.lab_name!r} is not running"
        raise LabError(message, hint="./invoke lab.up")
    return Target(
        name=TargetName.LAB,
        region=settings.region,
        endpoint=endpoint(settings),
        credentials={
            "AWS_ENDPOINT_URL": endpoint(settings),
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",  # moto checks no signatures
            "AWS_EC2_METADATA_DISABLED": "true",
        },
        ssh_key=settings.ssh_key,
        ssh_user=SSH_USER,
        known_hosts=settings.lab_dir / "ssh" / "known_hosts",
        terraform_variables=slots.terraform_file(settings.lab_dir),
        packer_variables=slots.packer_file(settings.lab_dir),
    )


def endpoint(settings: Settings) -> str:
    """Return the URL of the lab's API."""
    return f"http://127.0.0.1:{_port(settings)}"


def is_up(settings: Settings) -> bool:
    """Return whether this lab's process lives and serves."""
    pid = _read_pid(settings)
    return bool(pid and _is_ours(pid) and _is_serving(_port(settings)))


# -- pieces -------------------------------------------------------------------------------


def _blocks(settings: Settings, hypervisor: Hypervisor) -> Blocks:
    return Blocks(hypervisor.docker, settings.lab_id, settings.lab_dir / FOLDER)


def _start(settings: Settings, rows: list[dict[str, Any]]) -> None:
    known = settings.lab_dir / "moto-amis.json"
    known.write_text(json.dumps(amis.moto_rows(rows)))
    log = settings.lab_dir / "lab.log"
    pid = proc.detach(
        [sys.executable, "-m", "runtime.lab"],
        log=log,
        cwd=settings.root,
        env={
            "BULLION_LAB": settings.lab_name,
            "BULLION_LAB_PORT": str(_port(settings)),
            "AWS_REGION": settings.region,
            # moto reads these when it is imported.
            "MOTO_AMIS_PATH": str(known),
            "MOTO_ENABLE_AMI_VALIDATION": "true",
        },
    )
    _pid_file(settings).write_text(str(pid))

    def answers() -> bool:
        if not _is_alive(pid):  # its command line shows only after a moment
            message = f"the lab's process ended; its last words:\n{_tail(log)}"
            raise LabError(message, hint=f"see {log}")
        return _is_serving(_port(settings)) and _knows_ec2(settings)

    wait.until(
        answers, what="the lab's API", timeout_s=60, last=lambda: _tail(log), hint=f"see {log}"
    )


def _knows_ec2(settings: Settings) -> bool:
    with contextlib.suppress(BotoCoreError, ClientError):
        return bool(target(settings).ec2.describe_vpcs()["Vpcs"])
    return False


def _refuse_without_room(settings: Settings) -> None:
    free_gb = shutil.disk_usage(settings.root).free / _GIB
    if free_gb < NEEDED_GB:
        message = f"the lab and its AMIs need {NEEDED_GB} GiB of disk; {free_gb:.1f} GiB are free"
        raise SpaceError(message, hint="free some space: docker system df; ./invoke lab.reset")


def _port(settings: Settings) -> int:
    """Return the API's port: the operator's choice, or the slot's."""
    return settings.lab_port or slots.read(settings.lab_dir).port


def _used_by(settings: Settings, slot: Slot) -> str:
    """Return what on this computer uses a port or range of the slot, "" if nothing does."""
    if settings.lab_port and _is_serving(settings.lab_port):
        message = f"port {settings.lab_port} on 127.0.0.1 is taken by something else"
        raise RangeError(message, hint="unset BULLION_LAB_PORT: a free one is found")
    if not settings.lab_port and _is_serving(slot.port):
        return f"port {slot.port} by something that is not this lab"
    taken = {wanted: network.taken_by(wanted) for wanted in (slot.build, slot.run)}
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


def _is_serving(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _pid_file(settings: Settings) -> Path:
    return settings.lab_dir / "lab.pid"


def _read_pid(settings: Settings) -> int:
    path = _pid_file(settings)
    return int(path.read_text()) if path.exists() else 0


def _is_ours(pid: int) -> bool:
    """Return whether `pid` is a lab's process, and not one that got its number later."""
    with contextlib.suppress(OSError):
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"runtime.lab" in arguments and _is_alive(pid)
    return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _tail(log: Path) -> str:
    return (
        "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else "nothing"
    )


def _tag(item: dict[str, Any], key: str) -> str:
    return next((tag["Value"] for tag in item.get("Tags", ()) if tag["Key"] == key), "")
