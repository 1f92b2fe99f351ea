"""The runs, one after another, and what came out: a table, a JSON file and a picture."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from runtime import console, settings
from runtime.settings import ROOT, Settings
from tests.bench.pipeline import contenders, picture
from tests.bench.pipeline.contenders import CONNECT, OURS, PLAIN, Job
from tests.contract.pipeline import GPU, TS, Pipeline

BACKLOG = {OURS: 1_000_000, CONNECT: 200_000, PLAIN: 20_000}  # messages until it is enough
COSTS_US = (0, 10)  # per document, of the sink
RATES = (1_000, 10_000, 50_000)  # messages a second, for latency
LATENCY_S = 10
PATIENCE_S = 300
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one contender did to one sink."""

    who: str
    sink: str
    messages: int
    per_second: float
    cpu_us: float
    rss_mb: float


def main() -> None:
    """Measure everything and say it."""
    chosen = settings.load("lab")
    out = chosen.lab_dir / "bench"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _broker(chosen, Path(folder)) as broker:
        topic = "bench"
        broker.create_topics(topic, f"{topic}-tokens")
        sent = produce(broker.kafka, topic, max(BACKLOG.values()))
        runs = [
            measure(who, cost_us, broker, topic, chosen, Path(folder))
            for cost_us in COSTS_US
            for who in (OURS, CONNECT, PLAIN)
        ]
        latencies = {rate: latency(rate, broker, chosen, Path(folder)) for rate in RATES}
    found = {
        "load_before": os.getloadavg(),
        "cores": os.cpu_count(),
        "produced_per_second": sent,
        "runs": [asdict(run) for run in runs],
        "ratios": ratios(runs),
        "latency": {str(rate): one for rate, one in latencies.items()},
    }
    (out / "pipeline.json").write_text(json.dumps(found, indent=1))
    (out / "pipeline.svg").write_text(picture.draw(runs))
    say(found, out)


def produce(kafka: str, topic: str, count: int) -> float:
    """Send `count` measurements, confirmed; return how many a second."""
    producer = _producer(kafka)
    failed: list[str] = []
    bodies = [json.dumps(GPU | {"host": f"gpu-{n:03}", "ts": TS}).encode() for n in range(500)]
    started = time.monotonic()
    with console.step(f"Sending {count} messages"):
        for number in range(count):
            while True:
                try:
                    producer.produce(topic, bodies[number % 500], on_delivery=_note(failed))
                    break
                except BufferError:
                    producer.poll(0.1)
            if number % 10_000 == 0:
                producer.poll(0)
        assert producer.flush(120) == 0
    assert failed == []
    return count / (time.monotonic() - started)


def measure(
    who: str, cost_us: int, broker: Pipeline, topic: str, chosen: Settings, scratch: Path
) -> Run:
    """Let a contender take the backlog into a sink."""
    wanted = BACKLOG[who]
    group = f"{who.replace(' ', '-').lower()}-{cost_us}"
    with _sink(cost_us) as (uri, rows), console.step(f"{who} into a sink of {cost_us} µs"):
        job = Job(kafka=broker.kafka, store=uri, topic=topic, group=group, scratch=scratch)
        process = contenders.start(who, job, chosen)
        try:
            last = _until(rows, lambda row: row["documents"] >= wanted, process, scratch, group)
            cpu_s, rss_mb = usage(process.pid)
        finally:
            process.terminate()
            process.wait(60)
    return Run(
        who=who,
        sink=f"{cost_us} µs per document",
        messages=last["documents"],
        per_second=last["documents"] / max(last["last"] - last["first"], 0.001),
        cpu_us=1e6 * cpu_s / last["documents"],
        rss_mb=rss_mb,
    )


def latency(rate: int, broker: Pipeline, chosen: Settings, scratch: Path) -> dict[str, float]:
    """Send at a rate and return what messages took to the sink, in milliseconds by quantile."""
    topic = f"latency-{rate}"
    broker.create_topics(topic, f"{topic}-tokens")
    epoch = time.time()
    with _sink(0, epoch) as (uri, rows), console.step(f"Latency at {rate} messages a second"):
        job = Job(kafka=broker.kafka, store=uri, topic=topic, group=topic, scratch=scratch)
        process = contenders.start(OURS, job, chosen)
        try:
            pace(broker.kafka, topic, rate=rate, seconds=LATENCY_S, epoch=epoch)
            wanted = rate * LATENCY_S
            last = _until(rows, lambda row: row["documents"] >= wanted, process, scratch, topic)
        finally:
            process.terminate()
            process.wait(60)
    return {"p50_ms": 1000 * last["p50_s"], "p99_ms": 1000 * last["p99_s"]}


def pace(kafka: str, topic: str, *, rate: int, seconds: int, epoch: float) -> None:
    """Send `rate` messages a second, each with the time when it was sent."""
    producer = _producer(kafka)
    head = json.dumps(GPU | {"host": "gpu-a", "ts": TS, "mem_used_mb": 0})
    started = time.monotonic()
    for number in range(rate * seconds):
        if number % max(1, rate // 200) == 0:
            producer.poll(0)
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        now = time.time() - epoch
        producer.produce(topic, head.replace('"mem_used_mb": 0', f'"mem_used_mb": {now:.4f}'))
    assert producer.flush(60) == 0


def usage(pid: int) -> tuple[float, float]:
    """Return a process's seconds of processor time and its largest resident size in MB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / _TICK, peak / 1024


def ratios(runs: list[Run]) -> dict[str, float]:
    """Return by how much ours is faster than each other, per sink."""
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
    header = ("who", "sink", "messages", "per second", "CPU µs each", "MB")
    for line in console.layout(rows, header=header):
        console.result(line)
    for name, ratio in found["ratios"].items():
        console.result(f"{name}: {ratio:.1f}x")
    for rate, one in found["latency"].items():
        console.result(f"{rate}/s: p50 {one['p50_ms']:.0f} ms, p99 {one['p99_ms']:.0f} ms")
    console.result(f"produced, confirmed: {found['produced_per_second']:,.0f} a second")
    console.note(f"{out / 'pipeline.json'}, {out / 'pipeline.svg'}; load {found['load_before']}")


@contextlib.contextmanager
def _broker(chosen: Settings, folder: Path) -> Iterator[Pipeline]:
    made = Pipeline(chosen, folder)
    try:
        made.start_kafka()
        yield made
    finally:
        made.remove()


@contextlib.contextmanager
def _sink(cost_us: int, epoch: float = 0.0) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    argv = [sys.executable, "-m", "tests.bench.pipeline.sink", str(cost_us), str(epoch)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        try:
            yield uri, (json.loads(line) for line in process.stdout)
        finally:
            process.terminate()


def _until(
    rows: Iterator[dict[str, Any]],
    is_enough: Any,
    process: subprocess.Popen[bytes],
    scratch: Path,
    group: str,
) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE_S
    for row in rows:
        if is_enough(row):
            return row
        if process.poll() is not None or time.monotonic() > until:
            said = (scratch / f"{group}.log").read_text()[-3000:]
            message = f"{group} came to {row}, and no further:\n{said}"
            raise AssertionError(message)
    message = "the sink ended"
    raise AssertionError(message)


def _producer(kafka: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": kafka,
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.num.messages": 10_000,
            "queue.buffering.max.messages": 500_000,
        }
    )


def _note(failed: list[str]) -> Any:
    return lambda error, _: failed.append(str(error)) if error else None


if __name__ == "__main__":
    main()
