"""A real HTTP server that answers as an exporter of GPU metrics does, or as none does."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
BLANK = "9223372036854775794"


def gpu(index: int, util: object, used: object, power: object) -> str:
    labels = f'gpu="{index}",UUID="GPU-{index}",device="nvidia{index}",Hostname="rack-7"'
    return (
        "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n"
        f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} {util}\n"
        f"DCGM_FI_DEV_FB_USED{{{labels}}} {used}\nDCGM_FI_DEV_POWER_USAGE{{{labels}}} {power}\n"
    )


def say(text: str | bytes, status: int = 200) -> Answer:
    """Return an answer of `text` as it should be."""
    body = text if isinstance(text, bytes) else text.encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def say_nothing(_: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


def drip(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(30):
            request.wfile.write(b"# \n")
            time.sleep(0.1)


def flood(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    with contextlib.suppress(OSError):
        while True:
            request.wfile.write(b"# \n" * 100_000)


def break_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(gpu(0, 1, 2, 3).encode())


@contextlib.contextmanager
def exporter(*answers: Answer, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve answers one after the other, the last one for ever; yield the address."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (left.pop(0) if len(left) > 1 else left[0])(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()
