"""A seeded simulation of GPUs at work and of the tokens that are used meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from producers.messages import Batch, GpuMetric, Message, TokenUsage, from_metric, from_usage

_HOSTS = ("gpu-a", "gpu-b")
_COSTS = {"llama-3-70b": 0.9e-6, "mistral-7b": 0.2e-6, "qwen-2-32b": 0.5e-6}  # US dollars a token
_MODELS = tuple(_COSTS)
_STEP_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a kind of GPU can do: MiB of memory, watts when idle and at full load."""

    memory_mb: float
    idle_w: float
    full_w: float


_CARDS = (
    Card(memory_mb=24_576, idle_w=28, full_w=350),  # RTX 3090
    Card(memory_mb=40_960, idle_w=52, full_w=400),  # A100 40GB
)


@dataclass(kw_only=True, slots=True)
class _Gpu:
    """One GPU's state: busy or idle for a while, utilization following with inertia."""

    host: str
    index: int
    busy: bool = False
    steps_left: int = 0
    utilization: float = 3.0


def simulate(*, count: int, seed: int, start: datetime, batch_size: int) -> Iterator[Batch]:
    """Yield `count` GPU and `count` token messages from `start` on, the same for the same seed.

    A GPU works in phases; its utilization drives memory and power, and tokens are used while
    GPUs are busy. Times advance by five seconds a round of all GPUs.
    """
    rng = random.Random(seed)
    gpus = [_Gpu(host=host, index=index) for host in _HOSTS for index in range(len(_CARDS))]
    ready: list[Message] = []
    ts = start
    for number in range(count):
        turn = number % len(gpus)
        if turn == 0:
            ts = start + timedelta(seconds=_STEP_S * (number // len(gpus)))
        gpu = gpus[turn]
        _advance(gpu, rng)
        ready.append(from_metric(_measure(gpu, ts, rng)))
        ready.append(from_usage(_use(gpu.utilization, ts, rng)))
        if len(ready) >= batch_size:
            yield Batch(messages=ready)
            ready = []
    if ready:
        yield Batch(messages=ready)


def _advance(gpu: _Gpu, rng: random.Random) -> None:
    if gpu.steps_left <= 0:
        gpu.busy = not gpu.busy if rng.random() < 0.8 else gpu.busy
        gpu.steps_left = rng.randint(6, 60)
    gpu.steps_left -= 1
    aim = rng.gauss(88, 6) if gpu.busy else rng.gauss(4, 2)
    gpu.utilization = min(100.0, max(0.0, gpu.utilization + 0.45 * (aim - gpu.utilization)))


def _measure(gpu: _Gpu, ts: datetime, rng: random.Random) -> GpuMetric:
    card, share = _CARDS[gpu.index], gpu.utilization / 100
    power = card.idle_w + (card.full_w - card.idle_w) * share**0.8 + rng.gauss(0, 2)
    memory = card.memory_mb * (0.02 + 0.75 * min(1.0, share * 1.1)) + rng.gauss(0, 64)
    return GpuMetric(
        gpu.host,
        gpu.index,
        round(gpu.utilization, 1),
        round(min(card.memory_mb, max(0.0, memory))),
        round(min(card.full_w * 1.05, max(card.idle_w * 0.8, power)), 1),
        ts,
    )


def _use(utilization: float, ts: datetime, rng: random.Random) -> TokenUsage:
    model = _MODELS[int(rng.random() * len(_MODELS))]
    scale = 0.2 + utilization / 100
    return TokenUsage(
        model,
        max(1, round(rng.lognormvariate(6, 0.8) * scale)),
        max(1, round(rng.lognormvariate(5.3, 0.7) * scale)),
        _COSTS[model],
        ts,
    )
