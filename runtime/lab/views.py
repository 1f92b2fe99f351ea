"""What the lab's parts need to know about machines, read from EC2 replies."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from runtime.lab.actions.volume_rules import Volume
from runtime.lab.ec2 import Ec2, Refused, filters, text

ALIVE = ("pending", "running", "stopping", "stopped")


def profile_of(ec2: Ec2, machine_id: str) -> str:
    """Return the ARN of a machine's instance profile, "" without one.

    Its associations tell, as moto's description of the machine goes on showing a replaced one.
    """
    asked = filters({"instance-id": machine_id, "state": "associated"})
    found = ec2.ask("DescribeIamInstanceProfileAssociations", asked)
    return text(found, "iamInstanceProfileAssociationSet/item/iamInstanceProfile/arn")


def associations(ec2: Ec2) -> ET.Element:
    """Return all associations of instance profiles: moto tells of 100 at a time, however asked."""
    action, path = "DescribeIamInstanceProfileAssociations", "iamInstanceProfileAssociationSet"
    found = ec2.ask(action)
    rows, token = found.find(path), text(found, "nextToken")
    while rows is not None and token:
        page = ec2.ask(action, {"NextToken": token})
        rows.extend(page.findall(f"{path}/item"))
        token = text(page, "nextToken")
    return found


def find_volume(ec2: Ec2, volume_id: str) -> Volume:
    """Return a volume as the records have it.

    Raises:
        Refused: there is no such volume.
    """
    item = ec2.ask("DescribeVolumes", {"VolumeId.1": volume_id}).find("volumeSet/item")
    if item is None:
        raise Refused("InvalidVolume.NotFound", f"The volume '{volume_id}' does not exist.")
    return Volume.parse(item)


def living(ec2: Ec2) -> list[ET.Element]:
    """Return the `item` of every machine that is not gone.

    moto keeps those that are for ever, and to describe one takes it a millisecond.
    """
    found = ec2.ask("DescribeInstances", filters({"instance-state-name": ALIVE}))
    return found.findall("reservationSet/item/instancesSet/item")


def groups_of(item: ET.Element) -> list[str]:
    """Return the ids of a machine's security groups, which are those of its first interface.

    Another that is attached is a record: the machine has one alone.
    """
    return [
        text(group, "groupId")
        for interface in item.findall("networkInterfaceSet/item")
        if text(interface, "attachment/deviceIndex") == "0"
        for group in interface.findall("groupSet/item")
    ]
