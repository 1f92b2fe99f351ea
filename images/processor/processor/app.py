"""The HTTP API: health for machines, metrics for monitors, measurements for people."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pymongo.errors import PyMongoError

from processor import examples, metrics
from processor.consumer import Pipeline
from processor.queries import PAGE_MOST, BusyError, Page, Queries, Span, to_json
from processor.settings import Settings
from processor.store import Store

DRAIN_S = 35  # Docker waits 45: answers on their way come first
_Host = Annotated[str, Query(max_length=256, description="Host name.", examples=["gpu-a"])]
_Model = Annotated[str, Query(max_length=256, description="Model.", examples=["llama-3-8b"])]
_Index = Annotated[int | None, Query(ge=0, le=1023, description="One GPU; all without.")]
_Limit = Annotated[int, Query(ge=1, le=PAGE_MOST, description="Most rows of the page.")]
_After = Annotated[str, Query(max_length=100, description="`after` of the page before.")]
_From = Annotated[
    datetime | None,
    Query(alias="from", description="Earliest time, with zone.", examples=["2026-11-24T12:00:00Z"]),
]
_To = Annotated[datetime | None, Query(alias="to", description="Time before which, with zone.")]


def _span(since: _From = None, until: _To = None) -> Span:
    span = Span(since=since and _utc("from", since), until=until and _utc("to", until))
    if span.since and span.until and span.since >= span.until:
        message = "from is not before to"
        raise ValueError(message)
    return span


def _utc(name: str, value: datetime) -> datetime:
    if value.tzinfo is None:
        message = f"{name} has no time zone; write it like 2026-11-24T12:00:00Z"
        raise ValueError(message)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        message = f"{name} is before the year 1 or after 9999 in UTC"
        raise ValueError(message) from None


_Span = Annotated[Span, Depends(_span)]


def _wanted(span: _Span, limit: _Limit = 100, after: _After = "") -> dict[str, Any]:
    """Return what every question by pages is asked with."""
    return {"span": span, "limit": limit, "after": after}


_Wanted = Annotated[dict[str, Any], Depends(_wanted)]


def create_app(settings: Settings, *, when_ended: Callable[[], None] = lambda: None) -> FastAPI:
    """Return the app; its lifespan owns the store and the consume loop.

    `when_ended` is called when the loop ends by itself.
    """
    store = Store(settings.mongo, settings.database)
    pipeline = Pipeline(settings, store, when_ended=when_ended)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pipeline.start()
        yield
        pipeline.stop(DRAIN_S)
        store.close()

    app = FastAPI(title="Bullion processor", version="1", lifespan=lifespan)
    app.state.progress = pipeline.progress
    _add_health(app, settings, store, pipeline)
    _add_queries(app, Queries(store.database))
    return app


def _add_health(app: FastAPI, settings: Settings, store: Store, pipeline: Pipeline) -> None:
    progress = pipeline.progress

    def problems_now() -> list[str]:
        problems = progress.problems()
        try:
            store.ping()
        except PyMongoError as error:
            problems.append(f"store: {str(error)[:200]}")
        return problems

    @_get(app, "/health", "Whether messages flow: 200, or 503 with the reasons")
    def health(response: Response) -> dict[str, Any]:
        problems = problems_now()
        response.status_code = 503 if problems else 200
        return {
            "status": "failing" if problems else "ok",
            "problems": problems,
            "consumed": progress.consumed,
            "stored": progress.stored,
            "duplicates": progress.duplicates,
            "dead_letters": progress.dead_letters,
            "assigned": progress.assigned,
        }

    # What asks no store takes no thread: it is answered while all threads wait for one.

    @_get(app, "/livez", "Whether the process should go on")
    async def livez(response: Response) -> dict[str, str]:
        response.status_code = 503 if progress.fatal else 200
        return {"status": progress.fatal or "ok"}

    @_get(app, "/readyz", "Whether it does its part: 200, or 503 with the reasons")
    def readyz(response: Response) -> dict[str, Any]:
        problems = problems_now()
        response.status_code = 503 if problems else 200
        return {"status": "failing" if problems else "ok", "problems": problems}

    @app.get(
        "/metrics",
        summary="Counters and gauges in Prometheus' text format",
        response_class=PlainTextResponse,
    )
    async def prometheus() -> Response:
        return Response(
            metrics.text(progress, settings.consumer_group), media_type="text/plain; version=0.0.4"
        )

    @_get(app, "/lag", "Messages per partition that are not yet committed")
    async def lag() -> dict[str, Any]:
        known = dict(progress.lag)
        return {"total": sum(known.values()), "partitions": known}

    @_get(app, "/parameters", "The parameters in force")
    async def parameters() -> dict[str, str | int]:
        return settings.parameters()


def _add_queries(app: FastAPI, queries: Queries) -> None:
    @app.exception_handler(PyMongoError)
    def away(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"the store does not answer: {str(error)[:200]}"}, 503)

    @app.exception_handler(BusyError)
    def busy(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": f"no answer in time: {error}"}, 503)

    @app.exception_handler(ValueError)
    def wrong(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def refused(_: Request, error: RequestValidationError) -> JSONResponse:
        found = (f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return JSONResponse({"error": "; ".join(found)}, 422)

    @_get(app, "/gpu/info", "The latest GPU measurement and its GPU")
    async def gpu_info() -> JSONResponse:
        latest = await queries.ask(queries.latest_gpu)
        if latest is None:
            return JSONResponse({"error": "no GPU measurement is stored yet"}, 404)
        return JSONResponse(to_json(latest))

    @_get(app, "/gpu/metrics", "Measurements of a host, the newest first, by pages")
    async def gpu_metrics(host: _Host, wanted: _Wanted, gpu_index: _Index = None) -> JSONResponse:
        return await queries.ask(
            lambda: _told(queries.gpu_metrics(host=host, gpu_index=gpu_index, **wanted))
        )

    @_get(app, "/tokens/usage", "Calls of a model, the newest first, by pages")
    async def token_usage(model: _Model, wanted: _Wanted) -> JSONResponse:
        return await queries.ask(lambda: _told(queries.token_usage(model=model, **wanted)))

    @_get(app, "/tokens/sums", "Calls, tokens and cost in US dollars per model")
    async def token_sums(span: _Span, model: _Model = "") -> list[dict[str, Any]]:
        return await queries.ask(lambda: queries.token_sums(model=model, span=span))


def _get(app: FastAPI, path: str, summary: str) -> Callable[[Any], Any]:
    """Return what adds a path to `app`, documented with examples of its answers."""
    return app.get(path, summary=summary, responses=examples.of(path))


def _told(page: Page) -> JSONResponse:
    return JSONResponse({"rows": to_json(page.rows), "after": page.after})
