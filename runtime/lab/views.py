"""What the lab's parts need to know, read from EC2 replies: subnets, machines and their groups."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

from runtime.lab.ec2 import Ec2, Refused, text
from runtime.lab.network import Subnet, has_egress

ALIVE = ("pending", "running", "stopping", "stopped")


def read_subnet(ec2: Ec2, subnet_id: str) -> Subnet:
    """Return a subnet with what its route table says about a way out.

    Raises:
        Refused: there is no such subnet.
    """
    item = ec2.ask("DescribeSubnets", {"SubnetId.1": subnet_id}).find("subnetSet/item")
    if item is None:
        raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")
    own = filters({"association.subnet-id": subnet_id})
    main = filters({"vpc-id": text(item, "vpcId"), "association.main": "true"})
    tables = (
        ec2.ask("DescribeRouteTables", which).findall("routeTableSet/item") for which in (own, main)
    )
    table = next((found[0] for found in tables if found), ET.Element("item"))
    routes = [
        (text(route, "destinationCidrBlock"), text(route, "gatewayId"))
        for route in table.findall("routeSet/item")
    ]
    return Subnet(id=subnet_id, cidr=text(item, "cidrBlock"), has_egress=has_egress(routes))


def default_subnet(ec2: Ec2) -> str:
    """Return the id of the default VPC's first subnet, where a launch without one goes."""
    found = ec2.ask("DescribeSubnets", filters({"default-for-az": "true"}))
    zones = {
        text(item, "availabilityZone"): text(item, "subnetId")
        for item in found.findall("subnetSet/item")
    }
    if not zones:
        raise Refused(
            "MissingInput", "No subnets found for the default VPC. Please specify a subnet."
        )
    return zones[min(zones)]


def profile_of(ec2: Ec2, machine_id: str) -> str:
    """Return the ARN of a machine's instance profile, "" without one.

    Its associations tell, as moto's description of the machine goes on showing a replaced one.
    """
    asked = filters({"instance-id": machine_id, "state": "associated"})
    found = ec2.ask("DescribeIamInstanceProfileAssociations", asked)
    return text(found, "iamInstanceProfileAssociationSet/item/iamInstanceProfile/arn")


def living(ec2: Ec2) -> Iterator[ET.Element]:
    """Yield the `item` of every machine that is not gone."""
    for item in ec2.ask("DescribeInstances").findall("reservationSet/item/instancesSet/item"):
        if text(item, "instanceState/name") in ALIVE:
            yield item


def groups_of(item: ET.Element) -> list[str]:
    """Return the ids of a machine's security groups."""
    found = item.findall("groupSet/item") or item.findall("networkInterfaceSet/item/groupSet/item")
    return [text(group, "groupId") for group in found]


def filters(wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of filters with one value each."""
    return {
        key: value
        for number, (name, content) in enumerate(wanted.items(), start=1)
        for key, value in ((f"Filter.{number}.Name", name), (f"Filter.{number}.Value.1", content))
    }
