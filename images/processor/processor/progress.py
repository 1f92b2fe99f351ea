"""What the consume loop has come to: written by the loop alone, read by the HTTP API."""

from __future__ import annotations

import collections
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from processor.faults import Kind

SILENT_S = 60.0  # a loop that has not polled for so long is stuck
WINDOW = 1000  # messages; when most of the last so many are no documents, something is wrong
_UNREADY = 0.5


@dataclass
class Progress:
    """Counters since the start, and how things stand.

    Attributes:
        lag: {topic/partition: messages not yet committed}, as of the last look.
        sink: what is wrong with the store, "" if nothing.
        kafka: why messages that were taken wait, "" if they do not.
        fatal: why the loop has ended, "" while it has not.
        newest_s: when the message that was stored last was sent, in seconds since 1970; before
            the first, when the program started.
        last_commit_s: when Kafka confirmed a commit last, likewise; 0 if never.
    """

    consumed: int = 0
    stored: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    retries: int = 0
    commits: int = 0
    commit_failures: int = 0
    rebalances: int = 0
    in_flight: int = 0
    assigned: list[str] = field(default_factory=list)
    lag: Mapping[str, int] = field(default_factory=dict)
    sink: str = ""
    sink_kind: Kind | None = None
    kafka: str = ""
    fatal: str = ""
    newest_s: float = field(default_factory=time.time)
    last_commit_s: float = 0.0
    last_poll: float = field(default_factory=time.monotonic)
    _recent: collections.deque[tuple[int, int]] = field(default_factory=collections.deque)

    def add(self, *, size: int, stored: int, duplicates: int, dead_letters: int) -> None:
        """Count a batch that is stored."""
        self.consumed += size
        self.stored += stored
        self.duplicates += duplicates
        self.dead_letters += dead_letters
        self._recent.append((size, dead_letters))
        while sum(one for one, _ in self._recent) - self._recent[0][0] >= WINDOW:
            self._recent.popleft()

    @property
    def time_lag_s(self) -> float:
        """Return how old the message is that was stored last, 0 when all are stored."""
        return max(0.0, time.time() - self.newest_s) if any(self.lag.values()) else 0.0

    @property
    def bad_share(self) -> float:
        """Return which part of the last thousand messages became dead letters, 0 of fewer."""
        recent = list(self._recent)
        size = sum(one for one, _ in recent)
        return sum(bad for _, bad in recent) / size if size >= WINDOW else 0.0

    def problems(self) -> list[str]:
        """Return why messages do not flow as they should, nothing if they do."""
        found = []
        if self.fatal:
            found.append(f"stopped: {self.fatal}")
        if not self.assigned:
            found.append("no partitions assigned")
        if self.sink:
            found.append(f"store: {self.sink}")
        if self.kafka:
            found.append(f"kafka: {self.kafka}")
        if self.bad_share > _UNREADY:
            share = round(100 * self.bad_share)
            found.append(f"{share} % of the last messages are dead letters: has a format changed?")
        if time.monotonic() - self.last_poll > SILENT_S:
            found.append(f"the loop has not polled for {SILENT_S:g} s")
        return found
