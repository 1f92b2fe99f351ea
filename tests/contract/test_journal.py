"""What moto was told it knows again after kill -9: every id, address, tag and object."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.parsers import ResponseParserError

from runtime import proc, wait
from runtime.lab import process
from runtime.lab.machines import sources
from tests.contract import remembering

ROOT = Path(__file__).resolve().parents[2]
CHANNEL = "/bullion/stable/kafka"
CONFIG = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


class World:
    """A moto that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.process: subprocess.Popen[bytes] | None = None
        self.set_sources("ami-11111111111111111")

    def set_sources(self, *ids: str) -> None:
        rows = [sources.entry(name, name="source", description="") for name in ids]
        sources.write(self.folder / "amis.json", rows)

    def start(self) -> None:
        env = {
            "PYTHONPATH": str(ROOT),
            "MOTO_AMIS_PATH": str(self.folder / "amis.json"),
            **process.FOR_MOTO,
        }
        argv = [sys.executable, remembering.__file__, str(self.folder), str(self.port)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, env=proc.minimal_env(env))
        wait.until(self._answers, what="moto", timeout_s=60, last=self.log.read_text)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def client(self, service: str, region: str = remembering.REGION) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="lab",
            aws_secret_access_key="lab",
            config=CONFIG,
        )

    def _answers(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.start()
    yield made
    made.kill()


def describe(world: World) -> dict[str, Any]:
    """Return what every API says of everything, comparable."""
    ec2, s3, iam, ssm = (world.client(name) for name in ("ec2", "s3", "iam", "ssm"))
    asks: dict[str, Callable[[], Any]] = {
        name: getattr(ec2, f"describe_{name}")
        for name in (
            "vpcs",
            "subnets",
            "route_tables",
            "internet_gateways",
            "security_groups",
            "security_group_rules",
            "instances",
            "network_interfaces",
            "volumes",
            "addresses",
            "launch_templates",
            "tags",
        )
    }
    asks |= {
        "public keys": lambda: ec2.describe_key_pairs(IncludePublicKey=True),
        "images": lambda: ec2.describe_images(Owners=["self"]),
        "snapshots": lambda: ec2.describe_snapshots(OwnerIds=["self"]),
        "elsewhere": world.client("ec2", "eu-west-1").describe_vpcs,
        "roles": iam.list_roles,
        "profiles": iam.list_instance_profiles,
        "parameters": ssm.describe_parameters,
        "channel": lambda: ssm.get_parameter_history(Name=CHANNEL),
        "values": lambda: ssm.get_parameters(Names=["/a"], WithDecryption=True),
        "state": lambda: {
            "body": s3.get_object(Bucket="state", Key="a b/lab.tfstate")["Body"].read()
        },
        "objects": lambda: s3.list_objects_v2(Bucket="state"),
    }
    found = {}
    for name, ask in asks.items():
        answer = ask()
        answer.pop("ResponseMetadata", None)
        found[name] = json.loads(json.dumps(answer, default=_plain))
    return found


def _plain(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else "a time"


def fill(world: World) -> None:
    """Make a mix of everything, with reads in between."""
    ec2, s3, iam, ssm = (world.client(name) for name in ("ec2", "s3", "iam", "ssm"))
    s3.create_bucket(Bucket="state")
    for serial in range(5):
        s3.put_object(Bucket="state", Key="a b/lab.tfstate.tflock", Body=b"me", IfNoneMatch="*")
        s3.put_object(Bucket="state", Key="a b/lab.tfstate", Body=b'{"serial": %d}' % serial)
        s3.delete_object(Bucket="state", Key="a b/lab.tfstate.tflock")
    first = s3.put_object(Bucket="state", Key="swapped", Body=b"1")
    s3.put_object(Bucket="state", Key="swapped", Body=b"2", IfMatch=first["ETag"])
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    ec2.describe_instances()
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="10.0.0.0/8"
    )
    ec2.create_key_pair(KeyName="rsa")
    ec2.create_key_pair(KeyName="ed", KeyType="ed25519")
    interface = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress="10.20.1.10")
    face = interface["NetworkInterface"]["NetworkInterfaceId"]
    role = {"Version": "2012-10-17", "Statement": []}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(role))
    iam.create_instance_profile(InstanceProfileName="p")
    iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    ssm.put_parameter(Name="/a", Value="secret", Type="SecureString")
    for number, ami in enumerate(("ami-0123456789abcdef0", "ami-0123456789abcdef1"), 1):
        kept = {"Name": CHANNEL, "Value": ami, "Description": f"release {number}"}
        ssm.put_parameter(**kept, Type="String", DataType="aws:ec2:image", Overwrite=True)
        ssm.label_parameter_version(Name=CHANNEL, ParameterVersion=number, Labels=[f"r{number}"])
    world.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="session"
    )
    launch = {
        "ImageId": "ami-11111111111111111",
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "ä & b"}]}
        ],
    }
    ec2.run_instances(
        **launch, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": face}], KeyName="ed"
    )
    other = ec2.run_instances(**launch, SubnetId=subnet)["Instances"][0]["InstanceId"]
    ami = ec2.create_image(InstanceId=other, Name="made")["ImageId"]
    ec2.create_tags(Resources=[ami], Tags=[{"Key": "k", "Value": "v"}])
    ec2.allocate_address(Domain="vpc")
    ec2.create_volume(Size=3, AvailabilityZone="us-east-1a")
    ec2.terminate_instances(InstanceIds=[other])
    with pytest.raises(ec2.exceptions.ClientError):
        ec2.create_key_pair(KeyName="ed")
    world.client("ec2", "eu-west-1").describe_vpcs()


def test_everything_comes_back_with_the_same_ids_after_kill(world: World) -> None:
    fill(world)
    before = describe(world)
    for _ in range(2):
        world.kill()
        world.start()
    after = describe(world)
    for pair in (*before["public keys"]["KeyPairs"], *after["public keys"]["KeyPairs"]):
        pair.pop("KeyFingerprint")  # moto tells created and imported keys apart by these
        pair.pop("KeyType", "")
    assert after == before
    assert "lost" not in world.log.read_text()


def test_a_machine_keeps_the_time_of_its_launch(world: World) -> None:
    ec2 = world.client("ec2")
    ec2.run_instances(ImageId="ami-11111111111111111", MinCount=1, MaxCount=1)
    world.kill()
    path = world.folder / "journal.jsonl"
    path.write_text(re.sub(r'"at":[0-9.]+', '"at":1600000000.0', path.read_text()))
    world.start()
    machine = ec2.describe_instances()["Reservations"][0]["Instances"][0]
    assert machine["LaunchTime"] == datetime.fromtimestamp(1600000000, UTC)


def test_a_new_source_ami_leaves_everything_as_it_was(world: World) -> None:
    fill(world)
    world.client("ec2", "us-west-2").describe_images()  # the first there, which is kept
    before = describe(world)
    world.kill()
    world.set_sources("ami-11111111111111111", "ami-22222222222222222")
    world.start()
    after = describe(world)
    assert after["vpcs"] == before["vpcs"]
    assert after["instances"] == before["instances"]
    world.client("ec2").describe_images(ImageIds=["ami-22222222222222222"])


def test_a_request_that_makes_something_else_than_it_did_stops_the_lab_by_name(
    world: World,
) -> None:
    vpc = world.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    world.kill()
    path = world.folder / "journal.jsonl"
    path.write_text(path.read_text().replace(vpc, "vpc-00000000000000000"))
    with pytest.raises(AssertionError, match="CreateVpc in line 2"):
        world.start()


def test_machines_that_got_freed_addresses_have_them_again_after_kill(world: World) -> None:
    ec2 = world.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.1.0/24")["Subnet"]["SubnetId"]
    goes = {"DeviceIndex": 0, "SubnetId": subnet, "DeleteOnTermination": True}
    asked = {"ImageId": "ami-11111111111111111", "NetworkInterfaces": [goes]}
    freed = ec2.run_instances(**asked, MinCount=9, MaxCount=9)["Instances"]
    ec2.terminate_instances(InstanceIds=[one["InstanceId"] for one in freed])
    again = ec2.run_instances(**asked, MinCount=3, MaxCount=3)["Instances"]
    addresses = {one["InstanceId"]: one["PrivateIpAddress"] for one in again}
    assert set(addresses.values()) < {one["PrivateIpAddress"] for one in freed}
    world.kill()
    world.start()
    found = ec2.describe_instances(InstanceIds=list(addresses))["Reservations"]
    machines = [one for group in found for one in group["Instances"]]
    assert {one["InstanceId"]: one["PrivateIpAddress"] for one in machines} == addresses


def test_a_request_that_gives_another_address_than_it_did_stops_the_lab_by_name(
    world: World,
) -> None:
    ec2 = world.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    world.kill()
    path = world.folder / "journal.jsonl"
    path.write_text(path.read_text().replace(made["PrivateIpAddress"], "172.31.255.1"))
    with pytest.raises(AssertionError, match="CreateNetworkInterface in line"):
        world.start()


def test_a_journal_that_can_not_be_written_refuses_changes_and_reads_on(world: World) -> None:
    ec2 = world.client("ec2")
    ec2.create_vpc(CidrBlock="10.0.0.0/16")
    assert world.process
    nobody = (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    resource.prlimit(world.process.pid, resource.RLIMIT_FSIZE, nobody)
    for _ in range(2):
        with pytest.raises(ResponseParserError):  # the API of the lab makes an EC2 error of it
            ec2.create_vpc(CidrBlock="10.1.0.0/16")
    assert len(ec2.describe_vpcs()["Vpcs"]) == 3
    world.kill()
    world.start()
    assert len(ec2.describe_vpcs()["Vpcs"]) == 2
