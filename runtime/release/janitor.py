"""What of the leftovers may go: those whose run is over; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runtime.cloud.leftovers import RUN_TIME, Leftover

PATIENCE = timedelta(hours=3)  # longer than a bake or a trial is given


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is to happen to one leftover, and why."""

    leftover: Leftover
    goes: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What is known here of the runs that leftovers belong to.

    Attributes:
        at_work: runs whose file a process holds.
        killed: runs whose file is there and held by nobody.
        is_shared: whether other computers work on the target, too, whose runs are not known here.
    """

    at_work: Collection[str]
    killed: Collection[str]
    is_shared: bool


def plan(found: Sequence[Leftover], runs: Runs, *, now: datetime) -> list[Verdict]:
    """Return a verdict for each leftover, in the order given.

    Of a run that is not known here, only what is older than `PATIENCE` goes where others may be
    at work on the target; its age is that of the oldest thing it made.
    """
    born: dict[str, datetime] = {}
    for one in found:
        times = [time for time in (one.born, _began(one.owner), born.get(one.owner)) if time]
        if times:
            born[one.owner] = min(times)
    return [_judge(one, runs, born=born.get(one.owner), now=now) for one in found]


def _judge(one: Leftover, runs: Runs, *, born: datetime | None, now: datetime) -> Verdict:
    if one.owner in runs.at_work:
        return Verdict(leftover=one, goes=False, why="its run is at work")
    if one.owner in runs.killed:
        return Verdict(leftover=one, goes=True, why="its run was killed")
    if not runs.is_shared:
        return Verdict(leftover=one, goes=True, why="no run is at work here")
    if born is None:
        return Verdict(leftover=one, goes=False, why="nothing tells its age")
    hours = PATIENCE.total_seconds() / 3600
    if now - born > PATIENCE:
        return Verdict(leftover=one, goes=True, why=f"its run began over {hours:g} h ago")
    why = f"perhaps a run of another computer at work: younger than {hours:g} h"
    return Verdict(leftover=one, goes=False, why=why)


def _began(run: str) -> datetime | None:
    try:
        return datetime.strptime(run.partition("-")[0], RUN_TIME).replace(tzinfo=UTC)
    except ValueError:
        return None
