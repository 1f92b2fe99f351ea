"""Whether `up` comes to a new release, which needs room for a trial, is known before the bake."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtime.bake import survey
from runtime.bake.plan import Bake
from runtime.bake.survey import Survey
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import Settings, load
from runtime.verbs import making
from runtime.verbs.common import find_target
from tests.unit.release.records import IDS, written


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return dataclasses.replace(load("aws", env={}), root=tmp_path)


@pytest.mark.parametrize("changed", [None, Role.KAFKA])
def test_a_release_is_due_when_a_bake_comes_to_other_amis(
    settings: Settings, changed: Role | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(settings.ledger_dir)
    ids = IDS | {Role.BASE: "ami-0000000000000000b"} | ({changed: ""} if changed else {})
    found = {
        role: Survey(inputs={}, todo=Bake(role=role, key="k", ami_id=ids[role], why=""))
        for role in (Role.BASE, *MACHINE_ROLES)
    }
    monkeypatch.setattr(survey, "explain", lambda *_: found)
    assert making._is_release_due(settings, find_target(settings)) is (changed is not None)


def test_the_first_release_is_always_due(settings: Settings) -> None:
    assert making._is_release_due(settings, find_target(settings))
