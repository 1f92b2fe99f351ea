"""What goes wrong is named, costs nothing, and heals when it is put right."""

from __future__ import annotations

import json

import pytest

from runtime import lock
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import Settings
from tests.unit.release.records import part, release

pytestmark = pytest.mark.e2e


def test_a_bad_parameter_tag_is_refused_by_name_and_the_stack_goes_on(
    target: Target, invoke
) -> None:
    processor = machines.find(target, Role.PROCESSOR)
    tag = [{"Key": "bullion-param:consume_batch", "Value": "many"}]
    target.ec2.create_tags(Resources=[processor.id], Tags=tag)
    refused = invoke("refresh", "--role", "processor")
    checked = invoke("verify.processor")
    target.ec2.delete_tags(Resources=[processor.id], Tags=[{"Key": tag[0]["Key"]}])
    healed = invoke("refresh", "--role", "processor")

    assert refused.status != 0
    assert "parameter consume_batch is 'many'; allowed: int from 1 to 100000" in refused.stderr
    assert checked.status == 0, checked.stderr
    assert healed.status == 0, healed.stderr
    assert invoke("verify.processor").status == 0


def test_an_ami_that_does_not_exist_is_refused_before_anything_is_touched(
    target: Target, lab_settings: Settings, invoke
) -> None:
    gone = {role: part(role, ami_id="ami-00000000000000000") for role in MACHINE_ROLES}
    one = release(lab_settings.ledger_dir, "2000.01.01", parts=gone)
    path = one.variables
    path.write_text(one.to_json())
    before = machines.find_all(target)
    try:
        done = invoke("deploy", "--release", "2000.01.01")
    finally:
        path.unlink()
    assert done.status == 14
    assert "no AMI ami-00000000000000000" in done.stderr
    assert machines.find_all(target) == before


def test_a_second_run_at_the_same_time_is_told_who_is_at_work(
    target: Target, lab_settings: Settings, invoke
) -> None:
    with lock.hold(lab_settings.work_dir / "lock", what="a test"):
        done = invoke("up")
    assert done.status == 10
    assert "a test, process" in done.stderr


def test_a_malformed_peers_file_is_refused_by_field_and_the_stack_goes_on(
    target: Target, invoke
) -> None:
    processor = machines.find(target, Role.PROCESSOR)
    path, kept = "/etc/bullion/peers.json", "/root/peers.json"
    bad = '{"kafka": "kafka.internal", "mongo": "10.0.0.1"}'
    spoil = f"sudo cp {path} {kept}; echo '{bad}' | sudo tee {path}"
    ssh.run(target, processor, [spoil], timeout_s=30)
    refused = invoke("refresh", "--role", "processor")
    checked = invoke("verify.processor")
    ssh.run(target, processor, [f"sudo mv {kept} {path}"], timeout_s=30)
    healed = invoke("refresh", "--role", "processor")

    assert refused.status != 0
    assert "peer 'kafka' is 'kafka.internal', not an IPv4 address" in refused.stderr
    assert checked.status == 0, checked.stderr
    assert healed.status == 0, healed.stderr
    assert invoke("verify.processor").status == 0


def test_a_second_lab_lives_beside_and_goes_alone(target: Target, invoke) -> None:
    started = invoke("lab.up", BULLION_LAB="second")
    beside = json.loads(invoke("lab.status", "--json", BULLION_LAB="second").stdout)
    removed = invoke("lab.reset", "--yes", BULLION_LAB="second")

    assert started.status == 0, started.stderr
    assert beside["api"] != target.endpoint
    assert beside["machines"] == []
    assert removed.status == 0, removed.stderr
    assert len(machines.find_all(target)) == len(MACHINE_ROLES)
    assert invoke("verify.kafka").status == 0
