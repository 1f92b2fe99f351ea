"""How many documents the deployed store has."""

from __future__ import annotations

from collections.abc import Mapping

from runtime import wait
from runtime.cloud import machines
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.verify import workflow

ARRIVE_S = 300


def counts(target: Target) -> dict[str, int]:
    """Return documents per collection."""
    return workflow.counts(target, machines.find(target, Role.MONGO))


def arrive(target: Target, wanted: Mapping[str, int]) -> dict[str, int]:
    """Wait until each collection has as many as wanted, and a bit; return how many it has then."""
    wait.until(
        lambda: all(counts(target)[name] >= number for name, number in wanted.items()),
        what=str(wanted),
        timeout_s=ARRIVE_S,
        every_s=2,
        last=lambda: str(counts(target)),
    )
    wait.pause(workflow.SETTLE_S)
    return counts(target)
