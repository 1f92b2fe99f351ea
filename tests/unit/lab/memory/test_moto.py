"""moto's answers, kept while they hold: seen with an application that counts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.wrappers import Request, Response

from runtime.lab.ec2 import Query
from runtime.lab.memory import moto
from runtime.lab.memory.journal import Journal
from runtime.lab.memory.moto import Moto


class Counting:
    """Answers every request with how many came before it, but those that seed it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/":
            self.asked.append(request.form["Action"])
        return Response(f"<r><n>{len(self.asked)}</n></r>")(environ, start_response)


@pytest.fixture
def app(tmp_path: Path) -> Moto:
    return Moto(Counting(), Journal(tmp_path / "journal.jsonl", region="r"))


def ask(app: Moto, action: str, *, service: str = "ec2", region: str = "r", **words: str) -> str:
    query = Query(app, region, service=service, version="1")
    return query.ask(action, words).findtext("n") or ""


def test_a_question_to_ec2_is_answered_once_until_something_changes(app: Moto) -> None:
    ask(app, "DescribeVpcs")  # the first in a region may make something, so it is not one
    first = ask(app, "DescribeVpcs")
    assert ask(app, "DescribeVpcs") == first
    ask(app, "CreateVpc")
    assert ask(app, "DescribeVpcs") != first


def test_other_words_or_another_region_are_another_question(app: Moto) -> None:
    for region in ("r", "s"):
        ask(app, "DescribeVpcs", region=region)
    answers = [
        ask(app, "DescribeVpcs"),
        ask(app, "DescribeVpcs", VpcId="v"),
        ask(app, "DescribeVpcs", region="s"),
    ]
    assert len(set(answers)) == len(answers)


def test_other_services_are_asked_every_time(app: Moto) -> None:
    ask(app, "GetCallerIdentity", service="iam")
    assert ask(app, "GetUser", service="iam") != ask(app, "GetUser", service="iam")


def test_a_change_is_not_begun_so_late_that_moto_may_tell_the_next_second(
    app: Moto, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(moto.wait, "pause", waited.append)
    for clock in (100.2, 100.95):
        monkeypatch.setattr(moto.time, "time", lambda clock=clock: clock)
        ask(app, "CreateVpc")
    assert waited == [pytest.approx(0.05)]
