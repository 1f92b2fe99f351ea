"""The lab's process: builds the world, serves the API on 127.0.0.1 until it is told to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Any

from werkzeug.serving import make_server

from runtime.lab import amis as catalogue
from runtime.lab.api import Api
from runtime.lab.blocks import FOLDER, Blocks
from runtime.lab.ec2 import Ec2, WsgiApp
from runtime.lab.hypervisor import Hypervisor, connect
from runtime.lab.records import Records
from runtime.lab.states import States
from runtime.settings import Settings

_log = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM; machines go on without the API."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    path = settings.lab_dir / "amis.json"
    hypervisor = Hypervisor(connect(), settings.lab_id)
    app = _Serialised(moto())
    ec2 = Ec2(app, settings.region)
    records = Records(settings.lab_dir / "records.json")
    amis = catalogue.Amis(
        ec2=ec2, hypervisor=hypervisor, records=records, states=States(ec2), catalogue=path
    )
    amis.restore_tags(catalogue.read_catalogue(path))
    furnish(ec2)
    blocks = Blocks(hypervisor.docker, settings.lab_id, settings.lab_dir / FOLDER)
    api = Api(app, ec2=ec2, hypervisor=hypervisor, amis=amis, records=records, blocks=blocks)
    for volume_id in api.attachments.recover():
        _log.error("the file of volume %s is gone, and its data with it", volume_id)
    threading.Thread(target=api.instances.watch, daemon=True).start()
    server = make_server("127.0.0.1", settings.lab_port, api, threaded=True)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    _log.info("lab %s serves EC2 on port %d", settings.lab_name, settings.lab_port)
    server.serve_forever()


def furnish(ec2: Ec2) -> None:
    """Give the default VPC the internet gateway and route that AWS gives it, which moto omits."""
    vpc = {"Filter.1.Name": "is-default", "Filter.1.Value.1": "true"}
    vpc_id = ec2.ask("DescribeVpcs", vpc).findtext("vpcSet/item/vpcId") or ""
    gateway = ec2.ask("CreateInternetGateway").findtext("internetGateway/internetGatewayId") or ""
    ec2.ask("AttachInternetGateway", {"VpcId": vpc_id, "InternetGatewayId": gateway})
    main = {"Filter.1.Name": "vpc-id", "Filter.1.Value.1": vpc_id}
    table = ec2.ask("DescribeRouteTables", main).findtext("routeTableSet/item/routeTableId") or ""
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": gateway}
    ec2.ask("CreateRoute", route)


def moto() -> WsgiApp:
    """Return moto's WSGI app; it reads MOTO_AMIS_PATH, which `control` sets, at import."""
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    return DomainDispatcherApplication(create_backend_app)


class _Serialised:
    """Lets one request at a time into moto, whose EC2 backend has no locks of its own."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._lock = threading.RLock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            return list(self._app(environ, start_response))
