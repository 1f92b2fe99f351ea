"""A call that is sent again is carried out once."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from werkzeug.wrappers import Response

from runtime.lab import retries
from runtime.lab.retries import Answers


def counting() -> tuple[list[int], Callable[[], Response]]:
    calls: list[int] = []

    def make() -> Response:
        calls.append(1)
        return Response(f"answer {len(calls)}")

    return calls, make


def test_a_second_attempt_gets_the_first_answer() -> None:
    answers, (calls, make) = Answers(), counting()
    assert [answers.once("a", make).get_data() for _ in range(2)] == [b"answer 1"] * 2
    assert len(calls) == 1


def test_other_calls_and_calls_without_a_name_are_carried_out() -> None:
    answers, (calls, make) = Answers(), counting()
    for invocation in ("a", "b", "", ""):
        answers.once(invocation, make)
    assert len(calls) == 4


def test_an_attempt_that_overtakes_the_first_waits_for_it() -> None:
    answers, begun, go = Answers(), threading.Event(), threading.Event()
    seen: list[bytes] = []

    def slow() -> Response:
        begun.set()
        go.wait(10)
        return Response("slow")

    def never() -> Response:
        raise AssertionError

    first = threading.Thread(target=lambda: seen.append(answers.once("a", slow).get_data()))
    first.start()
    assert begun.wait(10)
    second = threading.Thread(target=lambda: seen.append(answers.once("a", never).get_data()))
    second.start()
    go.set()
    first.join(10)
    second.join(10)
    assert seen == [b"slow", b"slow"]


def test_a_failure_is_the_answer_too() -> None:
    answers = Answers()

    def fail() -> Response:
        raise ValueError("x")

    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            answers.once("a", fail)


def test_old_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "KEPT", 2)
    answers, (calls, make) = Answers(), counting()
    for invocation in ("a", "b", "c", "a"):
        answers.once(invocation, make)
    assert len(calls) == 4
