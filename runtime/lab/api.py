"""The EC2 API: moto behind a WSGI middleware keyed on the Action.

Requests signed for other services (S3, STS, SSM…) pass through unread. Of EC2's actions those that
instances.py, amis.py and networking.py list are carried out by the lab, the rest go to moto as
they are; what moto lacks is refused at once as UnsupportedOperation.
"""

from __future__ import annotations

import logging
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

from werkzeug.wrappers import Request, Response

from runtime.errors import BullionError
from runtime.lab import imds, retries, views
from runtime.lab.amis import Amis
from runtime.lab.attachments import Attachments
from runtime.lab.blocks import Blocks
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, WsgiApp, xml_response
from runtime.lab.firewall import Firewalls
from runtime.lab.hypervisor import Hypervisor
from runtime.lab.instances import Instances
from runtime.lab.network import IMDS_PORT, Subnet
from runtime.lab.networking import Networking
from runtime.lab.progress import Progress
from runtime.lab.records import Records
from runtime.lab.snapshots import Snapshots
from runtime.lab.volumes import Volumes

_log = logging.getLogger(__name__)
_READS = ("Describe", "Get", "List", "Search")


class Api:
    """A WSGI application: EC2 with machines that really boot."""

    def __init__(
        self,
        app: WsgiApp,
        *,
        ec2: Ec2,
        hypervisor: Hypervisor,
        amis: Amis,
        records: Records,
        blocks: Blocks,
    ) -> None:
        """Serve `app` (moto) with the lab's machines, AMIs and volumes behind it."""
        self.app = app
        self.ec2 = ec2
        self.hypervisor = hypervisor
        self.amis = amis
        self.firewalls = Firewalls(ec2=ec2, hypervisor=hypervisor)
        progress = Progress()
        self.attachments = Attachments(
            ec2=ec2, hypervisor=hypervisor, blocks=blocks, records=records, progress=progress
        )
        hypervisor.devices_of = self.attachments.devices_of
        volumes = Volumes(
            ec2=ec2, blocks=blocks, records=records, progress=progress, attachments=self.attachments
        )
        snapshots = Snapshots(
            ec2=ec2, blocks=blocks, records=records, progress=progress, attachments=self.attachments
        )
        self.instances = Instances(
            ec2=ec2,
            hypervisor=hypervisor,
            amis=amis,
            firewalls=self.firewalls,
            records=records,
            volumes=volumes,
            serve_metadata=self.serve_metadata,
        )
        self._answers = retries.Answers()
        self._tokens = imds.Tokens()
        self._metadata: dict[str, imds.Imds] = {}
        self._guests: dict[str, imds.Guest | None] = {}
        self._lock = threading.Lock()
        networking = Networking(ec2=ec2, hypervisor=hypervisor, close_metadata=self.close_metadata)
        self.actions: Actions = {
            **self.instances.actions(),
            **amis.actions(),
            **networking.actions(),
            **self.attachments.actions(),
            **volumes.actions(),
            **snapshots.actions(),
            "CreateTags": self._tag,
            "DeleteTags": self._tag,
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one HTTP request."""
        signed_for_ec2 = "/ec2/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")
        if not signed_for_ec2:
            return self.app(environ, start_response)
        asked = dict(Request(environ).form.items())
        reads = asked.get("Action", "").startswith(_READS)
        invocation = "" if reads else environ.get(retries.HEADER, "")
        answer = self._answers.once(invocation, lambda: self.answer(asked))
        return answer(environ, start_response)

    def answer(self, asked: Parameters) -> Response:
        """Return the response to one EC2 request."""
        action = asked.get("Action", "")
        if not action.startswith(_READS):
            _log.info("%s", action)
        try:
            tree = self.actions.get(action, self._forward)(asked)
            if not action.startswith(_READS):
                self.firewalls.refresh()
        except Refused as refused:
            _log.info("%s refused: %s", action, refused)
            return refused.response()
        except BullionError as error:
            _log.exception("%s failed", action)
            return Refused("InternalFailureInLab", str(error)).response()
        except Exception as error:  # a bug must not look like moto's 500, which clients retry
            _log.exception("%s: a bug in the lab", action)
            return Refused("InternalFailureInLab", f"a bug in the lab: {error!r}").response()
        finally:
            if not action.startswith(_READS):
                self._guests.clear()
        return xml_response(tree)

    def serve_metadata(self, subnet: Subnet) -> None:
        """Make sure that the metadata service answers on the subnet's gateway."""
        with self._lock:
            if subnet.gateway in self._metadata:
                return
            server = imds.Imds((subnet.gateway, IMDS_PORT), find=self._find, tokens=self._tokens)
            self._metadata[subnet.gateway] = server
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def close_metadata(self, subnet: Subnet) -> None:
        """End the metadata service on the gateway of a subnet that is gone."""
        with self._lock:
            server = self._metadata.pop(subnet.gateway, None)
        if server:
            server.shutdown()
            server.server_close()

    def _find(self, address: str) -> imds.Guest | None:
        if address not in self._guests:
            self._guests[address] = views.find_guest(self.ec2, address)
        return self._guests[address]

    def _forward(self, asked: Parameters) -> ET.Element:
        return self.ec2.ask(asked.get("Action", ""), asked)

    def _tag(self, asked: Parameters) -> ET.Element:
        tree = self._forward(asked)
        if any(value.startswith("ami-") for value in asked.values()):
            self.amis.save()
        return tree
