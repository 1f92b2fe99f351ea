"""What the processor answers while the store does not, and how it asks; no broker, no container."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from bson import ObjectId
from processor import probe, queries, store
from processor.app import create_app
from processor.letters import Letters

from runtime.machine.check import INDEXES
from tests.contract.loops import settings_of
from tests.contract.sink import Sink

MANY = 40  # as many as the threads that answer what takes one
PLENTY_S = 20  # less than the client waits for an answer where nothing else bounds it
ROW = {"ts": datetime(2026, 2, 1, tzinfo=UTC), "_id": ObjectId("0123456789abcdef01234567")}
AFTER = queries.cursor_of(ROW)
QUESTIONS = (
    "/gpu/info",
    "/gpu/metrics?host=a",
    f"/gpu/metrics?host=a&gpu_index=0&from=2026-01-01T00:00:00Z&after={AFTER}",
    "/tokens/usage?model=a",
    f"/tokens/usage?model=a&to=2027-01-01T00:00:00Z&after={AFTER}",
    "/tokens/sums?model=a",
    "/tokens/sums?from=2026-01-01T00:00:00Z",
)
Get = Callable[[str], Awaitable[httpx.Response]]


@pytest.fixture
def sink() -> Iterator[Sink]:
    found = Sink()
    yield found
    found.stalled.clear()
    found.close()


def asked(sink: Sink, ask: Callable[[Get], Awaitable[Any]]) -> Any:
    """Return what `ask` comes to, which is handed the API of a processor without a broker."""

    async def run() -> Any:
        app = create_app(settings_of("q", kafka="127.0.0.1:1", mongo=sink.uri))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://processor") as client,
        ):
            return await ask(client.get)

    return asyncio.run(run())


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_the_store_does_not_answer_is_given_up(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setattr(queries, "PATIENCE_S", 0.5)
    sink.stalled.add("find")
    answer = asked(sink, lambda get: asyncio.wait_for(get(question), PLENTY_S))
    assert answer.status_code == 503
    assert "the store does not answer" in answer.json()["error"]


def test_many_questions_that_wait_silence_nothing_else_and_are_answered_in_turn(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PATIENCE_S", 60)
    sink.stalled.add("find")

    async def ask(get: Get) -> tuple[list[int], httpx.Response, set[int]]:
        waiting = [asyncio.create_task(get("/gpu/info")) for _ in range(MANY)]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(PLENTY_S):
            others = [(await get(path)).status_code for path in ("/livez", "/metrics", "/health")]
            monkeypatch.setattr(queries, "PATIENCE_S", 0.1)
            late = await get("/gpu/info")
        sink.stalled.clear()
        return others, late, {one.status_code for one in await asyncio.gather(*waiting)}

    others, late, answered = asked(sink, ask)
    assert others == [200, 200, 503]  # there is no broker, which /health tells
    assert (late.status_code, "others were first" in late.json()["error"]) == (503, True)
    assert answered == {404}


def test_health_checks_that_wait_silence_nothing_that_needs_no_store(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PING_S", 60)
    sink.stalled.add("ping")

    async def ask(get: Get) -> set[int]:
        waiting = [asyncio.create_task(get("/health")) for _ in range(MANY)]
        await asyncio.sleep(0.5)
        async with asyncio.timeout(PLENTY_S):
            others = {(await get(path)).status_code for path in ("/livez", "/metrics", "/lag")}
        sink.stalled.clear()
        await asyncio.gather(*waiting)
        return others

    assert asked(sink, ask) == {200}


def test_a_process_whose_loop_broke_is_said_to_be_no_good() -> None:
    app = create_app(settings_of("q", kafka="127.0.0.1:1", mongo="mongodb://127.0.0.1:1"))
    app.state.progress.fatal = "MemoryError()"

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://processor") as client:
            return await client.get("/livez")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()) == (503, {"status": "MemoryError()"})


def test_the_health_check_waits_long_enough_for_the_reason(sink: Sink) -> None:
    sink.stalled.add("ping")
    answer = asked(sink, lambda get: asyncio.wait_for(get("/health"), probe.PATIENCE_S))
    assert answer.status_code == 503
    assert any(problem.startswith("store: ") for problem in answer.json()["problems"])


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_put_in_the_order_of_an_index(sink: Sink, question: str) -> None:
    answer = asked(sink, lambda get: get(question))
    assert answer.status_code in {200, 404}
    (find,) = sink.finds
    alternatives = find["filter"].get("$and", [find["filter"]])
    conditions = {name for one in alternatives for name in one}
    equal = conditions - {"ts", "$or"}
    order = list(find.get("sort", {"ts": -1}))
    assert set(find.get("sort", {}).values()) <= {-1}  # or no index, read backwards, has it
    assert any(
        set(index[: len(equal)]) == equal and list(index[len(equal) :][: len(order)]) == order
        for index in INDEXES[find["find"]]
    )
    assert "after=" not in question or any(
        "ts" in one and "$or" in one for one in alternatives
    )  # where the page begins is found, not read up to


def test_letters_are_listed_in_the_order_of_an_index(sink: Sink) -> None:
    settings = settings_of("q", kafka="127.0.0.1:1", mongo=sink.uri)
    with contextlib.closing(store.Store(sink.uri, "telemetry")) as opened:
        Letters(settings, opened).list(5)
    (find,) = sink.finds
    assert (find["find"], tuple(find["sort"]) in INDEXES["dead_letters"]) == ("dead_letters", True)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("from=0001-01-01T00:00:00%2B14:00", "from is before the year 1"),
        ("to=9999-12-31T23:59:59-14:00", "to is before the year 1 or after 9999"),
        ("from=2026-01-01T00:00:00", "from has no time zone"),
        ("from=yesterday&limit=0", "from: Input should be a valid datetime"),
        (f"after={AFTER.replace('Z', '-14:00')}", "after is"),
    ],
)
def test_a_time_that_makes_no_sense_is_refused_by_name(sink: Sink, query: str, why: str) -> None:
    answer = asked(sink, lambda get: get(f"/gpu/metrics?host=a&{query}"))
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(why)


def test_each_answer_but_a_good_one_looks_as_documented(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PATIENCE_S", 0.5)

    async def ask(get: Get) -> tuple[Any, dict[tuple[str, str], set[str]]]:
        documented = (await get("/openapi.json")).json()["paths"]
        wrong = [f"{path}?limit=x&from=x" for path in documented]
        answers = [await get(one) for one in ("/health", "/readyz", *wrong)]
        sink.stalled.add("find")
        answers += [await get(one) for one in QUESTIONS]
        return documented, {
            (one.url.path, str(one.status_code)): set(one.json())
            for one in answers
            if one.status_code != 200
        }

    documented, seen = asked(sink, ask)
    examples = {
        (path, status): set(response["content"]["application/json"]["example"])
        for path, operation in documented.items()
        for status, response in operation["get"]["responses"].items()
        if status != "200"
    }
    del examples["/livez", "503"]  # only a loop that broke has it
    assert seen == examples
    assert list(documented["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
