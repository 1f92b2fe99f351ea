"""A verification has its report for a script, however it ends."""

from __future__ import annotations

import json

import pytest

from runtime.contract.checks import Check
from runtime.errors import CheckError
from runtime.settings import Settings
from runtime.verbs import proving
from runtime.verify import checks, workflow
from runtime.verify.checks import Verdict
from runtime.verify.workflow import Outcome

SENT = {"gpu_metrics": 1, "token_usage": 1}
OUTCOME = Outcome(sent=SENT, before=dict.fromkeys(SENT, 0), after=SENT, seconds=1.0)


@pytest.mark.parametrize("failing", ["a check", "the workflow", ""])
def test_it_is_printed_once_and_has_all_that_was_come_to(
    lab_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    def run(*_: object, **__: object) -> Outcome:
        if failing:
            raise CheckError(failing)
        return OUTCOME

    check = Check(name="boot", ok=failing != "a check", expected="", seen="it", hint="")
    monkeypatch.setattr(proving, "find_target", lambda _: None)
    monkeypatch.setattr(proving, "running_stand_ins", lambda *_: ["FerretDB"])
    monkeypatch.setattr(checks, "run", lambda _: [Verdict(machine="kafka", check=check)])
    monkeypatch.setattr(workflow, "run", run)
    if failing:
        with pytest.raises(CheckError):
            proving.verify(lab_settings, as_json=True)
    else:
        proving.verify(lab_settings, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [one["ok"] for one in said["checks"]] == [failing != "a check"]
    assert said["stand_ins"] == ["FerretDB"]
    assert said.get("workflow", {}).get("sent") == (None if failing else SENT)
