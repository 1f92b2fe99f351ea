"""What of EC2 is real here, what is a record only, what is refused: computed, action by action.

All operations come from botocore's model of EC2. Real are those whose handler says so (`@real`)
and those that the lab follows once moto has recorded them (`api.FOLLOWED`). What the lab only
corrects or remembers is a record. The rest is tried on a moto with nothing in it: what moto
lacks is refused, and what it answers, if only by asking for parameters, is a record.
"""

from __future__ import annotations

import functools
import logging
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import botocore.session
import docker
from werkzeug.test import Client

from runtime.lab import api
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.states import States
from runtime.lab.ec2 import Actions, Ec2, NotOffered, Parameters, Refused, WsgiApp
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory import moto
from runtime.lab.memory.records import Records


class Kind(StrEnum):
    """How much of an action the lab carries out."""

    REAL = "real"
    RECORD = "record"
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """One EC2 action; `oddity` says of a real one what it is here."""

    action: str
    kind: Kind
    oddity: str = ""


def measure(region: str) -> list[Coverage]:
    """Return the coverage of every EC2 action, by name; takes seconds and needs no running lab."""
    app = moto.load()
    ec2 = Ec2(app, region)
    own = own_actions(app, ec2)
    real = oddities(own)
    found = [Coverage(action=action, kind=Kind.REAL, oddity=real[action]) for action in real]
    kept = [action for action in own if action not in real]
    rest = [action for action in known_actions() if action not in {*real, *kept}]
    logging.disable()  # hundreds of complaints about missing parameters
    try:
        found += [Coverage(action=action, kind=_try(own[action], action)) for action in kept]
        forward = functools.partial(_forward, ec2)
        found += [Coverage(action=action, kind=_try(forward, action)) for action in rest]
    finally:
        logging.disable(logging.NOTSET)
        Client(app).post("/moto-api/reset")
    return sorted(found, key=lambda one: one.action)


def known_actions() -> list[str]:
    """Return the names of all EC2 operations that botocore knows."""
    return list(botocore.session.get_session().get_service_model("ec2").operation_names)


def oddities(actions: Actions) -> dict[str, str]:
    """Return {action: what it is here} of those that the lab carries out or follows."""
    own = {
        action: str(handler.oddity)
        for action, handler in actions.items()
        if hasattr(handler, "oddity")
    }
    return api.FOLLOWED | own


def own_actions(app: WsgiApp, ec2: Ec2) -> Actions:
    """Return the lab's own actions, of an API that nobody serves."""
    with tempfile.TemporaryDirectory() as folder:
        records = Records(Path(folder) / "records.json")
        # A version is given so that Docker need not be asked for one.
        hypervisor = Hypervisor(docker.DockerClient(version="1.41"), "coverage")
        amis = Amis(
            ec2=ec2,
            hypervisor=hypervisor,
            records=records,
            states=States(ec2),
        )
        blocks = Blocks(hypervisor.docker, hypervisor.lab, Path(folder))
        made = api.Api(
            app, ec2=ec2, hypervisor=hypervisor, amis=amis, records=records, blocks=blocks
        )
    return made.actions


def _forward(ec2: Ec2, asked: Parameters) -> ET.Element:
    return ec2.ask(asked["Action"], asked)


def _try(handler: Callable[[Parameters], ET.Element], action: str) -> Kind:
    """Return what becomes of an action without parameters."""
    try:
        handler({"Action": action})
    except NotOffered:
        return Kind.REFUSED
    except Refused:  # it misses a parameter
        return Kind.RECORD
    return Kind.RECORD
