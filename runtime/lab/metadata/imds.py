"""The instance metadata service, version 2 (and 1 where a machine allows it), per machine.

Which machine asks is told by its address: every machine has its own, and only the lab's networks
reach this server. What it tells stands in documents.py; here are who may ask, how, and for how
long. Rules follow the EC2 user guide, "Use the Instance Metadata Service".
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from runtime.lab.metadata.documents import Guest, answer

TTL_MOST_S = 21_600
_TOKEN_PATH = "/latest/api/token"  # noqa: S105  a path
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name


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
        if not self._is_token_path():
            self._refuse_method("GET, HEAD, OPTIONS")
            return
        if self.headers.get("X-Forwarded-For") is not None:  # EC2 hands proxies no token
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        ttl = self.headers.get(_TTL_HEADER, "").strip()
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl) <= TTL_MOST_S):
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
        if self._is_token_path():
            self._refuse_method("OPTIONS, PUT")
            return
        token = self.headers.get(_TOKEN_HEADER)
        if token is None and guest.is_token_required:
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        if token is not None and not self.server.tokens.is_valid(token, guest.id):
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        path = urllib.parse.unquote(self.path.partition("?")[0])
        body = answer(guest, path.lstrip("/"))
        if body is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            kind = "application/octet-stream" if path.endswith("/user-data") else "text/plain"
            self._send(HTTPStatus.OK, body, {}, kind)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        if self._guest() is not None:
            allowed = "OPTIONS, PUT" if self._is_token_path() else "GET, HEAD, OPTIONS"
            self._refuse_method(allowed)

    do_DELETE = do_PATCH = do_POST  # noqa: N815  the base calls them by these names

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

    def _is_token_path(self) -> bool:
        return self.path.partition("?")[0].rstrip("/") == _TOKEN_PATH

    def _refuse_method(self, allowed: str) -> None:
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed})

    def _refuse(self, status: HTTPStatus, headers: Mapping[str, str] | None = None) -> None:
        # What comes with a refused request was not read, so it must not be taken for the next.
        self.close_connection = True
        page = f"<html><title>{status.value} - {status.phrase}</title></html>\n"
        self._send(status, page.encode(), {**(headers or {}), "Connection": "close"}, "text/html")

    def _send(
        self, status: HTTPStatus, body: bytes, headers: Mapping[str, str], kind: str = "text/plain"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
