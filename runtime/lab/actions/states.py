"""The states that machines are on their way to, and one hand at a time on each machine.

moto changes a state the moment it is asked to. Here a state that is not true yet is held back:
descriptions show, and filters match, the one that a machine is passing through.
"""

from __future__ import annotations

import contextlib
import fnmatch
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from runtime.lab import translations
from runtime.lab.ec2 import Ec2, Parameters, Refused, text

State = tuple[int, str]
PENDING: State = (0, "pending")
RUNNING: State = (16, "running")
SHUTTING_DOWN: State = (32, "shutting-down")
STOPPING: State = (64, "stopping")
_PAGE = ("MaxResults", "NextToken")
_FILTERS = {"instance-state-code": "code", "instance-state-name": "name"}


@dataclass
class States:
    """What the machines of a lab are passing through.

    `recording` is held while a record and the state that holds it back are made, so that nobody
    sees one without the other.
    """

    ec2: Ec2
    recording: threading.RLock = field(default_factory=threading.RLock)
    _passing: dict[str, State] = field(default_factory=dict)
    _locks: dict[str, threading.RLock] = field(default_factory=dict)

    def of(self, machine_id: str) -> State:
        """Return the state that a machine is in, or passing through.

        Raises:
            Refused: there is no such machine.
        """
        with self.recording:
            recorded = self.ec2.machine(machine_id)
            was = (
                int(text(recorded, "instanceState/code")),
                text(recorded, "instanceState/name"),
            )
            return self._passing.get(machine_id, was)

    def hand_on(self, machine_id: str) -> threading.RLock:
        """Return what whoever does something to a machine holds meanwhile."""
        with self.recording:
            return self._locks.setdefault(machine_id, threading.RLock())

    def under_way(self) -> set[str]:
        """Return the machines that something is being done with."""
        with self.recording:
            return set(self._passing)

    def begin(self, machine_id: str, state: State) -> None:
        """Show a machine as passing through `state` from now on."""
        with self.recording:
            self._passing[machine_id] = state

    def end(self, machine_id: str, state: State) -> None:
        """Show a machine as it is recorded, unless something else has begun since."""
        with self.recording:
            if self._passing.get(machine_id) == state:
                del self._passing[machine_id]

    @contextlib.contextmanager
    def passing(self, machine_id: str, state: State) -> Iterator[None]:
        """Show `state` and have a hand on the machine during the body."""
        self.begin(machine_id, state)
        try:
            with self.hand_on(machine_id):
                yield
        finally:
            self.end(machine_id, state)

    def require(self, ids: Iterable[str], allowed: Sequence[str], *, to: str) -> None:
        """Refuse unless every machine is in one of the `allowed` states, from which it can `to`."""
        for machine_id in ids:
            if self.of(machine_id)[1] not in allowed:
                message = (
                    f"The instance '{machine_id}' is not in a state from which it can be {to}."
                )
                raise Refused("IncorrectInstanceState", message)

    def ask(self, action: str, asked: Parameters) -> ET.Element:
        """Ask for a description; show true states, and filter by those."""
        kept, wanted = take_filters(asked, _FILTERS)
        if wanted:  # of one page alone, moto would have chosen the rest before we do
            kept = {key: value for key, value in kept.items() if key not in _PAGE}
        with self.recording:
            found = self.ec2.ask(action, kept)
            translations.show_states(found, self._passing)
        for name, patterns in wanted:
            keep_matching(found, f"instanceState/{_FILTERS[name]}", patterns)
        return found


def take_filters(
    asked: Parameters, names: Iterable[str]
) -> tuple[Parameters, list[tuple[str, list[str]]]]:
    """Split filters called one of `names` off a request: (the rest, [(name, values)])."""
    filters: dict[int, tuple[str, list[str]]] = {}
    kept = {}
    for key, value in asked.items():
        match = re.fullmatch(r"Filter\.(\d+)\.(Name|Value\.\d+)", key)
        if not match:
            kept[key] = value
            continue
        name, values = filters.get(int(match[1]), ("", []))
        filters[int(match[1])] = (value, values) if match[2] == "Name" else (name, [*values, value])
    taken = [one for _, one in sorted(filters.items()) if one[0] in names]
    others = [one for _, one in sorted(filters.items()) if one[0] not in names]
    for number, (name, values) in enumerate(others, start=1):
        kept[f"Filter.{number}.Name"] = name
        for at, value in enumerate(values, start=1):
            kept[f"Filter.{number}.Value.{at}"] = value
    return kept, taken


def keep_matching(found: ET.Element, path: str, patterns: Sequence[str]) -> None:
    """Drop the items that have something else at `path`, and reservations left without any."""
    for parent in list(found.iter()):
        for item in list(parent.findall("item")):
            value = item.findtext(path)
            if value is not None and not any(
                fnmatch.fnmatchcase(value, pattern) for pattern in patterns
            ):
                parent.remove(item)
    reservations = found.find("reservationSet")
    if reservations is not None:
        for item in list(reservations):
            if item.find("instancesSet/item") is None:
                reservations.remove(item)
