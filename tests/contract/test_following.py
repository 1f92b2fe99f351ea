"""Rules and metadata follow every change, also one that no request is answered after."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import wait
from runtime.errors import LabError
from runtime.lab import subnets
from runtime.lab.metadata.services import Services
from tests.contract.emulator import AMI
from tests.contract.scripted import Lab, refused


def rules_of(lab: Lab, machine_id: str) -> str:
    return lab.emulator.api.firewalls._loaded[machine_id]


def address_of(lab: Lab, machine_id: str) -> str:
    found = lab.ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"][0]
    return str(found["PrivateIpAddress"])


def give_way_out(lab: Lab) -> None:
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"]
    made = lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    lab.ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=subnet["VpcId"])
    wanted = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}]
    table = lab.ec2.describe_route_tables(Filters=wanted)["RouteTables"][0]["RouteTableId"]
    everywhere = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": made}
    lab.ec2.create_route(RouteTableId=table, **everywhere)


def test_a_machine_whose_start_takes_longer_than_the_answer_has_its_way_out(lab: Lab) -> None:
    give_way_out(lab)
    public = {"DeviceIndex": 0, "SubnetId": lab.subnet, "AssociatePublicIpAddress": True}
    asked = {"ImageId": AMI, "MinCount": 1, "MaxCount": 1, "NetworkInterfaces": [public]}
    machine_id = lab.ec2.run_instances(**asked)["Instances"][0]["InstanceId"]
    lab.ec2.stop_instances(InstanceIds=[machine_id])
    lab.becomes("stopped")
    lab.ec2.create_tags(Resources=[machine_id], Tags=[{"Key": "a", "Value": "b"}])
    without = rules_of(lab, machine_id)
    answered: list[Any] = []

    def start() -> None:
        lab.ec2.start_instances(InstanceIds=[machine_id])
        answered.append(rules_of(lab, machine_id))

    with lab.held(start, until="pending"):
        wait.until(lambda: bool(answered), what="the answer", timeout_s=20, every_s=0.05)
    assert answered == [without]
    lab.becomes("running")
    assert rules_of(lab, machine_id) != without


def with_peer_rule(lab: Lab) -> list[str]:
    """Launch two machines that let members of their group in; return their ids."""
    ids = lab.launch(2)
    found = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]
    group = found["SecurityGroups"][0]["GroupId"]
    peers = [{"IpProtocol": "tcp", "FromPort": 7, "ToPort": 7}]
    peers[0]["UserIdGroupPairs"] = [{"GroupId": group}]
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=peers)
    lab.machines.keepers.lives = lambda _: True
    return ids


def test_a_launch_that_a_neighbour_does_not_admit_leaves_nothing(lab: Lab) -> None:
    deaf, other = with_peer_rule(lab)
    before = rules_of(lab, other)

    def load_rules(machine_id: str, _: str) -> None:
        if machine_id == deaf:
            message = "the rules did not come into force"
            raise LabError(message)

    lab.machines.keepers.load_rules = load_rules
    assert refused(lab.launch) == "LaunchFailedInLab"
    assert sorted(lab.states()) == ["running", "running", "terminated"]
    assert sorted(lab.machines.running) == sorted([deaf, other])
    assert rules_of(lab, other) == before


def test_a_neighbour_that_is_late_once_admits_new_machines_and_so_do_the_others(lab: Lab) -> None:
    ids = with_peer_rule(lab)
    before = {name: rules_of(lab, name) for name in ids}
    late = list(ids[:1])

    def load_rules(machine_id: str, _: str) -> None:
        if machine_id in late:
            late.remove(machine_id)
            message = "the rules did not come into force"
            raise LabError(message)

    lab.machines.keepers.load_rules = load_rules
    (new,) = lab.launch()
    assert late == []
    for name in ids:
        assert address_of(lab, new) in rules_of(lab, name)
        assert rules_of(lab, name) != before[name]


def test_the_groups_of_a_second_interface_open_nothing_on_the_first(lab: Lab) -> None:
    (machine_id,) = lab.launch()
    before = rules_of(lab, machine_id)
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"]
    asked = {"GroupName": "wide", "Description": "wide", "VpcId": subnet["VpcId"]}
    group = lab.ec2.create_security_group(**asked)["GroupId"]
    port = {"FromPort": 9999, "ToPort": 9999, "CidrIp": "0.0.0.0/0"}
    lab.ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", **port)
    made = lab.ec2.create_network_interface(SubnetId=lab.subnet, Groups=[group])
    name = made["NetworkInterface"]["NetworkInterfaceId"]
    second = {"NetworkInterfaceId": name, "DeviceIndex": 1}
    lab.ec2.attach_network_interface(InstanceId=machine_id, **second)
    assert rules_of(lab, machine_id) == before


def test_metadata_tells_nothing_of_a_machine_that_ended_by_itself(lab: Lab) -> None:
    (machine_id,) = lab.launch(InstanceInitiatedShutdownBehavior="terminate", UserData="old")
    address, guests = address_of(lab, machine_id), lab.emulator.api.guests
    assert guests.at(address).id == machine_id
    lab.machines.running[machine_id] = False
    lab.emulator.api.instances.ended_by_itself(machine_id, 0)
    assert guests.at(address) is None


def test_rules_and_metadata_know_nothing_more_of_a_machine_that_was_lost(lab: Lab) -> None:
    lost, other = with_peer_rule(lab)
    address, guests = address_of(lab, lost), lab.emulator.api.guests
    assert guests.at(address).id == lost
    assert address in rules_of(lab, other)
    lab.machines.machines = lambda _="machine": {other: "running"}
    lab.machines.shares_namespace = lambda _: True
    lab.machines.keepers.has_rules = lambda *_: True
    lab.machines.held = set()
    lab.emulator.api.recovery.recover()
    assert guests.at(address) is None
    assert address not in rules_of(lab, other)


def test_a_machine_reads_its_own_metadata_at_an_address_that_was_asked_for_before(
    lab: Lab,
) -> None:
    (machine_id,) = lab.launch()
    address, seen = address_of(lab, machine_id), []
    lab.ec2.terminate_instances(InstanceIds=[machine_id])
    lab.becomes("terminated")
    assert lab.emulator.api.guests.at(address) is None
    true = lab.machines.launch

    def launch(machine_id: str, **how: Any) -> None:
        seen.append(lab.emulator.api.guests.at(how["address"]))
        true(machine_id, **how)

    lab.machines.launch = launch
    again = lab.launch(PrivateIpAddress=address)
    assert [guest and guest.id for guest in seen] == again


def test_a_way_out_that_is_read_while_something_changes_is_read_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(ec2=lab.emulator.ec2, guests=lab.emulator.api.guests)
    true, reads = subnets.read_all, []

    def read_all(ec2: Any) -> Any:
        reads.append(true(ec2))
        if len(reads) == 1:
            services.forget()
        return reads[-1]

    monkeypatch.setattr(subnets, "read_all", read_all)
    for _ in range(3):
        assert not services._has_way_out("10.0.0.9")
    assert len(reads) == 2
