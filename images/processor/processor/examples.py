"""What each answer looks like, for the API's documentation."""

from __future__ import annotations

from typing import Any

_GPU = {
    "_id": "9d1c6f2a0003000000000046",
    "host": "gpu-a",
    "gpu_index": 0,
    "utilization": 87.4,
    "mem_used_mb": 18204.0,
    "power_w": 311.2,
    "ts": "2026-11-24T12:00:00Z",
}
_CARD = {
    "_id": "674311c09c3a5e0001d0a1b2",
    "gpu_index": 0,
    "name": "RTX 3090",
    "price_per_hour_usd": 0.22,
}
_USE = {
    "_id": "5be0917c0001000000000012",
    "model": "llama-3-70b",
    "prompt_tokens": 412,
    "completion_tokens": 96,
    "cost_per_token": 9e-07,
    "ts": "2026-11-24T12:00:00Z",
}
_AFTER = "2026-11-24T12:00:00Z_9d1c6f2a0003000000000046"

ANSWERS: dict[str, Any] = {
    "/health": {
        "status": "ok",
        "problems": [],
        "consumed": 1200,
        "stored": 1198,
        "duplicates": 0,
        "dead_letters": 2,
        "assigned": ["gpu.metrics.v1/0", "token.usage.v1/0"],
    },
    "/livez": {"status": "ok"},
    "/readyz": {"status": "ok", "problems": []},
    "/lag": {"total": 3, "partitions": {"gpu.metrics.v1/0": 3, "token.usage.v1/0": 0}},
    "/parameters": {
        "gpu_topic": "gpu.metrics.v1",
        "token_topic": "token.usage.v1",
        "database": "telemetry",
        "consumer_group": "processor",
        "consume_batch": 2000,
    },
    "/gpu/info": _GPU | {"gpu": _CARD},
    "/gpu/metrics": {"rows": [_GPU], "after": _AFTER},
    "/tokens/usage": {"rows": [_USE], "after": ""},
    "/tokens/sums": [
        {
            "model": "llama-3-70b",
            "calls": 2,
            "prompt_tokens": 824,
            "completion_tokens": 192,
            "cost_usd": 0.0009144,
        }
    ],
}
_AWAY = {"status": "failing", "problems": ["store: 10.20.1.11:27017: connection refused"]}
_REFUSED = {"error": "limit: Input should be less than or equal to 1000"}
_SILENT = {"error": "the store does not answer: 10.20.1.11:27017: timed out"}

FAILURES: dict[str, dict[int, Any]] = {
    "/health": {503: ANSWERS["/health"] | _AWAY},
    "/livez": {503: {"status": "MemoryError: out of memory"}},
    "/readyz": {503: _AWAY},
    "/gpu/info": {404: {"error": "no GPU measurement is stored yet"}, 503: _SILENT},
    "/gpu/metrics": {422: _REFUSED, 503: _SILENT},
    "/tokens/usage": {422: _REFUSED, 503: _SILENT},
    "/tokens/sums": {422: {"error": "from is not before to"}, 503: _SILENT},
}


def of(path: str) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of what a path answers, by status."""
    answers = {200: ANSWERS[path]} | FAILURES.get(path, {})
    return {
        status: {"content": {"application/json": {"example": example}}}
        for status, example in answers.items()
    }
