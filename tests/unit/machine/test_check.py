"""What a machine says of itself."""

from __future__ import annotations

import pytest

from runtime.machine.check import judge_topic


@pytest.mark.parametrize(
    ("partitions", "leaders", "ok", "seen"),
    [
        (4, 4, True, "4 of 4"),
        (4, 3, False, "3 of 4"),
        (3, 3, False, "3 of 3"),
        (0, 0, False, "no such topic"),
        (8, 8, True, "8 of 8; topic_partitions = 4 has no effect, Kafka takes none away"),
        (8, 7, False, "7 of 8; topic_partitions = 4 has no effect, Kafka takes none away"),
    ],
)
def test_a_topic_has_at_least_the_partitions_that_are_wanted(
    partitions: int, leaders: int, ok: bool, seen: str
) -> None:
    check = judge_topic("t", {"partitions": partitions, "leaders": leaders}, 4, "refresh")
    assert (check.ok, check.seen) == (ok, seen)
    assert judge_topic("t", {}, 4, "refresh").ok is False
