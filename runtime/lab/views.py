"""What the lab's parts need to know, read from EC2 replies: subnets and guests."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

from runtime.lab import translations
from runtime.lab.ec2 import Ec2, Refused, tags_of, text
from runtime.lab.imds import Guest
from runtime.lab.network import Subnet, has_egress
from runtime.lab.volume_rules import Volume

ALIVE = ("pending", "running", "stopping", "stopped")


def read_subnet(ec2: Ec2, subnet_id: str) -> Subnet:
    """Return a subnet with what its route table says about a way out.

    Raises:
        Refused: there is no such subnet.
    """
    item = ec2.ask("DescribeSubnets", {"SubnetId.1": subnet_id}).find("subnetSet/item")
    if item is None:
        raise Refused("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")
    own = _filters({"association.subnet-id": subnet_id})
    main = _filters({"vpc-id": text(item, "vpcId"), "association.main": "true"})
    tables = (
        ec2.ask("DescribeRouteTables", which).findall("routeTableSet/item") for which in (own, main)
    )
    table = next((found[0] for found in tables if found), ET.Element("item"))
    routes = [
        (text(route, "destinationCidrBlock"), text(route, "gatewayId"))
        for route in table.findall("routeSet/item")
    ]
    return Subnet(id=subnet_id, cidr=text(item, "cidrBlock"), has_egress=has_egress(routes))


def find_volume(ec2: Ec2, volume_id: str) -> Volume:
    """Return a volume as the records have it.

    Raises:
        Refused: there is no such volume.
    """
    item = ec2.ask("DescribeVolumes", {"VolumeId.1": volume_id}).find("volumeSet/item")
    if item is None:
        raise Refused("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    return Volume.parse(item)


def default_subnet(ec2: Ec2) -> str:
    """Return the id of the default VPC's first subnet, where a launch without one goes."""
    found = ec2.ask("DescribeSubnets", _filters({"default-for-az": "true"}))
    zones = {
        text(item, "availabilityZone"): text(item, "subnetId")
        for item in found.findall("subnetSet/item")
    }
    if not zones:
        raise Refused(
            "MissingInput", "No subnets found for the default VPC. Please specify a subnet."
        )
    return zones[min(zones)]


def find_guest(ec2: Ec2, address: str) -> Guest | None:
    """Return the living machine at a private address, None if there is none."""
    reply = ec2.ask("DescribeInstances")
    for reservation in reply.findall("reservationSet/item"):
        for item in reservation.findall("instancesSet/item"):
            if (
                text(item, "privateIpAddress") == address
                and text(item, "instanceState/name") in ALIVE
            ):
                return _guest(ec2, reservation, item)
    return None


def living(ec2: Ec2) -> Iterator[ET.Element]:
    """Yield the `item` of every machine that is not gone."""
    for item in ec2.ask("DescribeInstances").findall("reservationSet/item/instancesSet/item"):
        if text(item, "instanceState/name") in ALIVE:
            yield item


def groups_of(item: ET.Element) -> list[str]:
    """Return the ids of a machine's security groups."""
    found = item.findall("groupSet/item") or item.findall("networkInterfaceSet/item/groupSet/item")
    return [text(group, "groupId") for group in found]


def _guest(ec2: Ec2, reservation: ET.Element, item: ET.Element) -> Guest:
    machine_id, key_name = text(item, "instanceId"), text(item, "keyName")
    subnet_id, vpc_id = text(item, "subnetId"), text(item, "vpcId")
    options = item.find("metadataOptions")
    options = ET.Element("none") if options is None else options
    groups = item.findall("groupSet/item") or item.findall("networkInterfaceSet/item/groupSet/item")
    offers_tags = text(options, "instanceMetadataTags") == "enabled"
    return Guest(
        id=machine_id,
        address=text(item, "privateIpAddress"),
        mac=text(item, "networkInterfaceSet/item/macAddress"),
        ami_id=text(item, "imageId"),
        machine_type=text(item, "instanceType"),
        zone=text(item, "placement/availabilityZone"),
        subnet_id=subnet_id,
        subnet_cidr=text(
            ec2.ask("DescribeSubnets", {"SubnetId.1": subnet_id}), "subnetSet/item/cidrBlock"
        ),
        vpc_id=vpc_id,
        vpc_cidr=text(ec2.ask("DescribeVpcs", {"VpcId.1": vpc_id}), "vpcSet/item/cidrBlock"),
        account=text(reservation, "ownerId"),
        reservation_id=text(reservation, "reservationId"),
        launched_at=text(item, "launchTime"),
        key_name=key_name,
        public_key=_public_key(ec2, key_name),
        security_groups=tuple(text(group, "groupName") for group in groups),
        security_group_ids=tuple(text(group, "groupId") for group in groups),
        user_data=translations.decode_user_data(ec2.attribute(machine_id, "userData")),
        tags=tags_of(item) if offers_tags else None,
        is_token_required=text(options, "httpTokens") == "required",
        is_enabled=text(options, "httpEndpoint") != "disabled",
        hop_limit=int(text(options, "httpPutResponseHopLimit") or "1"),
    )


def _public_key(ec2: Ec2, key_name: str) -> str:
    if not key_name:
        return ""
    try:
        found = ec2.ask("DescribeKeyPairs", {"KeyName.1": key_name, "IncludePublicKey": "true"})
    except Refused:  # deleted since the launch, as Packer does with its temporary key
        return ""
    return text(found, "keySet/item/publicKey")


def _filters(wanted: Mapping[str, str]) -> dict[str, str]:
    return {
        key: value
        for number, (name, content) in enumerate(wanted.items(), start=1)
        for key, value in ((f"Filter.{number}.Name", name), (f"Filter.{number}.Value.1", content))
    }
