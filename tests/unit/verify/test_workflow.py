"""The workflow holds only when counts rose by exactly what was sent."""

from __future__ import annotations

import time

import pytest

from runtime.contract.checks import Check, parse_checks, to_json
from runtime.errors import CheckError
from runtime.verify import checks, workflow
from runtime.verify.checks import Verdict
from runtime.verify.workflow import Outcome, Sent


def outcome(gpu: int, token: int) -> Outcome:
    sent = {"gpu_metrics": 100, "token_usage": 100}
    before = {"gpu_metrics": 7, "token_usage": 7, "gpus": 2}
    after = {"gpu_metrics": 7 + gpu, "token_usage": 7 + token, "gpus": 2}
    return Outcome(sent=sent, before=before, after=after, seconds=1.0)


def test_exactly_what_was_sent_is_good() -> None:
    workflow.refuse_inexact(outcome(100, 100))


@pytest.mark.parametrize(("gpu", "token"), [(99, 100), (100, 99), (101, 100), (0, 0), (100, 200)])
def test_one_too_few_or_too_many_is_refused(gpu: int, token: int) -> None:
    with pytest.raises(CheckError, match=f"'gpu_metrics': {gpu}, 'token_usage': {token}"):
        workflow.refuse_inexact(outcome(gpu, token))


def test_a_producers_report_is_its_last_line() -> None:
    report = '{"sent": {"a": 1, "b": 2}, "failed": 3, "left_out": 4, "seconds": 0.5}'
    sent = workflow.parse_sent(f"noise\n{report}\n")
    assert sent == Sent(by_topic={"a": 1, "b": 2}, failed=3, left_out=4, seconds=0.5)


def test_why_there_is_no_report_is_told() -> None:
    with pytest.raises(CheckError, match="the producers sent nothing: could not select"):
        workflow.parse_sent("", "noise\ncould not select device driver\n")


def sent(failed: int) -> Sent:
    return Sent(by_topic={"a": 1}, failed=failed, left_out=0, seconds=0.5)


def test_a_run_that_ended_early_is_refused_with_what_was_confirmed() -> None:
    workflow.refuse_unsent(sent(0), status=0, said="left out: x\n")
    with pytest.raises(CheckError, match=r"3 messages were not confirmed by Kafka; {'a': 1} were"):
        workflow.refuse_unsent(sent(3), status=1, said="")
    with pytest.raises(CheckError, match=r"ended before all was sent: x; {'a': 1} were confirmed"):
        workflow.refuse_unsent(sent(0), status=1, said="noise\nended before all was sent: x\n")


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", '{"sent": {}, "failed": "x"}'])
def test_anything_else_is_no_report(text: str) -> None:
    with pytest.raises(CheckError, match="the producers' report is not one"):
        workflow.parse_sent(text)


def test_checks_survive_their_way_to_the_operator() -> None:
    found = [Check(name="ping", ok=False, expected="an answer", seen="none", hint="x", seconds=0.1)]
    assert parse_checks(to_json(found)) == found


@pytest.mark.parametrize("text", ["", "{}x", '[{"name": "x"}]', "[1]"])
def test_an_answer_that_is_no_list_of_checks_is_refused(text: str) -> None:
    with pytest.raises(CheckError, match="not a list of checks"):
        parse_checks(text)


def test_failed_checks_are_named_with_the_next_command() -> None:
    good = Verdict(machine="kafka", check=Check(name="a", ok=True, expected="x", seen="x"))
    bad = Verdict(
        machine="mongo",
        check=Check(name="ping", ok=False, expected="x", seen="y", hint="./invoke logs mongo"),
    )
    checks.refuse_failed([good])
    with pytest.raises(CheckError, match=r"1 of 2 checks failed \(mongo: ping\)") as refused:
        checks.refuse_failed([good, bad])
    assert refused.value.hint == "./invoke logs mongo"


@pytest.mark.parametrize(
    ("name", "seen", "left_s", "expected"),
    [
        ("stack", "starting", 60, True),
        ("stack", "starting", -1, False),
        ("boot", "parameter x is bad", 60, False),
        ("boot", "not booted: no route to host", 60, True),
    ],
)
def test_a_stack_on_its_way_up_is_waited_for_and_a_failed_boot_is_not(
    name: str, seen: str, left_s: float, expected: bool
) -> None:
    found = [Check(name=name, ok=False, expected="", seen=seen)]
    assert checks._may_still_come(found, time.monotonic() + left_s) is expected
