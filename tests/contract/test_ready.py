"""What a launch on AWS needs is asked of Terraform and EC2 themselves, before anything is launched."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from runtime import settings
from runtime.cloud.target import Target
from runtime.deploy import ready
from runtime.errors import DeployError, UsageError
from runtime.settings import ROOT, Settings
from runtime.verbs import common
from tests.contract.scripted import Lab

TRIAL = [{"Key": "bullion:stack", "Value": "trial-1"}]
STACK = [{"Key": "bullion:stack", "Value": "bullion"}]


@pytest.fixture
def operator(tmp_path: Path, lab_settings: Settings) -> Settings:
    """Somebody on aws who has said all that is needed."""
    shutil.copytree(ROOT / "terraform", tmp_path / "terraform")
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA operator\n")
    env = {"BULLION_STATE_BUCKET": "b", "BULLION_SSH_KEY": str(tmp_path / "key")}
    chosen = settings.load("aws", env=env)
    made = dataclasses.replace(chosen, root=tmp_path, terraform=lab_settings.terraform)
    write(made, 'admin_cidr = "198.51.100.7/32"', "public_ip = true # for now")
    return made


@pytest.fixture
def target(operator: Settings, lab: Lab) -> Target:
    """AWS, as moto is."""
    keys = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"}
    found = common.find_target(operator)
    return dataclasses.replace(found, endpoint=lab.emulator.url, credentials=keys)


def write(operator: Settings, *lines: str) -> None:
    (operator.root / "terraform/aws.tfvars").write_text("\n".join(lines))


def test_the_operators_variables_are_read_with_their_defaults(
    operator: Settings, target: Target
) -> None:
    seen = ready.require(operator, target, stack=True, trial=True)
    assert seen
    assert (str(seen.admin), str(seen.vpc)) == ("198.51.100.7/32", "10.20.0.0/16")
    assert (seen.is_public, seen.processor_count) == (True, 1)


def test_the_module_as_it_comes_is_refused_for_its_placeholder(
    operator: Settings, target: Target
) -> None:
    shutil.copy(ROOT / "terraform/aws.tfvars", operator.root / "terraform")
    with pytest.raises(UsageError, match="admin_cidr"):
        ready.require(operator, target)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (['admin_cidr = "198.51.100.7/32"', "processor_count = 9"], "from 1 to 8"),
        (["public_ip = true"], '"admin_cidr" is not set'),
    ],
)
def test_a_variable_that_breaks_its_rule_is_told_by_terraform(
    operator: Settings, target: Target, lines: list[str], why: str
) -> None:
    write(operator, *lines)
    with pytest.raises(DeployError, match=why):
        ready.require(operator, target)


def test_beside_a_running_stack_there_are_no_addresses_for_a_trial(
    operator: Settings, target: Target, lab: Lab
) -> None:
    for _ in range(4):
        tagged = [{"ResourceType": "elastic-ip", "Tags": STACK}]
        lab.ec2.allocate_address(Domain="vpc", TagSpecifications=tagged)
    ready.require(operator, target, stack=True)
    with pytest.raises(DeployError, match=r"4 more Elastic IP .* has 4 of 5 .* beside it: 8"):
        ready.require(operator, target, trial=True)


def test_addresses_of_others_are_not_the_stacks(
    operator: Settings, target: Target, lab: Lab
) -> None:
    for _ in range(2):
        tagged = [{"ResourceType": "elastic-ip", "Tags": TRIAL}]
        lab.ec2.allocate_address(Domain="vpc", TagSpecifications=tagged)
    with pytest.raises(DeployError, match="4 more Elastic IP addresses are needed"):
        ready.require(operator, target, stack=True)
