"""What the lab says of each EC2 action is what happens when somebody calls it."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from runtime.lab import api, coverage
from runtime.lab.coverage import Coverage, Kind
from runtime.settings import Settings
from runtime.verbs import lab
from tests.contract.emulator import REGION, Emulator


@pytest.fixture(scope="module")
def measured() -> list[Coverage]:
    return coverage.measure(REGION)


def test_every_action_of_ec2_is_told_of_once(measured: list[Coverage]) -> None:
    assert [one.action for one in measured] == sorted(coverage.known_actions())


def test_every_real_action_is_one_that_the_lab_carries_out_or_follows(
    measured: list[Coverage], emulator: Emulator
) -> None:
    real = {one.action for one in measured if one.kind is Kind.REAL}
    assert real == set(coverage.oddities(emulator.api.actions))
    assert real <= set(emulator.api.actions) | set(api.FOLLOWED)
    assert real.isdisjoint(set(api.FOLLOWED) & set(emulator.api.actions))
    assert all(one.oddity for one in measured if one.kind is Kind.REAL)


def test_what_the_lab_only_remembers_is_not_called_real(measured: list[Coverage]) -> None:
    kinds = {one.action: one.kind for one in measured}
    assert kinds["MonitorInstances"] == kinds["EnableImageDeprecation"] == Kind.RECORD
    assert kinds["RunInstances"] == Kind.REAL
    assert kinds["GetConsoleScreenshot"] == Kind.REFUSED


def test_a_refused_action_says_so_at_once_and_by_name(
    measured: list[Coverage], emulator: Emulator
) -> None:
    refused = [one.action for one in measured if one.kind is Kind.REFUSED]
    for action in refused[::40]:
        answer = emulator.call(action)
        assert answer.status_code == 400
        assert (
            f"<Code>UnsupportedOperation</Code><Message>The lab's EC2 does not offer {action}."
            in (answer.text)
        )


def test_an_action_that_moto_fails_at_says_that_it_is_this_form_of_it(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ClientError) as error:
        emulator.client().create_fleet(
            LaunchTemplateConfigs=[], TargetCapacitySpecification={"TotalTargetCapacity": 1}
        )
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error.value.response["Error"]["Code"] == "UnsupportedOperation"
    assert "failed at CreateFleet in this form" in error.value.response["Error"]["Message"]
    assert "Traceback" in caplog.text


def test_an_action_that_nobody_has_is_refused_too(emulator: Emulator) -> None:
    answer = emulator.call("MakeCoffee")
    assert (answer.status_code, "does not offer MakeCoffee" in answer.text) == (400, True)


def test_the_verb_prints_the_real_ones_and_counts(
    measured: list[Coverage],
    lab_settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coverage, "measure", lambda _: measured)
    lab.show_coverage(lab_settings, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("RunInstances ") for line in lines)
    counted = {line.split()[0]: int(line.split()[1]) for line in lines[-3:]}
    assert sum(counted.values()) == len(measured)

    lab.show_coverage(lab_settings, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["RunInstances"]["kind"] == "real"
    assert len(shown) == len(measured)
