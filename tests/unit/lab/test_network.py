"""Rules and ranges of the lab's networks."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest

from runtime.lab import network
from runtime.lab.hypervisor import missing_capabilities

PRIVATE = network.Subnet(id="subnet-1", cidr="10.20.1.0/24", has_egress=False)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([("10.0.0.0/16", "local")], False),
        ([("10.0.0.0/16", "local"), ("0.0.0.0/0", "igw-1")], True),
        ([("0.0.0.0/0", "vgw-1")], False),
        ([("10.9.0.0/16", "igw-1")], False),
    ],
)
def test_only_a_default_route_to_an_internet_gateway_is_a_way_out(
    routes: list[tuple[str, str]], *, expected: bool
) -> None:
    assert network.has_egress(routes) is expected


def test_the_router_has_the_subnets_first_address() -> None:
    assert PRIVATE.gateway == "10.20.1.1"


def test_the_redirect_sits_in_both_hooks_of_an_owned_table() -> None:
    rules = network.ruleset(PRIVATE)
    assert "flags owner" in rules
    assert rules.count("dnat ip to 10.20.1.1:8169") == 2
    assert "hook output" in rules
    assert "hook prerouting" in rules
    assert 'oifname "eth0" ip daddr 169.254.0.0/16 drop' in rules


def test_only_a_subnet_with_egress_lets_a_machine_beyond_it() -> None:
    beyond = 'oifname "eth0" ip daddr != 10.20.1.0/24 drop'
    assert beyond in network.ruleset(PRIVATE)
    assert beyond not in network.ruleset(replace(PRIVATE, has_egress=True))


def test_a_range_that_a_route_meets_is_named_and_the_default_route_meets_none() -> None:
    routes: list[dict[str, object]] = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "172.31.0.0/16", "dev": "br-1"},
    ]
    wanted = ipaddress.IPv4Network("172.31.0.0/20")
    assert network.overlap(wanted, routes) == "172.31.0.0/16 on br-1"
    assert network.overlap(ipaddress.IPv4Network("10.20.1.0/24"), routes) == ""


def test_the_capability_that_the_computer_lacks_is_found_in_its_bounding_set() -> None:
    assert missing_capabilities(0x1FFFEFFFFFF) == ["SYS_RESOURCE"]
    assert missing_capabilities(0x1FFFFFFFFFF) == []
