"""Subnets as the API has them: their range, and where their route table lets machines out.

The route tables, internet gateways and NAT gateways in the API decide it, nothing else does.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from runtime.lab.ec2 import Ec2, Refused, filters, text
from runtime.lab.machines.network import Exit, Subnet


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """What leads out of a VPC and is alive.

    Attributes:
        internet: {id of an internet gateway: the VPC it is attached to}.
        nat: ids of NAT gateways that are available.
    """

    internet: Mapping[str, str]
    nat: Collection[str]


def read_all(ec2: Ec2) -> dict[str, Subnet]:
    """Return {id: subnet} of all subnets there are."""
    tables = ec2.ask("DescribeRouteTables").findall("routeTableSet/item")
    gateways = _gateways(ec2)
    return {
        text(item, "subnetId"): Subnet(
            id=text(item, "subnetId"),
            cidr=text(item, "cidrBlock"),
            exits=tuple(exits(table_of(item, tables), gateways)),
        )
        for item in ec2.ask("DescribeSubnets").findall("subnetSet/item")
    }


def read(ec2: Ec2, subnet_id: str) -> Subnet:
    """Return one subnet.

    Raises:
        Refused: there is no such subnet.
    """
    found = read_all(ec2).get(subnet_id)
    if found is None:
        raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")
    return found


def default(ec2: Ec2, cidr: str = "") -> str:
    """Return the id of the default subnet of this range, of the first zone without one.

    That is where a launch without a subnet goes; the lab's range is its slot's, as labs share a
    computer.
    """
    found = ec2.ask("DescribeSubnets", filters({"default-for-az": "true"}))
    items = sorted(found.findall("subnetSet/item"), key=lambda one: text(one, "availabilityZone"))
    if not items:
        raise Refused(
            "MissingInput", "No subnets found for the default VPC. Please specify a subnet."
        )
    own = [item for item in items if text(item, "cidrBlock") == cidr]
    return text((own or items)[0], "subnetId")


def table_of(subnet: ET.Element, tables: list[ET.Element]) -> ET.Element:
    """Return a subnet's own route table, else the main one of its VPC."""
    path = "associationSet/item"
    for table in tables:
        if any(text(row, "subnetId") == text(subnet, "subnetId") for row in table.findall(path)):
            return table
    for table in tables:
        is_main = any(text(row, "main") == "true" for row in table.findall(path))
        if is_main and text(table, "vpcId") == text(subnet, "vpcId"):
            return table
    return ET.Element("item")


def exits(table: ET.Element, gateways: Gateways) -> Iterator[Exit]:
    """Yield where a route table leads out through a gateway that is alive."""
    for route in table.findall("routeSet/item"):
        to = text(route, "destinationCidrBlock")
        if to and gateways.internet.get(text(route, "gatewayId")) == text(table, "vpcId"):
            yield Exit(to=to, needs_public_address=True)
        elif to and text(route, "natGatewayId") in gateways.nat:
            yield Exit(to=to, needs_public_address=False)


def _gateways(ec2: Ec2) -> Gateways:
    internet = ec2.ask("DescribeInternetGateways").findall("internetGatewaySet/item")
    nat = ec2.ask("DescribeNatGateways").findall("natGatewaySet/item")
    return Gateways(
        internet={
            text(item, "internetGatewayId"): text(item, "attachmentSet/item/vpcId")
            for item in internet
            if text(item, "attachmentSet/item/vpcId")
        },
        nat={text(item, "natGatewayId") for item in nat if text(item, "state") == "available"},
    )
