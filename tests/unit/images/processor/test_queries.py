"""Questions: a cursor is the place of a document, sums are exact, and nonsense is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import ObjectId
from processor.queries import Span, _beyond, add_usage, cursor_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ObjectId("0123456789abcdef01234567")


def test_a_cursor_names_what_comes_behind_it() -> None:
    beyond = _beyond(cursor_of({"ts": NOON, "_id": KEY}))
    behind = [{"ts": {"$lt": NOON}}, {"_id": {"$lt": KEY}}]
    assert beyond == {"ts": {"$lte": NOON}, "$or": behind}


@pytest.mark.parametrize("text", ["x", "|", "2026|0123456789abcdef01234567x", "now|" + str(KEY)])
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"after is|isoformat"):
        _beyond(text)


def test_a_span_includes_its_beginning_and_not_its_end() -> None:
    assert Span(since=NOON, until=NOON).match() == {"ts": {"$gte": NOON, "$lt": NOON}}
    assert Span(until=NOON).match() == {"ts": {"$lt": NOON}}
    assert Span().match() == {}


def test_tokens_and_cost_are_summed_per_model() -> None:
    sums: dict[str, dict[str, object]] = {}
    for model, prompt, completion in (("a", 1, 2), ("b", 5, 5), ("a", 3, 4)):
        row = {"prompt_tokens": prompt, "completion_tokens": completion, "cost_per_token": 0.5}
        add_usage(sums, {"model": model, **row})
    assert sums["a"] == {
        "model": "a",
        "calls": 2,
        "prompt_tokens": 4,
        "completion_tokens": 6,
        "cost_usd": 5.0,
    }
