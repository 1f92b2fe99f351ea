"""Ports and network ranges of a lab: the first free of a few slots, so that labs live side by side.

A slot is chosen when a lab starts and remembered in its folder. What Terraform and Packer must
know of it is written there too, as variable files that go before the operator's own.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import RangeError

COUNT = 6  # default subnets of us-east-1, for builders; regions with fewer zones say so
_FIRST_PORT = 5800


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one of several labs on a computer uses.

    Attributes:
        number: from 0.
    """

    number: int

    @property
    def port(self) -> int:
        """Return the TCP port of its API on 127.0.0.1."""
        return _FIRST_PORT + self.number

    @property
    def build(self) -> ipaddress.IPv4Network:
        """Return where builders get their addresses: a subnet of the default VPC."""
        return ipaddress.IPv4Network(f"172.31.{16 * self.number}.0/20")

    @property
    def trial(self) -> ipaddress.IPv4Network:
        """Return the VPC of a trial stack, which stands beside that of the operator's."""
        return ipaddress.IPv4Network(f"10.{40 + self.number}.0.0/16")

    @property
    def run(self) -> ipaddress.IPv4Network:
        """Return the VPC that Terraform makes."""
        return ipaddress.IPv4Network(f"10.{20 + self.number}.0.0/16")


def read(folder: Path) -> Slot:
    """Return the slot remembered in a lab's folder, the first where none is."""
    path = folder / "slot"
    text = path.read_text().strip() if path.exists() else ""
    return Slot(number=int(text) if text.isdigit() and int(text) < COUNT else 0)


def choose(folder: Path, *, used_by: Callable[[Slot], str], is_bound: bool = False) -> Slot:
    """Return the slot to start in, the remembered one if it is free, and remember it.

    Args:
        folder: the lab's.
        used_by: what else on this computer uses something of a slot, "" if nothing does.
        is_bound: whether only the remembered one will do.

    Raises:
        RangeError: none is free; says by what each is used.
    """
    before = read(folder)
    numbers = () if is_bound else range(COUNT)
    others = [Slot(number=number) for number in numbers if number != before.number]
    reasons = []
    for slot in (before, *others):
        if reason := used_by(slot):
            reasons.append(reason)
            continue
        (folder / "slot").write_text(f"{slot.number}\n")
        return slot
    if is_bound:
        message = f"this lab's machines have their addresses where others are: {'; '.join(reasons)}"
        raise RangeError(message, hint="./invoke lab.down there, or ./invoke lab.reset here")
    message = f"no port and network ranges are free for another lab: {'; '.join(reasons)}"
    raise RangeError(message, hint="./invoke lab.down in another checkout; docker network ls")


def terraform_file(folder: Path) -> Path:
    """Return where the variables for Terraform stand."""
    return folder / "lab.tfvars.json"


def trial_file(folder: Path) -> Path:
    """Return where the variables for Terraform stand that a trial stack needs."""
    return folder / "trial.tfvars.json"


def packer_file(folder: Path) -> Path:
    """Return where the variables for Packer stand."""
    return folder / "lab.pkrvars.json"


def write_variables(folder: Path, slot: Slot, *, subnet_id: str) -> None:
    """Write what Terraform and Packer must know: ranges, the build subnet, and the operator.

    The lab's operator is this computer, which its networks see at a subnet's first address; the
    machines' subnet is the second /24 of the VPC (terraform/locals.tf).
    """
    for file, vpc in ((terraform_file(folder), slot.run), (trial_file(folder), slot.trial)):
        machines = list(vpc.subnets(new_prefix=24))[1]
        variables = {"vpc_cidr": str(vpc), "admin_cidr": f"{machines[1]}/32"}
        file.write_text(json.dumps(variables))
    builder = {"subnet_id": subnet_id, "ssh_source_cidrs": [f"{slot.build[1]}/32"]}
    packer_file(folder).write_text(json.dumps(builder))
