"""The network actions of the EC2 API: subnets, security groups and interfaces."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

from runtime.lab import subnets, translations
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, filters, real, text
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.network import Subnet


@dataclass
class Networking:
    """What the lab does itself about networks, beside moto's records.

    `close_metadata` is called with a subnet that is gone.
    """

    ec2: Ec2
    hypervisor: Hypervisor
    close_metadata: Callable[[Subnet], None]

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "AuthorizeSecurityGroupIngress": self.authorize,
            "AuthorizeSecurityGroupEgress": self.authorize,
            "CreateVpc": self.create_vpc,
            "DeleteSubnet": self.delete_subnet,
            "DescribeNetworkInterfaces": self.describe_interfaces,
            "DetachNetworkInterface": self.detach_interface,
            "ModifyNetworkInterfaceAttribute": self.modify_interface,
        }

    def create_vpc(self, asked: Parameters) -> ET.Element:
        """Make a VPC, whose default group lets its members reach each other."""
        made = self.ec2.ask("CreateVpc", asked)
        admit_members(self.ec2, text(made, "vpc/vpcId"))
        return made

    @real("its network on this computer goes")
    def delete_subnet(self, asked: Parameters) -> ET.Element:
        """Delete a subnet and its network on this computer."""
        subnet = subnets.read(self.ec2, asked.get("SubnetId", ""))
        tree = self.ec2.ask("DeleteSubnet", asked)
        self.close_metadata(subnet)
        self.hypervisor.bridges.remove(subnet.id)
        return tree

    @real("in force at once, in each machine's own table")
    def authorize(self, asked: Parameters) -> ET.Element:
        """Add rules, with the descriptions that moto drops."""
        tree = self.ec2.ask(asked["Action"], asked)
        for change in translations.descriptions_lost(asked, tree):
            self.ec2.ask("ModifySecurityGroupRules", change)
        return tree

    def describe_interfaces(self, asked: Parameters) -> ET.Element:
        """Describe interfaces; those of terminated instances are free."""
        tree = self.ec2.ask("DescribeNetworkInterfaces", asked)
        gone = {"Filter.1.Name": "instance-state-name", "Filter.1.Value.1": "terminated"}
        found = self.ec2.ask("DescribeInstances", gone)
        ids = found.findall("reservationSet/item/instancesSet/item/instanceId")
        translations.detach_from_terminated(tree, {element.text or "" for element in ids})
        return tree

    def detach_interface(self, asked: Parameters) -> ET.Element:
        """Refuse an attachment that ended with its instance as EC2 does: there is none."""
        attachment = asked.get("AttachmentId", "")
        seen = self.describe_interfaces({})
        path = "networkInterfaceSet/item/attachment/attachmentId"
        if attachment not in {element.text for element in seen.findall(path)}:
            message = f"The attachment ID '{attachment}' does not exist"
            raise Refused("InvalidAttachmentID.NotFound", message)
        return self.ec2.ask("DetachNetworkInterface", asked)

    @real("groups in force at once")
    def modify_interface(self, asked: Parameters) -> ET.Element:
        """Mirror an interface's new groups to its instance, where moto leaves the old ones."""
        tree = self.ec2.ask("ModifyNetworkInterfaceAttribute", asked)
        groups = translations.groups_of(asked)
        if groups:
            interface = asked.get("NetworkInterfaceId", "")
            found = self.ec2.ask("DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
            machine_id = found.findtext("networkInterfaceSet/item/attachment/instanceId")
            if machine_id:
                numbered = {f"GroupId.{number}": group for number, group in enumerate(groups, 1)}
                self.ec2.ask("ModifyInstanceAttribute", {"InstanceId": machine_id, **numbered})
        return tree


def admit_members(ec2: Ec2, vpc_id: str) -> None:
    """Give a VPC's default group the rule for its own members, which moto omits."""
    wanted = filters({"vpc-id": vpc_id, "group-name": "default"})
    group = text(ec2.ask("DescribeSecurityGroups", wanted), "securityGroupInfo/item/groupId")
    rule = {"IpPermissions.1.IpProtocol": "-1", "IpPermissions.1.Groups.1.GroupId": group}
    ec2.ask("AuthorizeSecurityGroupIngress", {"GroupId": group, **rule})
