"""The whole job, as a person does it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shlex
import socket

import pytest

from runtime import proc, wait
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract import ports
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.deploy.terraform import Terraform
from runtime.errors import CommandError
from runtime.lab import control, slots
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.release import ledger
from runtime.settings import Settings
from runtime.verify import workflow

pytestmark = pytest.mark.e2e

_IPV4 = 0x0800  # the EtherType
_ASK_TOKEN = """
import urllib.request as u
ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
u.urlopen(u.Request("http://169.254.169.254/latest/api/token", method="PUT", headers=ttl), timeout=3)
"""
_SEND_ASTRAY = """
import contextlib, socket, sys
for host in sys.argv[1:]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with contextlib.suppress(OSError):  # refused by the machine itself, or dropped
            udp.sendto(b"astray", (host, 53))
    with socket.socket() as tcp:
        tcp.settimeout(0.3)
        tcp.connect_ex((host, 81))
"""
_ASTRAY = ("169.254.169.254", "169.254.1.1", "192.0.2.2", "198.51.100.1", "172.31.0.1")
_RESOLVES = """
import socket, sys
try:
    print(socket.getaddrinfo(sys.argv[1], None)[0][4][0])
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME)
"""


def test_up_ends_in_the_banner_and_names_what_stands_in(up: proc.Completed) -> None:
    assert "The workflow holds" in up.stderr
    assert "gpu_metrics +100, token_usage +100" in up.stderr


def test_a_second_up_finds_nothing_to_do(up: proc.Completed, invoke) -> None:
    again = invoke("up")
    assert again.status == 0, again.stderr[-4000:]
    assert again.stderr.count("nothing changed") >= 6  # five bakes and the deployment
    assert "Baking" not in again.stderr
    assert "Launching" not in again.stderr


def test_the_plan_is_empty_right_after_the_apply(target: Target, lab_settings: Settings) -> None:
    release = ledger.latest(lab_settings.ledger_dir)
    assert release
    terraform = Terraform(lab_settings, target)
    terraform.init()
    assert not terraform.has_changes([release.variables])


def test_user_data_carries_peers_and_nothing_else(target: Target) -> None:
    known = machines.find_all(target)
    for role, wanted in (
        (Role.KAFKA, {}),
        (Role.PROCESSOR, {str(r): known[r].address for r in (Role.KAFKA, Role.MONGO)}),
    ):
        machine = machines.find(target, role)
        seen = ssh.run(
            target, machine, ["sudo", "cat", "/var/lib/cloud/instance/user-data.txt"], timeout_s=30
        )
        first, _, rest = seen.stdout.partition("\n")
        files = json.loads(rest)["write_files"]
        assert first == "#cloud-config"
        assert [file["path"] for file in files] == ["/etc/bullion/peers.json"]
        assert json.loads(files[0]["content"]) == wanted


def test_nothing_of_one_machine_is_anothers(target: Target) -> None:
    ask = (
        "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; sudo cat /var/lib/docker/engine-id"
    )
    seen = [
        ssh.run(target, machines.find(target, role), [ask], timeout_s=30).stdout
        for role in MACHINE_ROLES
    ]
    for lines in zip(*(text.splitlines() for text in seen), strict=True):
        assert len(set(lines)) == len(MACHINE_ROLES)


def test_a_nested_container_gets_no_metadata_token(target: Target) -> None:
    machine = machines.find(target, Role.PROCESSOR)
    asked = ssh.run(target, machine, [_in_container(_ASK_TOKEN)], timeout_s=60, ok=range(256))
    assert asked.status != 0
    assert "timed out" in asked.stderr


@pytest.mark.parametrize("place", ["machine", "container"])
def test_nothing_link_local_and_nothing_beyond_the_subnet_leaves(
    target: Target, lab_settings: Settings, place: str
) -> None:
    machine = machines.find(target, Role.PROCESSOR)
    subnet = ipaddress.IPv4Network(f"{machine.address}/24", strict=False)
    hosts = [
        *_ASTRAY,
        *(one for one in _own_addresses() if ipaddress.IPv4Address(one) not in subnet),
    ]
    wrap = _in_container if place == "container" else _on_machine
    # The protocol comes with the interface: a socket that had it before would hear all of them.
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as bridge:
        bridge.bind((_bridge_of(lab_settings, machine), _IPV4))
        bridge.settimeout(1)
        ssh.run(target, machine, [wrap(_SEND_ASTRAY, *hosts)], timeout_s=60)
        seen = _destinations(bridge)
    assert len(hosts) > len(_ASTRAY)  # this computer has other addresses
    assert str(subnet[1]) in seen  # the capture sees what leaves: the answers to our ssh
    assert [to for to in seen if ipaddress.IPv4Address(to) not in subnet] == []


def test_a_machine_without_a_way_out_knows_no_name_of_the_world(target: Target) -> None:
    machine = machines.find(target, Role.PROCESSOR)
    asked = ssh.run(target, machine, [_on_machine(_RESOLVES, "packages.example.com")], timeout_s=30)
    assert asked.stdout.strip() == "True"  # no such name, at once


def test_exactly_what_is_produced_arrives(target: Target, invoke) -> None:
    done = invoke("verify.workflow", "--count", "250", "--json")
    assert done.status == 0, done.stderr
    outcome = json.loads(done.stdout)
    for name in ("gpu_metrics", "token_usage"):
        assert outcome["after"][name] - outcome["before"][name] == 250


def test_a_user_file_of_messages_is_sent_and_a_bad_line_is_refused_by_number(
    target: Target, invoke
) -> None:
    machine = machines.find(target, Role.PRODUCERS)
    good = '{"model": "m", "prompt_tokens": 1, "completion_tokens": 2, "cost_per_token": 0.1, "ts": "2026-01-01T00:00:00Z"}'
    folder = "/var/lib/bullion/messages"
    put = f"echo '{good}' | sudo tee {folder}/good.jsonl > {folder}-x 2>/dev/null || echo '{good}' | sudo tee {folder}/good.jsonl; (cat {folder}/good.jsonl; echo nonsense) | sudo tee {folder}/bad.jsonl"
    ssh.run(target, machine, [put], timeout_s=30)

    sent = invoke("produce", "--source", f"{folder}/good.jsonl")
    refused = invoke("produce", "--source", f"{folder}/bad.jsonl")

    assert json.loads(sent.stdout)["sent"]["token.usage.v1"] == 1
    assert refused.status == 9
    assert "bad.jsonl line 2 is not JSON" in refused.stderr


def test_a_reboot_from_inside_comes_back_healthy(
    target: Target, lab_settings: Settings, invoke
) -> None:
    kafka = machines.find(target, Role.KAFKA)
    before = _boot_id(target, kafka)
    name = Hypervisor(connect(), lab_settings.lab_id).name(kafka.id)
    proc.run(["docker", "exec", name, "systemctl", "reboot"], timeout_s=60, ok=range(256))
    wait.until(
        lambda: _boot_id(target, kafka) not in {"", before}, what="another boot", timeout_s=90
    )

    done = invoke("verify.kafka")

    assert done.status == 0, done.stderr[-4000:]


def test_stop_and_start_of_all_four_by_the_api_come_back_healthy(target: Target, invoke) -> None:
    ids = [machine.id for machine in machines.find_all(target).values()]
    addresses = {machine.id: machine.address for machine in machines.find_all(target).values()}
    target.ec2.stop_instances(InstanceIds=ids)
    wait.until(
        lambda: {machine.state for machine in machines.find_all(target).values()} == {"stopped"},
        what="four stopped machines",
        timeout_s=120,
    )
    target.ec2.start_instances(InstanceIds=ids)

    done = invoke("verify")

    assert done.status == 0, done.stderr[-4000:]
    assert {
        machine.id: machine.address for machine in machines.find_all(target).values()
    } == addresses


def test_a_parameter_tag_reaches_the_running_processor(target: Target, invoke) -> None:
    processor = machines.find(target, Role.PROCESSOR)
    tag = {"Key": "bullion-param:consume_batch", "Value": "77"}
    target.ec2.create_tags(Resources=[processor.id], Tags=[tag])
    assert invoke("refresh", "--role", "processor").status == 0
    seen = ssh.run(target, processor, ["cat /run/bullion/stack.env"], timeout_s=30).stdout
    target.ec2.delete_tags(Resources=[processor.id], Tags=[{"Key": tag["Key"]}])

    assert "BULLION_CONSUME_BATCH=77" in seen
    assert invoke("refresh", "--role", "processor").status == 0


def test_a_factory_reset_empties_the_store_and_applies_the_seeds(target: Target, invoke) -> None:
    refused = invoke("mongo-factory-reset")
    assert refused.status == 2
    assert "--yes" in refused.stderr

    done = invoke("mongo-factory-reset", "--yes")

    assert done.status == 0, done.stderr
    assert "'gpu_metrics': 0, 'token_usage': 0, 'gpus': 2" in done.stderr
    assert invoke("verify").status == 0


def test_the_rules_in_ec2_are_the_ports_table(target: Target, lab_settings: Settings) -> None:
    variables = json.loads(slots.terraform_file(lab_settings.lab_dir).read_text())
    operator = {ports.ADMIN: variables["admin_cidr"]}
    groups = target.ec2.describe_security_groups(
        Filters=[{"Name": "tag:bullion:stack", "Values": ["bullion"]}]
    )["SecurityGroups"]
    role_of = {group["GroupId"]: group["GroupName"].removeprefix("bullion-") for group in groups}
    rules = target.ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": list(role_of)}]
    )["SecurityGroupRules"]
    coming, going = set(), set()
    for rule in rules:
        here = role_of[rule["GroupId"]]
        group = rule.get("ReferencedGroupInfo", {}).get("GroupId", "")
        there = role_of.get(group, rule.get("CidrIpv4"))
        assert rule["IpProtocol"] == "tcp"
        assert rule["FromPort"] == rule["ToPort"]
        (going if rule["IsEgress"] else coming).add((here, rule["FromPort"], there))
    assert coming == {(f.to, f.port, operator.get(f.source, f.source)) for f in ports.FLOWS}
    between = [flow for flow in ports.FLOWS if flow.source != ports.ADMIN]
    assert going == {(flow.source, flow.port, flow.to) for flow in between}


def test_destroy_leaves_nothing_but_data_and_a_deploy_finds_it_again(
    target: Target, lab_settings: Settings, invoke
) -> None:
    stored = workflow.counts(target, machines.find(target, Role.MONGO))
    volumes = machines.find_data(target)

    done = invoke("destroy", "--yes")
    left, kept = machines.leftovers(target), machines.find_data(target)
    running = Hypervisor(connect(), lab_settings.lab_id).machines()
    deployed = invoke("deploy")

    assert done.status == 0, done.stderr[-3000:]
    assert "looked: nothing of the stack is left" in done.stderr
    assert (left, running) == ([], {})
    assert control.is_up(lab_settings)
    assert len(volumes) == 2
    assert kept == volumes
    for volume in volumes:
        assert f"kept: {volume}" in done.stderr
    assert deployed.status == 0, deployed.stderr[-3000:]
    assert invoke("verify.mongo").status == 0
    assert workflow.counts(target, machines.find(target, Role.MONGO)) == stored
    assert stored["token_usage"] > 0
    assert invoke("verify").status == 0


def _boot_id(target: Target, machine: machines.Machine) -> str:
    """Return when a machine has booted, "" where it does not say."""
    asked = ["systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"]
    try:
        return ssh.run(target, machine, asked, timeout_s=15, ok=range(256)).stdout.strip()
    except CommandError:  # in time
        return ""


def _on_machine(program: str, *words: str) -> str:
    return shlex.join(["python3", "-c", program, *words])


def _in_container(program: str, *words: str) -> str:
    python = "sudo docker exec bullion-processor-1 /opt/venv/bin/python"
    return f"{python} {shlex.join(['-c', program, *words])}"


def _own_addresses() -> list[str]:
    """Return the addresses of this computer: to the world, and of every network of Docker."""
    shown = proc.run(["ip", "-json", "-4", "address", "show", "scope", "global"], timeout_s=10)
    return [one["local"] for link in json.loads(shown.stdout) for one in link["addr_info"]]


def _bridge_of(settings: Settings, machine: machines.Machine) -> str:
    docker = connect()
    keeper = docker.containers.get(f"{Hypervisor(docker, settings.lab_id).name(machine.id)}-keeper")
    (network,) = keeper.attrs["NetworkSettings"]["Networks"].values()
    return f"br-{network['NetworkID'][:12]}"


def _destinations(bridge: socket.socket) -> set[str]:
    """Return the IPv4 destinations of what was captured."""
    found = set()
    with contextlib.suppress(TimeoutError):
        while frame := bridge.recv(2048):
            found.add(str(ipaddress.IPv4Address(frame[30:34])))
    return found
