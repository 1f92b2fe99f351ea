"""The way back, over the lab's EC2: what can't be launched is refused before anything is touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError
from runtime.settings import Settings
from runtime.verbs import releasing
from tests.contract.scripted import Lab
from tests.contract.test_leftovers import reach
from tests.contract.test_releases import bake, versions
from tests.unit.release.records import KAFKA, part, written


@pytest.fixture
def target(lab: Lab, tmp_path: Path) -> Target:
    return reach(lab.emulator, tmp_path)


@pytest.fixture
def settings(lab_settings: Settings, tmp_path: Path) -> Settings:
    return dataclasses.replace(lab_settings, lab_dir=tmp_path)


def test_a_way_back_that_cannot_read_the_data_is_refused_before_anything_is_touched(
    lab: Lab, target: Target, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Terraform is not even prepared, and the channel stays."""
    old, new = KAFKA, dataclasses.replace(KAFKA, writes=28, reads_max=28)
    for version, kept in (("2026.11.24", old), ("2026.11.25", new)):
        ids = {role: bake(lab, f"{role}-{version}") for role in MACHINE_ROLES}
        parts = {role: part(role, ami_id=ids[role]) for role in ids}
        parts |= {Role.KAFKA: part(Role.KAFKA, ami_id=ids[Role.KAFKA], data_format=kept)}
        one = written(settings.ledger_dir, version, parts=parts)
        releasing.point(settings, target, one, "stable")
    tags = {"bullion:role": "kafka", "bullion:stack": "bullion", "bullion:release": one.version}
    lab.ec2.create_tags(
        Resources=lab.launch(), Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )
    monkeypatch.setattr(releasing, "find_target", lambda _: target)
    monkeypatch.setattr(releasing, "Terraform", None)
    said = r"2026\.11\.24 can't read the data of kafka: release 2026\.11\.25 wrote kafka level 28"
    with pytest.raises(ReleaseError, match=said):
        releasing.rollback(settings, channel="stable")
    with pytest.raises(ReleaseError, match=said):
        releasing.deploy(settings, version="2026.11.24", channel="stable")
    assert versions(target) == ["2026.11.24", "2026.11.25"]
