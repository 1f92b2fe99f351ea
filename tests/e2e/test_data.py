"""Data outlives machines: a store replaced, a volume that grows, one that goes when told.

A broker that is replaced under load is in test_release.py, what a destroyed stack leaves and
finds again in test_stack.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime import proc
from runtime.cloud import machines, ssh
from runtime.cloud.target import Target
from runtime.contract.data import OWNERS
from runtime.contract.roles import Role
from runtime.deploy.terraform import Terraform
from runtime.settings import Settings
from runtime.verbs.common import newest
from runtime.verify import workflow
from runtime.verify.workflow import COLLECTIONS, Sent
from tests.e2e.counting import arrive, counts

pytestmark = pytest.mark.e2e


def replace(target: Target, settings: Settings, role: Role, *more: Path) -> None:
    """Have Terraform replace a machine, as a new AMI does, and see that it is another."""
    before = machines.find(target, role)
    terraform = Terraform(settings, target)
    terraform.init()
    inputs = terraform._inputs([newest(settings).variables, *more])
    only = f'-replace=aws_instance.role["{role}"]'
    terraform._stream(["apply", "-auto-approve", *inputs, only], "made")
    assert machines.find(target, role).id != before.id


def volume_ids(target: Target) -> dict[str, str]:
    return {str(volume.role): volume.id for volume in machines.find_data(target)}


def send(target: Target, *words: str) -> Sent:
    """Run the producers on their machine, whatever becomes of it; return their own report."""
    producers = machines.find(target, Role.PRODUCERS)
    said = ssh.run(
        target, producers, ["sudo", "bullion", "produce", *words], timeout_s=900, ok=(0, 1)
    )
    return workflow.parse_sent(said.stdout)


def test_each_data_volume_is_one_encrypted_and_mounted_where_its_role_says(
    target: Target, invoke
) -> None:
    ids = volume_ids(target)
    assert ids.keys() == OWNERS.keys()
    found = target.ec2.describe_volumes(VolumeIds=list(ids.values()))["Volumes"]
    assert all(volume["Encrypted"] for volume in found)
    for role, volume_id in ids.items():
        done = invoke(f"verify.{role}", "--json")
        (check,) = [row for row in json.loads(done.stdout) if row["name"] == "data volume"]
        assert (check["ok"], check["seen"].split(",")[0]) == (True, volume_id)


def test_terraform_alone_refuses_to_destroy_data(target: Target, lab_settings: Settings) -> None:
    before = machines.find_all(target)
    terraform = Terraform(lab_settings, target)
    terraform.init()
    inputs = terraform._inputs([newest(lab_settings).variables])
    argv = [lab_settings.terraform, f"-chdir={terraform._module}", "destroy", "-auto-approve"]
    done = proc.run(
        [*argv, "-no-color", *inputs], timeout_s=600, env=terraform._env(), ok=range(256)
    )
    assert done.status == 1
    for role in OWNERS:
        assert f'aws_ebs_volume.data["{role}"]' in done.stderr
    assert "prevent_destroy" in done.stderr
    assert machines.find_all(target) == before


def test_a_store_replaced_on_a_volume_made_larger_fills_it_and_has_its_documents(
    target: Target, lab_settings: Settings, tmp_path: Path, invoke
) -> None:
    """The last but one: a volume can't shrink again, so the next test deletes these."""
    had = counts(target)
    sent = send(target, "--count", "50").by_topic.values()
    wanted = {name: had[name] + n for name, n in zip(COLLECTIONS, sent, strict=True)}
    before, ids = arrive(target, wanted), volume_ids(target)
    larger = tmp_path / "larger.tfvars.json"
    larger.write_text('{"data_volume_size_gb": 9}')
    variables = [newest(lab_settings).variables, larger]

    replace(target, lab_settings, Role.MONGO, larger)

    done = invoke("verify.mongo", "--json")
    assert done.status == 0, done.stderr[-3000:]
    (check,) = [row for row in json.loads(done.stdout) if row["name"] == "data volume"]
    assert ", 9.0 GiB, 8." in check["seen"]
    assert "more after a reboot" not in check["seen"]
    assert counts(target) == before
    assert before["gpu_metrics"] > 0
    assert volume_ids(target) == ids
    terraform = Terraform(lab_settings, target)
    terraform.init()
    assert not terraform.has_changes(variables)


def test_destroy_with_data_asks_by_name_and_leaves_none(target: Target, invoke) -> None:
    ids = volume_ids(target)

    refused = invoke("destroy", "--data")
    still = volume_ids(target)
    done = invoke("destroy", "--yes", "--data")
    left = volume_ids(target)
    deployed = invoke("deploy")

    assert refused.status == 2
    assert "./invoke destroy --data --yes" in refused.stderr
    for volume_id in ids.values():
        assert volume_id in refused.stderr
    assert still == ids
    assert done.status == 0, done.stderr[-3000:]
    assert left == {}
    assert deployed.status == 0, deployed.stderr[-3000:]
    assert invoke("verify").status == 0
