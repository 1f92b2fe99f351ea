"""States that are shown until they are no longer true."""

from __future__ import annotations

import threading

import pytest

from runtime.errors import LabError
from runtime.lab.actions.progress import Progress

SOON_S = 10.0
NO_ROOM = "no room"


def test_a_state_is_shown_while_the_work_goes_on_and_no_longer() -> None:
    progress, seen = Progress(), []
    progress.run("vol-1", "creating", lambda: seen.append(dict(progress.shown)), patience_s=SOON_S)
    assert seen == [{"vol-1": "creating"}]
    assert progress.shown == {}


def test_work_that_takes_longer_than_the_patience_goes_on_behind_the_answer() -> None:
    progress, go = Progress(), threading.Event()
    ended = threading.Event()

    def work() -> None:
        go.wait(SOON_S)
        ended.set()

    progress.run("vol-1", "detaching", work, patience_s=0)
    assert progress.shown == {"vol-1": "detaching"}
    go.set()
    assert ended.wait(SOON_S)


def test_a_failure_within_the_patience_is_the_callers_and_leaves_no_state() -> None:
    progress = Progress()

    def fail() -> None:
        raise LabError(NO_ROOM)

    with pytest.raises(LabError, match=NO_ROOM):
        progress.run("vol-1", "creating", fail, patience_s=SOON_S)
    assert progress.shown == {}


def test_a_failure_after_the_answer_is_shown_as_error() -> None:
    progress, go = Progress(), threading.Event()

    def fail() -> None:
        go.wait(SOON_S)
        raise LabError(NO_ROOM)

    progress.run("vol-1", "creating", fail, patience_s=0)
    started = next(t for t in threading.enumerate() if t.name.startswith("vol-1"))
    go.set()
    started.join(SOON_S)
    assert progress.shown == {"vol-1": "error"}
