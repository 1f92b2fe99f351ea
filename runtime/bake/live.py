"""What a person sees of bakes that go on: one table, a row per role."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Mapping, Sequence

from runtime import console
from runtime.bake.packer import Progress
from runtime.contract.roles import Role


def draw_until_done(
    started: Sequence[concurrent.futures.Future[None]],
    progress: Mapping[Role, Progress],
    past: Mapping[Role, float],
) -> None:
    """Redraw the table until every bake has ended; `past` are the seconds of the last ones."""
    live = console.Live()
    pending = set(started)
    while pending:
        _, pending = concurrent.futures.wait(pending, timeout=0.5)
        live.draw(
            draw(progress, past, now=time.monotonic()),
            plain=[f"{p.role}: {p.phase}" for p in progress.values()],
        )


def draw(progress: Mapping[Role, Progress], past: Mapping[Role, float], *, now: float) -> list[str]:
    """Return the live table: role, phase, elapsed, remaining from the last run, AMI id."""
    rows = []
    for role, state in progress.items():
        elapsed = now - state.started
        left = past.get(role, 0.0) - elapsed
        over = state.phase in {"done", "failed"}
        spent = sum(state.seconds.values()) if over else elapsed
        remaining = "" if over or left <= 0 else f"~{console.duration(left)}"
        rows.append((role, state.phase, console.duration(spent), remaining, state.ami_id))
    return console.layout(rows, header=("role", "phase", "elapsed", "remaining", "AMI"))
