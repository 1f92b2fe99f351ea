"""Where a subnet's machines get out is what route tables and gateways say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from runtime.lab import subnets
from runtime.lab.machines.network import Exit
from runtime.lab.subnets import Gateways

ALIVE = Gateways(internet={"igw-1": "vpc-1", "igw-2": "vpc-2"}, nat={"nat-1"})
LOCAL = "<item><destinationCidrBlock>10.0.0.0/16</destinationCidrBlock><gatewayId>local</gatewayId></item>"


def table(routes: str = "", associations: str = "", vpc: str = "vpc-1") -> ET.Element:
    return ET.fromstring(  # noqa: S314  written here
        f"<item><vpcId>{vpc}</vpcId><associationSet>{associations}</associationSet>"
        f"<routeSet>{LOCAL}{routes}</routeSet></item>"
    )


def route(to: str, **target: str) -> str:
    ((name, value),) = target.items()
    return f"<item><destinationCidrBlock>{to}</destinationCidrBlock><{name}>{value}</{name}></item>"


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ("", []),
        (route("0.0.0.0/0", gatewayId="igw-1"), [Exit(to="0.0.0.0/0", needs_public_address=True)]),
        (
            route("198.51.100.0/24", natGatewayId="nat-1"),
            [Exit(to="198.51.100.0/24", needs_public_address=False)],
        ),
        (route("0.0.0.0/0", gatewayId="igw-2"), []),  # attached to another VPC
        (route("0.0.0.0/0", gatewayId="igw-3"), []),  # attached to none
        (route("0.0.0.0/0", natGatewayId="nat-2"), []),  # deleted
        (route("0.0.0.0/0", gatewayId="vgw-1"), []),
    ],
)
def test_only_a_route_to_a_gateway_that_is_alive_is_a_way_out(
    routes: str, expected: list[Exit]
) -> None:
    assert list(subnets.exits(table(routes), ALIVE)) == expected


def test_a_subnet_without_a_table_of_its_own_has_the_main_one_of_its_vpc() -> None:
    subnet = ET.fromstring(  # noqa: S314  written here
        "<item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId></item>"
    )
    main = table(associations="<item><main>true</main></item>")
    other = table(associations="<item><main>true</main></item>", vpc="vpc-2")
    own = table(associations="<item><main>false</main><subnetId>subnet-1</subnetId></item>")
    assert subnets.table_of(subnet, [other, main, own]) is own
    assert subnets.table_of(subnet, [other, main]) is main
    assert not list(subnets.exits(subnets.table_of(subnet, [other]), ALIVE))
