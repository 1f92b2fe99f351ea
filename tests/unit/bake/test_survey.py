"""What the last bake was is remembered, and so is what was kept instead of one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtime.bake import survey
from runtime.bake.survey import Past
from runtime.contract.roles import Role
from runtime.settings import Settings

ROLE = Role.KAFKA
BAKED = Past(inputs={"packer/build.pkr.hcl": "aa"}, seconds={"booting": 2.0})


@pytest.fixture
def settings(lab_settings: Settings, tmp_path: Path) -> Settings:
    made = dataclasses.replace(lab_settings, lab_dir=tmp_path)
    survey.clear_scratch(made)
    return made


def test_a_bake_is_remembered(settings: Settings) -> None:
    assert survey.recall(settings, ROLE) == Past()
    survey.remember(settings, ROLE, BAKED)
    assert survey.recall(settings, ROLE) == BAKED


def test_an_ami_that_is_kept_leaves_the_memory_of_its_own_bake(settings: Settings) -> None:
    survey.remember(settings, ROLE, BAKED)
    survey.remember_kept(settings, ROLE, BAKED.inputs or {})
    assert survey.recall(settings, ROLE) == BAKED


def test_an_ami_that_was_found_is_what_the_next_bake_is_compared_with(settings: Settings) -> None:
    survey.remember(settings, ROLE, BAKED)
    survey.remember_kept(settings, ROLE, {"packer/build.pkr.hcl": "bb"})
    found = survey.recall(settings, ROLE)
    assert found == Past(inputs={"packer/build.pkr.hcl": "bb"}, seconds=BAKED.seconds)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"inputs": {}}'])
def test_a_memory_that_cannot_be_read_is_none(settings: Settings, text: str) -> None:
    (survey.work_dir(settings) / f"{ROLE}.json").write_text(text)
    assert survey.recall(settings, ROLE) == Past()


def test_what_a_killed_bake_staged_goes(settings: Settings) -> None:
    (survey.scratch_dir(settings) / "tmp1").mkdir()
    survey.clear_scratch(settings)
    assert list(survey.scratch_dir(settings).iterdir()) == []
