"""The consume loop: take, decode, store, and only then commit.

An offset is committed when every message below it was journaled by the store, as its document or
as its dead letter; batches are written a few at once and committed in the order they were taken.
While the store is away the partitions are paused, the batches are kept and tried again; polling
goes on, so that the group keeps its member.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor import batch as batches
from processor import lag, stall
from processor.batch import Batch
from processor.faults import Kind, StoreError
from processor.lag import Place
from processor.progress import Progress
from processor.settings import Settings
from processor.store import Store
from processor.topics import Prefixes
from processor.writer import Outcome, Writer

POLL_S = 0.05  # what a message waits at most for others
BACKOFF_S = (0.2, 10.0)  # first and longest pause before the store is tried again
SLOW_S = 30.0  # the same, where somebody has to correct something first
REVOKE_S = 20.0  # how long partitions that go, at a stop too, may finish what is on its way
LAG_S = 5.0
TOLD_S = 10.0  # between two lines about the same trouble with Kafka
AGAIN_S = 1.0  # until what could not be committed is committed again
UNHEARD_S = 15.0  # the same, where Kafka has not said whether it could
# The client is done for, and says so but once. `fatal()` is never true of what is consumed.
FATAL = KafkaError._FATAL  # noqa: SLF001  the binding has no other name for it
MAX_POLL_MS = 300_000  # a loop that does not poll for so long loses its place in the group
_log = logging.getLogger(__name__)


class Pipeline:
    """Runs the loop in a thread of its own between `start` and `stop`."""

    def __init__(
        self, settings: Settings, store: Store, *, when_ended: Callable[[], None] = lambda: None
    ) -> None:
        """Prepare to consume what `settings` names into `store`.

        `when_ended` is called in the loop's thread when it ends by itself, which is not well.
        """
        self.progress = Progress()
        self._settings = settings
        self._when_ended = when_ended
        self._writer = Writer(store)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consume", daemon=True)
        self._prefixes = Prefixes(settings.kafka, self._on_error)
        self._held: list[Any] = []  # messages of topics whose id Kafka does not tell yet
        self._watch = stall.Watch(settings.kafka)
        self._assignment = 0
        self._mine: dict[Place, int] = {}  # since which assignment
        self._taken: dict[Place, int] = {}  # which offset comes next
        self._asked: dict[Place, int] = {}  # how far commits were asked for
        self._asked_at: dict[Place, float] = {}
        self._committed: dict[Place, int] = {}  # how far they are known to have come
        self._uncommitted: dict[Place, int] = {}  # what failed and is asked for again
        self._commit_again_at = 0.0
        self._retry_at = self._delay_s = 0.0
        self._looked_at = 0.0
        self._told: dict[int, float] = {}
        self._kinds = batches.kinds_of(settings)

    def start(self) -> None:
        """Begin to consume."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Finish what is on its way, commit it and leave the group, within `timeout_s` seconds."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.kafka,
                "group.id": self._settings.consumer_group,
                "group.protocol": "consumer",  # KIP-848: a rebalance redelivers little
                "max.poll.interval.ms": MAX_POLL_MS,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                # These bound memory at any backlog. A fetch comes compressed, and is many times as
                # large once it is opened and each of its messages has an object of its own.
                "fetch.message.max.bytes": 262_144,
                "queued.max.messages.kbytes": 4_096,
                "queued.min.messages": 10_000,
                "fetch.queue.backoff.ms": 50,  # a full queue otherwise stops a partition for 1 s
                "fetch.wait.max.ms": 100,
                "reconnect.backoff.ms": 1000,  # its 100 ms are 20 attempts a second, for ever
                "log_level": 2,  # what it has to say besides comes as errors
                "on_commit": self._on_commit,
                "error_cb": self._on_error,
            }
        )
        try:
            consumer.subscribe(
                list(self._kinds),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            while not self._stopping.is_set():
                self._turn(consumer)
        except Exception as error:
            _log.exception("the loop stopped")
            self.progress.fatal = repr(error)
            self._when_ended()  # even if the client, which may be why, can't be closed
        finally:
            consumer.close()  # partitions are revoked by that, so it drains

    def _turn(self, consumer: Consumer) -> None:
        if error := self._writer.failure():
            self._sit_out(consumer, error)
        elif self._writer.has_room:
            self._take(consumer, self._settings.consume_batch)
        else:
            self._watch.excuse()
            self._writer.wait(POLL_S)
        self._settle(consumer, is_last=False)
        self._look(consumer)

    def _take(self, consumer: Consumer, most: int) -> None:
        """Take messages and begin to write them, or keep them until they can have their keys."""
        self.progress.last_poll = time.monotonic()
        most = max(1, most - len(self._held))
        new = consumer.consume(most, POLL_S)
        if len(new) == most:  # what waits behind these is not late
            self._watch.excuse()
        taken = self._held + [one for one in new if self._is_message(one)]
        self._held = []
        if taken:
            try:
                batch = batches.sort(taken, self._kinds, self._prefixes.of, self._assignment)
            except KafkaException as error:
                self._held, self.progress.kafka = taken, str(error)
                self._on_error(error.args[0])
                self._watch.excuse()
                return
            self._taken |= batch.reach
            self._writer.submit(batch)
        self.progress.kafka = ""
        self.progress.in_flight = len(self._writer)

    def _settle(self, consumer: Consumer, *, is_last: bool) -> None:
        """Commit what is stored, in order; at the end, know that it is committed."""
        reach: dict[Place, int] = {}
        if self._uncommitted and time.monotonic() >= self._commit_again_at:
            reach, self._uncommitted = self._uncommitted, {}
        is_stored = False
        for batch, outcome in self._writer.finished():
            is_stored = True
            self._count(batch, outcome)
            reach |= self._own(batch)
        self.progress.in_flight = len(self._writer)
        if is_stored and self.progress.sink and not self._writer.failure():
            self._resume(consumer)
        if reach:
            self._commit(consumer, reach, is_last=is_last)

    def _own(self, batch: Batch) -> dict[Place, int]:
        """Return how far a batch reaches in partitions that were not away since it was taken.

        What went meanwhile is another's to commit, who may be further by now.
        """
        return {
            place: offset
            for place, offset in batch.reach.items()
            if self._mine.get(place, math.inf) <= batch.assignment
        }

    def _commit(self, consumer: Consumer, reach: Mapping[Place, int], *, is_last: bool) -> None:
        self._asked |= reach
        self._asked_at |= dict.fromkeys(reach, time.monotonic())
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in reach.items()]
        try:
            done = consumer.commit(offsets=offsets, asynchronous=not is_last)
        except KafkaException as error:  # they will be delivered again, and be found stored
            self._on_commit(error.args[0], offsets)
            return
        if is_last:
            self._on_commit(None, done or offsets)

    def _count(self, batch: Batch, outcome: Outcome) -> None:
        self.progress.newest_s = batch.newest_s
        self.progress.add(
            size=batch.size,
            stored=outcome.stored,
            duplicates=outcome.duplicates,
            dead_letters=outcome.dead_letters,
        )

    # -- while the store does not take what it is given ----------------------------------------

    def _sit_out(self, consumer: Consumer, error: StoreError) -> None:
        """Keep the batches and the place in the group; try again when it is time."""
        now = time.monotonic()
        self._watch.excuse()
        if not self._retry_at:
            self._begin_pause(error, now)
        consumer.pause(consumer.assignment())  # again each time: some may be newly assigned
        self._take(consumer, 1)  # paused, so nothing comes, or the first of a new partition
        if now >= self._retry_at:
            self._retry_at = 0.0
            self.progress.retries += 1
            self._writer.retry()

    def _begin_pause(self, error: StoreError, now: float) -> None:
        first, longest = BACKOFF_S
        needs_somebody = error.kind is Kind.CONFIGURATION
        self._delay_s = min(max(self._delay_s * 2, first), longest)
        delay_s = SLOW_S if needs_somebody else self._delay_s * random.uniform(0.8, 1)
        self._retry_at = now + delay_s
        self.progress.sink, self.progress.sink_kind = str(error)[:300], error.kind
        level = logging.ERROR if needs_somebody else logging.WARNING
        _log.log(
            level,
            "%s: %d batches are kept, next try in %.1f s: %s",
            error.kind,
            len(self._writer),
            delay_s,
            error,
        )

    def _resume(self, consumer: Consumer) -> None:
        _log.warning("the store takes messages again")
        self._retry_at = self._delay_s = 0.0
        self.progress.sink, self.progress.sink_kind = "", None
        consumer.resume(consumer.assignment())

    def _drain(self, consumer: Consumer, budget_s: float) -> None:
        """Wait for what is on its way, unless it fails or takes too long, and commit it."""
        until = time.monotonic() + budget_s
        while len(self._writer) and not self._writer.failure() and time.monotonic() < until:
            self._writer.wait(0.1)
            self._settle(consumer, is_last=True)
        self._settle(consumer, is_last=True)

    # -- what Kafka tells ----------------------------------------------------------------------

    def _is_message(self, taken: Any) -> bool:
        error = taken.error()
        if error is None:
            return True
        if error.code() == FATAL:
            raise KafkaException(error)
        _log.warning("kafka: %s", error)
        return False

    def _on_error(self, error: KafkaError) -> None:
        """Tell what is wrong with Kafka, the same again after a while only."""
        now = time.monotonic()
        if now >= self._told.get(error.code(), -math.inf) + TOLD_S:
            self._told[error.code()] = now
            _log.warning("kafka: %s", error)

    def _on_assign(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        _log.info("assigned %d partitions", len(partitions))
        self.progress.rebalances += 1
        self._prefixes.forget()
        self._assignment += 1
        self._mine |= {(one.topic, one.partition): self._assignment for one in partitions}
        self._show_assigned()
        self._looked_at = 0.0

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        _log.info("revoked %d partitions", len(partitions))
        self._drain(consumer, REVOKE_S)
        self._forget(partitions)

    def _on_lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        _log.warning("lost %d partitions", len(partitions))
        self._forget(partitions)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        for one in partitions:
            place = one.topic, one.partition
            commits = self._asked, self._asked_at, self._committed, self._uncommitted
            for known in (self._mine, self._taken, *commits):
                known.pop(place, None)
        self._held = [one for one in self._held if (one.topic(), one.partition()) in self._mine]
        self._show_assigned()

    def _show_assigned(self) -> None:
        self.progress.assigned = sorted(f"{topic}/{number}" for topic, number in self._mine)

    def _on_commit(self, error: KafkaError | None, offsets: Sequence[TopicPartition]) -> None:
        failed = [one for one in offsets if error or one.error]
        if failed:
            self._note_failed(error or failed[0].error, failed)
        if len(failed) < len(offsets):
            self.progress.commits += 1
            self.progress.last_commit_s = time.time()
            done = {(one.topic, one.partition): one.offset for one in offsets if not one.error}
            # Of what went meanwhile another may be further by now.
            self._committed |= {place: done[place] for place in done.keys() & self._mine.keys()}

    def _note_failed(self, error: KafkaError, failed: Sequence[TopicPartition]) -> None:
        """Have it committed again after a while."""
        _log.warning("commit: %s", error)
        self.progress.commit_failures += 1
        self._commit_again_at = time.monotonic() + AGAIN_S
        for one in failed:
            place = one.topic, one.partition
            if one.offset == self._asked.get(place):  # else a later commit has it in hand
                self._uncommitted[place] = one.offset

    def _unheard(self) -> dict[Place, int]:
        """Return what was asked for a while ago and is neither confirmed nor refused since.

        Where more messages come a later commit is as good; in a quiet partition none follows.
        """
        before = time.monotonic() - UNHEARD_S
        return {
            place: offset
            for place, offset in self._asked.items()
            if self._asked_at[place] < before and self._committed.get(place, -1) < offset
        }

    def _look(self, consumer: Consumer) -> None:
        """Look, from time to time, how much is not committed and whether the client is well."""
        if time.monotonic() - self._looked_at < LAG_S:
            return
        self._looked_at = time.monotonic()
        self._uncommitted |= self._unheard()
        self.progress.lag = lag.look(
            consumer, self._mine, self._committed, is_fetching=not self.progress.sink
        )
        reached = self._committed | self._taken
        self._watch.look(consumer, {one: reached[one] for one in self._mine if one in reached})
