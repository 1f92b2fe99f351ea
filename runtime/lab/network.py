"""Subnets as Docker networks, and the rules that stand in each machine's network namespace.

A machine's namespace belongs to its *keeper*, a small container that outlives stops and reboots
of the machine: it has the address, sets the MAC, and holds the firewall table. The table is
`flags owner`, so a guest's `flush ruleset` does not touch it; and if the keeper dies, Docker takes
the interface away: the machine is cut off, never opened.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass

from runtime import proc

IMDS_ADDRESS = "169.254.169.254"
IMDS_PORT = 8169  # on the lab's gateway addresses, where machines are redirected to
RULES_FIFO = "/run/rules"
_DEFAULT = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet as the API describes it.

    Attributes:
        id: subnet-….
        cidr: its IPv4 network; the first address is the router's, as on EC2.
        has_egress: whether its route table sends 0.0.0.0/0 to an internet gateway.
    """

    id: str
    cidr: str
    has_egress: bool

    @property
    def gateway(self) -> str:
        """Return the router's address: the network's first."""
        return str(ipaddress.IPv4Network(self.cidr)[1])


def has_egress(routes: Iterable[tuple[str, str]]) -> bool:
    """Return whether (destination, gateway) pairs lead everything else to an internet gateway."""
    return any(to == _DEFAULT and gateway.startswith("igw-") for to, gateway in routes)


def keeper_script(*, mac: str) -> str:
    """Return what the keeper runs: set the MAC, route to the metadata service, hold the rules.

    The MAC goes by `ip link`, because how Docker takes one differs between its API versions. A
    down and up of the interface drops the default route, so it is put back. `nft -i` reads the
    FIFO opened both ways, so that it never sees its end.
    """
    return "\n".join(
        (
            "set -e",
            "via=$(ip -4 route show default)",
            f"ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up",
            '[ -z "$via" ] || ip route replace $via',
            f"ip route replace {IMDS_ADDRESS} dev eth0",
            f"mkfifo {RULES_FIFO}",
            f"exec nft -i <>{RULES_FIFO}",
        )
    )


def ruleset(subnet: Subnet) -> str:
    """Return the owned table of a machine in `subnet`, in nft's language.

    The redirect sits in `output` for the machine and in `prerouting` for its nested containers:
    with `output` alone a nested container's request leaves the computer. Whatever link-local
    was not redirected is dropped on its way out, and so is everything beyond the subnet where
    it has no egress: Docker's internal networks still let a machine reach the computer's other
    addresses. Security groups will be two more chains here: ingress at prerouting -150, egress
    at postrouting 300.
    """
    to_imds = f"ip daddr {IMDS_ADDRESS} tcp dport 80 dnat ip to {subnet.gateway}:{IMDS_PORT}"
    beyond = "" if subnet.has_egress else f'oifname "eth0" ip daddr != {subnet.cidr} drop'
    return f"""\
table inet bullion_lab {{
  flags owner
  chain imds_from_machine {{
    type nat hook output priority -101
    {to_imds}
  }}
  chain imds_from_nested {{
    type nat hook prerouting priority -101
    iifname != "eth0" {to_imds}
  }}
  chain what_leaves {{
    type filter hook postrouting priority 300
    oifname "eth0" ip daddr 169.254.0.0/16 drop
    {beyond}
  }}
}}
"""


def taken_by(wanted: ipaddress.IPv4Network) -> str:
    """Return what on this computer already uses `wanted`, "" if nothing does.

    Raises:
        ToolError, CommandError: `ip` is missing or fails.
    """
    seen = proc.run(["ip", "-json", "-4", "route"], timeout_s=10)
    return overlap(wanted, json.loads(seen.stdout or "[]"))


def overlap(wanted: ipaddress.IPv4Network, routes: Iterable[dict[str, object]]) -> str:
    """Return a description of the first of `routes` (as `ip -json route`) that meets `wanted`."""
    for route in routes:
        to = str(route.get("dst", "default"))
        if to != "default" and ipaddress.IPv4Network(to, strict=False).overlaps(wanted):
            return f"{to} on {route.get('dev', 'an interface')}"
    return ""
