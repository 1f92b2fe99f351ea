"""Dead letters are named, or all of them are meant; never both, never neither."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.verbs.letters import choose


def test_letters_are_named_or_all() -> None:
    assert choose("a,b", everything=False) == ["a", "b"]
    assert choose("", everything=True) == ["--all"]


@pytest.mark.parametrize(("keys", "everything"), [("", False), (",", False), ("a", True)])
def test_neither_and_both_are_refused(keys: str, everything: bool) -> None:
    with pytest.raises(UsageError, match="by their ids, or all"):
        choose(keys, everything=everything)
