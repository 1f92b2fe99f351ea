"""What is written into: a stub that acknowledges at a stated cost, or the real store.

Each is a context that gives its URI and, without an end, rows of how far it has come: how many
`documents`, and when the `first` and the `last` came.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient

from runtime import wait
from runtime.settings import ROOT
from tests.contract.pipeline import Pipeline

Row = dict[str, Any]
Store = contextlib.AbstractContextManager[tuple[str, Iterator[Row]]]
_LOOK_S = 0.1


@contextlib.contextmanager
def stub(cost_us: int, epoch: float = 0.0) -> Iterator[tuple[str, Iterator[Row]]]:
    """Start a stub that takes `cost_us` microseconds a document on each connection.

    With an `epoch` it tells quantiles of what messages took, too; see sink.py.
    """
    argv = [sys.executable, "-m", "tests.bench.pipeline.sink", str(cost_us), str(epoch)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
        try:
            yield uri, (json.loads(line) for line in process.stdout)
        finally:
            process.terminate()


@contextlib.contextmanager
def real(broker: Pipeline) -> Iterator[tuple[str, Iterator[Row]]]:
    """Use the store of the mongo image, empty."""
    uri = f"mongodb://{broker.address('mongo')}:27017/?directConnection=true"
    with MongoClient[Row](uri) as client:
        client.drop_database("telemetry")
        yield uri, _counted(client)


def _counted(client: MongoClient[Row]) -> Iterator[Row]:
    row: Row = {"documents": 0, "first": 0.0, "last": 0.0}
    while True:
        wait.pause(_LOOK_S)
        count = client["telemetry"]["gpu_metrics"].estimated_document_count()
        if count > row["documents"]:
            now = time.time()
            row = {"documents": count, "first": row["first"] or now, "last": now}
        yield row
