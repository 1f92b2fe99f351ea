"""moto, made to remember: one request at a time, and its records come back by a replay.

moto draws ids, addresses and MACs from one random generator that can be seeded. So each request
that changes something is carried out from a seed of its own and written to the journal with it,
and what it made depends on nothing else: not on reads in between, nor on entries left out.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from freezegun import freeze_time
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app
from werkzeug.wrappers import Request

from runtime import wait
from runtime.errors import LabError
from runtime.lab.ec2 import Ec2, WsgiApp, text
from runtime.lab.memory.journal import Call, Entry, Journal, addresses_in, ids_in

_log = logging.getLogger(__name__)
_FORGOTTEN = {"sts"}  # credentials need not survive: machines and SDKs take new ones
_HEADERS = ("Authorization", "Content-Encoding", "Content-Md5", "Content-Type")
_LATE = 0.9  # of a second
_REMEMBERED = 256  # answers, some of them a hundred kilobytes
_CONDITIONS = ("If-Match", "If-None-Match")
_GONE = {"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-User-Agent"}


def load() -> WsgiApp:
    """Return moto's WSGI app; it reads MOTO_AMIS_PATH, which `control` sets, at import."""
    from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415

    app = DomainDispatcherApplication(create_backend_app)
    # It reads the folders of its package for every request otherwise, a tenth of what one takes.
    remembering = functools.lru_cache(app.get_backend_for_host)
    app.get_backend_for_host = remembering  # type: ignore[method-assign]
    return app


class Moto:
    """A WSGI application: moto with a journal.

    One request at a time, also because moto's EC2 backend has no locks of its own.
    """

    def __init__(self, app: WsgiApp, journal: Journal) -> None:
        """Keep what `app` is asked to change in `journal`."""
        self._app = app
        self._journal = journal
        self._lock = threading.RLock()
        self._seen: set[tuple[str, str]] = set()
        self._said: dict[tuple[object, ...], tuple[bytes, str, list[tuple[str, str]]]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request; what it changes is on disk by then."""
        call = read_call(environ)
        with self._lock:
            if self._changes_nothing(call):
                return self._read(call, environ, start_response)
            self._said.clear()
            self._journal.check()
            _keep_clear_of_the_next_second()
            at, seed = time.time(), secrets.randbits(48)
            self._begin_from(seed)
            body, status, headers = run_wsgi_app(self._app, environ, buffered=True)
            answer = b"".join(body)
            code = int(status.split()[0])
            entry = Entry(
                call=call,
                seed=seed,
                at=at,
                status=code,
                ids=ids_in(answer),
                addresses=addresses_in(answer),
            )
            self._journal.append(self._repeatable(entry))
            self._seen.add(call.scope)
        start_response(status, headers.to_wsgi_list())
        return [answer]

    def _read(self, call: Call, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a question; one to EC2 as it was answered last, until something changes.

        The lab asks moto the same again and again: for each packet's source, each name looked up.
        """
        if call.scope[1] != "ec2":
            return list(self._app(environ, start_response))
        question = (call.scope, call.method, call.url, call.body)
        if question not in self._said:
            body, status, headers = run_wsgi_app(self._app, environ, buffered=True)
            if len(self._said) >= _REMEMBERED:
                self._said.clear()
            self._said[question] = b"".join(body), status, headers.to_wsgi_list()
        answer, status, listed = self._said[question]
        start_response(status, listed)
        return [answer]

    def recall(self, furnish: Callable[[Ec2], None], region: str) -> list[str]:
        """Make the records of the journal again, from `furnish` on; return what is lost of them.

        Raises:
            LabError: a request makes something else than it made then.
        """
        self._begin_from(self._journal.seed)
        furnish(Ec2(self._app, region))
        started = time.monotonic()
        entries = self._journal.entries
        lost = [self._journal.dropped] if self._journal.dropped else []
        if entries:
            with freeze_time() as clock:  # so that times of creation come back, too
                for number, entry in enumerate(entries, 2):
                    clock.move_to(datetime.fromtimestamp(entry.at, UTC))
                    lost += self._repeat(number, entry)
        _log.info("%d requests replayed in %.2f s", len(entries), time.monotonic() - started)
        self._journal.entries = []  # the file has them
        return lost

    def _repeat(self, number: int, entry: Entry) -> list[str]:
        self._begin_from(entry.seed)
        try:
            body, status, _ = run_wsgi_app(self._app, environ_of(entry.call), buffered=True)
        except NotImplementedError as error:
            body, status = [str(error).encode()], "501"
        self._seen.add(entry.call.scope)
        answer = b"".join(body)
        now, then = ids_in(answer), entry.ids
        if entry.addresses is not None:
            now, then = now + addresses_in(answer), then + entry.addresses
        what = entry.call.action or f"{entry.call.method} {entry.call.url}"
        if now != then and not entry.call.is_read:  # that shows source AMIs, which may be new ones
            message = (
                f"the lab's records can't be made again: {what} in line {number} of "
                f"{self._journal.path} gives {', '.join(now) or 'nothing'}; it had given "
                f"{', '.join(then) or 'nothing'}"
            )
            raise LabError(message, hint="use the version that made this lab, or lab.reset")
        if int(status.split()[0]) // 100 == entry.status // 100:
            return []
        return [f"{what} of {time.ctime(entry.at)}: it is answered {status} now"]

    def _changes_nothing(self, call: Call) -> bool:
        """Return whether a request need not be kept.

        The first in a region and service is: moto makes a default VPC and the like by it.
        """
        if call.scope[1] in _FORGOTTEN:
            return True
        return call.is_read and (call.scope in self._seen or not call.scope[1])

    def _begin_from(self, seed: int) -> None:
        Client(self._app).post(
            f"/moto-api/seed?a={seed}", headers={"Host": "motoapi.amazonaws.com"}
        )

    def _repeatable(self, entry: Entry) -> Entry:
        """Return what has the same effect as the request when it is sent again.

        A pair of keys is made by cryptography, not by the seeded generator: it comes back as the
        import of the public key that was made. A condition that held needs not hold again.
        """
        call = entry.call
        if not entry.is_done:
            return entry
        headers = {key: value for key, value in call.headers.items() if key not in _CONDITIONS}
        call = dataclasses.replace(call, headers=headers)
        if call.scope[1] == "ec2" and call.action == "CreateKeyPair":
            asked = dict(parse_qsl(call.body.decode()))
            wanted = {"KeyName.1": asked["KeyName"], "IncludePublicKey": "true"}
            found = Ec2(self._app, call.scope[0]).ask("DescribeKeyPairs", wanted)
            public = text(found, "keySet/item/publicKey").encode()
            asked |= {
                "Action": "ImportKeyPair",
                "PublicKeyMaterial": base64.b64encode(public).decode(),
            }
            call = dataclasses.replace(call, body=urlencode(asked).encode())
        return dataclasses.replace(entry, call=call)


def _keep_clear_of_the_next_second() -> None:
    """Wait where a request might begin in one second and be recorded by moto in the next.

    A replay has the time at which it began, and what moto says in seconds must be the same.
    """
    fraction = time.time() % 1
    if fraction > _LATE:
        wait.pause(1 - fraction)


def read_call(environ: dict[str, Any]) -> Call:
    """Return the request in `environ`, which can be read again afterwards."""
    request = Request(environ)
    body = request.get_data()
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    kept = {
        key: value
        for key, value in request.headers.items()
        if key in {*_HEADERS, *_CONDITIONS, "Host"}
        or (key.startswith("X-Amz-") and key not in _GONE)
    }
    url = environ.get("RAW_URI") or request.full_path.removesuffix("?")
    return Call(method=request.method, url=url, headers=kept, body=body)


def environ_of(call: Call) -> dict[str, Any]:
    """Return the WSGI environment of a request."""
    parts = urlsplit(call.url)
    headers = {key: value for key, value in call.headers.items() if key != "Host"}
    return EnvironBuilder(
        method=call.method,
        path=parts.path,
        query_string=parts.query,
        base_url=f"http://{call.headers.get('Host', 'localhost')}/",
        headers=list(headers.items()),
        data=call.body,
    ).get_environ()
