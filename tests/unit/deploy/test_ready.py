"""What would fail after a bake that was paid for is refused before it, by name."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import settings
from runtime.cloud.addresses import Addresses
from runtime.deploy import ready
from runtime.deploy.inputs import Inputs
from runtime.errors import DeployError, UsageError
from runtime.settings import Settings
from runtime.verbs import common, creating, making, releasing

SEEN = Inputs(
    admin=ipaddress.IPv4Network("198.51.100.7/32"),
    vpc=ipaddress.IPv4Network("10.20.0.0/16"),
    is_public=True,
    processor_count=1,
)


def test_the_placeholder_is_nobodys_address() -> None:
    ready.refuse_unreachable(SEEN, trial=True)
    placeholder = dataclasses.replace(SEEN, admin=ipaddress.IPv4Network("203.0.113.7/32"))
    with pytest.raises(UsageError, match=r"admin_cidr in terraform/aws\.tfvars is 203\.0\.113\.7"):
        ready.refuse_unreachable(placeholder, trial=False)


def test_a_trial_needs_public_addresses_and_a_stack_does_not() -> None:
    private = dataclasses.replace(SEEN, is_public=False)
    ready.refuse_unreachable(private, trial=False)
    with pytest.raises(UsageError, match="VPC of its own") as refused:
        ready.refuse_unreachable(private, trial=True)
    assert refused.value.hint == "public_ip = true in terraform/aws.tfvars"


@pytest.mark.parametrize(
    ("limit", "used", "of_stack", "processors", "stack", "trial", "needed"),
    [
        (5, 0, 0, 1, True, True, 0),  # the trial is gone before the stack comes
        (5, 4, 4, 1, True, False, 0),  # it runs already
        (5, 4, 4, 1, False, True, 4),
        (8, 4, 4, 1, True, True, 0),
        (5, 0, 0, 3, True, False, 6),
        (5, 4, 4, 3, True, False, 2),
        (5, 2, 0, 1, True, False, 4),  # somebody else's
    ],
)
def test_addresses_that_ec2_would_not_give_are_asked_for_by_number(
    limit: int, used: int, of_stack: int, processors: int, stack: bool, trial: bool, needed: int
) -> None:
    there = Addresses(limit=limit, used=used, of_stack=of_stack)
    seen = dataclasses.replace(SEEN, processor_count=processors)
    if not needed:
        ready.refuse_without_addresses(seen, there, stack=stack, trial=trial)
        return
    with pytest.raises(DeployError, match=f"^{needed} more Elastic IP addresses") as refused:
        ready.refuse_without_addresses(seen, there, stack=stack, trial=trial)
    assert f"--desired-value {used + needed}" in refused.value.hint


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"BULLION_SSH_KEY": "/nowhere/key"}, "state needs a bucket on aws"),
        ({"BULLION_STATE_BUCKET": "b"}, "no ssh key is chosen for the machines on aws"),
        (
            {"BULLION_STATE_BUCKET": "b", "BULLION_SSH_KEY": "/nowhere/key"},
            r"no public key /nowhere/key\.pub",
        ),
    ],
)
def test_bucket_and_key_are_asked_for_before_anything_is_started(
    env: dict[str, str], why: str
) -> None:
    chosen = settings.load("aws", env=env)
    with pytest.raises(UsageError, match=why):
        ready.require(chosen, common.find_target(chosen), trial=True)


def test_the_lab_brings_what_it_needs(lab_settings: Settings) -> None:
    chosen = common.find_target(settings.load("aws", env={}))
    lab = dataclasses.replace(chosen, name=lab_settings.target)
    assert ready.require(lab_settings, lab, stack=True, trial=True) is None


@pytest.mark.parametrize(
    "verb",
    [
        lambda chosen: making.up(chosen, force=False),
        lambda chosen: creating.create(chosen, version="", keep=False),
        lambda chosen: releasing.deploy(chosen, version="", channel="stable"),
        lambda chosen: releasing.rollback(chosen, channel="stable"),
    ],
    ids=["up", "release.create", "deploy", "rollback"],
)
def test_a_verb_that_launches_asks_first(verb: Callable[[Settings], None], tmp_path: Path) -> None:
    chosen = dataclasses.replace(settings.load("aws", env={}), root=tmp_path)
    with pytest.raises(UsageError, match="state needs a bucket"):
        verb(chosen)
