"""The soak's plan and its judge: rounds can be repeated, and whatever is wrong is seen."""

from __future__ import annotations

import pytest

from tests.soak import plan
from tests.soak.judge import judge
from tests.soak.load import message
from tests.soak.plan import Fault

ROUNDS = [plan.events(7, number) for number in range(1, 200)]
SENT = {"a": "gpu_metrics", "b": "dead_letters", "c": "gpu_metrics"}
STORED = {"gpu_metrics": ["a", "c"], "dead_letters": ["b"]}
NOTHING = {"lost": [], "twice": [], "strange": [], "unconfirmed": []}


def test_a_round_is_made_from_seed_and_number_alone() -> None:
    assert [plan.events(7, number) for number in range(1, 200)] == ROUNDS
    assert plan.events(8, 1) != plan.events(7, 1)
    assert len({tuple(one) for one in ROUNDS}) == len(ROUNDS)


def test_nobody_has_two_faults_in_a_round_and_all_are_over_before_its_load_is() -> None:
    for happening in ROUNDS:
        assert len({event.target for event in happening}) == len(happening) > 1
        assert all(0 < event.begins_s < event.ends_s < plan.LOAD_S for event in happening)


def test_every_fault_comes_to_everyone_it_can_come_to() -> None:
    seen = {(event.target, event.fault) for happening in ROUNDS for event in happening}
    assert seen == {(target, fault) for target, all_ in plan._FAULTS.items() for fault in all_}
    assert {fault for _, fault in seen} == set(Fault)


def test_what_begins_ends_and_in_the_order_of_time() -> None:
    for happening in ROUNDS:
        steps = plan.steps(happening)
        assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
        for event in happening:
            assert [step.begins for step in steps if step.event == event] == [True, False]


def test_all_confirmed_and_stored_once_is_good() -> None:
    assert judge(SENT, SENT, STORED).is_good


@pytest.mark.parametrize("there", [["a", "c"], ["a"]], ids=["stored", "not stored"])
def test_what_was_never_confirmed_is_not_good_and_neither_lost_nor_strange(
    there: list[str],
) -> None:
    verdict = judge(SENT, {"a", "b"}, STORED | {"gpu_metrics": there})
    assert not verdict.is_good
    assert vars(verdict) == NOTHING | {"unconfirmed": [("gpu_metrics", "c")]}


def test_nothing_confirmed_and_nothing_stored_is_not_good() -> None:
    assert not judge(SENT, [], {}).is_good


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [
        ({"gpu_metrics": ["a", "c"]}, {"lost": [("dead_letters", "b")]}),
        (
            {"gpu_metrics": ["a", "a", "c"], "dead_letters": ["b"]},
            {"twice": [("gpu_metrics", "a")]},
        ),
        (
            {"gpu_metrics": ["a", "c"], "dead_letters": ["b", "c"]},
            {"strange": [("dead_letters", "c")]},
        ),
        (
            {"gpu_metrics": ["a", "c", "x"], "dead_letters": ["b"]},
            {"strange": [("gpu_metrics", "x")]},
        ),
    ],
    ids=["lost", "twice", "where it does not belong", "never sent"],
)
def test_whatever_is_wrong_is_named(stored: dict[str, list[str]], wrong: dict[str, object]) -> None:
    verdict = judge(SENT, SENT, stored)
    assert not verdict.is_good
    assert vars(verdict) == NOTHING | wrong


def test_messages_are_good_and_bad_in_all_ways_each_with_its_name() -> None:
    made = [message(f"r1-{number}", number) for number in range(100)]
    assert {where for _, where, _ in made} == {"gpu_metrics", "token_usage", "dead_letters"}
    assert all(f"r1-{number}".encode() in body for number, (_, _, body) in enumerate(made))
