"""What the lab itself must remember about EC2 things, because moto has no place for it.

One JSON file, replaced as a whole at every change: {kind: {id: {name: value}}}. Examples are an
AMI that was disabled and an instance that is to be terminated when it powers off.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

from runtime.errors import LabError

INSTANCE, AMI, VOLUME = "instance", "ami", "volume"  # kinds
LAUNCHING = "launching"  # `heading` of an instance whose launch was not answered yet


class Records:
    """Facts by kind and id, kept over a restart of the lab."""

    def __init__(self, path: Path) -> None:
        """Read `path`, which need not exist yet."""
        self._path = path
        self._lock = threading.RLock()
        self._facts: dict[str, dict[str, dict[str, Any]]] = {}
        try:
            if path.exists():
                self._facts = json.loads(path.read_text())
        except ValueError as error:
            message = f"the lab's records {path} are damaged: {error}"
            raise LabError(message, hint="put back a copy of it, or ./invoke lab.reset") from error

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return what is remembered of one thing, {} if nothing is."""
        with self._lock:
            return dict(self._facts.get(kind, {}).get(name, {}))

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return {id: facts} of all things of a kind."""
        with self._lock:
            return {name: dict(facts) for name, facts in self._facts.get(kind, {}).items()}

    def update(self, kind: str, name: str, **facts: Any) -> None:
        """Remember facts of one thing, beside those that are remembered already."""
        with self._lock:
            self._facts.setdefault(kind, {}).setdefault(name, {}).update(facts)
            self._save()

    def drop(self, kind: str, name: str, **facts: Any) -> None:
        """Forget those facts of one thing that are still as told here."""
        with self._lock:
            known = self._facts.get(kind, {}).get(name, {})
            if gone := [fact for fact, value in facts.items() if known.get(fact) == value]:
                for fact in gone:
                    del known[fact]
                self._save()

    def forget(self, kind: str, name: str) -> None:
        """Forget one thing; one that is not known is no error."""
        with self._lock:
            if self._facts.get(kind, {}).pop(name, None) is not None:
                self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self._facts, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())  # the journal is: after a loss of power they must agree
        new.replace(self._path)
