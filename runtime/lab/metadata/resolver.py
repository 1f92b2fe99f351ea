"""The name service of a VPC, as EC2 offers it at 169.254.169.253.

It knows the names that EC2 gives machines (`ip-10-20-1-10.ec2.internal`). What is beyond it asks
this computer's own resolver, for machines that have a way out; to the others it says at once that
there is no such name, where silence would cost each look-up of theirs half a minute. (On EC2 a
machine without a way out still resolves public names; here nothing of it leaves.)
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socketserver
import struct
from collections.abc import Callable
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

PATIENCE_S = 3.0
TTL_S = 60
_OURS = re.compile(
    r"ip-(\d+)-(\d+)-(\d+)-(\d+)\.(?:ec2|[a-z0-9-]+\.compute)\.internal\.", re.IGNORECASE
)
Ask = Callable[[dns.message.Message], dns.message.Message]


def answer(query: dns.message.Message, ask: Ask | None) -> dns.message.Message:
    """Return the reply to a query; `ask` puts it to a resolver beyond, None where none may be."""
    question = query.question[0]
    if match := _OURS.fullmatch(question.name.to_text()):
        return _own(query, ".".join(match.groups()))
    if ask is None:
        return _empty(query, dns.rcode.NXDOMAIN)
    try:
        return ask(query)
    except (OSError, dns.exception.DNSException):
        return _empty(query, dns.rcode.SERVFAIL)


def beyond(resolv_conf: Path = Path("/etc/resolv.conf")) -> Ask | None:
    """Return a way to ask this computer's first resolver, None if it names none."""
    for line in resolv_conf.read_text().splitlines() if resolv_conf.exists() else ():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            return lambda query: dns.query.udp_with_fallback(query, words[1], PATIENCE_S)[0]
    return None


class Resolver:
    """The service on one gateway address, over UDP and TCP."""

    def __init__(self, address: tuple[str, int], *, may_ask: Callable[[str], bool]) -> None:
        """Serve at `address`; `may_ask` says of a source address whether it has a way out."""

        def reply(wire: bytes, source: str) -> bytes:
            with contextlib.suppress(dns.exception.DNSException, IndexError):
                query = dns.message.from_wire(wire)
                return answer(query, beyond() if may_ask(source) else None).to_wire()
            return b""  # not a query: nothing to say

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire, sock = self.request
                if said := reply(wire, self.client_address[0]):
                    sock.sendto(said, self.client_address)

        class Stream(socketserver.StreamRequestHandler):
            timeout = PATIENCE_S

            def handle(self) -> None:
                with contextlib.suppress(OSError, struct.error):
                    (size,) = struct.unpack("!H", self.rfile.read(2))
                    said = reply(self.rfile.read(size), self.client_address[0])
                    self.wfile.write(struct.pack("!H", len(said)) + said)

        class Udp(socketserver.ThreadingUDPServer):
            daemon_threads = True

        class Tcp(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.servers: list[socketserver.BaseServer] = [Udp(address, Datagram)]
        self.servers.append(Tcp(self.servers[0].server_address, Stream))  # type: ignore[arg-type]


def _own(query: dns.message.Message, address: str) -> dns.message.Message:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return _empty(query, dns.rcode.NXDOMAIN)
    made = _empty(query, dns.rcode.NOERROR)
    if query.question[0].rdtype == dns.rdatatype.A:
        name = query.question[0].name
        made.answer.append(dns.rrset.from_text(name, TTL_S, "IN", "A", address))
    return made


def _empty(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    made = dns.message.make_response(query, recursion_available=True)
    made.set_rcode(code)
    return made
