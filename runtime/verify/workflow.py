"""The whole pipeline: baseline counts, one producer run, counts risen by exactly what was sent."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from runtime import console, wait
from runtime.cloud import machines, ssh
from runtime.cloud.machines import STACK, Machine
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import CheckError, CommandError

COUNT = 100  # messages per topic, unless told otherwise
ARRIVE_S = 60
SETTLE_S = 2.0  # counts must not rise beyond what was sent, either
COLLECTIONS = (
    "gpu_metrics",
    "token_usage",
)  # in the order of a run's report: GPU topic, token topic


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A producer's report: messages confirmed per topic, and those that were not.

    Attributes:
        by_topic: messages confirmed.
        failed: messages that were not.
        left_out: measurements that could not be made a message.
        seconds: how long it took.
    """

    by_topic: Mapping[str, int]
    failed: int
    left_out: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run did to the store.

    Attributes:
        sent: messages confirmed per collection.
        before, after: documents per collection.
        seconds: from the producer's start until the counts stood still.
    """

    sent: Mapping[str, int]
    before: Mapping[str, int]
    after: Mapping[str, int]
    seconds: float

    def deltas(self) -> dict[str, int]:
        """Return by how much each collection rose."""
        return {name: self.after[name] - self.before[name] for name in COLLECTIONS}


def run(target: Target, *, count: int, stack: str = STACK) -> Outcome:
    """Send `count` messages per topic and watch them arrive.

    Raises:
        CheckError: not confirmed, or the counts did not rise by exactly what was sent.
    """
    mongo = machines.find(target, Role.MONGO, stack)
    before = counts(target, mongo)
    started = time.monotonic()
    sent = dict(
        zip(COLLECTIONS, produce(target, count=count, stack=stack).by_topic.values(), strict=True)
    )
    last = dict(before)

    def arrived() -> bool:
        last.update(counts(target, mongo))
        return all(last[name] >= before[name] + sent[name] for name in COLLECTIONS)

    wait.until(
        arrived,
        what=f"{sent} new documents",
        timeout_s=ARRIVE_S,
        every_s=0.5,
        last=lambda: str({name: last[name] - before[name] for name in COLLECTIONS}),
        hint="./invoke verify.processor; ./invoke logs processor",
    )
    wait.pause(SETTLE_S)
    after = counts(target, mongo)
    outcome = Outcome(sent=sent, before=before, after=after, seconds=time.monotonic() - started)
    refuse_inexact(outcome)
    return outcome


def refuse_inexact(outcome: Outcome) -> None:
    """Raise CheckError unless each collection rose by exactly what was sent to it."""
    if outcome.deltas() != dict(outcome.sent):
        message = (
            f"documents rose by {outcome.deltas()}, but {dict(outcome.sent)} messages were sent"
        )
        raise CheckError(message, hint="./invoke logs processor; is another producer running?")


def produce(
    target: Target,
    *,
    count: int | None = None,
    interval_s: float | None = None,
    source: str = "",
    stack: str = STACK,
) -> Sent:
    """Run the producers once; None leaves the machine's own parameter.

    Raises:
        CheckError: not all was sent; says how much of it was.
    """
    machine = machines.find(target, Role.PRODUCERS, stack)
    words = ["sudo", "bullion", "produce"]
    words += ["--count", str(count)] if count is not None else []
    words += ["--interval", str(interval_s)] if interval_s is not None else []
    words += ["--source", source] if source else []
    try:
        said = ssh.run(target, machine, words, timeout_s=3600, ok=(0, 1))
        sent = parse_sent(said.stdout, said.stderr)
    except CommandError as error:
        message = f"the producers could not send: {error.tail}"
        raise CheckError(message, hint="./invoke logs producers") from error
    refuse_unsent(sent, status=said.status, said=said.stderr)
    return sent


def refuse_unsent(sent: Sent, *, status: int, said: str) -> None:
    """Raise CheckError unless all was sent that a run was to send."""
    if sent.failed:
        message = f"{sent.failed} messages were not confirmed by Kafka; {dict(sent.by_topic)} were"
        raise CheckError(message, hint="./invoke verify.kafka")
    if status:
        why = (said.strip().splitlines() or ["nothing said"])[-1]
        message = f"{why}; {dict(sent.by_topic)} were confirmed"
        raise CheckError(message, hint="./invoke logs producers")


def parse_sent(text: str, said: str = "") -> Sent:
    """Return the report on the last line of a producer's output, or raise CheckError.

    What it `said` on stderr tells why there is none.
    """
    lines = text.strip().splitlines()
    if not lines and said.strip():
        message = f"the producers sent nothing: {said.strip().splitlines()[-1]}"
        raise CheckError(message, hint="./invoke logs producers")
    try:
        value = json.loads(lines[-1])
        return Sent(
            by_topic=value["sent"],
            failed=int(value["failed"]),
            left_out=int(value["left_out"]),
            seconds=float(value["seconds"]),
        )
    except (IndexError, ValueError, KeyError, TypeError) as error:
        message = f"the producers' report is not one: {text.strip()[-200:]!r}"
        raise CheckError(message, hint="./invoke logs producers") from error


def counts(target: Target, mongo: Machine) -> dict[str, int]:
    """Return documents per collection, as the store's own machine counts them."""
    said = ssh.run(target, mongo, ["sudo", "bullion", "counts"], timeout_s=60)
    return {name: int(number) for name, number in json.loads(said.stdout).items()}


def celebrate(outcome: Outcome, stand_ins: list[str]) -> None:
    """Print the success banner, with what stands in for what."""
    risen = ", ".join(f"{name} +{number}" for name, number in outcome.deltas().items())
    lines = [
        "The workflow holds: producers → Kafka → processor → store",
        f"exactly what was sent: {risen}",
    ]
    lines += [f"the store is {stand_in}" for stand_in in stand_ins]
    console.banner(lines)
