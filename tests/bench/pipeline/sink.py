"""A store that only acknowledges, as fast as Python can or at a stated cost per document.

`python -m tests.bench.pipeline.sink COST_US [EPOCH]` prints its port, then twice a second a line of
JSON: documents so far, when the first and the last came, and its own processor seconds. Inserts and
upserts count alike. With an epoch, `mem_used_mb` of each document is when it was sent, in seconds
since then or 0, and what it took until here is told by quantile. It runs as a process of its own,
so that it takes no time from who is measured but the computer's.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from typing import Any

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from tests.contract.sink import _HELLO, _MSG, _QUERY, _REPLY, _receive, _sections, _send

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


class Counter:
    """What has come, by all connections."""

    def __init__(self, epoch: float) -> None:
        self.documents = 0
        self.epoch = epoch
        self.took_s: list[float] = []
        self.first = self.last = 0.0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        now = time.time()
        with self._lock:
            self.first = self.first or now
            self.last = now
            self.documents += number

    def time(self, body: bytes) -> None:
        now = time.time() - self.epoch
        for kind, content in _sections(body):
            if kind == 1:  # where the client puts documents
                rows = bson.decode_all(content[content.index(b"\0") + 1 :])
                self.took_s += [now - at for row in rows if (at := row["mem_used_mb"]) > 0]


def serve(connection: socket.socket, counter: Counter, cost_s: float) -> None:
    """Answer one client until it goes, however it goes."""
    with connection, contextlib.suppress(ConnectionError):
        _answer(connection, counter, cost_s)


def _answer(connection: socket.socket, counter: Counter, cost_s: float) -> None:
    while message := _receive(connection):
        request, code, body = message
        if code == _QUERY:
            head = struct.pack("<iqii", 0, 0, 0, 1)
            _send(connection, request, _REPLY, head + bson.encode(_HELLO))
            continue
        name, number = _measure(body)
        reply: dict[str, Any] = {"ok": 1.0}
        if name in {"hello", "ismaster", "isMaster"}:
            reply = _HELLO
        elif number:
            if cost_s:
                time.sleep(cost_s * number)
            if counter.epoch:
                counter.time(body)
            counter.add(number)
            reply = {"n": number, "nModified": number, "ok": 1.0}
        _send(connection, request, _MSG, b"\0\0\0\0\0" + bson.encode(reply))


def _measure(body: bytes) -> tuple[str, int]:
    """Return a command's name and how many documents it writes."""
    name, number = "", 0
    for kind, content in _sections(body):
        if kind == 1:
            number += _count(content, content.index(b"\0") + 1)
            continue
        command = bson.decode(content, _RAW)
        name = next(iter(command))
        for rows in ("documents", "updates"):
            number += len(command.get(rows, ()))
    return name, number


def _count(rows: bytes, at: int) -> int:
    number = 0
    while at < len(rows):
        at += struct.unpack_from("<i", rows, at)[0]
        number += 1
    return number


def main(cost_us: float, epoch: float) -> None:
    """Serve until the process is ended."""
    counter = Counter(epoch)
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(server.getsockname()[1], flush=True)

    def report() -> None:
        while True:
            time.sleep(0.5)
            row = {"documents": counter.documents, "first": counter.first, "last": counter.last}
            took = sorted(counter.took_s)
            for name, share in (("p50_s", 0.5), ("p99_s", 0.99)):
                row[name] = took[int(share * (len(took) - 1))] if took else 0.0
            print(json.dumps(row | {"cpu_s": time.process_time()}), flush=True)

    threading.Thread(target=report, daemon=True).start()
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        arguments = (connection, counter, cost_us / 1e6)
        threading.Thread(target=serve, args=arguments, daemon=True).start()


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
