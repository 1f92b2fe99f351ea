"""Carries out a plan of what may go: out of reach, looked at once more, gone, proven gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from runtime import console, wait
from runtime.cloud import stock
from runtime.cloud.references import References
from runtime.cloud.target import Target
from runtime.errors import CloudError, WaitError
from runtime.release import ledger
from runtime.release.prune import Item, Plan, needed_by

GONE_S = 30  # EC2 may tell of an AMI or snapshot a while after it is gone
Look = Callable[[Collection[str]], References]  # who needs which AMI; asks of these in particular


@dataclass(kw_only=True)
class Outcome:
    """What became of a plan.

    Attributes:
        gone: names of what is removed.
        kept: {name: who came to need it after the plan was made}.
        snapshots: how many went.
    """

    gone: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    snapshots: int = 0


class _NeededError(Exception):
    """Somebody came to need it meanwhile."""


def carry_out(target: Target, folder: Path, plan: Plan, *, look: Look) -> Outcome:
    """Remove what a plan says may go, unless somebody needs it by now.

    First nobody can launch it any more, then `look` tells once more who needs it, then it goes:
    what was launched since the plan was made stays, whole, and can be launched again.

    Raises:
        CloudError: EC2 refuses, or an AMI or snapshot is still there afterwards; names it.
    """
    outcome = Outcome()
    for item in plan.go:
        with console.step(f"Removing {item.name}"):
            try:
                _remove(target, folder, item, look)
            except _NeededError as who:
                outcome.kept[item.name] = str(who)
                continue
        outcome.gone.append(item.name)
        outcome.snapshots += sum(len(ami.snapshots) for ami in item.amis)
    return outcome


def _remove(target: Target, folder: Path, item: Item, look: Look) -> None:
    with stock.withdrawn(target, item.amis):
        if who := needed_by(item, look([ami.id for ami in item.amis])):
            raise _NeededError(", ".join(who))
        if item.version:
            ledger.retire(folder, item.version)
        for ami in item.amis:
            stock.remove(target, ami)
    left: list[str] = []

    def is_gone() -> bool:
        left[:] = stock.left(target, item.amis)
        return not left

    try:
        wait.until(is_gone, what=f"{item.name} to be gone", timeout_s=GONE_S, every_s=1)
    except WaitError as error:
        message = f"still there after removing {item.name}: {', '.join(left)}"
        hint = "./invoke release.prune once more; see who holds them"
        raise CloudError(message, hint=hint) from error
