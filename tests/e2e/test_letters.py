"""What could not be stored, in an operator's hands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime import wait
from runtime.cloud.target import Target
from runtime.errors import UsageError
from tests.conftest import Invoke
from tests.e2e.load import Load

pytestmark = pytest.mark.e2e


def test_a_dead_letter_is_listed_shown_replayed_and_dropped(target: Target, invoke: Invoke) -> None:
    def told(verb: str, *words: str) -> dict[str, Any]:
        done = invoke(f"dead-letters.{verb}", *words)
        assert done.status == 0, done.stderr
        return dict(json.loads(done.stdout))

    def listed() -> dict[str, Any]:
        return told("list", "--json")

    before = listed()["total"]
    Load(target=target).send_raw("nonsense")
    wait.until(lambda: listed()["total"] == before + 1, what="the dead letter", timeout_s=120)
    key = listed()["letters"][0]["_id"]
    assert key in invoke("dead-letters.list").stdout
    assert told("show", key)["value"] == "nonsense"

    replayed = told("replay", key)
    kept = invoke("dead-letters.drop", key)  # there is nobody to ask
    still = listed()["total"]
    dropped = told("drop", key, "--yes")
    gone = invoke("dead-letters.show", key)

    assert (replayed["stored"], replayed["still_dead"], list(replayed["reasons"])) == (0, 1, [key])
    assert (kept.status, still) == (UsageError.code, before + 1)
    assert (dropped, listed()["total"]) == ({"dropped": 1}, before)
    assert gone.status == UsageError.code
    assert "dead-letters.list" in gone.stderr
