"""Rounds of faults under load: carry out the plan, wait, judge, tell."""

from __future__ import annotations

import argparse
import contextlib
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime import console, settings, wait
from runtime.errors import INTERRUPTED, WaitError
from tests.contract.pipeline import Pipeline
from tests.soak import plan
from tests.soak.judge import Verdict, judge
from tests.soak.load import Load
from tests.soak.plan import Event, Fault, Step

PATIENCE_S = 180
SETTLE_S = 2.0
COLLECTIONS = ("gpu_metrics", "token_usage", "dead_letters")
STOP_S = 50
LINES = 12  # of each log, once something went wrong
_NAME = re.compile(rb"r\d+-\d+")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a round came to; counts are of all rounds so far."""

    number: int
    faults: Sequence[str]
    sent: int
    confirmed: int
    stored: int
    dead_letters: int
    verdict: Verdict
    seconds: float


class Soak:
    """The containers, the load, and what is done to them."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Soak a pipeline that was started."""
        self.pipeline = pipeline
        self.load = Load(pipeline.kafka)

    def round(self, seed: int, number: int) -> Outcome:
        """Carry out one round and judge it."""
        started = time.monotonic()
        happening = plan.events(seed, number)
        for event in happening:
            console.note(f"round {number}: {event}")
        self.load.begin(f"r{number}-")
        for step in plan.steps(happening):
            wait.pause(max(0.0, started + step.at_s - time.monotonic()))
            self._take(step)
        wait.pause(max(0.0, started + plan.LOAD_S - time.monotonic()))
        self.load.end()
        stored = self._settled()
        return Outcome(
            number=number,
            faults=[str(event) for event in happening],
            sent=len(self.load.sent),
            confirmed=len(self.load.confirmed),
            stored=sum(map(len, stored.values())),
            dead_letters=len(stored["dead_letters"]),
            verdict=judge(self.load.sent, self.load.confirmed, stored),
            seconds=time.monotonic() - started,
        )

    def accounts(self) -> Iterator[str]:
        """Yield what each container is, says of itself and said last: why a round was bad."""
        for name, container in sorted(self.pipeline.containers.items()):
            container.reload()
            said = container.logs(tail=LINES, timestamps=True).decode(errors="replace")
            yield f"{name}: {container.attrs['State']}\n{said}"
        for path in ("/health", "/lag"):
            yield f"{path}: {self.pipeline.get(path)}"

    def _take(self, step: Step) -> None:
        console.note(f"{step.event.target} {step.event.fault}{'' if step.begins else ': over'}")
        (self._begin if step.begins else self._end)(step.event)

    def _begin(self, event: Event) -> None:
        if event.fault is Fault.COME:
            self.pipeline.start_processor(event.target)
            return
        container = self.pipeline.containers[event.target]
        if event.fault is Fault.KILL:
            container.kill("SIGKILL")
        elif event.fault is Fault.HANG:
            container.pause()
        elif event.fault is Fault.RESTART:
            container.stop(timeout=STOP_S)
        else:
            self.pipeline.network.disconnect(container)

    def _end(self, event: Event) -> None:
        container = self.pipeline.containers[event.target]
        if event.fault is Fault.COME:
            container.remove(force=True, v=True)
            del self.pipeline.containers[event.target]
        elif event.fault is Fault.HANG:
            container.unpause()
        elif event.fault is Fault.CUT:
            address = self.pipeline.address(event.target)
            self.pipeline.network.connect(container, ipv4_address=address)
        else:
            container.start()

    def _settled(self) -> dict[str, list[str]]:
        """Return what is stored when as much is as was confirmed, or will not be, and a bit later.

        Counts are for waiting alone: to read all names takes some seconds after some minutes.
        """
        with contextlib.suppress(WaitError):  # the judge says what is missing
            wait.until(
                lambda: self._count() >= len(self.load.confirmed),
                what="the store to have everything",
                timeout_s=PATIENCE_S,
                every_s=0.5,
            )
        wait.pause(SETTLE_S)
        return self._stored()

    def _count(self) -> int:
        with self.pipeline.database() as database:
            return sum(database[name].estimated_document_count() for name in COLLECTIONS)

    def _stored(self) -> dict[str, list[str]]:
        """Return {collection: the message of each document}."""
        with self.pipeline.database() as database:
            letters = database["dead_letters"].find({}, {"value": 1})
            bodies = [bytes(one["value"] or b"") for one in letters]
            return {
                "gpu_metrics": [one["host"] for one in database["gpu_metrics"].find({}, {"host"})],
                "token_usage": [
                    one["model"] for one in database["token_usage"].find({}, {"model"})
                ],
                "dead_letters": [
                    found[0].decode() if (found := _NAME.search(body)) else repr(body)
                    for body in bodies
                ],
            }


def main(arguments: Sequence[str]) -> int:
    """Soak; return 0 if every round was good, 1 if one was not."""
    asked = parse(arguments)
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    repeat = f"./invoke soak --seed {seed} --minutes {asked.minutes:g}"
    console.note(f"seed {seed}; the same again: {repeat}")
    outcomes: list[Outcome] = []
    try:
        with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as pipeline:
            soak, until = Soak(pipeline), time.monotonic() + 60 * asked.minutes
            while is_going_on(outcomes, until, asked.rounds):
                with console.step(f"Round {len(outcomes) + 1}"):
                    outcomes.append(soak.round(seed, len(outcomes) + 1))
                tell(outcomes[-1], as_json=asked.json)
            if not outcomes[-1].verdict.is_good:
                for account in soak.accounts():
                    console.note(account)
    except KeyboardInterrupt:
        console.error("interrupted; the containers are removed")
        return INTERRUPTED
    is_good = bool(outcomes) and all(one.verdict.is_good for one in outcomes)
    if asked.json:
        rounds = [asdict(one) for one in outcomes]
        console.result_json({"seed": seed, "ok": is_good, "rounds": rounds})
    if not is_good:
        console.error(
            f"something was lost, doubled, made up or not confirmed; the same again: {repeat}"
        )
    return 0 if is_good else 1


def is_going_on(outcomes: Sequence[Outcome], until: float, rounds: int | None) -> bool:
    """Return whether another round comes: a bad one is the last, as what follows it says little."""
    if outcomes and not outcomes[-1].verdict.is_good:
        return False
    return len(outcomes) < rounds if rounds is not None else time.monotonic() < until


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Pipeline]:
    """Yield Kafka, the store and one processor; remove all of it at the end, however it comes."""
    with Pipeline(settings.load("lab"), folder) as pipeline:
        with console.step(f"Starting {pipeline.id}-kafka, -mongo and -processor"):
            pipeline.start()
        yield pipeline


def tell(outcome: Outcome, *, as_json: bool) -> None:
    """Say what a round came to."""
    mark = "✓" if outcome.verdict.is_good else "✗"
    line = (
        f"{mark} round {outcome.number}, {outcome.seconds:.0f} s: {outcome.confirmed} confirmed of"
        f" {outcome.sent}, {outcome.stored} stored, {outcome.dead_letters} of them dead letters"
    )
    (console.note if as_json else console.result)(line)
    for what, places in asdict(outcome.verdict).items():
        if places:
            console.error(f"{what}: {len(places)}, such as {places[:3]}")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="begin rounds for so long")
    parser.add_argument("--rounds", type=int, help="so many rounds instead")
    parser.add_argument("--seed", type=int, help="to repeat a run: the seed that it told")
    parser.add_argument("--json", action="store_true", help="results as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
