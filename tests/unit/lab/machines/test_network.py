"""Rules and ranges of the lab's networks."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from runtime.lab.machines import network
from runtime.lab.machines.capabilities import missing

SSH = network.Permission(protocol="tcp", first=22, last=22, peers=("10.20.1.1/32",))
PRIVATE = network.Subnet(id="subnet-1", cidr="10.20.1.0/24")
WORLD = network.Exit(to="0.0.0.0/0", needs_public_address=True)


def test_the_router_has_the_subnets_first_address() -> None:
    assert PRIVATE.gateway == "10.20.1.1"


def test_the_redirect_sits_in_both_hooks_of_an_owned_table() -> None:
    rules = network.ruleset(PRIVATE, ingress=[], egress=[])
    assert "flags owner" in rules
    assert rules.count("dnat ip to 10.20.1.1:8169") == 2
    assert rules.count("dnat ip to 10.20.1.1:8153") == 4
    assert "hook output" in rules
    assert "hook prerouting" in rules
    what_leaves = rules.partition("chain what_leaves")[2]
    assert what_leaves.index("ip daddr 169.254.0.0/16 drop") < what_leaves.index("established")


def test_a_machine_is_kept_inside_its_subnet_unless_a_route_and_its_address_let_it_out() -> None:
    inside = "ip daddr != { 10.20.1.0/24 } drop"
    public = replace(PRIVATE, exits=(WORLD,))
    assert inside in network.ruleset(PRIVATE, ingress=[], egress=[])
    assert inside in network.ruleset(PRIVATE, ingress=[], egress=[], has_public_address=True)
    assert inside in network.ruleset(public, ingress=[], egress=[])
    free = network.ruleset(public, ingress=[], egress=[], has_public_address=True)
    assert "ip daddr !=" not in free


def test_a_route_to_one_network_lets_out_to_that_network_only() -> None:
    nat = network.Exit(to="198.51.100.0/24", needs_public_address=False)
    rules = network.ruleset(replace(PRIVATE, exits=(nat,)), ingress=[], egress=[])
    assert "ip daddr != { 10.20.1.0/24, 198.51.100.0/24 } drop" in rules


@pytest.mark.parametrize(
    ("protocol", "first", "last", "rule"),
    [
        ("tcp", 22, 22, "ip saddr { 10.0.0.0/8 } tcp dport 22-22 accept"),
        ("udp", 1000, 2000, "ip saddr { 10.0.0.0/8 } udp dport 1000-2000 accept"),
        ("tcp", -1, -1, "ip saddr { 10.0.0.0/8 } meta l4proto tcp accept"),
        ("icmp", 8, -1, "ip saddr { 10.0.0.0/8 } meta l4proto icmp icmp type 8 accept"),
        ("icmp", 3, 4, "ip saddr { 10.0.0.0/8 } meta l4proto icmp icmp type 3 icmp code 4 accept"),
        ("icmp", -1, -1, "ip saddr { 10.0.0.0/8 } meta l4proto icmp accept"),
        ("50", -1, -1, "ip saddr { 10.0.0.0/8 } meta l4proto 50 accept"),
        ("", -1, -1, "ip saddr { 10.0.0.0/8 } accept"),
    ],
)
def test_a_permission_is_one_rule(protocol: str, first: int, last: int, rule: str) -> None:
    one = network.Permission(protocol=protocol, first=first, last=last, peers=("10.0.0.0/8",))
    assert one.statement("saddr") == rule


def test_what_no_group_allows_is_dropped_last_in_both_directions() -> None:
    rules = network.ruleset(PRIVATE, ingress=[SSH], egress=[SSH])
    for name, rule in (
        ("what_comes", SSH.statement("saddr")),
        ("what_leaves", SSH.statement("daddr")),
    ):
        lines = rules.partition(f"chain {name}")[2].partition("}\n  chain")[0].split("\n")
        body = [line.strip() for line in lines if line.strip()]
        assert body.index(rule) < body.index("drop")
        assert "accept" not in "".join(body[body.index("drop") :])


def test_other_rules_have_another_mark_and_the_same_rules_the_same() -> None:
    one, same, other = (
        network.ruleset(PRIVATE, ingress=ingress, egress=[]) for ingress in ([SSH], [SSH], [])
    )
    assert network.mark_of(one) == network.mark_of(same) != network.mark_of(other)


def test_a_range_that_a_route_meets_is_named_and_the_default_route_meets_none() -> None:
    routes: list[dict[str, object]] = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "172.31.0.0/16", "dev": "br-1"},
    ]
    wanted = ipaddress.IPv4Network("172.31.0.0/20")
    assert network.overlap(wanted, routes) == "172.31.0.0/16 on br-1"
    assert network.overlap(ipaddress.IPv4Network("10.20.1.0/24"), routes) == ""


def test_the_capability_that_the_computer_lacks_is_found_in_its_bounding_set() -> None:
    assert missing(0x1FFFEFFFFFF) == ["SYS_RESOURCE"]
    assert missing(0x1FFFFFFFFFF) == []
