"""One Packer process: its command, and its progress out of `-machine-readable` rows.

Rows are `timestamp,target,type,data…`, with commas written as %!(PACKER_COMMA). Only `artifact`
rows tell the AMI's id; what Packer says for people tells the phase and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime import proc
from runtime.contract.roles import Role
from runtime.errors import BakeError

TIMEOUT_S = 3600
_PHASES = (  # what Packer says → the phase that begins; the order in which they come
    (re.compile(r"Prevalidating"), "preparing"),
    (re.compile(r"Launching a source AWS instance"), "launching"),
    (re.compile(r"Waiting for SSH"), "booting"),
    (re.compile(r"Uploading "), "uploading"),
    (re.compile(r"Provisioning with shell script: .*/(?P<step>[\w-]+)\.sh"), "{step}"),
    (re.compile(r"Stopping the source instance"), "stopping"),
    (re.compile(r"Creating AMI"), "creating AMI"),
    (re.compile(r"Terminating the source AWS instance"), "cleaning up"),
)


@dataclass
class Progress:
    """Where a bake is; fed with rows, read by whoever draws it."""

    role: Role
    phase: str = "waiting"
    ami_id: str = ""
    failed: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    tail: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _phase_began: float = field(default_factory=time.monotonic)

    def feed(self, row: str, *, now: float) -> None:
        """Take one row of output at the time `now` (seconds, monotonic)."""
        kind, data = parse_row(row)
        if kind == "ui":
            text = data[1] if len(data) > 1 else ""
            self.tail = [*self.tail, *text.splitlines()][-40:]
            if phase := phase_of(text):
                self.enter(phase, now=now)
        elif kind == "artifact" and data[1:2] == ["id"]:
            self.ami_id = data[2].rpartition(":")[2]

    def enter(self, phase: str, *, now: float) -> None:
        """Begin a phase; the one before it ends."""
        if phase != self.phase:
            self.seconds[self.phase] = self.seconds.get(self.phase, 0.0) + now - self._phase_began
            self.phase, self._phase_began = phase, now


def parse_row(row: str) -> tuple[str, list[str]]:
    """Return the type and data of a machine-readable row; ("", []) if it is none."""
    parts = row.split(",")
    if len(parts) < 3 or not parts[0].isdigit():
        return "", []
    return parts[2], [_plain(part) for part in parts[3:]]


def phase_of(text: str) -> str:
    """Return the phase that begins with what Packer says, "" if none does."""
    for pattern, name in _PHASES:
        if match := pattern.search(text):
            return name.format(**match.groupdict())
    return ""


def bake(
    role: Role,
    *,
    packer: str,
    folder: Path,
    variables: Mapping[str, object],
    env: Mapping[str, str],
    var_files: Sequence[Path],
    work: Path,
    progress: Progress,
    over: threading.Event,
    marker: int,
) -> str:
    """Run one bake to its end and return the AMI's id.

    Setting `over` interrupts Packer once, which then cleans up what it made. Packer inherits
    `marker`, the run's lock, which so tells of a Packer that outlives us.

    Raises:
        BakeError: Packer failed; with the last lines it said.
    """
    values = work / f"{role}.pkrvars.json"
    values.write_text(json.dumps(dict(variables), indent=1))
    argv: list[str | Path] = [
        packer,
        "build",
        "-machine-readable",
        *(f"-var-file={path}" for path in (*var_files, values)),
        folder,
    ]
    # In the work folder, as an interrupted Packer may leave a crash.log where it stands.
    with (
        proc.stream(argv, env=env, cwd=work, inherits=[marker]) as running,
        (work / f"{role}.log").open("w", buffering=1) as log,  # by line: it outlives us
        _interrupted_by(over, running),
    ):
        for row in running.lines:
            log.write(row + "\n")
            progress.feed(row, now=time.monotonic())
        status = running.wait(TIMEOUT_S)
    progress.enter("done" if status == 0 else "failed", now=time.monotonic())
    if status == 0 and progress.ami_id:
        return progress.ami_id
    progress.failed = True
    said = "\n".join(f"  | {line}" for line in progress.tail[-15:])
    message = f"baking {role} failed (packer ended with {status}):\n{said}"
    raise BakeError(message, hint=f"the whole log is {work / f'{role}.log'}")


@contextlib.contextmanager
def _interrupted_by(over: threading.Event, running: proc.Stream) -> Iterator[None]:
    """Interrupt a program once when `over` is set, however silent it is, while the body runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if over.wait(0.2):
                running.interrupt()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _plain(data: str) -> str:
    for written, meant in (("%!(PACKER_COMMA)", ","), ("\\n", "\n"), ("\\r", "\r")):
        data = data.replace(written, meant)
    return data
