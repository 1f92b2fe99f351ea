"""Subnets as Docker networks, and the rules that stand in each machine's network namespace.

A machine's namespace belongs to its *keeper*, a small container that outlives stops and reboots
of the machine: it has the address, sets the MAC, and holds the firewall table. The table is
`flags owner`, so a guest's `flush ruleset` does not touch it; and if the keeper dies, Docker takes
the interface away: the machine is cut off, never opened.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from runtime import proc

IMDS_ADDRESS = "169.254.169.254"
DNS_ADDRESS = "169.254.169.253"
IMDS_PORT = 8169  # on the lab's gateway addresses, where machines are redirected to
DNS_PORT = 8153
RULES_FIFO = "/run/rules"
TABLE = "bullion_lab"
EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A way out of the VPC: an internet gateway needs a public address, a NAT gateway does not."""

    to: str
    needs_public_address: bool


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet as the API describes it.

    Attributes:
        id: subnet-….
        cidr: its IPv4 network; the first address is the router's, as on EC2.
        exits: where its route table leads out of the VPC.
    """

    id: str
    cidr: str
    exits: tuple[Exit, ...] = ()

    @property
    def gateway(self) -> str:
        """Return the router's address: the network's first."""
        return str(ipaddress.IPv4Network(self.cidr)[1])

    def reach(self, *, has_public_address: bool) -> list[str]:
        """Return the networks beyond it that a machine in it has a way to."""
        usable = (e.to for e in self.exits if has_public_address or not e.needs_public_address)
        return [str(n) for n in ipaddress.collapse_addresses(map(ipaddress.IPv4Network, usable))]


def keeper_script(*, mac: str) -> str:
    """Return what the keeper runs: set the MAC, route to the services, hold the rules.

    The MAC goes by `ip link`, because how Docker takes one differs between its API versions. A
    down and up of the interface drops the default route, so it is put back. Link-local addresses
    lead nowhere even where no rules are loaded: those of metadata and names to the loopback
    interface, from where the redirect fetches them, the others into a black hole. `nft -i` reads
    the FIFO opened both ways, so that it never sees its end.
    """
    return "\n".join(
        (
            "set -e",
            "via=$(ip -4 route show default)",
            f"ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up",
            '[ -z "$via" ] || ip route replace $via',
            "address=$(ip -4 -o address show eth0 | sed 's|.*inet ||; s|/.*||')",
            f"ip route replace {IMDS_ADDRESS} dev lo src $address",
            f"ip route replace {DNS_ADDRESS} dev lo src $address",
            "ip route replace blackhole 169.254.0.0/16",
            f"mkfifo {RULES_FIFO}",
            f"exec nft -i <>{RULES_FIFO}",
        )
    )


# Run in the keeper with a ruleset and its mark: has it loaded, and ends when it is in force.
LOAD_RULES = f"""\
until [ -p {RULES_FIFO} ]; do sleep 0.02; done
printf %s "$1" >/run/rules.nft
echo 'include "/run/rules.nft"' >{RULES_FIFO}
for _ in $(seq 250); do
  nft list chain inet {TABLE} "$2" >/dev/null 2>&1 && exit
  sleep 0.02
done
exit 1
"""


@dataclass(frozen=True, kw_only=True, order=True)
class Permission:
    """What a security group allows, in one direction.

    Attributes:
        protocol: tcp, udp, icmp, a protocol's number, or "" for all.
        first, last: ports, inclusive; for icmp type and code; -1 for all.
        peers: IPv4 networks or addresses of the other side.
    """

    protocol: str
    first: int
    last: int
    peers: tuple[str, ...]

    def statement(self, side: str) -> str:
        """Return it as a rule; `side` is saddr for what comes in, daddr for what goes out."""
        words = [f"ip {side} {{ {', '.join(self.peers)} }}"]
        if self.protocol in {"tcp", "udp"}:
            every = self.first < 0
            words.append(
                f"meta l4proto {self.protocol}"
                if every
                else f"{self.protocol} dport {self.first}-{self.last}"
            )
        elif self.protocol:
            words.append(f"meta l4proto {self.protocol}")
            if self.protocol == "icmp" and self.first >= 0:
                words.append(f"icmp type {self.first}")
                if self.last >= 0:
                    words.append(f"icmp code {self.last}")
        return " ".join([*words, "accept"])


def ruleset(
    subnet: Subnet,
    *,
    ingress: Sequence[Permission],
    egress: Sequence[Permission],
    has_public_address: bool = False,
) -> str:
    """Return the owned table of a machine in `subnet`, in nft's language; loads as one change.

    The redirect sits in `output` for the machine and in `prerouting` for its nested containers:
    with `output` alone a nested container's request leaves the computer. Whatever link-local
    was not redirected is dropped on its way out, and so is what is for the router, and what is
    for beyond the subnet where no route leads: a Docker network by itself lets a machine reach
    all addresses of the computer, even where it is `internal`.

    Security groups stand before the nested Docker's own translation: on `input` and `output`
    they would not hold for the ports that it publishes. They do not concern metadata and names.
    """
    redirects = (
        f"ip daddr {IMDS_ADDRESS} tcp dport 80 dnat ip to {subnet.gateway}:{IMDS_PORT}",
        f"ip daddr {DNS_ADDRESS} tcp dport 53 dnat ip to {subnet.gateway}:{DNS_PORT}",
        f"ip daddr {DNS_ADDRESS} udp dport 53 dnat ip to {subnet.gateway}:{DNS_PORT}",
    )
    of_machine = "\n    ".join(redirects)
    of_nested = "\n    ".join(f'iifname != "eth0" {rule}' for rule in redirects)
    known = ", ".join([subnet.cidr, *subnet.reach(has_public_address=has_public_address)])
    beyond = "" if EVERYWHERE in known else f"ip daddr != {{ {known} }} drop"
    coming = "\n    ".join(one.statement("saddr") for one in ingress)
    going = "\n    ".join(one.statement("daddr") for one in egress)
    chains = f"""\
  chain services_for_machine {{
    type nat hook output priority -101
    {of_machine}
  }}
  chain services_for_nested {{
    type nat hook prerouting priority -101
    {of_nested}
  }}
  chain what_comes {{
    type filter hook prerouting priority -150
    iifname != "eth0" accept
    ct state established,related accept
    {coming}
    drop
  }}
  chain what_leaves {{
    type filter hook postrouting priority 300
    oifname != "eth0" accept
    ip daddr 169.254.0.0/16 drop
    ct state established,related accept
    ct original ip daddr {{ {IMDS_ADDRESS}, {DNS_ADDRESS} }} accept
    ip daddr {subnet.gateway} drop
    {beyond}
    {going}
    drop
  }}
"""
    return f"""\
table inet {TABLE} {{
  flags owner
}}
delete table inet {TABLE}
table inet {TABLE} {{
  flags owner
{chains}  chain {mark(chains)} {{
  }}
}}
"""


def mark(rules: str) -> str:
    """Return the name of the empty chain that tells these rules from others once loaded."""
    return f"loaded_{hashlib.sha256(rules.encode()).hexdigest()[:16]}"


def mark_of(ruleset: str) -> str:
    """Return the mark that a whole ruleset carries."""
    return next(word for word in ruleset.split() if word.startswith("loaded_"))


def taken_by(wanted: ipaddress.IPv4Network, mine: Collection[str] = ()) -> str:
    """Return what on this computer already uses `wanted`, "" if nothing but bridges in `mine`.

    Raises:
        ToolError, CommandError: `ip` is missing or fails.
    """
    seen = proc.run(["ip", "-json", "-4", "route"], timeout_s=10)
    routes = json.loads(seen.stdout or "[]")
    return overlap(wanted, (route for route in routes if route.get("dev") not in mine))


def overlap(wanted: ipaddress.IPv4Network, routes: Iterable[dict[str, object]]) -> str:
    """Return a description of the first of `routes` (as `ip -json route`) that meets `wanted`."""
    for route in routes:
        to = str(route.get("dst", "default"))
        if to != "default" and ipaddress.IPv4Network(to, strict=False).overlaps(wanted):
            return f"{to} on {route.get('dev', 'an interface')}"
    return ""
