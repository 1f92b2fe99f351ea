"""The store's own check, run as it is in the image, against answers that a good store never gives."""

from __future__ import annotations

import contextlib
import shutil
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest

from runtime import proc
from runtime.settings import ROOT
from tests.contract.sink import _MSG, _receive, _send

CHECK = (ROOT / "images/mongo/health").read_text()
REFUSAL = {"ok": 0.0, "errmsg": "it looks ok, and is not", "code": 11600}


@contextlib.contextmanager
def answering(reply: dict[str, Any] | None) -> Iterator[int]:
    """Answer every message so, or none at all; yield the port."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while message := _receive(self.request):
                    if reply is not None:
                        _send(self.request, message[0], _MSG, b"\0" * 5 + bson.encode(reply))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Connection) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.fixture(params=["MongoDB's shell", "BusyBox"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the programs of an image are: MongoDB's has bash, the stand-in has BusyBox alone."""
    if request.param == "MongoDB's shell":
        return "/usr/bin:/bin"
    busybox = shutil.which("busybox")
    if not busybox:
        pytest.skip("no BusyBox here")
    for name in ("sh", "nc", "timeout", "tr", "grep", "sleep", "printf"):
        (tmp_path / name).symlink_to(busybox)
    return str(tmp_path)


def check(folder: str, port: int) -> int:
    """Return the exit status of the check, which knows one port only."""
    script = CHECK.replace("27017", str(port))
    shell = shutil.which("sh", path=folder)
    return proc.run([shell, "-c", script], timeout_s=20, env={"PATH": folder}, ok=range(256)).status


@pytest.mark.parametrize(
    ("reply", "is_good"),
    [
        ({"ok": 1.0}, True),
        ({"ok": 1.0, "operationTime": "now"}, True),
        (REFUSAL, False),
        ({"ok": 0.0}, False),
        (None, False),
    ],
    ids=["good", "good, and more", "refused", "refused without a word", "silent"],
)
def test_a_store_is_healthy_when_its_answer_says_so(
    folder: str, reply: dict[str, Any] | None, is_good: bool
) -> None:
    with answering(reply) as port:
        assert (check(folder, port) == 0) is is_good


def test_a_store_that_is_not_there_is_not_healthy(folder: str) -> None:
    with answering(None) as port:
        pass
    assert check(folder, port) != 0
