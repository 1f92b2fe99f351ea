"""What the producers take for a message is what the processor stores."""

from __future__ import annotations

import json

import msgspec
import pytest
from processor import events
from producers import messages
from producers.messages import GPU, TOKEN, SourceError, from_line

GPU_VALUE = {
    "host": "a",
    "gpu_index": 0,
    "utilization": 1.5,
    "mem_used_mb": 2,
    "power_w": 3,
    "ts": "2026-11-24T12:00:00Z",
}
TOKEN_VALUE = {
    "model": "m",
    "prompt_tokens": 1,
    "completion_tokens": 2,
    "cost_per_token": 0.1,
    "ts": "2026-11-24T12:00:00+02:00",
}


@pytest.mark.parametrize("name", ["GpuMetric", "TokenUsage"])
def test_both_programs_have_the_same_fields_with_the_same_bounds(name: str) -> None:
    ours, theirs = (
        msgspec.json.schema(getattr(of, name))["$defs"][name] for of in (messages, events)
    )
    assert ours["properties"] == theirs["properties"]
    assert sorted(ours["required"]) == sorted(theirs["required"])


@pytest.mark.parametrize(
    "line",
    [
        json.dumps(GPU_VALUE).encode(),
        json.dumps(GPU_VALUE | {"more": [1]}).encode(),
        json.dumps(GPU_VALUE | {"utilization": 100.5}).encode(),
        json.dumps(GPU_VALUE | {"gpu_index": "0"}).encode(),
        json.dumps(GPU_VALUE | {"power_w": None}).encode(),
        json.dumps(GPU_VALUE | {"host": ""}).encode(),
        json.dumps(GPU_VALUE | {"host": "a\0b"}).encode(),
        json.dumps(GPU_VALUE | {"host": "a\\u0000b"}).encode(),
        json.dumps(GPU_VALUE | {"ts": "2026-11-24T12:00:00"}).encode(),
        json.dumps(GPU_VALUE | {"ts": "2026-11-24T12:00:00-03:30"}).encode(),
        json.dumps(GPU_VALUE | {"ts": "0001-01-01T00:00:00+14:00"}).encode(),
        json.dumps(GPU_VALUE | {"mem_used_mb": float("nan")}).encode(),
        json.dumps(GPU_VALUE | {"mem_used_mb": 9223372036854775794}).encode(),
        b"\xff" + json.dumps(GPU_VALUE).encode(),
        b"[" * 100_000,
    ],
)
def test_a_line_is_refused_where_the_processor_would_set_it_aside(line: bytes) -> None:
    try:
        events.decode(line, events.GpuMetric)
    except events.PoisonError:
        with pytest.raises(SourceError, match="line 7"):
            from_line(line, "mine", 7)
    else:
        assert from_line(line, "mine", 7) == (GPU, json.loads(line)["host"].encode(), line)


def test_a_kind_is_known_by_its_fields_whatever_else_there_is() -> None:
    token = json.dumps(TOKEN_VALUE | {"host": "b"}).encode()
    escaped = json.dumps(GPU_VALUE).replace("host", "h\\u006fst").encode()
    assert from_line(token, "", 1) == (TOKEN, b"m", token)
    assert from_line(escaped, "", 1) == (GPU, b"a", escaped)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"nonsense", "is not JSON"),
        (json.dumps(GPU_VALUE).encode()[:40], "is not JSON: Input data was truncated"),
        (b"{}", "has neither the fields of a GPU message"),
        (b"[1]", "has neither the fields"),
        (json.dumps(TOKEN_VALUE | {"prompt_tokens": -1}).encode(), "token message: .*>= 0"),
        (json.dumps(GPU_VALUE | {"more": "x" * 900_000}).encode(), "longer than 900000 bytes"),
    ],
)
def test_a_refusal_says_why(line: bytes, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        from_line(line, "mine", 1)
