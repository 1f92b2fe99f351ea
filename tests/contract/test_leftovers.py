"""What killed bakes and trial stacks leave is found by tag and goes; whole AMIs and others stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from runtime.cloud import amis, leftovers, machines, removal
from runtime.cloud.leftovers import Kind
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import BakeError
from runtime.settings import TargetName
from tests.contract.emulator import REGION, Emulator
from tests.contract.scripted import Lab

RUN, OTHER = "20261125T110000-aaaaaa", "20261125T120000-bbbbbb"


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Target:
    return reach(lab.emulator, tmp_path)


def test_what_a_killed_bake_left_goes_and_nothing_else(lab: Lab, target: Target) -> None:
    left, stays = bake(lab, RUN), bake(lab, OTHER)
    assert {one.kind for one in leftovers.find_of_bakes(target, RUN)} == {
        Kind.INSTANCE,
        Kind.AMI,
        Kind.SNAPSHOT,
        Kind.VOLUME,
        Kind.GROUP,
        Kind.KEY_PAIR,
    }
    said = removal.remove_run(target, RUN)
    assert not [line for line in said if line.startswith("not removed")]
    assert leftovers.find_of_bakes(target, RUN) == []
    assert there(target, left) == []
    assert there(target, stays) == sorted(stays)


def test_an_ami_with_all_its_tags_is_no_leftover_and_found_by_its_key(
    lab: Lab, target: Target
) -> None:
    made = bake(lab, RUN)
    ami = next(name for name in made if name.startswith("ami-"))
    assert amis.by_key(target, Role.KAFKA) == {}
    finish(target, ami, key="k1")
    assert amis.by_key(target, Role.KAFKA) == {"k1": ami}
    removal.remove_run(target, RUN)
    assert there(target, made) == sorted([ami, *snapshots_of(target, ami)])


def test_an_ami_whose_snapshots_lack_a_tag_is_half_made(lab: Lab, target: Target) -> None:
    ami = next(name for name in bake(lab, RUN) if name.startswith("ami-"))
    finish(target, ami, key="k1")
    target.ec2.delete_tags(Resources=snapshots_of(target, ami), Tags=[{"Key": "bullion:key"}])
    assert amis.by_key(target, Role.KAFKA) == {}
    assert ami in [one.id for one in leftovers.find_of_bakes(target, RUN)]


def test_snapshots_whose_ami_is_gone_go(lab: Lab, target: Target) -> None:
    made = bake(lab, RUN)
    ami = next(name for name in made if name.startswith("ami-"))
    [snapshot] = snapshots_of(target, ami)
    target.ec2.deregister_image(ImageId=ami)
    found = [one for one in leftovers.find_of_bakes(target, RUN) if one.kind is Kind.SNAPSHOT]
    assert [one.id for one in found] == [snapshot]


def test_snapshots_of_a_disabled_ami_are_no_leftovers(lab: Lab, target: Target) -> None:
    ami = next(name for name in bake(lab, RUN) if name.startswith("ami-"))
    finish(target, ami, key="k1")
    target.ec2.disable_image(ImageId=ami)
    kinds = {one.kind for one in leftovers.find_of_bakes(target, RUN)}
    assert not kinds & {Kind.AMI, Kind.SNAPSHOT}


def test_a_key_that_begins_as_anothers_is_refused_by_name(lab: Lab, target: Target) -> None:
    ami = next(name for name in bake(lab, RUN) if name.startswith("ami-"))
    finish(target, ami, key="01234567aaaa")
    name = f"bullion-kafka-{RUN}"
    assert amis.free_name(target, name, key="01234567aaaa") == f"{name}-2"  # a forced bake
    with pytest.raises(BakeError, match=f"{name} is taken by {ami} of another key") as refused:
        amis.free_name(target, name, key="01234567bbbb")
    assert "01234567aaaa, this bake's is 01234567bbbb" in str(refused.value)


def test_a_name_that_a_half_made_ami_has_is_refused_too(lab: Lab, target: Target) -> None:
    bake(lab, RUN)
    with pytest.raises(BakeError, match=r"janitor") as refused:
        amis.free_name(target, f"bullion-kafka-{RUN}", key="k")
    assert "its key is none" in str(refused.value)


def test_all_of_a_trial_stack_goes_and_the_operators_stays(lab: Lab, target: Target) -> None:
    mine, trial = network(lab, "bullion"), network(lab, "trial-1f")
    found = leftovers.find_of_trials(target)
    assert {one.id for one in found} == set(trial)
    assert {one.owner for one in found} == {"trial-1f"}
    assert removal.remove(target, found) == []
    assert leftovers.find_of_trials(target) == []
    assert there(target, mine) == sorted(mine)


def test_all_of_a_stack_but_its_data_is_told_line_by_line(lab: Lab, target: Target) -> None:
    made = [*network(lab, "bullion"), *lab.launch()]
    network(lab, "trial-1f")
    lab.becomes("running")
    address = lab.ec2.allocate_address(Domain="vpc")["AllocationId"]
    data = lab.ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    stack = {"Key": "bullion:stack", "Value": "bullion"}
    lab.ec2.create_tags(Resources=[made[-1], address, data], Tags=[stack])
    lab.ec2.create_tags(Resources=[data], Tags=[{"Key": "bullion:role", "Value": "kafka"}])
    lines = machines.leftovers(target)
    assert len(lines) == len(made) + 1
    assert all(any(f" {name}" in line for line in lines) for name in [*made, address])
    assert data not in "".join(lines)


def test_an_address_goes_although_its_interface_is_still_there(lab: Lab, target: Target) -> None:
    interface = next(name for name in network(lab, "trial-1f") if name.startswith("eni-"))
    address = lab.ec2.allocate_address(Domain="vpc")["AllocationId"]
    lab.ec2.associate_address(AllocationId=address, NetworkInterfaceId=interface)
    lab.ec2.create_tags(Resources=[address], Tags=[{"Key": "bullion:stack", "Value": "trial-1f"}])
    refuse_associated(target)
    assert removal.remove(target, leftovers.find_of_trials(target)) == []
    assert lab.ec2.describe_addresses()["Addresses"] == []


def test_what_cannot_go_is_said_and_the_rest_goes(lab: Lab, target: Target) -> None:
    made = bake(lab, RUN)
    ami = next(name for name in made if name.startswith("ami-"))
    target.ec2.enable_image_deregistration_protection(ImageId=ami)
    failed = removal.remove(target, leftovers.find_of_bakes(target, RUN))
    assert [line for line in failed if ami in line]
    assert not [one for one in leftovers.find_of_bakes(target, RUN) if one.kind is Kind.INSTANCE]


def reach(emulator: Emulator, folder: Path) -> Target:
    return Target(
        name=TargetName.LAB,
        region=REGION,
        endpoint=emulator.url,
        credentials={"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"},
        ssh_key=folder / "key",
        ssh_user="admin",
        known_hosts=folder / "known_hosts",
    )


def refuse_associated(target: Target) -> None:
    """Have the release of an associated address refused, as EC2 does and moto does not."""

    def refuse(**_: object) -> None:
        if any(one.get("AssociationId") for one in target.ec2.describe_addresses()["Addresses"]):
            said = {"Code": "InvalidIPAddress.InUse", "Message": "it is associated"}
            raise ClientError({"Error": said}, "ReleaseAddress")

    target.ec2.meta.events.register("before-call.ec2.ReleaseAddress", refuse)


def bake(lab: Lab, run: str) -> list[str]:
    """Make what Packer has made when it is about to tag its AMI; return the ids."""
    ec2, mine = lab.ec2, [{"Key": "bullion:run", "Value": run}]
    vpc = ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"][0]["VpcId"]

    def tagged(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": mine}]

    pair = ec2.create_key_pair(KeyName=f"key-{run}", TagSpecifications=tagged("key-pair"))
    group = ec2.create_security_group(
        GroupName=f"packer_{run}",
        Description="temporary",
        VpcId=vpc,
        TagSpecifications=tagged("security-group"),
    )
    [machine] = lab.launch()
    ec2.get_waiter("instance_running").wait(
        InstanceIds=[machine], WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    ec2.create_tags(Resources=[machine], Tags=mine)
    volume = ec2.create_volume(
        AvailabilityZone=f"{REGION}a", Size=8, TagSpecifications=tagged("volume")
    )
    ami = ec2.create_image(Name=f"bullion-kafka-{run}", InstanceId=machine)["ImageId"]
    snapshots = snapshots_of(lab, ami)
    ec2.create_tags(Resources=[ami, *snapshots], Tags=mine)
    return [
        pair["KeyName"],
        group["GroupId"],
        machine,
        volume["VolumeId"],
        ami,
        *snapshots,
    ]


def finish(target: Target, ami: str, *, key: str) -> None:
    """Tag as Packer does at its end."""
    values = dict.fromkeys(amis.TAGS, "x") | {"bullion:role": "kafka", "bullion:key": key}
    values["bullion:run"] = RUN
    tags = [{"Key": name, "Value": value} for name, value in values.items()]
    target.ec2.create_tags(Resources=[ami, *snapshots_of(target, ami)], Tags=tags)


def network(lab: Lab, stack: str) -> list[str]:
    """Make a stack's network with groups that name each other; return the ids."""
    ec2 = lab.ec2
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    groups = [
        ec2.create_security_group(GroupName=f"{stack}-{name}", Description=name, VpcId=vpc)[
            "GroupId"
        ]
        for name in ("kafka", "processor")
    ]
    for one, other in (groups, groups[::-1]):
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 9092,
            "ToPort": 9092,
            "UserIdGroupPairs": [{"GroupId": other}],
        }
        ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=[rule])
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    volume = ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1)["VolumeId"]
    pair = ec2.create_key_pair(KeyName=f"key-{stack}")
    tags = [{"Key": "bullion:stack", "Value": stack}]
    made = [
        vpc,
        subnet,
        table,
        gateway,
        *groups,
        interface["NetworkInterfaceId"],
        volume,
    ]
    ec2.create_tags(Resources=[*made, pair["KeyPairId"]], Tags=tags)
    return [*made, pair["KeyName"]]


def snapshots_of(of: Target | Lab, ami: str) -> list[str]:
    return amis.snapshot_ids(of.ec2.describe_images(ImageIds=[ami])["Images"][0])


def there(target: Target, ids: list[str]) -> list[str]:
    """Return those of `ids` that EC2 still has."""
    return sorted(name for name in ids if any(_describe(target, name)))


def _describe(target: Target, name: str) -> Iterator[bool]:
    kinds = {
        "i": ("describe_instances", "InstanceIds", "Reservations"),
        "ami": ("describe_images", "ImageIds", "Images"),
        "snap": ("describe_snapshots", "SnapshotIds", "Snapshots"),
        "vol": ("describe_volumes", "VolumeIds", "Volumes"),
        "sg": ("describe_security_groups", "GroupIds", "SecurityGroups"),
        "key": ("describe_key_pairs", "KeyNames", "KeyPairs"),
        "vpc": ("describe_vpcs", "VpcIds", "Vpcs"),
        "subnet": ("describe_subnets", "SubnetIds", "Subnets"),
        "rtb": ("describe_route_tables", "RouteTableIds", "RouteTables"),
        "igw": ("describe_internet_gateways", "InternetGatewayIds", "InternetGateways"),
        "eni": ("describe_network_interfaces", "NetworkInterfaceIds", "NetworkInterfaces"),
    }
    action, parameter, answer = kinds[name.partition("-")[0]]
    try:
        for item in getattr(target.ec2, action)(**{parameter: [name]})[answer]:
            machines = item.get("Instances", ())
            yield all(m["State"]["Name"] != "terminated" for m in machines)
    except ClientError:
        return
