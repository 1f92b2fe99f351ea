"""The way back, over the lab's EC2: what can't be launched is refused before anything is touched."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import DeployError, ReleaseError
from runtime.settings import Settings
from runtime.verbs import releasing
from tests.contract.scripted import Lab
from tests.contract.test_leftovers import reach
from tests.contract.test_releases import bake, made, versions
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


def two_releases(lab: Lab, target: Target, settings: Settings) -> None:
    """Have a channel with two releases, the later one first in line to go."""
    for version in ("2026.11.24", "2026.11.25"):
        made(lab, settings, version)
        one = releasing.ledger.load(settings.ledger_dir, version)
        releasing.point(settings, target, one, "stable")


def test_a_way_back_to_a_release_without_an_overridden_parameter_is_refused_by_real_terraform(
    lab: Lab, target: Target, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_releases(lab, target, settings)
    copy = Path(shutil.copytree(settings.root / "terraform", tmp_path / "terraform"))
    with (copy / "lab.tfvars").open("a") as file:
        file.write('\nadmin_cidr = "10.0.0.1/32"\nkafka_heap_mb = 512\n')
    key = tmp_path / "key"
    key.with_suffix(".pub").write_text("ssh-ed25519 AAAA")
    settings = dataclasses.replace(settings, root=tmp_path, ssh_key=key)
    reached = target.credentials | {"AWS_ENDPOINT_URL": target.endpoint}
    monkeypatch.setattr(
        releasing, "find_target", lambda _: dataclasses.replace(target, credentials=reached)
    )
    said = r"release 2026\.11\.24 has no parameter kafka_heap_mb of kafka, which terraform/lab\.tfv"
    with pytest.raises(ReleaseError, match=said):
        releasing.rollback(settings, channel="stable")
    assert versions(target) == ["2026.11.24", "2026.11.25"]
    assert lab.ec2.describe_key_pairs()["KeyPairs"] == []


def test_a_way_back_that_failed_and_is_typed_again_goes_no_further(
    lab: Lab, target: Target, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(lab, settings, "2026.11.23")
    one = releasing.ledger.load(settings.ledger_dir, "2026.11.23")
    releasing.point(settings, target, one, "stable")
    two_releases(lab, target, settings)
    applied: list[str] = []

    class Stumbling:
        """Terraform that fails at its first apply."""

        def __init__(self, *_: object) -> None: ...
        def init(self) -> None: ...
        def plan(self, variables: list[Path]) -> dict[str, dict[str, object]]:
            self.planned = variables[0].name.removesuffix(".tfvars.json")
            return {}

        def apply_planned(self) -> None:
            applied.append(self.planned)
            if len(applied) == 1:
                message = "terraform apply failed"
                raise DeployError(message, hint="./invoke status")

    monkeypatch.setattr(releasing, "find_target", lambda _: target)
    monkeypatch.setattr(releasing, "Terraform", Stumbling)
    with pytest.raises(DeployError) as failed:
        releasing.rollback(settings, channel="stable")
    assert "./invoke rollback --channel stable to go on" in failed.value.hint
    assert "./invoke deploy --channel stable for 2026.11.25" in failed.value.hint
    releasing.rollback(settings, channel="stable")
    assert applied == ["2026.11.24"] * 2
    assert versions(target) == ["2026.11.23", "2026.11.24"]
