"""A plan never drifts: empty after an apply, and after changing each field that may change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import proc
from runtime.deploy.terraform import Terraform
from runtime.errors import BusyError
from runtime.lab import slots
from runtime.release import ledger
from runtime.settings import Settings
from runtime.verbs.common import find_target

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def module(up: proc.Completed, lab_settings: Settings) -> Iterator[Terraform]:
    """The module with its stack applied; put back as it was at the end."""
    assert up
    made = Terraform(lab_settings, find_target(lab_settings))
    made.init()
    yield made
    made.apply([_release(lab_settings)])


def test_the_modules_plan_is_empty_after_changing_what_may_change(
    module: Terraform, lab_settings: Settings, tmp_path: Path
) -> None:
    machines = list(slots.read(lab_settings.lab_dir).run.subnets(new_prefix=24))[1]
    # No volume here, as none could be put back: scratch/ grows a root disk, test_data.py data.
    changed = {
        "instance_types": {"producers": "t3.small"},
        "metadata_hop_limit": 2,
        "batch_size": 200,
        "release": "2000.01.01",
        "admin_cidr": str(next(machines.subnets(new_prefix=30))),  # still with the operator in it
        "public_ip": True,
    }
    extra = tmp_path / "changed.tfvars.json"
    extra.write_text(json.dumps(changed))
    variables = [_release(lab_settings), extra]
    assert module.has_changes(variables)  # else nothing would be shown

    module.apply(variables)

    assert not module.has_changes(variables)


def test_a_plan_is_not_carried_out_once_somebody_else_has_changed_the_deployment(
    module: Terraform, lab_settings: Settings, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours.tfvars.json", tmp_path / "theirs.tfvars.json"
    ours.write_text('{"batch_size": 201}')
    theirs.write_text('{"batch_size": 202}')
    assert module.plan([_release(lab_settings), ours])

    module.apply([_release(lab_settings), theirs])

    with pytest.raises(BusyError, match="since it was looked at"):
        module.apply_planned()


def _release(settings: Settings) -> Path:
    release = ledger.latest(settings.ledger_dir)
    assert release
    return release.variables
