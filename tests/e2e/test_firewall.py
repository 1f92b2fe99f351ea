"""Security groups hold: who may reach whom is the ports table, nothing more and nothing less."""

from __future__ import annotations

import json
import shlex
import socket

import pytest

from runtime import proc, wait
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract import ports
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.settings import Settings
from runtime.verify import checks

pytestmark = pytest.mark.e2e

PORTS = (ports.SSH, ports.KAFKA, ports.MONGO, ports.HTTP, 9999)
_REACHED = """
import concurrent.futures, json, socket, sys
def reaches(pair):
    try:
        socket.create_connection(pair, timeout=1.5).close()
    except ConnectionRefusedError:
        return True  # the packet got there, and nobody listens
    except OSError:
        return False
    return True
pairs = [tuple(pair) for pair in json.loads(sys.argv[1])]
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps([pair for pair, ok in zip(pairs, pool.map(reaches, pairs)) if ok]))
"""


def test_who_reaches_whom_is_the_ports_table(target: Target) -> None:
    found = machines.find_all(target)
    role_at = {machine.address: role for role, machine in found.items()}
    seen: set[tuple[str, int, str]] = set()
    for source in (ports.ADMIN, *MACHINE_ROLES):
        pairs = [(m.address, port) for role, m in found.items() for port in PORTS if role != source]
        words = ["python3", "-c", _REACHED, json.dumps(pairs)]
        if source == ports.ADMIN:
            done = proc.run(words, timeout_s=60)
        else:
            command = shlex.join(words)
            done = ssh.run(target, found[Role(source)], [command], timeout_s=60)
        seen |= {(role_at[address], port, source) for address, port in json.loads(done.stdout)}
    assert seen == {(flow.to, flow.port, flow.source) for flow in ports.FLOWS}


def test_a_rule_takes_effect_on_a_running_machine_and_so_does_its_end(target: Target) -> None:
    kafka = machines.find(target, Role.KAFKA)
    group = _groups(target, kafka.id)[0]
    rule = {
        "GroupId": group,
        "IpProtocol": "tcp",
        "FromPort": 9999,
        "ToPort": 9999,
        "CidrIp": "0.0.0.0/0",
    }
    assert not _arrives(kafka.address, 9999)
    target.ec2.authorize_security_group_ingress(**rule)
    try:  # in force when the call is answered
        assert _arrives(kafka.address, 9999)
    finally:
        target.ec2.revoke_security_group_ingress(**rule)
    assert not _arrives(kafka.address, 9999)


def test_a_change_of_membership_takes_effect_on_the_others(target: Target) -> None:
    producers, mongo = (machines.find(target, role) for role in (Role.PRODUCERS, Role.MONGO))
    processor = machines.find(target, Role.PROCESSOR)
    interface = target.ec2.describe_instances(InstanceIds=[producers.id])["Reservations"][0][
        "Instances"
    ][0]["NetworkInterfaces"][0]["NetworkInterfaceId"]
    own, other = _groups(target, producers.id), _groups(target, processor.id)
    try_it = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{mongo.address}/27017'"

    def reaches() -> bool:
        return ssh.run(target, producers, [try_it], timeout_s=20, ok=range(256)).status == 0

    assert not reaches()
    target.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=own + other)
    try:
        assert reaches()
    finally:
        target.ec2.modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=own)
    assert not reaches()


def test_a_guest_cannot_flush_the_rules(target: Target, lab_settings: Settings) -> None:
    kafka = machines.find(target, Role.KAFKA)
    name = Hypervisor(connect(), lab_settings.lab_id).name(kafka.id)
    flush = "command -v nft || exit 0; nft flush ruleset; nft delete table inet bullion_lab"
    tried = proc.run(["docker", "exec", name, "sh", "-c", flush], timeout_s=30, ok=range(256))
    kept = proc.run(["docker", "exec", f"{name}-keeper", "nft", "list", "tables"], timeout_s=30)
    assert "nft" in tried.stdout  # it has what it takes to try
    assert "inet bullion_lab" in kept.stdout, tried.stderr
    assert not _arrives(kafka.address, 9999)
    proc.run(["docker", "exec", name, "systemctl", "restart", "docker"], timeout_s=120)


def test_a_machine_whose_keeper_died_is_cut_off(
    target: Target, lab_settings: Settings, invoke
) -> None:
    producers = machines.find(target, Role.PRODUCERS)
    name = Hypervisor(connect(), lab_settings.lab_id).name(producers.id)
    assert _arrives(producers.address, ports.SSH)
    proc.run(["docker", "kill", f"{name}-keeper"], timeout_s=30)
    try:
        wait.until(lambda: not _arrives(producers.address, ports.SSH), what="the cut", timeout_s=15)
    finally:
        healed = invoke("lab.up")
    assert healed.status == 0, healed.stderr[-3000:]
    assert producers.id in healed.stderr  # named, as it was started again
    checks.refuse_failed(checks.run(target, [Role.PRODUCERS]))


def _groups(target: Target, machine_id: str) -> list[str]:
    found = target.ec2.describe_instances(InstanceIds=[machine_id])["Reservations"][0]["Instances"]
    return [group["GroupId"] for group in found[0]["SecurityGroups"]]


def _arrives(address: str, port: int) -> bool:
    """Return whether a connection gets there, even if nobody listens."""
    with socket.socket() as probe:
        probe.settimeout(1.5)
        try:
            probe.connect((address, port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True
