"""The runs, one after another, and what came out: a table, a JSON file and a picture."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime import console, settings
from runtime.settings import Settings
from tests.bench.pipeline import contenders, load, picture, stores
from tests.bench.pipeline.contenders import CONNECT, OURS, PLAIN, Job
from tests.bench.pipeline.stores import Row, Store
from tests.contract.pipeline import Pipeline
from tests.contract.sender import Sender

REPLACE, INSERT = CONNECT
# Messages until it is enough.
BACKLOG = {OURS: 1_000_000, REPLACE: 400_000, INSERT: 400_000, PLAIN: 20_000}
# FerretDB looks through all documents for each that is replaced: in 5 minutes 8 000 were.
BACKLOG_OF_THE_REAL = {OURS: 40_000, INSERT: 20_000, PLAIN: 2_000}
COSTS_US = (0, 10)  # per document, of the stub
RATES = (1_000, 10_000, 50_000)  # messages a second, for latency
LATENCY_S = 10
WARM_S = 2  # of messages before those that are timed
PRODUCED = 300_000  # of each kind, by our producers
PATIENCE_S = 300
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one contender did to one store.

    Attributes:
        messages: how many, from the first look that saw any to the last.
        per_second: over the time between the last message of both looks, so that neither the start
            of the program counts nor what came before the first look.
        cpu_us: microseconds of processor time for each, of the contender alone.
        rss_mb: its largest resident size.
    """

    who: str
    sink: str
    messages: int
    per_second: float
    cpu_us: float
    rss_mb: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where the runs take place."""

    broker: Pipeline
    topic: str
    settings: Settings
    scratch: Path

    def measure(self, who: str, sink: str, store: Store, wanted: int) -> Run:
        """Let a contender take `wanted` messages of the backlog into a store."""
        group = f"{who}-{sink}".replace(" ", "-").lower()
        with store as (uri, rows), console.step(f"{who} into {sink}"):
            job = self._job(uri, self.topic, group)
            with contender(who, job, self.settings) as process:
                first = until(rows, lambda row: row["documents"] > 0, process, job)
                cpu_s, _ = usage(process.pid)
                last = until(rows, lambda row: row["documents"] >= wanted, process, job)
                end_s, rss_mb = usage(process.pid)
        messages, seconds = between(first, last)
        return Run(
            who=who,
            sink=sink,
            messages=messages,
            per_second=messages / seconds,
            cpu_us=1e6 * (end_s - cpu_s) / messages,
            rss_mb=rss_mb,
        )

    def produced(self, count: int) -> float:
        """Let our producers simulate and send `count` of each kind; return how many a second."""
        with Sender.made(self.broker) as sender, console.step("Our producers"):
            ended = sender.run("--count", str(count))
        assert ended.status == 0, ended.said
        return float(sum(ended.report["sent"].values()) / ended.report["seconds"])

    def latency(self, rate: int) -> dict[str, float]:
        """Send at a rate; return what messages took to the stub, in milliseconds by quantile."""
        topic = f"latency-{rate}"
        self.broker.create_topics(topic, f"{topic}-tokens")
        begun = time.time()
        with stores.stub(0, begun) as (uri, rows), console.step(f"Latency at {rate} a second"):
            job = self._job(uri, topic, topic)
            with contender(OURS, job, self.settings) as process:
                # Sender and group have their places by then: what was sent before is not timed.
                sender = load.connect(job.kafka)
                warm = load.pace(sender, topic, rate=200, seconds=WARM_S, epoch=None)
                until(rows, lambda row: row["documents"] >= warm, process, job)
                sent = load.pace(sender, topic, rate=rate, seconds=LATENCY_S, epoch=begun)
                last = until(rows, lambda row: row["documents"] >= warm + sent, process, job)
        return {name: 1000 * last[f"{name}_s"] for name in ("p50", "p99")}

    def _job(self, uri: str, topic: str, group: str) -> Job:
        kafka = self.broker.kafka
        return Job(kafka=kafka, store=uri, topic=topic, group=group, scratch=self.scratch)


def main() -> None:
    """Measure everything and say it."""
    chosen = settings.load("lab")
    out = chosen.lab_dir / "bench"
    out.mkdir(parents=True, exist_ok=True)
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder, pipeline(chosen, Path(folder)) as broker:
        bench = Bench(broker=broker, topic="bench", settings=chosen, scratch=Path(folder))
        broker.create_topics(bench.topic, f"{bench.topic}-tokens")
        bare = load.backlog(broker.kafka, bench.topic, max(BACKLOG.values()))
        produced = bench.produced(PRODUCED)
        runs = [
            bench.measure(who, f"a stub, {cost_us} µs a document", stores.stub(cost_us), wanted)
            for cost_us in COSTS_US
            for who, wanted in BACKLOG.items()
        ]
        store = broker.base_of("mongo")
        runs += [
            bench.measure(who, store, stores.real(broker), wanted)
            for who, wanted in BACKLOG_OF_THE_REAL.items()
        ]
        latencies = {str(rate): bench.latency(rate) for rate in RATES}
    found = {
        "load_before": load_before,
        "load_after": os.getloadavg(),
        "cores": os.cpu_count(),
        "produced_per_second": produced,
        "bare_client_per_second": bare,
        "runs": [asdict(run) for run in runs],
        "ratios": ratios(runs),
        "latency_ms": latencies,
    }
    (out / "pipeline.json").write_text(json.dumps(found, indent=1))
    (out / "pipeline.svg").write_text(picture.draw(runs))
    say(found, out)


def usage(pid: int) -> tuple[float, float]:
    """Return a process's seconds of processor time and its largest resident size in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / _TICK, peak / 1024


def between(first: Row, last: Row) -> tuple[int, float]:
    """Return how many documents came after the row `first`, and the seconds that they took."""
    if last["documents"] == first["documents"]:
        message = f"all {last['documents']} documents came before the first look: too few to time"
        raise AssertionError(message)
    return last["documents"] - first["documents"], last["last"] - first["last"]


def ratios(runs: list[Run]) -> dict[str, float]:
    """Return by how much ours is faster than each other, per store."""
    rates = {(run.who, run.sink): run.per_second for run in runs}
    return {
        f"ours to {who}, {sink}": rates[OURS, sink] / rate
        for (who, sink), rate in rates.items()
        if who != OURS
    }


def say(found: dict[str, Any], out: Path) -> None:
    """Print what was found."""
    rows = [
        (
            run["who"],
            run["sink"],
            f"{run['messages']:,}",
            f"{run['per_second']:,.0f}",
            f"{run['cpu_us']:.2f}",
            f"{run['rss_mb']:.0f}",
        )
        for run in found["runs"]
    ]
    header = ("who", "into", "messages", "per second", "CPU µs each", "MB")
    for line in console.layout(rows, header=header):
        console.result(line)
    for name, ratio in found["ratios"].items():
        console.result(f"{name}: {ratio:.1f}x")
    for rate, one in found["latency_ms"].items():
        console.result(f"{rate}/s: p50 {one['p50']:.0f} ms, p99 {one['p99']:.0f} ms")
    ours, bare = found["produced_per_second"], found["bare_client_per_second"]
    console.result(f"confirmed, our producers: {ours:,.0f} a second; a bare client: {bare:,.0f}")
    console.note(f"{out / 'pipeline.json'}, {out / 'pipeline.svg'}; load {found['load_before']}")


@contextlib.contextmanager
def pipeline(chosen: Settings, folder: Path) -> Iterator[Pipeline]:
    """Start Kafka and the store, and remove them at the end."""
    with Pipeline(chosen, folder) as made:
        made.start_kafka()
        made.start_store()
        yield made


@contextlib.contextmanager
def contender(who: str, job: Job, chosen: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Start a contender, and end it."""
    process = contenders.start(who, job, chosen)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def until(
    rows: Iterator[Row],
    is_enough: Callable[[Row], bool],
    process: subprocess.Popen[bytes],
    job: Job,
) -> Row:
    """Return the first row that is enough, or tell how far it came and what was said."""
    end = time.monotonic() + PATIENCE_S
    for row in rows:
        if is_enough(row):
            return row
        if process.poll() is not None or time.monotonic() > end:
            said = (job.scratch / f"{job.group}.log").read_text()[-3000:]
            message = f"{job.group} came to {row}, and no further:\n{said}"
            raise AssertionError(message)
    message = "the store ended"
    raise AssertionError(message)


if __name__ == "__main__":
    main()
