"""A store that only speaks the protocol: it keeps documents in memory, and fails as it is told.

The wire protocol as far as the processor's client uses it: the legacy handshake, OP_MSG, hello,
ping and insert (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/).
"""

from __future__ import annotations

import collections
import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import bson

_HEADER = struct.Struct("<iiii")
_REPLY, _QUERY, _MSG = 1, 2004, 2013
_HELLO = {
    "ismaster": True,
    "helloOk": True,
    "maxBsonObjectSize": 16 << 20,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "ok": 1.0,
}
Document = dict[str, Any]
Answer = Callable[[str, list[Document]], Document | None]


class Sink:
    """The store, at `uri` as long as it is open.

    Attributes:
        kept: {collection: {key: document}}.
        commands: how many inserts came, {collection: number}.
        cost_s: seconds that each document costs its connection.
        answer: asked about every insert; a reply instead of the true one, or None. What it
            answers for is not kept.
        judge: asked about every document; an entry of `writeErrors` instead of keeping it, or None.
        hangs: while set, nothing is answered, nor refused.
        stalled: commands of these names are not answered, all else is.
        concerns: what each insert asked to be sure of, {"w": …, "j": …}.
        finds: the finds that came, in their order; each is answered with all of its collection, by
            key.
        most_at_once: the most inserts that were on their way at the same time.
    """

    def __init__(self, port: int = 0) -> None:
        self.kept: dict[str, dict[Any, Document]] = collections.defaultdict(dict)
        self.commands: collections.Counter[str] = collections.Counter()
        self.cost_s = 0.0
        self.answer: Answer = lambda _, __: None
        self.judge: Callable[[Document], Document | None] = lambda _: None
        self.hangs = threading.Event()
        self.stalled: set[str] = set()
        self.concerns: list[Document] = []
        self.finds: list[Document] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        sink = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                sink._open.add(self.request)
                with contextlib.suppress(OSError):
                    while message := _receive(self.request):
                        sink._serve(self.request, *message)
                sink._open.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", port), Connection)
        self.port = self._server.server_address[1]
        self.uri = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Go away as a killed server does: no answer, no connection, nobody at the port."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, connection: socket.socket, request: int, code: int, body: bytes) -> None:
        while self.hangs.is_set():
            time.sleep(0.02)
        if code == _QUERY:
            head = struct.pack("<iqii", 0, 0, 0, 1)
            _send(connection, request, _REPLY, head + bson.encode(_HELLO))
            return
        command = _command(body)
        if "find" in command:
            self.finds.append(command)
        while self.stalled & command.keys():
            time.sleep(0.02)
        reply = self._insert(command) if "insert" in command else {"ok": 1.0}
        if "find" in command:
            rows = [row for _, row in sorted(self.kept[command["find"]].items())]
            reply |= {"cursor": {"id": bson.Int64(0), "ns": "d.c", "firstBatch": rows}}
        for one in command.get("deletes", ()):
            self.kept[command["delete"]].pop(one["q"]["_id"], None)
        if "hello" in command or "ismaster" in command:
            reply = _HELLO
        _send(connection, request, _MSG, b"\0\0\0\0\0" + bson.encode(reply))

    def _insert(self, command: Document) -> Document:
        collection, documents = command["insert"], command["documents"]
        with self._lock:
            self.commands[collection] += 1
            self.concerns.append(command.get("writeConcern", {}))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.cost_s:
                time.sleep(self.cost_s * len(documents))
            if reply := self.answer(collection, documents):
                return reply
            with self._lock:
                return self._keep(self.kept[collection], documents)
        finally:
            with self._lock:
                self._at_once -= 1

    def _keep(self, known: dict[Any, Document], documents: list[Document]) -> Document:
        errors = []
        for index, document in enumerate(documents):
            if error := self.judge(document):
                errors.append({"index": index, **error})
            elif document["_id"] in known:
                pattern = {"keyPattern": {"_id": 1}, "errmsg": "E11000 duplicate key"}
                errors.append({"index": index, "code": 11000, **pattern})
            else:
                known[document["_id"]] = document
        done = {"n": len(documents) - len(errors), "ok": 1.0}
        return done | ({"writeErrors": errors} if errors else {})


def _command(body: bytes) -> Document:
    """Return the command in an OP_MSG, with the documents of a sequence beside it put inside."""
    found: Document = {}
    for kind, content in _sections(body):
        if kind == 0:
            found |= bson.decode(content)
        else:
            name, _, rows = content.partition(b"\0")
            found[name.decode()] = bson.decode_all(rows)
    return found


def _sections(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 4
    while at < len(body):
        kind = body[at]
        (size,) = struct.unpack_from("<i", body, at + 1)
        start = at + 1 if kind == 0 else at + 5
        at += 1 + size
        yield kind, body[start:at]


def _receive(connection: socket.socket) -> tuple[int, int, bytes] | None:
    head = _exactly(connection, _HEADER.size)
    if not head:
        return None
    size, request, _, code = _HEADER.unpack(head)
    return request, code, _exactly(connection, size - _HEADER.size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            return b""
        found += part
    return found


def _send(connection: socket.socket, request: int, code: int, body: bytes) -> None:
    connection.sendall(_HEADER.pack(_HEADER.size + len(body), 0, request, code) + body)
