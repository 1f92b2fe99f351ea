"""The benchmark of the pipeline: what is divided by what."""

from __future__ import annotations

import pytest

from tests.bench.pipeline.run import between

FIRST = {"documents": 6000, "first": 100.0, "last": 100.5}


def test_what_came_before_the_first_look_is_neither_counted_nor_timed() -> None:
    assert between(FIRST, {"documents": 40_000, "first": 100.0, "last": 102.5}) == (34_000, 2.0)


def test_what_came_all_at_once_is_not_timed() -> None:
    with pytest.raises(AssertionError, match="too few to time"):
        between(FIRST, FIRST)
