"""Real machines live as the API says: plain boto3 from outside, a look inside through Docker."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from botocore.exceptions import ClientError
from urllib3.connection import HTTPConnection

from runtime import proc, wait
from runtime.lab import control
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.labels import LABEL, MACHINE
from runtime.settings import Settings
from tests.machines.checkouts_lab import Lab

pytestmark = pytest.mark.e2e

_HALTED = "Reached target halt.target"
# A namespace behind the machine, one hop further away, as a nested container is.
_NEST = """
set -e
ip netns add nest
ip link add outer type veth peer name eth0 netns nest
ip addr add 10.99.0.1/24 dev outer
ip link set outer up
ip -n nest addr add 10.99.0.2/24 dev eth0
ip -n nest link set eth0 up
ip -n nest route add default via 10.99.0.1
echo 1 > /proc/sys/net/ipv4/ip_forward
nft 'add table ip nest; add chain ip nest out { type nat hook postrouting priority 100; }'
nft 'add rule ip nest out ip saddr 10.99.0.0/24 masquerade'
"""


@pytest.fixture
def lab(lab_settings: Settings) -> Iterator[Lab]:
    target = control.up(lab_settings)
    source = target.ec2.describe_images(Filters=[{"Name": "name", "Values": ["debian-13-*"]}])
    assert target.packer_variables
    one = Lab(
        target=target,
        hypervisor=Hypervisor(connect(), lab_settings.lab_id),
        subnet=json.loads(target.packer_variables.read_text())["subnet_id"],
        source_ami=source["Images"][0]["ImageId"],
    )
    try:
        yield one
    finally:
        one.clean()


def test_a_stop_is_a_clean_shutdown_and_a_start_keeps_address_and_disk(lab: Lab) -> None:
    [machine_id] = lab.launch()
    before = lab.describe(machine_id)
    lab.inside(machine_id, "sh", "-c", "echo kept | tee /root/mark > /var/lib/docker/mark")
    assert _HALTED not in _plain(lab.console(machine_id))

    lab.stop(machine_id)

    assert not lab.hypervisor.is_running(machine_id)
    assert _HALTED in _plain(lab.console(machine_id))
    lab.start(machine_id)
    after = lab.describe(machine_id)
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    own = lab.inside(machine_id, "hostname", "-I").stdout.split()
    assert before["PrivateIpAddress"] in own
    marks = lab.inside(machine_id, "cat", "/root/mark", "/var/lib/docker/mark").stdout
    assert marks.split() == ["kept", "kept"]


def test_a_forced_stop_shuts_nothing_down(lab: Lab) -> None:
    [machine_id] = lab.launch()
    lab.stop(machine_id, Force=True)
    assert _HALTED not in _plain(lab.console(machine_id))
    lab.start(machine_id)


def test_what_a_program_says_at_once_is_heard_however_late_one_listens(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    [machine_id] = lab.launch()
    lab.inside(machine_id, "true")
    get_response = HTTPConnection.getresponse

    def late(connection: HTTPConnection) -> Any:
        wait.pause(0.5)
        return get_response(connection)

    monkeypatch.setattr(HTTPConnection, "getresponse", late)
    assert lab.hypervisor.run_inside(machine_id, ["echo", "here"]) == (0, "here")
    plain = docker.from_env().containers.get(lab.hypervisor.name(machine_id))
    assert plain.exec_run(["echo", "here"]).output == b""  # once it is not, ours can go


def test_a_machine_that_is_stopped_before_its_systemd_listens_shuts_down_all_the_same(
    lab: Lab,
) -> None:
    [machine_id] = lab.launch()
    lab.stop(machine_id)
    lab.hypervisor.start(machine_id)
    lab.hypervisor.stop(machine_id)
    assert _HALTED in _plain(lab.console(machine_id)).rpartition("Welcome to")[2]


def test_the_console_is_the_boots_own_log(lab: Lab) -> None:
    [machine_id] = lab.launch()
    raw = lab.ec2.get_console_output(InstanceId=machine_id)
    output = _plain(raw["Output"])
    assert "Welcome to Debian GNU/Linux 13" in output
    assert "Reached target" in output
    assert raw["Timestamp"] >= lab.describe(machine_id)["LaunchTime"]


def test_a_reboot_shuts_down_and_starts_in_place(lab: Lab) -> None:
    [machine_id] = lab.launch()
    first = lab.started_at(machine_id)
    lab.ec2.reboot_instances(InstanceIds=[machine_id])
    wait.until(lambda: lab.started_at(machine_id) != first, what="the reboot", timeout_s=90)
    lab.booted(machine_id)
    assert _HALTED in _plain(lab.console(machine_id))
    assert lab.state(machine_id) == "running"


def test_a_reboot_or_power_off_from_inside_is_followed(lab: Lab) -> None:
    [machine_id] = lab.launch()
    first = lab.started_at(machine_id)
    lab.inside(machine_id, "systemctl", "reboot", ok=range(256))
    wait.until(lambda: lab.started_at(machine_id) != first, what="the reboot", timeout_s=90)
    lab.booted(machine_id)
    assert lab.state(machine_id) == "running"
    lab.inside(machine_id, "systemctl", "poweroff", ok=range(256))
    wait.until(lambda: lab.state(machine_id) == "stopped", what="the power-off", timeout_s=90)


def test_terminating_leaves_nothing_of_a_machine(lab: Lab) -> None:
    [machine_id] = lab.launch()
    mine = {"label": [f"{LABEL}={lab.hypervisor.lab}", f"{MACHINE}={machine_id}"]}
    docker = lab.hypervisor.docker
    assert len(docker.containers.list(all=True, filters=mine)) == 2
    assert docker.volumes.list(filters=mine)

    lab.clean()

    assert lab.state(machine_id) == "terminated"
    assert docker.containers.list(all=True, filters=mine) == []
    assert docker.volumes.list(filters=mine) == []


@pytest.fixture
def fresh_subnet(lab: Lab) -> Iterator[str]:
    """A subnet that nobody was in, so that addresses are given in their order."""
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.subnet])["Subnets"]
    (vpc,) = lab.ec2.describe_vpcs(VpcIds=[subnet["VpcId"]])["Vpcs"]
    cidr = str(list(ipaddress.ip_network(vpc["CidrBlock"]).subnets(new_prefix=28))[-1])
    made = lab.ec2.create_subnet(VpcId=subnet["VpcId"], CidrBlock=cidr)["Subnet"]["SubnetId"]
    yield made
    lab.clean()
    lab.ec2.delete_subnet(SubnetId=made)


def test_if_one_machine_of_a_launch_cannot_start_none_is_left(lab: Lab, fresh_subnet: str) -> None:
    [first] = lab.launch(SubnetId=fresh_subnet)
    before = lab.hypervisor.machines().keys()
    address = lab.describe(first)["PrivateIpAddress"].split(".")
    taken = ".".join([*address[:3], str(int(address[3]) + 2)])
    network = f"bullion-{lab.hypervisor.lab}-{fresh_subnet}"
    squat = [
        *("docker", "run", "--detach", "--rm", "--network", network, "--ip", taken),
        *("--label", f"{LABEL}={lab.hypervisor.lab}", "--label", "bullion.kind=copy"),
        *("--entrypoint", "sleep", lab.hypervisor.disks.image_of(lab.source_ami), "600"),
    ]
    squatter = proc.run(squat, timeout_s=60).stdout.strip()
    try:
        with pytest.raises(ClientError, match="LaunchFailedInLab"):
            lab.ec2.run_instances(
                ImageId=lab.source_ami, MinCount=2, MaxCount=2, SubnetId=fresh_subnet
            )
    finally:
        proc.run(["docker", "rm", "--force", squatter], timeout_s=60)
    assert lab.hypervisor.machines().keys() == before
    alive = [
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]},
        {"Name": "subnet-id", "Values": [fresh_subnet]},
    ]
    found = lab.ec2.describe_instances(Filters=alive)["Reservations"]
    assert [one["InstanceId"] for group in found for one in group["Instances"]] == [first]


def test_an_ami_of_a_running_and_of_a_stopped_machine_has_its_disk(lab: Lab) -> None:
    [machine_id] = lab.launch()
    first = lab.started_at(machine_id)
    lab.inside(machine_id, "sh", "-c", "echo one | tee /root/mark > /var/lib/docker/mark")
    quick = lab.image(machine_id, "without-reboot", NoReboot=True)
    assert lab.started_at(machine_id) == first

    rebooted = lab.image(machine_id, "with-reboot")
    assert lab.started_at(machine_id) != first
    assert lab.state(machine_id) == "running"

    lab.booted(machine_id)
    lab.stop(machine_id)
    stopped = lab.image(machine_id, "stopped")
    assert lab.state(machine_id) == "stopped"
    for ami in (quick, rebooted, stopped):
        [copy] = lab.launch(ImageId=ami)
        marks = lab.inside(copy, "cat", "/root/mark", "/var/lib/docker/mark").stdout
        assert marks.split() == ["one", "one"], ami


def test_a_machine_reads_its_own_metadata_and_its_roles_credentials(lab: Lab) -> None:
    iam = lab.target.client("iam")
    iam.create_role(RoleName="probe", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="probe")
    iam.add_role_to_instance_profile(InstanceProfileName="probe", RoleName="probe")
    ids = lab.launch(
        2,
        IamInstanceProfile={"Name": "probe"},
        UserData="#cloud-config\nwrite_files: [{path: /root/said, content: hello}]\n",
    )
    role = "meta-data/iam/security-credentials/"
    seen = [lab.imds(one, "meta-data/instance-id", role, f"{role}probe") for one in ids]
    assert [one["found"]["meta-data/instance-id"] for one in seen] == ids
    assert {one["found"][role] for one in seen} == {"probe"}
    assert lab.inside(ids[0], "cat", "/root/said").stdout == "hello"

    credentials = json.loads(seen[0]["found"][f"{role}probe"])
    sts = _sts(lab, credentials)
    assert sts.get_caller_identity()["Arn"].endswith(f":assumed-role/probe/{ids[0]}")

    token = seen[0]["token"]
    stolen = (
        "import urllib.request as u; r = u.Request('http://169.254.169.254/latest/meta-data/',"
        f" headers={{'X-aws-ec2-metadata-token': {token!r}}}); u.urlopen(r, timeout=3)"
    )
    tried = lab.inside(ids[1], "python3", "-c", stolen, ok=range(256))
    assert "401" in tried.stderr
    lab.inside(ids[0], "python3", "-c", stolen)


def test_the_hop_limit_keeps_what_is_nested_from_a_token_until_it_is_raised(lab: Lab) -> None:
    [machine_id] = lab.launch()
    lab.inside(machine_id, "sh", "-c", _NEST)
    assert lab.imds(machine_id)["status"] == 200
    assert lab.imds(machine_id, nested=True)["status"] == 0
    lab.ec2.modify_instance_metadata_options(InstanceId=machine_id, HttpPutResponseHopLimit=2)
    assert lab.imds(machine_id, nested=True)["status"] == 200


def _sts(lab: Lab, credentials: dict[str, str]) -> Any:
    import boto3

    return boto3.client(
        "sts",
        endpoint_url=lab.target.endpoint,
        region_name=lab.target.region,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["Token"],
    )


def _plain(text: str) -> str:
    """Return console output without terminal codes; boto3 has decoded it."""
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
