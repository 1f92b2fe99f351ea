"""Route tables and gateways in the API decide who gets out, at once, and names follow that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from runtime import proc, wait
from runtime.cloud.target import Target
from runtime.lab import control, slots
from runtime.lab.machines import rootfs
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.settings import Settings

pytestmark = pytest.mark.e2e

EVERYWHERE = "0.0.0.0/0"
# Says which of its arguments, HOST:PORT, a TCP packet gets to; refused counts, silence does not.
_REACHES = """
import socket, sys
for pair in sys.argv[1:]:
    host, _, port = pair.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.5).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        continue
    print(pair)
"""
_RESOLVES = """
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], None)[0][4][0])
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""


@dataclass
class Guest:
    """A machine in the build subnet, from which things are tried."""

    id: str
    ec2: Any
    container: str
    vpc: str

    def run(self, program: str, *words: str) -> str:
        argv = ["docker", "exec", self.container, "python3", "-c", program, *words]
        return proc.run(argv, timeout_s=60).stdout.strip()

    def reaches(self, pair: str) -> bool:
        return self.run(_REACHES, pair) == pair

    def main_table(self) -> str:
        wanted = [
            {"Name": "vpc-id", "Values": [self.vpc]},
            {"Name": "association.main", "Values": ["true"]},
        ]
        return str(self.ec2.describe_route_tables(Filters=wanted)["RouteTables"][0]["RouteTableId"])


@pytest.fixture(scope="module")
def lab(lab_settings: Settings) -> Target:
    return control.up(lab_settings)


@pytest.fixture(scope="module")
def guest(lab: Target, lab_settings: Settings) -> Iterator[Guest]:
    subnet = json.loads(slots.packer_file(lab_settings.lab_dir).read_text())["subnet_id"]
    asked = {"ImageId": rootfs.ami_id(), "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    (made,) = lab.ec2.run_instances(**asked)["Instances"]
    name = Hypervisor(connect(), lab_settings.lab_id).name(made["InstanceId"])
    yield Guest(id=made["InstanceId"], ec2=lab.ec2, container=name, vpc=made["VpcId"])
    lab.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
    lab.ec2.get_waiter("instance_terminated").wait(InstanceIds=[made["InstanceId"]])


@pytest.fixture(scope="module")
def outside() -> str:
    """An address of this computer that is no lab's: of the interface to the world."""
    routes = json.loads(proc.run(["ip", "-json", "-4", "route"], timeout_s=10).stdout)
    world = next(route["dev"] for route in routes if route["dst"] == "default")
    shown = proc.run(["ip", "-json", "-4", "address", "show", world], timeout_s=10).stdout
    return f"{json.loads(shown)[0]['addr_info'][0]['local']}:81"


def test_the_build_subnet_reaches_what_its_route_table_leads_to(guest: Guest, outside: str) -> None:
    assert guest.reaches(outside)


def test_without_the_route_nothing_gets_out_and_with_it_again_everything(
    guest: Guest, outside: str
) -> None:
    table = guest.main_table()
    (route,) = [
        route
        for route in guest.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0][
            "Routes"
        ]
        if route["DestinationCidrBlock"] == EVERYWHERE
    ]
    guest.ec2.delete_route(RouteTableId=table, DestinationCidrBlock=EVERYWHERE)
    try:
        assert not guest.reaches(outside)
        assert guest.run(_RESOLVES, "packages.example.com") == "True"  # no such name, at once
    finally:
        guest.ec2.create_route(
            RouteTableId=table, DestinationCidrBlock=EVERYWHERE, GatewayId=route["GatewayId"]
        )
    assert guest.reaches(outside)


def test_a_gateway_that_is_detached_leads_nowhere(guest: Guest, outside: str) -> None:
    wanted = [{"Name": "attachment.vpc-id", "Values": [guest.vpc]}]
    (gateway,) = guest.ec2.describe_internet_gateways(Filters=wanted)["InternetGateways"]
    which = {"InternetGatewayId": gateway["InternetGatewayId"], "VpcId": guest.vpc}
    guest.ec2.detach_internet_gateway(**which)
    try:
        assert not guest.reaches(outside)
    finally:
        guest.ec2.attach_internet_gateway(**which)
    assert guest.reaches(outside)


def test_a_machine_without_a_public_address_has_no_use_for_an_internet_gateway(
    guest: Guest, lab: Target, lab_settings: Settings, outside: str
) -> None:
    subnet = lab.ec2.describe_instances(InstanceIds=[guest.id])["Reservations"][0]["Instances"][0][
        "SubnetId"
    ]
    interface = {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": False}
    asked = {"ImageId": rootfs.ami_id(), "MinCount": 1, "MaxCount": 1}
    (made,) = lab.ec2.run_instances(**asked, NetworkInterfaces=[interface])["Instances"]
    try:
        assert "PublicIpAddress" not in made
        name = Hypervisor(connect(), lab_settings.lab_id).name(made["InstanceId"])
        private = Guest(id=made["InstanceId"], ec2=lab.ec2, container=name, vpc=guest.vpc)
        assert not private.reaches(outside)
    finally:
        lab.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])


def test_a_self_rule_is_for_members_and_what_leaves_needs_a_rule_too(
    guest: Guest, lab: Target, outside: str
) -> None:
    subnet = lab.ec2.describe_instances(InstanceIds=[guest.id])["Reservations"][0]["Instances"][0][
        "SubnetId"
    ]
    made = lab.ec2.create_security_group(
        GroupName="closed", Description="nothing comes in", VpcId=guest.vpc
    )
    asked = {"ImageId": rootfs.ami_id(), "MinCount": 1, "MaxCount": 1, "SubnetId": subnet}
    (member,) = lab.ec2.run_instances(**asked)["Instances"]  # of the default group, as the guest
    ids, ssh = [member["InstanceId"]], f"{member['PrivateIpAddress']}:22"
    (group,) = member["SecurityGroups"]
    every = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": EVERYWHERE}]}
    try:
        assert guest.reaches(ssh)

        lab.ec2.modify_instance_attribute(InstanceId=ids[0], Groups=[made["GroupId"]])
        assert not guest.reaches(ssh)

        lab.ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=[every])
        assert not guest.reaches(outside)
        lab.ec2.authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=[every])
        assert guest.reaches(outside)
    finally:
        lab.ec2.terminate_instances(InstanceIds=ids)
        lab.ec2.get_waiter("instance_terminated").wait(InstanceIds=ids)
        lab.ec2.delete_security_group(GroupId=made["GroupId"])


def test_the_router_does_not_answer(guest: Guest, lab_settings: Settings) -> None:
    """From where everything may leave, too: EC2's router is no computer to talk to."""
    slot = slots.read(lab_settings.lab_dir)
    # The API's port, which listens, at the router's address; metadata's own port there.
    pairs = [f"{slot.build[1]}:{slot.port}", f"{slot.build[1]}:22", f"{slot.build[1]}:8169"]
    assert [pair for pair in pairs if guest.reaches(pair)] == []


def test_machines_know_each_other_by_the_names_that_ec2_gives_them(guest: Guest) -> None:
    assert guest.run(_RESOLVES, "ip-10-20-1-10.ec2.internal") == "10.20.1.10"


def test_a_second_address_of_the_service_range_answers_nothing(guest: Guest) -> None:
    assert not guest.reaches("169.254.169.252:80")
    wait.until(lambda: guest.reaches("169.254.169.254:80"), what="metadata", timeout_s=10)
