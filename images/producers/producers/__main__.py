"""Entry point: arguments over environment, send, one JSON line on stdout, an honest exit code.

0: all of it was confirmed. 1: not all; the report tells what was. 2: nothing could be sent, and
there is no report. 143 and 130: told to end (SIGTERM, SIGINT); the report tells what was confirmed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

from producers.messages import GPU, TOKEN, SourceError
from producers.sampling import LeftOut
from producers.sink import DELIVERY_S, QUEUE, Sink
from producers.sources import open_source
from producers.stop import Stop, StoppedError

PROGRESS_S = 5.0


def main() -> int:
    """Send one run; return its exit status."""
    asked = parse(sys.argv[1:], os.environ)
    kafka = os.environ.get("BULLION_KAFKA", "")
    if not kafka:
        say("BULLION_KAFKA is not set")
        return 2
    topics = {
        GPU: os.environ.get("BULLION_GPU_TOPIC", "gpu.metrics.v1"),
        TOKEN: os.environ.get("BULLION_TOKEN_TOPIC", "token.usage.v1"),
    }
    stop, left_out = Stop(), LeftOut()
    stop.install()
    started = time.monotonic()
    sink = Sink(kafka, topics, stop=stop, delivery_s=asked.delivery, queue=asked.queue)
    stop.meanwhile = sink.serve
    why = send(sink, asked, stop, left_out)
    if why and not sink.taken:
        say(why)
        return 2
    sink.finish()
    if sink.failed:
        say(f"{sink.failed} messages were not confirmed: {sink.why()}")
    if why:
        say(f"ended before all was sent: {why}")
    if stop.signal:
        say(f"told to end by signal {stop.signal}")
    report = {
        "run_id": str(uuid.uuid4()),
        "sent": dict(sink.sent),
        "failed": sink.failed,
        "left_out": left_out.count,
        "seconds": round(time.monotonic() - started, 3),
    }
    if asked.source.startswith(("-", "/")):
        report["confirmed_lines"] = sink.lines()
    print(json.dumps(report))
    if stop.signal:
        return 128 + stop.signal
    return 1 if sink.failed or why else 0


def send(sink: Sink, asked: argparse.Namespace, stop: Stop, left_out: LeftOut) -> str:
    """Send what the source has; return why it could not be read to its end, or ""."""
    told = time.monotonic()
    try:
        for batch in open_source(asked, os.environ, stop=stop, left_out=left_out):
            if not sink.send(batch):
                break
            if time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                say(f"{sum(sink.sent.values())} messages confirmed so far")
    except SourceError as error:
        return str(error)
    except StoppedError:
        pass
    return ""


def say(text: str) -> None:
    """Print a line for a person."""
    print(f"producers: {text}", file=sys.stderr)


def parse(arguments: list[str], env: Mapping[str, str]) -> argparse.Namespace:
    """Return the options of a run; the environment's parameters are the defaults."""
    parser = argparse.ArgumentParser(prog="producers", description=__doc__, allow_abbrev=False)
    number = positive(int, 10_000_000)
    parser.add_argument(
        "--count",
        type=number,
        default=env.get("BULLION_MESSAGE_COUNT", "100"),
        help="messages per topic; the whole of a file or of stdin is sent",
    )
    parser.add_argument(
        "--interval",
        type=positive(float, 3600, least=0),
        default=env.get("BULLION_INTERVAL_S", "0"),
        help="pause between two batches or samplings in seconds",
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
        help="simulation, nvml, a JSON Lines file, - for stdin, http://host:port/metrics",
    )
    parser.add_argument(
        "--delivery",
        type=positive(float, 3600),
        default=DELIVERY_S,
        help="seconds that a message may take to be confirmed",
    )
    parser.add_argument(
        "--queue", type=number, default=QUEUE, help="most messages that wait to be confirmed"
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


if __name__ == "__main__":
    sys.exit(main())
