"""What machines find at link-local addresses: metadata and names, on each subnet's gateway.

Machines are redirected there by the rules in their namespaces (network.py); who asks is told by
the source address.
"""

from __future__ import annotations

import socketserver
import threading
from dataclasses import dataclass, field

from runtime.lab import subnets, views
from runtime.lab.ec2 import Ec2, text
from runtime.lab.machines.network import DNS_PORT, IMDS_PORT, Subnet
from runtime.lab.metadata import imds, resolver
from runtime.lab.metadata.guests import Guests


@dataclass
class Services:
    """The metadata and name services of a lab."""

    ec2: Ec2
    guests: Guests
    _tokens: imds.Tokens = field(default_factory=imds.Tokens)
    _serving: dict[str, list[socketserver.BaseServer]] = field(default_factory=dict)
    _ways_out: dict[str, bool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, subnet: Subnet) -> None:
        """Make sure that the services answer on the subnet's gateway."""
        with self._lock:
            if subnet.id in self._serving:
                return
            metadata = imds.Imds(
                (subnet.gateway, IMDS_PORT), find=self.guests.at, tokens=self._tokens
            )
            names = resolver.Resolver((subnet.gateway, DNS_PORT), may_ask=self._has_way_out)
            self._serving[subnet.id] = [metadata, *names.servers]
        for server in self._serving[subnet.id]:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self, subnet: Subnet) -> None:
        """End the services on the gateway of a subnet that is gone, not of another of its range."""
        with self._lock:
            servers = self._serving.pop(subnet.id, [])
        for server in servers:
            server.shutdown()
            server.server_close()

    def forget(self) -> None:
        """Ask EC2 again about every machine: something has changed."""
        self.guests.forget()
        self._ways_out = {}

    def _has_way_out(self, address: str) -> bool:
        ways_out = self._ways_out  # another is there as soon as what we read here is old
        if address not in ways_out:
            known = subnets.read_all(self.ec2)
            ways_out[address] = any(
                known[text(item, "subnetId")].reach(
                    has_public_address=bool(text(item, "ipAddress"))
                )
                for item in views.living(self.ec2)
                if text(item, "privateIpAddress") == address
            )
        return ways_out[address]
