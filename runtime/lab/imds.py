"""The instance metadata service, version 2 (and 1 where a machine allows it), per machine.

Which machine asks is told by its address: every machine has its own, and only the lab's networks
reach this server. Rules follow the EC2 user guide, "Use the Instance Metadata Service".
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TTL_MOST_S = 21_600
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What the service knows of one machine.

    Attributes:
        id, address, mac, ami_id, machine_type, zone, subnet_id, subnet_cidr, vpc_id, vpc_cidr,
            key_name, public_key, reservation_id, account: as the API describes the machine.
        security_groups: names, in order; security_group_ids likewise.
        user_data: the bytes given at launch, or None.
        tags: instance tags, or None where they are not offered in metadata.
        is_token_required: HttpTokens=required.
        is_enabled: HttpEndpoint=enabled.
        hop_limit: IP time-to-live of the answer that carries a token.
    """

    id: str
    address: str
    mac: str
    ami_id: str
    machine_type: str
    zone: str
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidr: str
    account: str
    reservation_id: str
    launched_at: str
    key_name: str = ""
    public_key: str = ""
    security_groups: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    user_data: bytes | None = None
    tags: Mapping[str, str] | None = None
    is_token_required: bool = True
    is_enabled: bool = True
    hop_limit: int = 1


def documents(guest: Guest) -> dict[str, bytes]:
    """Return {path below the version: content} of everything the service offers a machine."""
    region = guest.zone.rstrip("abcdef")
    name = f"ip-{guest.address.replace('.', '-')}.ec2.internal"
    interface = f"meta-data/network/interfaces/macs/{guest.mac}"
    found = {
        "meta-data/ami-id": guest.ami_id,
        "meta-data/ami-launch-index": "0",
        "meta-data/hostname": name,
        "meta-data/instance-action": "none",
        "meta-data/instance-id": guest.id,
        "meta-data/instance-life-cycle": "on-demand",
        "meta-data/instance-type": guest.machine_type,
        "meta-data/local-hostname": name,
        "meta-data/local-ipv4": guest.address,
        "meta-data/mac": guest.mac,
        "meta-data/placement/availability-zone": guest.zone,
        "meta-data/placement/region": region,
        "meta-data/reservation-id": guest.reservation_id,
        "meta-data/security-groups": "\n".join(guest.security_groups),
        "meta-data/services/domain": "amazonaws.com",
        "meta-data/services/partition": "aws",
        f"{interface}/device-number": "0",
        f"{interface}/local-hostname": name,
        f"{interface}/local-ipv4s": guest.address,
        f"{interface}/mac": guest.mac,
        f"{interface}/owner-id": guest.account,
        f"{interface}/security-groups": "\n".join(guest.security_groups),
        f"{interface}/security-group-ids": "\n".join(guest.security_group_ids),
        f"{interface}/subnet-id": guest.subnet_id,
        f"{interface}/subnet-ipv4-cidr-block": guest.subnet_cidr,
        f"{interface}/vpc-id": guest.vpc_id,
        f"{interface}/vpc-ipv4-cidr-block": guest.vpc_cidr,
        f"{interface}/vpc-ipv4-cidr-blocks": guest.vpc_cidr,
        "dynamic/instance-identity/document": json.dumps(
            {
                "accountId": guest.account,
                "architecture": "x86_64",
                "availabilityZone": guest.zone,
                "imageId": guest.ami_id,
                "instanceId": guest.id,
                "instanceType": guest.machine_type,
                "pendingTime": guest.launched_at,
                "privateIp": guest.address,
                "region": region,
                "version": "2017-09-30",
            },
            indent=2,
        ),
    }
    if guest.public_key:
        found["meta-data/public-keys/0/openssh-key"] = guest.public_key
    for key, value in (guest.tags or {}).items():
        found[f"meta-data/tags/instance/{key}"] = value
    content = {path: value.encode() for path, value in found.items()}
    if guest.user_data is not None:
        content["user-data"] = guest.user_data
    return content


def answer(guest: Guest, path: str) -> bytes | None:
    """Return what stands at `path` (without the leading slash), a listing, or None.

    Any dated version stands for `latest`, as cloud-init asks under 2021-03-23.
    """
    version, _, rest = path.partition("/")
    if not re.fullmatch(r"latest|1\.0|\d{4}-\d{2}-\d{2}", version):
        return None
    found = documents(guest)
    wanted = rest.rstrip("/")
    if wanted in found and (wanted == "user-data" or not rest.endswith("/")):
        return found[wanted]
    if wanted == "meta-data/public-keys" and guest.public_key:
        return f"0={guest.key_name}".encode()
    prefix = f"{wanted}/" if wanted else ""
    below = {name.removeprefix(prefix) for name in found if name.startswith(prefix)}
    listing = {head + ("/" if tail else "") for head, _, tail in (b.partition("/") for b in below)}
    if wanted == "meta-data/tags/instance":  # keys may hold a slash nowhere, so list them whole
        listing = below
    return "\n".join(sorted(listing)).encode() if listing else None


@dataclass
class Tokens:
    """Session tokens: each belongs to one machine and ends by itself."""

    now: Callable[[], float] = time.monotonic
    _held: dict[str, tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, machine_id: str, ttl_s: int) -> str:
        """Return a new token of `machine_id` that lives `ttl_s` seconds."""
        token = secrets.token_urlsafe(40)
        with self._lock:
            self._held = {t: held for t, held in self._held.items() if held[1] > self.now()}
            self._held[token] = (machine_id, self.now() + ttl_s)
        return token

    def is_valid(self, token: str, machine_id: str) -> bool:
        """Return whether `token` is alive and `machine_id`'s own."""
        owner, until = self._held.get(token, ("", 0.0))
        return owner == machine_id and until > self.now()


class Imds(ThreadingHTTPServer):
    """The service on one gateway address, for the machines behind it."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], *, find: Callable[[str], Guest | None], tokens: Tokens
    ) -> None:
        """Serve at `address`; `find` returns the machine that has a source address."""
        self.find = find
        self.tokens = tokens
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Imds
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""

    def do_PUT(self) -> None:
        guest = self._guest()
        if guest is None:
            return
        if self.path.rstrip("/") != "/latest/api/token":
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        if self.headers.get("X-Forwarded-For"):  # EC2 refuses proxies here
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        ttl = self.headers.get(_TTL_HEADER, "")
        if not ttl.isdigit() or not 1 <= int(ttl) <= TTL_MOST_S:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        # The hop limit is the time-to-live of this one answer: a nested container is one
        # hop further away, and at 1 the answer never gets there.
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, guest.hop_limit)
        token = self.server.tokens.issue(guest.id, int(ttl))
        self._send(HTTPStatus.OK, token.encode(), {_TTL_HEADER: ttl})

    def do_GET(self) -> None:
        guest = self._guest()
        if guest is None:
            return
        token = self.headers.get(_TOKEN_HEADER)
        if token is None and guest.is_token_required:
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        if token is not None and not self.server.tokens.is_valid(token, guest.id):
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        body = answer(guest, self.path.partition("?")[0].lstrip("/"))
        if body is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._send(HTTPStatus.OK, body, {})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        """Say nothing: cloud-init asks a hundred times a boot."""

    def _guest(self) -> Guest | None:
        guest = self.server.find(str(self.client_address[0]))
        if guest is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not guest.is_enabled:
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return guest

    def _refuse(self, status: HTTPStatus) -> None:
        page = f"<html><title>{status.value} - {status.phrase}</title></html>\n"
        self._send(status, page.encode(), {})

    def _send(self, status: HTTPStatus, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
