"""Labels of everything in Docker that is a lab's, so that it finds its own and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

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


def images(client: Any, *wanted: str) -> list[Mapping[str, Any]]:
    """Return the images with all of these labels ("name" or "name=value"), as Docker lists them.

    `client.images.list` asks for each of them once more, and fails where one goes meanwhile.
    """
    return list(client.api.images(filters={"label": list(wanted)}))


def name_of(lab: str, machine_id: str) -> str:
    """Return the name of a machine's container."""
    return f"bullion-{lab}-{machine_id}"
