"""Questions: a cursor is the place of a document, sums are exact, and nonsense is refused."""

from __future__ import annotations

import urllib.parse
from datetime import UTC, datetime

import pytest
from bson import ObjectId
from processor.queries import Span, _beyond, add_usage, cursor_of, to_json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = ObjectId("0123456789abcdef01234567")


def test_a_cursor_names_what_comes_behind_it() -> None:
    beyond = _beyond(cursor_of({"ts": NOON, "_id": KEY}))
    behind = [{"ts": {"$lt": NOON}}, {"_id": {"$lt": KEY}}]
    assert beyond == {"ts": {"$lte": NOON}, "$or": behind}


@pytest.mark.parametrize(
    "text",
    ["x", "_", f"2026-01-01T00:00:00Z_{KEY}x", f"now_{KEY}", f"2026-01-01T00:00:00-14:00_{KEY}"],
)
def test_a_cursor_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="after is"):
        _beyond(text)


def test_a_cursor_and_a_time_need_no_quoting_in_a_question() -> None:
    row = {"ts": NOON, "_id": KEY}
    for text in (cursor_of(row), *to_json(row).values()):
        assert urllib.parse.quote(text, safe=":") == text


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
