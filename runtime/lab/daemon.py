"""The lab's process: builds the world, serves the API on 127.0.0.1 until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from werkzeug.serving import make_server

from runtime import lock, wait
from runtime.errors import RangeError
from runtime.lab import leftovers, slots
from runtime.lab.actions import networking
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.states import States
from runtime.lab.api import Api
from runtime.lab.ec2 import Ec2, Refused
from runtime.lab.machines import sources
from runtime.lab.machines.blocks import FOLDER, Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.network import EVERYWHERE
from runtime.lab.memory import moto
from runtime.lab.memory.journal import Journal
from runtime.lab.memory.moto import Moto
from runtime.lab.memory.records import Records
from runtime.settings import Settings

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM, or until the lab's folder is gone; machines go on without the API.

    Raises:
        BusyError: this lab has a process already.
        LabError: its journal or records are damaged.
    """
    with lock.hold(settings.lab_dir / "process.lock", what="the lab"):
        _serve(settings)


def _serve(settings: Settings) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    # Taken before the work begins, so that another lab that starts finds it taken.
    listening = _listen(settings.lab_port)
    hypervisor = Hypervisor(connect(), settings.lab_id)
    journal = Journal(settings.lab_dir / "journal.jsonl", region=settings.region)
    plain = moto.load()
    app = Moto(plain, journal)
    lost = app.recall(furnish, settings.region)
    retire_sources(Ec2(plain, settings.region), settings.lab_dir / "amis.json")
    ec2 = Ec2(app, settings.region)
    records = Records(settings.lab_dir / "records.json")
    amis = Amis(ec2=ec2, hypervisor=hypervisor, records=records, states=States(ec2))
    blocks = Blocks(hypervisor.docker, settings.lab_id, settings.lab_dir / FOLDER)
    api = Api(
        app,
        ec2=ec2,
        hypervisor=hypervisor,
        amis=amis,
        records=records,
        blocks=blocks,
        build_cidr=str(slots.read(settings.lab_dir).build),
    )
    began = time.time()
    api.recovery.start(lost)
    threading.Thread(target=api.recovery.watch, args=(began,), daemon=True).start()
    server = make_server("127.0.0.1", settings.lab_port, api, threaded=True, fd=listening.fileno())

    def end_with_folder() -> None:
        """Free what labs share once nobody can come back to this one."""
        wait.until(
            lambda: not settings.lab_dir.exists(), what="", timeout_s=float("inf"), every_s=5
        )
        try:
            leftovers.remove(leftovers.find(hypervisor, leftovers.RUNNING))
        finally:
            server.shutdown()

    threading.Thread(target=end_with_folder, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    _log.info("lab %s serves EC2 on port %d", settings.lab_name, settings.lab_port)
    server.serve_forever()


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        message = f"port {port} on 127.0.0.1 can't be had: {error.strerror}"
        raise RangeError(message, hint="./invoke lab.up once more: it finds a free one") from error


def retire_sources(ec2: Ec2, path: Path) -> None:
    """Take all source AMIs but the newest out of what can be launched."""
    for row in sources.read(path)[:-1]:
        with contextlib.suppress(Refused):  # a caller could do so in labs of before
            ec2.ask("DeregisterImage", {"ImageId": row["ami_id"]})


def furnish(ec2: Ec2) -> None:
    """Give the default VPC what AWS gives it and moto omits: a way out, and a group's own rule."""
    vpc = {"Filter.1.Name": "is-default", "Filter.1.Value.1": "true"}
    vpc_id = ec2.ask("DescribeVpcs", vpc).findtext("vpcSet/item/vpcId") or ""
    gateway = ec2.ask("CreateInternetGateway").findtext("internetGateway/internetGatewayId") or ""
    ec2.ask("AttachInternetGateway", {"VpcId": vpc_id, "InternetGatewayId": gateway})
    main = {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc_id}
    table = ec2.ask("DescribeRouteTables", main).findtext("routeTableSet/item/routeTableId") or ""
    route = {"RouteTableId": table, "DestinationCidrBlock": EVERYWHERE, "GatewayId": gateway}
    ec2.ask("CreateRoute", route)
    networking.admit_members(ec2, vpc_id)
