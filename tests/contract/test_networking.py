"""What machines and interfaces depend on is not deleted under them."""

from __future__ import annotations

import socket

from runtime.lab import subnets
from runtime.lab.machines.network import IMDS_PORT
from tests.contract.emulator import AMI, LOOPBACK
from tests.contract.scripted import Lab, refused


def test_a_subnet_goes_when_no_machine_is_in_it(lab: Lab) -> None:
    ids = lab.launch()
    assert refused(lab.ec2.delete_subnet, SubnetId=lab.subnet) == "DependencyViolation"
    lab.ec2.create_tags(Resources=ids, Tags=[{"Key": "changes", "Value": "go on"}])
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated")
    lab.ec2.delete_subnet(SubnetId=lab.subnet)
    assert refused(lab.ec2.describe_subnets, SubnetIds=[lab.subnet]) == "InvalidSubnetID.NotFound"


def test_a_subnet_goes_when_no_interface_is_in_it(lab: Lab) -> None:
    made = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]
    assert refused(lab.ec2.delete_subnet, SubnetId=lab.subnet) == "DependencyViolation"
    lab.ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])
    lab.ec2.delete_subnet(SubnetId=lab.subnet)


def test_a_subnet_goes_when_its_nat_gateway_is_deleted(lab: Lab) -> None:
    made = lab.ec2.create_nat_gateway(SubnetId=lab.subnet, ConnectivityType="private")
    assert refused(lab.ec2.delete_subnet, SubnetId=lab.subnet) == "DependencyViolation"
    lab.ec2.delete_nat_gateway(NatGatewayId=made["NatGateway"]["NatGatewayId"])
    lab.ec2.delete_subnet(SubnetId=lab.subnet)


def test_a_subnet_that_goes_leaves_metadata_to_another_of_the_same_range(lab: Lab) -> None:
    lab.launch()
    vpc = lab.ec2.create_vpc(CidrBlock=f"{LOOPBACK}.0.0/16")["Vpc"]["VpcId"]
    asked = {"VpcId": vpc, "CidrBlock": f"{LOOPBACK}.0.0/24"}
    other = lab.ec2.create_subnet(**asked)["Subnet"]["SubnetId"]
    lab.ec2.delete_subnet(SubnetId=other)
    socket.create_connection((f"{LOOPBACK}.0.1", IMDS_PORT), timeout=5).close()


def test_a_security_group_goes_when_no_machine_has_it(lab: Lab) -> None:
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"]
    asked = {"GroupName": "one", "Description": "one", "VpcId": subnet["VpcId"]}
    group = lab.ec2.create_security_group(**asked)["GroupId"]
    ids = lab.launch(SecurityGroupIds=[group])
    assert refused(lab.ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    lab.ec2.terminate_instances(InstanceIds=ids)
    lab.becomes("terminated")
    lab.ec2.delete_security_group(GroupId=group)


def test_an_interface_that_a_machine_has_is_not_deleted_until_the_machine_is_gone(
    lab: Lab,
) -> None:
    made = lab.ec2.create_network_interface(SubnetId=lab.subnet)["NetworkInterface"]
    name = made["NetworkInterfaceId"]
    at = {"DeviceIndex": 0, "NetworkInterfaceId": name}
    asked = {"ImageId": AMI, "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [at]}
    machine_id = lab.ec2.run_instances(**asked)["Instances"][0]["InstanceId"]
    delete = lab.ec2.delete_network_interface
    assert refused(delete, NetworkInterfaceId=name) == "InvalidParameterValue"
    lab.ec2.terminate_instances(InstanceIds=[machine_id])
    lab.becomes("terminated")
    delete(NetworkInterfaceId=name)
    gone = refused(delete, NetworkInterfaceId=name)
    assert gone == "InvalidNetworkInterfaceID.NotFound"


def test_a_machine_whose_subnet_a_lab_of_before_deleted_keeps_no_change_from_the_others(
    lab: Lab,
) -> None:
    lab.launch()
    subnet = subnets.read(lab.emulator.ec2, lab.subnet)
    lab.emulator.ec2.ask("DeleteSubnet", {"SubnetId": subnet.id})
    lab.emulator.api.services.close(subnet)
    lab.ec2.create_vpc(CidrBlock="10.77.0.0/16")
