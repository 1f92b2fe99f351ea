"""Entry point: arguments over environment, send, one JSON line on stdout, an honest exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from producers.sink import DELIVERY_S, Sink
from producers.sources import GPU, TOKEN, SourceError, read_lines, simulate


def main() -> int:
    """Send one run; 0 when everything was confirmed, 1 when not, 2 when nothing could be sent."""
    asked = parse(sys.argv[1:], os.environ)
    kafka = os.environ.get("BULLION_KAFKA", "")
    if not kafka:
        print("producers: BULLION_KAFKA is not set", file=sys.stderr)
        return 2
    try:
        messages = read(asked)
    except SourceError as error:
        print(f"producers: {error}", file=sys.stderr)
        return 2
    topics = {
        GPU: os.environ.get("BULLION_GPU_TOPIC", "gpu.metrics.v1"),
        TOKEN: os.environ.get("BULLION_TOKEN_TOPIC", "token.usage.v1"),
    }
    started = time.monotonic()
    sink = Sink(kafka, topics, delivery_s=asked.delivery)
    for number, (kind, value) in enumerate(messages, start=1):
        sink.send(kind, value)
        if asked.interval > 0 and number % asked.batch_size == 0:
            time.sleep(asked.interval)
    sink.finish()
    report = {
        "run_id": str(uuid.uuid4()),
        "sent": dict(sink.sent),
        "failed": sink.failed,
        "seconds": round(time.monotonic() - started, 3),
    }
    if sink.failed:
        print(
            f"producers: {sink.failed} messages were not confirmed: {sink.last_error}",
            file=sys.stderr,
        )
    print(json.dumps(report))
    return 1 if sink.failed else 0


def parse(arguments: list[str], env: Any) -> argparse.Namespace:
    """Return the options of a run; the environment's parameters are the defaults."""
    parser = argparse.ArgumentParser(prog="producers", description=__doc__)
    number = positive(int, 10_000_000)
    parser.add_argument(
        "--count",
        type=number,
        default=env.get("BULLION_MESSAGE_COUNT", "100"),
        help="messages per topic",
    )
    parser.add_argument(
        "--interval",
        type=positive(float, 3600, least=0),
        default=env.get("BULLION_INTERVAL_S", "0"),
        help="pause between two batches in seconds",
    )
    parser.add_argument(
        "--batch-size",
        type=number,
        default=env.get("BULLION_BATCH_SIZE", "50"),
        help="messages before a pause",
    )
    parser.add_argument(
        "--seed",
        type=positive(int, 2**31, least=0),
        default=env.get("BULLION_SEED", "20"),
        help="seed of the simulation",
    )
    parser.add_argument(
        "--source",
        default=env.get("BULLION_MESSAGE_SOURCE", "simulation"),
        help="simulation, or a JSON Lines file",
    )
    parser.add_argument(
        "--delivery",
        type=positive(float, 3600),
        default=DELIVERY_S,
        help="seconds that a message may take to be confirmed",
    )
    return parser.parse_args(arguments)


def positive(kind: type[int | float], most: float, *, least: float = 1) -> Any:
    """Return a parser of numbers from `least` to `most`, for argparse."""

    def read_number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            message = f"{text!r} is not {kind.__name__} from {least:g} to {most:g}"
            raise argparse.ArgumentTypeError(message)
        return value

    return read_number


def read(asked: argparse.Namespace) -> Iterable[tuple[str, dict[str, Any]]]:
    """Return the messages of a run; a file is checked whole before anything is sent."""
    if asked.source == "simulation":
        return simulate(count=asked.count, seed=asked.seed, start=datetime.now(UTC))
    return read_lines(Path(asked.source))


if __name__ == "__main__":
    sys.exit(main())
