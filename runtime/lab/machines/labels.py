"""Labels of everything in Docker that is a lab's, so that it finds its own and nothing else."""

from __future__ import annotations

import socket

from runtime.settings import ROOT

LABEL = "bullion.lab"  # its value is the lab's name
HOME = "bullion.home"  # the checkout that it belongs to
KIND = "bullion.kind"  # keeper, machine, ami, network, copy
MACHINE = "bullion.machine"
AMI = "bullion.ami"


def home() -> str:
    """Return what tells this checkout from others: this computer's name and the folder."""
    return f"{socket.gethostname()}:{ROOT}"


def of_machine(lab: str, kind: str, machine_id: str) -> dict[str, str]:
    """Return the labels of something of this lab that belongs to a machine, or to none ("")."""
    return {LABEL: lab, HOME: home(), KIND: kind, MACHINE: machine_id}


def name_of(lab: str, machine_id: str) -> str:
    """Return the name of a machine's container."""
    return f"bullion-{lab}-{machine_id}"
