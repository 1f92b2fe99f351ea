"""The lab's API over real moto, served over HTTP; no machine boots unless a test launches one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from werkzeug.serving import make_server
from werkzeug.test import Client

from runtime.errors import LabError
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.states import States
from runtime.lab.api import Api
from runtime.lab.ec2 import Ec2, WsgiApp, text
from runtime.lab.machines.blocks import FOLDER, Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory import moto
from runtime.lab.memory.journal import Journal
from runtime.lab.memory.records import Records
from runtime.lab.metadata.imds import Imds, Tokens

REGION = "us-east-1"
LOOPBACK = f"127.{1 + os.getpid() % 254}"  # other tests may run on this computer
AMI = "ami-03cf127a"  # the one of amis.json


@dataclass
class Emulator:
    """The API at `url`; `ec2` asks moto past it, to make records of machines that never ran."""

    api: Api
    ec2: Ec2
    url: str

    def client(self, service: str = "ec2", **credentials: str) -> Any:
        """Return boto3's client, which tries once."""
        keys = {"aws_access_key_id": "lab", "aws_secret_access_key": "lab"}
        once = Config(retries={"total_max_attempts": 1})
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION, config=once, **(keys | credentials)
        )

    def recorded(self, **more: str) -> str:
        """Return the id of an instance that is in moto's records alone."""
        asked = {"ImageId": AMI, "MinCount": "1", "MaxCount": "1", **more}
        return text(self.ec2.ask("RunInstances", asked), "instancesSet/item/instanceId")

    def call(self, action: str, **parameters: str) -> Any:
        """Return werkzeug's response to an action that boto3 need not know."""
        signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential=a/20260101/{REGION}/ec2/aws4_request"
        }
        form = {"Action": action, "Version": "2016-11-15", **parameters}
        return Client(self.api).post("/", data=form, headers=signed)

    @contextlib.contextmanager
    def metadata(self) -> Iterator[int]:
        """Serve metadata on loopback; yields the port."""
        server = Imds(("127.0.0.1", 0), find=self.api.guests.at, tokens=Tokens())
        with _served(server):
            yield server.server_address[1]

    def loopback_subnet(self) -> str:
        """Return the subnet `LOOPBACK`.0.0/24, whose machines can be spoken for from here."""
        vpc = text(self.ec2.ask("CreateVpc", {"CidrBlock": f"{LOOPBACK}.0.0/16"}), "vpc/vpcId")
        asked = {"VpcId": vpc, "CidrBlock": f"{LOOPBACK}.0.0/24"}
        return text(self.ec2.ask("CreateSubnet", asked), "subnet/subnetId")


class Scripted(Hypervisor):
    """Says that machines do as they are told, when `go` lets them; all else is as in the lab.

    What it says is shown to be true of real machines in machines/test_lifecycle.py.
    """

    def __init__(self) -> None:
        self.docker: Any = None
        self.lab = "scripted"
        self.bridges = types.SimpleNamespace(ensure=lambda _: None, remove=lambda _: None)
        self.running: dict[str, bool] = {}
        self.go = threading.Event()
        self.go.set()
        self.refuses_address = ""
        self.disks = types.SimpleNamespace(amis=lambda: {AMI}, discard=lambda _: None)
        self.keepers = types.SimpleNamespace(load_rules=lambda *_: None)

    def launch(self, machine_id, *, address, **_):
        self.go.wait(30)
        if address == self.refuses_address:
            message = "no room"
            raise LabError(message)
        self.running[machine_id] = True

    def stop(self, machine_id, **_):
        self.go.wait(30)
        self.running[machine_id] = False

    def start(self, machine_id):
        self.go.wait(30)
        self.running[machine_id] = True

    def remove(self, machine_id):
        self.go.wait(30)
        self.running.pop(machine_id, None)

    def capture(self, machine_id, _):
        self.go.wait(30)
        if machine_id not in self.running:
            message = "no such machine"
            raise LabError(message)

    def is_running(self, machine_id):
        return self.running.get(machine_id, False)


@contextlib.contextmanager
def emulator(folder: Path, *, hypervisor: Hypervisor | None = None) -> Iterator[Emulator]:
    """Serve the API over a moto with nothing in it."""
    Client(_app()).post("/moto-api/reset")
    app = moto.Moto(_app(), Journal(folder / "journal.jsonl", region=REGION))
    ec2 = Ec2(app, REGION)
    hypervisor = hypervisor or Hypervisor(connect(), f"contract{next(_numbers)}")
    records = Records(folder / "records.json")
    amis = Amis(ec2=ec2, hypervisor=hypervisor, records=records, states=States(ec2))
    blocks = Blocks(hypervisor.docker, hypervisor.lab, folder / FOLDER)
    api = Api(app, ec2=ec2, hypervisor=hypervisor, amis=amis, records=records, blocks=blocks)
    server = make_server("127.0.0.1", 0, api, threaded=True)
    with _served(server):
        yield Emulator(api=api, ec2=ec2, url=f"http://127.0.0.1:{server.server_port}")


@functools.cache
def _app() -> WsgiApp:
    """Return moto's app, whose routes take seconds to make."""
    os.environ.setdefault("AWS_DEFAULT_REGION", REGION)
    return moto.load()


@contextlib.contextmanager
def _served(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_numbers = itertools.count()
