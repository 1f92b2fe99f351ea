"""Dead letters are named, or all of them are meant; never both, never neither."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.verbs.letters import all_of, choose


def test_letters_are_named_or_all() -> None:
    assert choose("a,b", everything=False) == ["a", "b"]
    assert choose("", everything=True) == ["--all"]


@pytest.mark.parametrize(("keys", "everything"), [("", False), (",", False), ("a", True)])
def test_neither_and_both_are_refused(keys: str, everything: bool) -> None:
    with pytest.raises(UsageError, match="by their ids, or all"):
        choose(keys, everything=everything)


def test_all_are_those_that_were_listed_and_none_that_came_later() -> None:
    newest = "2026-11-25T12:00:00.123000Z"
    listed = {"total": 7, "letters": [{"first_seen": newest}]}
    assert all_of(listed) == ["--all", "--until", newest]
    assert all_of({"total": 0, "letters": []})[-1] < "1971"
