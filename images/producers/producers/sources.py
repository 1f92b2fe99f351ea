"""Where messages come from: a seeded simulation, or a user's JSON Lines file.

Everything yields (kind, value): kind "gpu" or "token", value the JSON object to send.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

GPU, TOKEN = "gpu", "token"
_FIELDS = {
    GPU: {"host", "gpu_index", "utilization", "mem_used_mb", "power_w", "ts"},
    TOKEN: {"model", "prompt_tokens", "completion_tokens", "cost_per_token", "ts"},
}
_HOSTS = ("gpu-a", "gpu-b")
_MODELS = {"llama-3-70b": 0.9e-6, "mistral-7b": 0.2e-6, "qwen-2-32b": 0.5e-6}  # US dollars a token
_STEP_S = 5.0


class SourceError(Exception):
    """The file can't be sent; the message names the line."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a kind of GPU can do: MiB of memory, watts when idle and at full load."""

    memory_mb: float
    idle_w: float
    full_w: float


_CARDS = (
    Card(memory_mb=24_576, idle_w=28, full_w=350),  # RTX 3090
    Card(memory_mb=40_960, idle_w=52, full_w=400),  # A100 40GB
)


@dataclass
class _Load:
    """One GPU's state: busy or idle for a while, utilization following with inertia."""

    busy: bool = False
    steps_left: int = 0
    utilization: float = 3.0


def simulate(*, count: int, seed: int, start: datetime) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `count` GPU and `count` token messages from `start` on, the same for the same seed.

    A GPU works in phases; its utilization drives memory and power, and tokens are used while
    GPUs are busy. Times advance by five seconds a round of all GPUs.
    """
    rng = random.Random(seed)
    gpus = [(host, index) for host in _HOSTS for index in range(len(_CARDS))]
    loads = {gpu: _Load() for gpu in gpus}
    for number in range(count):
        host, index = gpus[number % len(gpus)]
        ts = (start + timedelta(seconds=_STEP_S * (number // len(gpus)))).isoformat()
        load = _advance(loads[host, index], rng)
        yield GPU, _measure(host, index, load, rng) | {"ts": ts}
        yield TOKEN, _usage(load, rng) | {"ts": ts}


def read_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the messages of a JSON Lines file, each recognised by its fields.

    Raises:
        SourceError: the file can't be read, or a line is none of both kinds; nothing is sent.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} can't be read: {error}"
        raise SourceError(message) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.append((_kind(line, f"{path} line {number}"), json.loads(line)))
    if not found:
        message = f"{path} holds no messages"
        raise SourceError(message)
    return found


def _kind(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        message = f"{where} is not JSON: {error}"
        raise SourceError(message) from error
    fields = set(value) if isinstance(value, dict) else set()
    for kind, needed in _FIELDS.items():
        if needed <= fields:
            return kind
    gpu, token = (", ".join(sorted(_FIELDS[kind])) for kind in (GPU, TOKEN))
    message = (
        f"{where} has neither the fields of a GPU message ({gpu}) nor of a token message ({token})"
    )
    raise SourceError(message)


def _advance(load: _Load, rng: random.Random) -> _Load:
    if load.steps_left <= 0:
        load.busy = not load.busy if rng.random() < 0.8 else load.busy
        load.steps_left = rng.randint(6, 60)
    load.steps_left -= 1
    aim = rng.gauss(88, 6) if load.busy else rng.gauss(4, 2)
    load.utilization = min(100.0, max(0.0, load.utilization + 0.45 * (aim - load.utilization)))
    return load


def _measure(host: str, index: int, load: _Load, rng: random.Random) -> dict[str, Any]:
    card, share = _CARDS[index], load.utilization / 100
    power = card.idle_w + (card.full_w - card.idle_w) * share**0.8 + rng.gauss(0, 2)
    memory = card.memory_mb * (0.02 + 0.75 * min(1.0, share * 1.1)) + rng.gauss(0, 64)
    return {
        "host": host,
        "gpu_index": index,
        "utilization": round(load.utilization, 1),
        "mem_used_mb": round(min(card.memory_mb, max(0.0, memory))),
        "power_w": round(min(card.full_w * 1.05, max(card.idle_w * 0.8, power)), 1),
    }


def _usage(load: _Load, rng: random.Random) -> dict[str, Any]:
    model = rng.choice(list(_MODELS))
    scale = 0.2 + load.utilization / 100
    return {
        "model": model,
        "prompt_tokens": max(1, round(rng.lognormvariate(6, 0.8) * scale)),
        "completion_tokens": max(1, round(rng.lognormvariate(5.3, 0.7) * scale)),
        "cost_per_token": _MODELS[model],
    }
