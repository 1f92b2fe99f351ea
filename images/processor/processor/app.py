"""The HTTP API: health for machines, the latest GPU for people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bson import ObjectId
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pymongo.errors import PyMongoError

from processor.consumer import Pipeline
from processor.settings import Settings
from processor.store import Store

DRAIN_S = 40


def create_app(settings: Settings) -> FastAPI:
    """Return the app; its lifespan owns the store and the consume loop."""
    store = Store(settings.mongo, settings.database)
    pipeline = Pipeline(settings, store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pipeline.start()
        yield
        pipeline.stop(DRAIN_S)
        store.close()

    app = FastAPI(title="Bullion processor", version="1", lifespan=lifespan)

    @app.get("/health", summary="Whether messages flow: 200, or 503 with the reasons")
    def health(response: Response) -> dict[str, Any]:
        problems = pipeline.progress.problems()
        try:
            store.ping()
        except PyMongoError as error:
            problems.append(f"store: {str(error)[:200]}")
        response.status_code = 503 if problems else 200
        progress = pipeline.progress
        return {
            "status": "failing" if problems else "ok",
            "problems": problems,
            "consumed": progress.consumed,
            "stored": progress.stored,
            "dead_letters": progress.dead_letters,
            "assigned": progress.assigned,
        }

    @app.get("/livez", summary="Whether the process should go on")
    def livez(response: Response) -> dict[str, str]:
        response.status_code = 503 if pipeline.progress.fatal else 200
        return {"status": pipeline.progress.fatal or "ok"}

    @app.get("/parameters", summary="The parameters in force")
    def parameters() -> dict[str, str | int]:
        return settings.parameters()

    @app.get("/gpu/info", summary="The latest GPU measurement and its GPU")
    def gpu_info() -> JSONResponse:
        try:
            latest = store.latest_gpu()
        except PyMongoError as error:
            return JSONResponse({"error": f"the store does not answer: {str(error)[:200]}"}, 503)
        if latest is None:
            return JSONResponse({"error": "no GPU measurement is stored yet"}, 404)
        return JSONResponse(to_json(latest))

    return app


def to_json(value: Any) -> Any:
    """Return a document with its keys and times as text."""
    if isinstance(value, dict):
        return {key: to_json(inner) for key, inner in value.items()}
    if isinstance(value, ObjectId):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value
