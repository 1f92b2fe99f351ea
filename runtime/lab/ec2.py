"""Questions to moto in its own language: query requests through the same WSGI app.

The lab never reads moto's Python objects; whatever it needs to know it asks here, as any client
would. Requests are flat dictionaries of query parameters, replies are XML trees whose tags carry
no namespace.
"""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from botocore.model import OperationNotFoundError
from werkzeug.test import Client
from werkzeug.wrappers import Response

_log = logging.getLogger(__name__)
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"
VERSION = "2016-11-15"
WsgiApp = Callable[..., Iterable[bytes]]
Parameters = dict[str, str]
Actions = dict[str, Callable[[Parameters], ET.Element]]


# moto answers these by pages of 15 or 100 unless told otherwise, some without saying that there is
# more. EC2 pages at 1000; here one answer holds everything, for us and for whoever asks. (Of
# instances named by id there are no pages, there as here.)
_EVERYTHING = {
    "DescribeInstances": "MaxResults",
    "DescribeLaunchTemplateVersions": "MaxResults",
    "DescribeLaunchTemplates": "MaxResults",
}
_MOST = "1000000"

Handler = TypeVar("Handler", bound=Callable[..., ET.Element])


def real(oddity: str) -> Callable[[Handler], Handler]:
    """Mark what carries an action out for real, beyond moto's records.

    `oddity` says in a few words what it is here, and what differs from EC2 (`lab.coverage`).
    """

    def mark(handler: Handler) -> Handler:
        handler.oddity = oddity  # type: ignore[attr-defined]
        return handler

    return mark


class Refused(Exception):  # noqa: N818
    """A request that EC2 refuses; becomes an EC2 error document."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        """Keep EC2's error `code`, a sentence for a person and the HTTP status."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status

    def response(self) -> Response:
        """Return the error as EC2 writes it."""
        root = ET.Element("Response")
        error = ET.SubElement(ET.SubElement(root, "Errors"), "Error")
        ET.SubElement(error, "Code").text = self.code
        ET.SubElement(error, "Message").text = self.message
        ET.SubElement(root, "RequestID").text = "lab"
        return xml_response(root, self.status)


class Query:
    """A client of one service of the moto app in this process, in the query protocol."""

    def __init__(self, app: WsgiApp, region: str, *, service: str, version: str) -> None:
        """Talk to `app` as if from `region`."""
        self._app = app
        self.region = region
        self._version = version
        self._headers = {
            "Host": f"{service}.{region}.amazonaws.com",
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential=lab/20260101/{region}/{service}/aws4_request, "
                "SignedHeaders=host, Signature=lab"
            ),
        }

    def ask(self, action: str, parameters: Mapping[str, str] | None = None) -> ET.Element:
        """Return the reply to `action`.

        Raises:
            NotOffered: moto lacks the action, or one of its parameters.
            Refused: moto refuses, or fails at it.
        """
        asked = dict(parameters or {})
        if action in _EVERYTHING and not any(key.endswith("Id.1") for key in asked):
            asked.setdefault(_EVERYTHING[action], _MOST)
        form = {"Version": self._version, **asked, "Action": action}
        try:
            answer = Client(self._app).post("/", data=form, headers=self._headers)
        except (NotImplementedError, OperationNotFoundError) as error:
            _log.info("moto does not offer %s: %s", action, error)
            raise NotOffered(action) from error
        except Exception as error:
            _log.exception("moto failed at %s with %s", action, sorted(form))
            raise failing(action, f"{type(error).__name__}: {error}") from error
        return read_reply(answer.get_data(as_text=True), status=answer.status_code, action=action)


class Ec2(Query):
    """A client of moto's EC2."""

    def __init__(self, app: WsgiApp, region: str) -> None:
        """Talk to `app` as if from `region`."""
        super().__init__(app, region, service="ec2", version=VERSION)

    def machine(self, machine_id: str) -> ET.Element:
        """Return the `item` that describes one instance."""
        reply = self.ask("DescribeInstances", {"InstanceId.1": machine_id})
        item = reply.find("reservationSet/item/instancesSet/item")
        if item is None:
            raise Refused(
                "InvalidInstanceID.NotFound", f"The instance ID '{machine_id}' does not exist"
            )
        return item

    def attribute(self, machine_id: str, name: str) -> str:
        """Return an instance attribute's value, "" if it has none."""
        asked = {"InstanceId": machine_id, "Attribute": name}
        return text(self.ask("DescribeInstanceAttribute", asked), f"{name}/value")


def read_reply(body: str, *, status: int, action: str) -> ET.Element:
    """Return a reply without namespaces, or raise what it refuses with.

    A 500 becomes UnsupportedOperation: clients retry a 500 for minutes, and moto answers one
    for everything it lacks (https://github.com/getmoto/moto, observed with 5.2.5).
    """
    if status >= 500:
        raise failing(action, f"status {status}")
    tree = plain(body)
    if status >= 400:
        raise Refused(
            text(tree, ".//Code") or "InvalidParameterValue", text(tree, ".//Message"), status
        )
    return tree


class NotOffered(Refused):
    """An action that moto lacks, or lacks in the form asked for."""

    def __init__(self, action: str, instead: str = "") -> None:
        """Name the action, and what to do instead."""
        message = f"The lab's EC2 does not offer {action}. {instead}".rstrip()
        super().__init__("UnsupportedOperation", message)


def failing(action: str, why: str) -> Refused:
    """Return the refusal of an action that moto has and failed at."""
    message = f"The lab's EC2 failed at {action} in this form ({why}); see .lab/lab.log."
    return Refused("UnsupportedOperation", message)


def plain(body: str) -> ET.Element:
    """Return the XML tree of `body` without namespaces."""
    tree = ET.fromstring(body)  # noqa: S314  moto wrote it
    for element in tree.iter():
        element.tag = element.tag.rpartition("}")[2]
    return tree


def text(tree: ET.Element, path: str) -> str:
    """Return the text at `path`, "" if there is none."""
    return (tree.findtext(path) or "").strip()


def filters(wanted: Mapping[str, str | tuple[str, ...]]) -> Parameters:
    """Return {filter: value or values} as the parameters of a Describe action."""
    asked = {}
    for number, (name, content) in enumerate(wanted.items(), start=1):
        asked[f"Filter.{number}.Name"] = name
        values = (content,) if isinstance(content, str) else content
        for place, value in enumerate(values, start=1):
            asked[f"Filter.{number}.Value.{place}"] = value
    return asked


def tags_of(item: ET.Element) -> dict[str, str]:
    """Return an item's tagSet as a dictionary."""
    return {text(tag, "key"): text(tag, "value") for tag in item.findall("tagSet/item")}


def reply(action: str, body: Mapping[str, Any] | None = None) -> ET.Element:
    """Return a reply document of our own: nested mappings, lists become `item`s."""
    root = ET.Element(f"{action}Response")
    ET.SubElement(root, "requestId").text = "lab"
    _fill(root, body or {})
    return root


def xml_response(tree: ET.Element, status: int = 200) -> Response:
    """Return `tree` as an HTTP response, in EC2's namespace unless it is an error."""
    if tree.tag != "Response":
        tree.set("xmlns", NAMESPACE)
    return Response(ET.tostring(tree, encoding="unicode"), status=status, content_type="text/xml")


def _fill(parent: ET.Element, body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        child = ET.SubElement(parent, name)
        if isinstance(value, Mapping):
            _fill(child, value)
        elif isinstance(value, list):
            for row in value:
                _fill(ET.SubElement(child, "item"), row)
        else:
            child.text = str(value)
