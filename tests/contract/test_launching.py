"""A launch makes all its machines or none, once per token."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runtime import wait
from tests.contract import plain
from tests.contract.emulator import AMI, LOOPBACK
from tests.contract.scripted import Lab, refused


def test_a_launch_is_pending_until_the_machine_runs(lab: Lab) -> None:
    with lab.held(lab.launch, until="pending"):
        assert lab.states("running") == []
        assert lab.states("pend*") == ["pending"]
        assert lab.ec2.describe_instance_status()["InstanceStatuses"] == []
    assert lab.states() == lab.states("running") == ["running"]


def test_machines_of_one_launch_are_made_at_the_same_time(lab: Lab) -> None:
    together = threading.Barrier(3)
    true = lab.machines.launch

    def launch(machine_id: str, **how: Any) -> None:
        together.wait(10)
        true(machine_id, **how)

    lab.machines.launch = launch
    assert len(lab.launch(3)) == 3
    assert lab.states() == ["running"] * 3


def test_if_one_machine_of_a_launch_fails_none_is_left(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.5"
    code = refused(lab.launch, count=3)
    assert code == "LaunchFailedInLab"
    assert lab.states("pending", "running", "stopped", "shutting-down") == []
    assert not any(lab.machines.running.values())


def test_a_failed_launch_may_be_protected_and_still_leaves_nothing(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.4"
    refused(lab.launch, DisableApiTermination=True)
    assert lab.states("pending", "running") == []


def test_a_client_token_launches_once_even_at_the_same_time(lab: Lab) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: lab.launch(ClientToken="one"), range(4)))
    assert len({machine for ids in made for machine in ids}) == 1
    assert lab.launch(ClientToken="two") != made[0]


def test_a_client_token_with_other_parameters_is_refused(lab: Lab) -> None:
    lab.launch(ClientToken="one")
    code = refused(lab.launch, ClientToken="one", InstanceType="t3.small")
    assert code == "IdempotentParameterMismatch"
    assert len(lab.states()) == 1


def test_a_token_whose_launch_failed_may_be_used_again(lab: Lab) -> None:
    lab.machines.refuses_address = f"{LOOPBACK}.0.4"
    refused(lab.launch, ClientToken="one")
    lab.machines.refuses_address = ""
    assert lab.launch(ClientToken="one")


@pytest.mark.parametrize(
    ("least", "most", "code"),
    [
        (0, 0, "InvalidParameterValue"),
        (2, 1, "InvalidParameterCombination"),
        (101, 101, "InvalidParameterValue"),
    ],
)
def test_an_impossible_count_is_refused(lab: Lab, least: int, most: int, code: str) -> None:
    assert refused(lab.launch, MinCount=least, MaxCount=most) == code
    assert lab.states() == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"KeyName": "nobodys"}, "InvalidKeyPair.NotFound"),
        ({"UserData": "x" * 16_385}, "InvalidParameterValue"),
        ({"IamInstanceProfile": {"Name": "nobodys"}}, "InvalidParameterValue"),
        ({"ImageId": "resolve:ssm:/bullion/stable/kafka"}, "UnsupportedOperation"),
    ],
)
def test_a_launch_that_ec2_refuses_or_we_can_not_read_is_refused(
    lab: Lab, asked: dict[str, Any], code: str
) -> None:
    assert refused(lab.launch, **asked) == code
    assert lab.states() == []


def test_as_many_machines_are_launched_as_there_is_room_for(lab: Lab) -> None:
    asked = {"ImageId": AMI, "SubnetId": lab.subnet, "MinCount": 1, "MaxCount": 3}
    assert len(lab.ec2.run_instances(**asked)["Instances"]) == 3
    lab.becomes(*["running"] * 3)


def test_user_data_may_be_as_long_as_on_ec2(lab: Lab) -> None:
    lab.launch(UserData="x" * 16_384)


def test_an_address_is_one_machines_at_a_time_and_free_again_after_it(lab: Lab) -> None:
    address = {"PrivateIpAddress": f"{LOOPBACK}.0.50"}
    for _ in range(2):
        ids = lab.launch(**address)
        (machine,) = lab.ec2.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]
        assert machine["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"]
        assert refused(lab.launch, **address) == "InvalidIPAddress.InUse"
        assert lab.states("running") == ["running"]
        lab.ec2.terminate_instances(InstanceIds=ids)
        wait.until(lambda: not lab.states("running", "shutting-down"), what="it", timeout_s=20)


def test_more_machines_come_and_go_in_a_subnet_than_it_has_addresses(lab: Lab) -> None:
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"]
    small = {"VpcId": subnet["VpcId"], "CidrBlock": f"{LOOPBACK}.9.0/28"}
    small_id = lab.ec2.create_subnet(**small)["Subnet"]["SubnetId"]
    for _ in range(4):
        ids = lab.launch(5, SubnetId=small_id)
        lab.ec2.terminate_instances(InstanceIds=ids)
        wait.until(lambda: not lab.states("running", "shutting-down"), what="them", timeout_s=20)


def test_a_launch_with_a_tag_that_its_metadata_cannot_tell_is_refused(lab: Lab) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a/b", "Value": "x"}]}]
    tells = {"InstanceMetadataTags": "enabled"}
    code = refused(lab.launch, TagSpecifications=tags, MetadataOptions=tells)
    assert code == "InvalidParameterValue"
    assert lab.states() == []
    lab.launch(TagSpecifications=tags)


def test_a_dry_run_does_nothing(lab: Lab) -> None:
    assert refused(lab.launch, DryRun=True) == "DryRunOperation"
    gone = "ami-0123456789abcdef0"
    assert refused(lab.launch, DryRun=True, ImageId=gone) == "InvalidAMIID.NotFound"
    assert lab.states() == []
    ids = lab.launch()
    assert refused(lab.ec2.terminate_instances, InstanceIds=ids, DryRun=True) == "DryRunOperation"
    assert lab.states() == ["running"]


def test_a_machine_is_seen_behind_a_hundred_that_are_gone(lab: Lab) -> None:
    records = lab.emulator.ec2
    gone = [plain.launch(records) for _ in range(101)]
    records.ask(
        "TerminateInstances", {f"InstanceId.{n}": one for n, one in enumerate(gone, start=1)}
    )
    (machine_id,) = lab.launch()  # its rules are made of all that live, or it does not boot
    running = [{"Name": "instance-state-name", "Values": ["running"]}]
    found = lab.ec2.describe_instances(Filters=running, MaxResults=5)["Reservations"]
    assert [one["Instances"][0]["InstanceId"] for one in found] == [machine_id]
    assert len(lab.ec2.describe_instances()["Reservations"]) == len(gone) + 1
