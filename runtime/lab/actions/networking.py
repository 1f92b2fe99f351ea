"""The network actions of the EC2 API: subnets, security groups and interfaces."""

from __future__ import annotations

import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from docker.errors import APIError

from runtime.lab import subnets, translations, views
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, filters, real, text
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.network import Subnet

_log = logging.getLogger(__name__)


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
            "DeleteNetworkInterface": self.delete_interface,
            "DeleteSecurityGroup": self.delete_group,
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
        """Delete a subnet that nothing is in any more, and its network on this computer."""
        subnet = subnets.read(self.ec2, asked.get("SubnetId", ""))
        if self._has_interfaces({"subnet-id": subnet.id}):
            message = f"The subnet '{subnet.id}' has dependencies and cannot be deleted."
            raise Refused("DependencyViolation", message)
        tree = self.ec2.ask("DeleteSubnet", asked)
        self.close_metadata(subnet)
        try:
            self.hypervisor.bridges.remove(subnet.id)
        except APIError:  # something is in it that no record knows: recovery removes both
            _log.exception("the network of %s is left behind", subnet.id)
        return tree

    def delete_group(self, asked: Parameters) -> ET.Element:
        """Delete a security group that no interface has any more: moto deletes any."""
        group = asked.get("GroupId", "")
        if not group:
            named = filters({"group-name": asked.get("GroupName", "")})
            found = self.ec2.ask("DescribeSecurityGroups", named)
            group = text(found, "securityGroupInfo/item/groupId")
        if group and self._has_interfaces({"group-id": group}):
            message = f"resource {group} has a dependent object"
            raise Refused("DependencyViolation", message)
        return self.ec2.ask("DeleteSecurityGroup", asked)

    def delete_interface(self, asked: Parameters) -> ET.Element:
        """Delete an interface that no machine has: moto deletes any."""
        name = asked.get("NetworkInterfaceId", "")
        found = self.describe_interfaces({"NetworkInterfaceId.1": name})
        if found.find("networkInterfaceSet/item/attachment/instanceId") is not None:
            message = f"Network interface '{name}' is currently in use."
            raise Refused("InvalidParameterValue", message)
        return self.ec2.ask("DeleteNetworkInterface", asked)

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
        living = {text(item, "instanceId") for item in views.living(self.ec2)}
        translations.detach_from_terminated(tree, living)
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

    def _has_interfaces(self, wanted: Mapping[str, str]) -> bool:
        """Return whether an interface matches; those of NAT gateways that went stay in moto."""
        went = self.ec2.ask("DescribeNatGateways", filters({"state": "deleted"}))
        path = "natGatewaySet/item/natGatewayAddressSet/item/networkInterfaceId"
        gone = {element.text for element in went.findall(path)}
        found = self.ec2.ask("DescribeNetworkInterfaces", filters(wanted))
        ids = found.findall("networkInterfaceSet/item/networkInterfaceId")
        return any(element.text not in gone for element in ids)


def admit_members(ec2: Ec2, vpc_id: str) -> None:
    """Give a VPC's default group the rule for its own members, which moto omits."""
    wanted = filters({"vpc-id": vpc_id, "group-name": "default"})
    group = text(ec2.ask("DescribeSecurityGroups", wanted), "securityGroupInfo/item/groupId")
    rule = {"IpPermissions.1.IpProtocol": "-1", "IpPermissions.1.Groups.1.GroupId": group}
    ec2.ask("AuthorizeSecurityGroupIngress", {"GroupId": group, **rule})
