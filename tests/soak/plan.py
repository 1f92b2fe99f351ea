"""What is done to whom and when, from a seed; pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LOAD_S = 14.0  # of a round, in which faults begin and end
LONGEST_S = 8.0  # of a fault


class Target(StrEnum):
    """Who it is done to; one thing at a time to each."""

    BROKER = "kafka"
    STORE = "mongo"
    PROCESSOR = "processor"
    SECOND = "processor-2"
    THIRD = "processor-3"


class Fault(StrEnum):
    """What is done, and taken back some seconds later."""

    KILL = "killed"  # by SIGKILL; started again
    HANG = "hung"  # frozen, so that connections stay open and say nothing
    RESTART = "stopped"  # by SIGTERM; started again
    CUT = "cut off"  # from the network
    COME = "come and killed"  # started, and killed for good


_FAULTS = {
    Target.BROKER: (Fault.KILL, Fault.HANG, Fault.RESTART),
    Target.STORE: (Fault.KILL, Fault.HANG, Fault.RESTART),
    Target.PROCESSOR: (Fault.KILL, Fault.HANG, Fault.RESTART, Fault.CUT),
    Target.SECOND: (Fault.COME,),
    Target.THIRD: (Fault.COME,),
}


@dataclass(frozen=True, kw_only=True, order=True)
class Event:
    """A fault from `begins_s` to `ends_s` after the round's start."""

    begins_s: float
    ends_s: float
    target: Target
    fault: Fault

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.target} {self.fault} {self.begins_s:.1f}-{self.ends_s:.1f} s"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One end of an event: the fault begins, or is taken back."""

    at_s: float
    event: Event
    begins: bool


def events(seed: int, number: int) -> list[Event]:
    """Return what happens in a round: two to four targets have one fault each."""
    rng = random.Random(f"{seed} {number}")
    found = []
    for target in rng.sample(list(Target), rng.randint(2, 4)):
        begins_s = rng.uniform(0.5, LOAD_S - LONGEST_S)
        ends_s = begins_s + rng.uniform(1.0, LONGEST_S)
        fault = rng.choice(_FAULTS[target])
        found.append(Event(begins_s=begins_s, ends_s=ends_s, target=target, fault=fault))
    return sorted(found)


def steps(happening: Sequence[Event]) -> list[Step]:
    """Return the beginnings and ends of events in the order of time."""
    both = [
        step
        for one in happening
        for step in (
            Step(at_s=one.begins_s, event=one, begins=True),
            Step(at_s=one.ends_s, event=one, begins=False),
        )
    ]
    return sorted(both, key=lambda step: step.at_s)
