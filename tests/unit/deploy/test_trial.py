"""A trial stack goes away again, whatever happened in it, or is named with what removes it."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
from pathlib import Path

import pytest

from runtime.cloud import leftovers
from runtime.cloud.target import Target
from runtime.deploy import ready, trial
from runtime.deploy.inputs import Inputs
from runtime.errors import CheckError, DeployError
from runtime.settings import Settings, TargetName

IDS = {"kafka": "ami-1"}
FAILED = CheckError("a check failed")
LAB = Target(
    name=TargetName.LAB,
    region="",
    endpoint="",
    credentials={},
    ssh_key=Path(),
    ssh_user="",
    known_hosts=Path(),
)


class Terraform:
    """Writes down what it is asked; a list of it is `asked`."""

    asked: list[str]
    launched: dict[str, object]
    failing = ""

    def __init__(self, *_: object, stack: str, inherits: list[int]) -> None:
        Terraform.asked, self.stack = [], stack
        assert all(os.get_blocking(descriptor) for descriptor in inherits)  # they are open

    def _do(self, verb: str) -> None:
        self.asked.append(verb)
        if verb == self.failing:
            message = f"{verb} failed"
            raise DeployError(message)

    def init(self) -> None:
        self._do("init")

    def apply(self, variables: list[Path]) -> None:
        Terraform.launched = json.loads(variables[0].read_text())
        self._do("apply")

    def destroy(self, variables: list[Path], *, data: bool) -> None:
        assert data
        assert variables[0].exists()
        self._do("destroy")

    def forget(self) -> None:
        self._do("forget")


@pytest.fixture
def settings(lab_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(trial, "Terraform", Terraform)
    monkeypatch.setattr(Terraform, "failing", "")
    monkeypatch.setattr(leftovers, "find_of_stack", lambda *_: [])
    return dataclasses.replace(lab_settings, lab_dir=tmp_path)


def launched(settings: Settings, *, keep: bool = False):
    return trial.launched(settings, LAB, version="2026.11.24", ami_ids=IDS, keep=keep)


def test_it_has_a_name_of_its_own_and_the_amis_asked_for(settings: Settings) -> None:
    with launched(settings) as one:
        assert one.startswith("trial-")
        asked = {"release": "2026.11.24", "ami_ids": IDS, "processor_count": 1}
        assert Terraform.launched == asked  # one of each, however many the operator has
        assert [path.name for path in settings.runs_dir.iterdir()] == [one]  # for the janitor
    assert Terraform.asked == ["init", "apply", "destroy", "forget"]
    assert list(settings.runs_dir.iterdir()) == []
    with launched(settings) as other:
        assert other != one


@pytest.mark.parametrize("error", [FAILED, KeyboardInterrupt()])
def test_it_goes_when_its_body_fails_or_is_interrupted(
    settings: Settings, error: BaseException
) -> None:
    with pytest.raises(type(error)), launched(settings):
        raise error
    assert Terraform.asked == ["init", "apply", "destroy", "forget"]


def test_what_was_launched_of_it_goes_when_the_launch_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Terraform, "failing", "apply")
    with pytest.raises(DeployError, match="apply failed"), launched(settings):
        raise AssertionError
    assert Terraform.asked == ["init", "apply", "destroy", "forget"]


def test_it_stays_when_told_and_what_removes_it_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckError), launched(settings, keep=True) as stack:
        raise FAILED
    assert Terraform.asked == ["init", "apply"]
    assert f"kept, as told: {stack}; ./invoke janitor removes it" in capsys.readouterr().err


def test_what_could_not_be_removed_is_named_with_what_removes_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "find_of_stack", lambda *_: ["VPC vpc-1"])
    with pytest.raises(
        DeployError, match=r"could not be removed: still there .*: VPC vpc-1"
    ) as left:
        with launched(settings):
            pass
    assert left.value.hint == "./invoke janitor"


def test_why_a_trial_failed_is_not_hidden_by_what_could_not_be_removed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Terraform, "failing", "destroy")
    with pytest.raises(CheckError, match="a check failed"), launched(settings):
        raise FAILED
    assert "could not be removed: destroy failed; ./invoke janitor" in capsys.readouterr().err


def test_on_aws_it_gets_addresses_of_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ipaddress.IPv4Network("10.20.0.0/16")
    seen = Inputs(admin=network, vpc=network, is_public=True, processor_count=1)
    monkeypatch.setattr(ready, "require", lambda *_, trial: seen if trial else None)
    with launched(settings):
        assert Terraform.launched["vpc_cidr"] == "10.40.0.0/16"


@pytest.mark.parametrize("own", ["10.20.0.0/16", "10.40.0.0/16", "10.40.128.0/20", "10.41.0.0/17"])
def test_its_addresses_are_never_those_of_the_operators_stack(own: str) -> None:
    network = ipaddress.IPv4Network(own)
    assert not trial.beside(network).overlaps(network)
