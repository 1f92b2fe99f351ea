"""A trial stack whose verb is killed leaves nothing that stays."""

from __future__ import annotations

import os
import signal

import pytest

from runtime import proc
from runtime.cloud import leftovers
from runtime.cloud.target import Target
from runtime.settings import Settings
from tests.conftest import Invoke
from tests.observing import holder, resources

pytestmark = pytest.mark.e2e


def test_nothing_is_left_of_a_trial_stack_whose_verb_is_killed_while_it_launches(
    target: Target, lab_settings: Settings, invoke: Invoke
) -> None:
    before, states = resources(target), state_files(target, lab_settings)
    argv = [lab_settings.root / "invoke", "release.create"]
    said = []
    with proc.stream(argv, env=lab_settings.passed_on(), grace_s=120) as running:
        for line in running.lines:
            said.append(line)
            if "made aws_network_interface.role" in line:
                os.kill(holder(lab_settings), signal.SIGKILL)
        running.wait(120)
    [trial] = [path.name for path in lab_settings.runs_dir.iterdir()]
    assert trial.startswith("trial-"), said
    shown = invoke("janitor")
    cleaned = invoke("janitor", "--yes")

    assert shown.status == 2, shown.stderr
    assert f"{trial}  its run was killed" in shown.stderr
    assert cleaned.status == 0, cleaned.stderr
    assert leftovers.find_of_trials(target) == []
    assert resources(target) == before
    assert state_files(target, lab_settings) == states
    assert not list(lab_settings.runs_dir.iterdir())
    assert invoke("verify.kafka").status == 0  # the operator's own stack is as it was


def state_files(target: Target, settings: Settings) -> set[str]:
    """Return what Terraform keeps in its bucket."""
    found = target.client("s3").list_objects_v2(Bucket=settings.state_bucket)
    return {row["Key"] for row in found.get("Contents", ())}
