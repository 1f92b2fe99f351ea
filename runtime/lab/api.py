"""The EC2 API: moto behind a WSGI middleware keyed on the Action.

Requests signed for other services (S3, STS, SSM…) pass through unread. Of EC2's actions those that
the rooms of actions/ list are carried out by the lab, the rest go to moto as they are; what moto
lacks is refused at once as UnsupportedOperation.
"""

from __future__ import annotations

import json
import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from werkzeug.wrappers import Request, Response

from runtime.errors import BullionError
from runtime.lab import retries
from runtime.lab.actions import ids
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.attachments import Attachments
from runtime.lab.actions.attributes import Attributes
from runtime.lab.actions.instances import Instances
from runtime.lab.actions.launching import Launching
from runtime.lab.actions.networking import Networking
from runtime.lab.actions.progress import Progress
from runtime.lab.actions.snapshots import Snapshots
from runtime.lab.actions.volumes import Volumes
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, WsgiApp, xml_response
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.firewall import Firewalls
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory.records import Records
from runtime.lab.metadata import roles
from runtime.lab.metadata.guests import Guests
from runtime.lab.metadata.services import Services
from runtime.lab.process import IDENTITY, REPORT
from runtime.lab.recovery import Recovery

_log = logging.getLogger(__name__)
# What moto records and the lab then acts on: {action: what it is here} (`lab.coverage`).
_AT_ONCE = "in force at once, in each machine's own table"
_TAGS = "those of instances show in metadata at once"
_WAY_OUT = "decides whether machines have a way out"
_ROLE = "shows in metadata, with credentials by STS; policies are not enforced"
FOLLOWED = {
    "AssociateAddress": _WAY_OUT,
    "AssociateIamInstanceProfile": _ROLE,
    "AssociateRouteTable": _WAY_OUT,
    "AttachInternetGateway": _WAY_OUT,
    "CreateKeyPair": "opens ssh on machines launched with it",
    "CreateNatGateway": _WAY_OUT,
    "CreateRoute": _WAY_OUT,
    "CreateSubnet": "a network on this computer, made with its first machine",
    "DeleteNatGateway": _WAY_OUT,
    "DeleteRoute": _WAY_OUT,
    "DeleteTags": _TAGS,
    "DetachInternetGateway": _WAY_OUT,
    "DisassociateAddress": _WAY_OUT,
    "DisassociateIamInstanceProfile": _ROLE,
    "DisassociateRouteTable": _WAY_OUT,
    "ImportKeyPair": "opens ssh on machines launched with it",
    "ModifySecurityGroupRules": _AT_ONCE,
    "ReplaceIamInstanceProfileAssociation": _ROLE,
    "ReplaceRoute": _WAY_OUT,
    "ReplaceRouteTableAssociation": _WAY_OUT,
    "RevokeSecurityGroupEgress": _AT_ONCE,
    "RevokeSecurityGroupIngress": _AT_ONCE,
}
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
        build_cidr: str = "",
    ) -> None:
        """Serve `app` (moto) with the lab's machines, AMIs and volumes behind it."""
        self.app = app
        self.ec2 = ec2
        self.hypervisor = hypervisor
        self.amis = amis
        self.guests = Guests(ec2=ec2, roles=roles.of_app(app, ec2.region))
        self.services = Services(ec2=ec2, guests=self.guests)
        self.firewalls = Firewalls(ec2=ec2, hypervisor=hypervisor)
        progress = Progress()
        states = amis.states
        self.attachments = Attachments(
            ec2=ec2,
            hypervisor=hypervisor,
            blocks=blocks,
            records=records,
            progress=progress,
            states=states,
        )
        hypervisor.devices_of = self.attachments.devices_of
        volumes = Volumes(
            ec2=ec2, blocks=blocks, records=records, progress=progress, attachments=self.attachments
        )
        snapshots = Snapshots(
            ec2=ec2, blocks=blocks, records=records, progress=progress, attachments=self.attachments
        )
        attributes = Attributes(ec2=ec2, hypervisor=hypervisor, records=records, states=states)
        self.instances = Instances(
            ec2=ec2,
            hypervisor=hypervisor,
            records=records,
            states=states,
            attributes=attributes,
            volumes=volumes,
            changed=self._follow,
        )
        launching = Launching(
            ec2=ec2,
            hypervisor=hypervisor,
            amis=amis,
            firewalls=self.firewalls,
            records=records,
            states=states,
            volumes=volumes,
            build_cidr=build_cidr,
            serve_metadata=self.services.serve,
            changed=self._follow,
            take_away=self.instances.take_away,
        )
        self.recovery = Recovery(
            ec2=ec2,
            hypervisor=hypervisor,
            instances=self.instances,
            amis=amis,
            firewalls=self.firewalls,
            records=records,
            services=self.services,
            attachments=self.attachments,
            changed=self._follow,
        )
        self._answers = retries.Answers()
        self._rehearse_launch = launching.rehearse
        networking = Networking(ec2=ec2, hypervisor=hypervisor, close_metadata=self.services.close)
        self.actions: Actions = {
            **launching.actions(),
            **self.instances.actions(),
            **attributes.actions(),
            **amis.actions(),
            **networking.actions(),
            **self.attachments.actions(),
            **volumes.actions(),
            **snapshots.actions(),
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one HTTP request."""
        if environ["PATH_INFO"] == IDENTITY:
            return Response(self.hypervisor.lab)(environ, start_response)
        if environ["PATH_INFO"] == REPORT:
            return Response(json.dumps(self.recovery.report()))(environ, start_response)
        signature = environ.get("HTTP_AUTHORIZATION", "")
        if "/ec2/aws4_request" not in signature:
            answered = self.app(environ, start_response)
            if "/iam/aws4_request" in signature:  # it has a say in what a machine's role is
                self.services.forget()
            return answered
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
            ids.refuse_malformed(asked)
            if action in self.actions and asked.get("DryRun", "").lower() == "true":
                if action == "RunInstances":
                    self._rehearse_launch(asked)
                message = "Request would have succeeded, but DryRun flag is set."
                raise Refused("DryRunOperation", message, HTTPStatus.PRECONDITION_FAILED)
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
                self.services.forget()
        return xml_response(tree)

    def _follow(self) -> None:
        """Have rules and metadata follow what has changed, where there is nobody to tell."""
        self.services.forget()
        try:
            self.firewalls.refresh()
        except Exception:  # whatever it is, the next change tries again
            _log.exception("rules did not follow a change")

    def _forward(self, asked: Parameters) -> ET.Element:
        return self.ec2.ask(asked.get("Action", ""), asked)
