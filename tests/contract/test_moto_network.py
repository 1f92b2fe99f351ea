"""What moto does differently from EC2 about networks; a failure means that it was mended."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from runtime.lab import subnets, translations
from runtime.lab.actions import networking
from runtime.lab.ec2 import Ec2, filters, text
from tests.contract.plain import launch


@pytest.fixture
def interface(ec2: Ec2) -> str:
    """The id of an interface in moto's records, as Terraform makes one before its machine."""
    made = ec2.ask("CreateNetworkInterface", {"SubnetId": subnets.default(ec2)})
    return text(made, "networkInterface/networkInterfaceId")


def at(interface: str) -> dict[str, str]:
    """Return the parameters of a launch at an interface that is there."""
    first = "NetworkInterface.1."
    return {f"{first}DeviceIndex": "0", f"{first}NetworkInterfaceId": interface}


def test_moto_shows_an_association_where_there_is_no_public_address(
    ec2: Ec2, interface: str
) -> None:
    def empty(found: ET.Element) -> list[ET.Element]:
        return [one for one in found.iter("association") if not text(one, "publicIp")]

    launch(ec2, **at(interface))
    launch(ec2, SubnetId=subnets.default(ec2))  # which has a public one
    found = ec2.ask("DescribeInstances")
    assert empty(found)

    translations.drop_empty_associations(found)

    assert empty(found) == []
    assert found.find(".//association/publicIp") is not None


def test_moto_leaves_the_interface_of_a_terminated_machine_attached(
    ec2: Ec2, interface: str
) -> None:
    machine_id = launch(ec2, **at(interface))
    ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
    found = ec2.ask("DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
    path = "networkInterfaceSet/item"
    assert text(found, f"{path}/attachment/instanceId") == machine_id
    assert text(found, f"{path}/status") == "in-use"

    translations.detach_from_terminated(found, living=())

    assert found.find(f"{path}/attachment") is None
    assert text(found, f"{path}/status") == "available"


def test_moto_keeps_the_interface_of_a_terminated_machine_unless_it_is_spelled_out(
    ec2: Ec2,
) -> None:
    asked = {"SubnetId": subnets.default(ec2)}
    for whole in (asked, translations.complete_interfaces(asked)):
        ec2.ask("TerminateInstances", {"InstanceId.1": launch(ec2, **whole)})
    left = ec2.ask("DescribeNetworkInterfaces").findall("networkInterfaceSet/item")
    assert len(left) == 1


def test_moto_drops_the_description_of_a_rule_between_groups(ec2: Ec2) -> None:
    here, there = (
        text(ec2.ask("CreateSecurityGroup", asked), "groupId")
        for asked in ({"GroupName": name, "GroupDescription": "one"} for name in ("a", "b"))
    )
    first = "IpPermissions.1."
    ports = {f"{first}IpProtocol": "tcp", f"{first}FromPort": "1", f"{first}ToPort": "1"}
    source = {f"{first}Groups.1.GroupId": there, f"{first}Groups.1.Description": "why"}
    asked = {"GroupId": here, **ports, **source}
    made = ec2.ask("AuthorizeSecurityGroupIngress", asked)

    def described() -> list[str | None]:
        rules = ec2.ask("DescribeSecurityGroupRules")
        return [one.text for one in rules.findall("securityGroupRuleSet/item/description")]

    assert described() == []
    for change in translations.descriptions_lost(asked, made):
        ec2.ask("ModifySecurityGroupRules", change)
    assert described() == ["why"]


def test_moto_deletes_a_subnet_that_a_machine_is_in(ec2: Ec2) -> None:
    subnet_id = subnets.default(ec2)
    launch(ec2, SubnetId=subnet_id)
    ec2.ask("DeleteSubnet", {"SubnetId": subnet_id})


def test_moto_deletes_a_security_group_that_a_machine_has(ec2: Ec2) -> None:
    made = ec2.ask("CreateSecurityGroup", {"GroupName": "one", "GroupDescription": "one"})
    group = text(made, "groupId")
    launch(ec2, **{"SubnetId": subnets.default(ec2), "SecurityGroupId.1": group})
    ec2.ask("DeleteSecurityGroup", {"GroupId": group})


def test_moto_deletes_an_interface_that_a_machine_has(ec2: Ec2, interface: str) -> None:
    launch(ec2, **at(interface))
    ec2.ask("DeleteNetworkInterface", {"NetworkInterfaceId": interface})


def test_moto_keeps_the_interface_of_a_nat_gateway_that_is_deleted(ec2: Ec2) -> None:
    asked = {"SubnetId": subnets.default(ec2), "ConnectivityType": "private"}
    gateway = text(ec2.ask("CreateNatGateway", asked), "natGateway/natGatewayId")
    ec2.ask("DeleteNatGateway", {"NatGatewayId": gateway})
    assert ec2.ask("DescribeNetworkInterfaces").find("networkInterfaceSet/item") is not None


def test_moto_detaches_an_interface_from_a_machine_that_is_gone(ec2: Ec2, interface: str) -> None:
    machine_id = launch(ec2)
    asked = {"NetworkInterfaceId": interface, "InstanceId": machine_id, "DeviceIndex": "1"}
    attachment = text(ec2.ask("AttachNetworkInterface", asked), "attachmentId")
    ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
    ec2.ask("DetachNetworkInterface", {"AttachmentId": attachment})


def test_motos_default_group_of_a_new_vpc_does_not_let_its_members_reach_each_other(
    ec2: Ec2,
) -> None:
    vpc = text(ec2.ask("CreateVpc", {"CidrBlock": "10.77.0.0/16"}), "vpc/vpcId")
    of_vpc = filters({"vpc-id": vpc, "group-name": "default"})
    path = "securityGroupInfo/item/ipPermissions/item/groups/item/groupId"
    assert ec2.ask("DescribeSecurityGroups", of_vpc).find(path) is None

    networking.admit_members(ec2, vpc)

    found = ec2.ask("DescribeSecurityGroups", of_vpc)
    assert text(found, path) == text(found, "securityGroupInfo/item/groupId")
