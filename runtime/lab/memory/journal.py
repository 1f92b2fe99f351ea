"""The journal: every request that changed moto's records, for a new process to have them again.

A file of JSON lines. The first says what the records began from, each further one is a request
with the seed of moto's random generator, on which the ids that it makes depend. A line is on disk
before its request is answered, so the last may be torn when the process was killed; nothing else
may be damaged.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from runtime.errors import LabError

FORMAT = 1
_IDS = re.compile(rb"\b[a-z]+-[0-9a-f]{17}\b")
_ADDRESSES = re.compile(rb"<privateIpAddress>([0-9.]+)</privateIpAddress>")
_SCOPE = re.compile(r"Credential=[^/]*/[^/]*/([^/]*)/([^/,]*)/aws4_request")
_READS = ("Describe", "Get", "List", "Search", "BatchGet", "Head")
_QUERY_OF_AN_OBJECT = {"x-id"}  # which SDK call it is; anything else asks for something special


@dataclass(frozen=True, kw_only=True)
class Call:
    """An HTTP request as moto gets it.

    Attributes:
        url: path and query.
        headers: those that moto looks at.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @property
    def scope(self) -> tuple[str, str]:
        """Return the (region, service) that it is signed for, ("", "") if it isn't."""
        found = _SCOPE.search(self.headers.get("Authorization", ""))
        return (found[1], found[2]) if found else ("", "")

    @property
    def action(self) -> str:
        """Return what it asks for, "" where only method and path say so, as with S3."""
        if target := self.headers.get("X-Amz-Target"):
            return target.rpartition(".")[2]
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(self.body.decode(errors="replace"))).get("Action", "")
        return dict(parse_qsl(urlsplit(self.url).query)).get("Action", "")

    @property
    def is_read(self) -> bool:
        """Return whether it changes nothing."""
        if self.action:
            return self.action.startswith(_READS)
        return self.method in {"GET", "HEAD", "OPTIONS"}

    @property
    def object_key(self) -> str:
        """Return the path of the S3 object that it puts or deletes as a whole, "" for others."""
        parts = urlsplit(self.url)
        bucket, _, name = parts.path.lstrip("/").partition("/")
        is_plain = dict(parse_qsl(parts.query, keep_blank_values=True)).keys() <= (
            _QUERY_OF_AN_OBJECT
        )
        is_whole = self.method in {"PUT", "DELETE"} and "X-Amz-Copy-Source" not in self.headers
        return parts.path if self.is_s3 and is_plain and is_whole and bucket and name else ""

    @property
    def is_s3(self) -> bool:
        """Return whether it is for S3."""
        return self.scope[1] == "s3"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A request that was carried out.

    Attributes:
        seed: moto's random generator began from it.
        at: when, in seconds of the epoch.
        status: HTTP status of the answer.
        ids: the resource ids in the answer, sorted: the same must come out of a replay.
        addresses: the private addresses in it, likewise; None where it was not written down yet.
    """

    call: Call
    seed: int
    at: float
    status: int
    ids: tuple[str, ...] = ()
    addresses: tuple[str, ...] | None = None

    @property
    def is_done(self) -> bool:
        """Return whether the request was not refused."""
        return self.status < 400

    def line(self) -> bytes:
        """Return it as a line of the file."""
        call = self.call
        row = {
            "seed": self.seed,
            "at": round(self.at, 3),
            "method": call.method,
            "url": call.url,
            "headers": call.headers,
            "body": base64.b64encode(call.body).decode(),
            "status": self.status,
            "ids": self.ids,
            "addresses": self.addresses,
        }
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, row: dict[str, Any]) -> Entry:
        """Return the entry that a line's object holds.

        Raises:
            KeyError, TypeError, ValueError: it isn't one.
        """
        return cls(
            call=Call(
                method=str(row["method"]),
                url=str(row["url"]),
                headers={str(key): str(value) for key, value in row["headers"].items()},
                body=base64.b64decode(row["body"], validate=True),
            ),
            seed=int(row["seed"]),
            at=float(row["at"]),
            status=int(row["status"]),
            ids=tuple(row["ids"]),
            addresses=None if row.get("addresses") is None else tuple(row["addresses"]),
        )


def ids_in(answer: bytes) -> tuple[str, ...]:
    """Return the resource ids in the body of an answer, sorted."""
    return tuple(sorted({found.decode() for found in _IDS.findall(answer)}))


def addresses_in(answer: bytes) -> tuple[str, ...]:
    """Return the private addresses in the body of an answer, sorted."""
    return tuple(sorted({found.decode() for found in _ADDRESSES.findall(answer)}))


def compact(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries without what later ones make needless: Terraform writes its state often.

    Of the puts and deletes of an S3 object only the last counts, as far back as nothing else was
    asked of S3 that may have looked at an earlier one; refused requests to S3 changed nothing.
    """
    kept: list[Entry] = []
    later: set[str] = set()
    for entry in reversed(entries):
        call = entry.call
        if call.is_s3 and not call.is_read:
            key = call.object_key
            if not entry.is_done or key in later:
                continue
            if key:
                later.add(key)
            else:
                later.clear()
        kept.append(entry)
    kept.reverse()
    return kept


class Journal:
    """The file, open for the only process that writes it."""

    def __init__(self, path: Path, *, region: str) -> None:
        """Read `path`, or begin it for a lab whose home is `region`.

        Raises:
            LabError: it is damaged, or of another region or format.
        """
        self.path = path
        self.dropped = ""
        self._broken = ""
        lines = self._lines() if path.exists() else []
        if lines:
            self.seed = self._begin(lines[0], region)
            read = [self._parse(number, line) for number, line in enumerate(lines[1:], 2)]
        else:
            self.seed, read = secrets.randbits(48), []
        self.entries = compact(read)
        if not lines or self.dropped or len(self.entries) < len(read):
            self._rewrite(region)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def check(self) -> None:
        """Raise LabError once a line could not be written: the records are ahead of the file."""
        if self._broken:
            message = (
                f"the lab's journal can't be written, so nothing can be changed: {self._broken}"
            )
            raise LabError(message, hint="free some space, then ./invoke lab.down and lab.up")

    def append(self, entry: Entry) -> None:
        """Write an entry through to the disk.

        Raises:
            LabError: that failed; nothing of it stands in the file.
        """
        size = os.fstat(self._file).st_size
        line = entry.line()
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            self._broken = str(error)
            self.check()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _lines(self) -> list[bytes]:
        *whole, rest = self.path.read_bytes().split(b"\n")
        if rest:
            self.dropped = (
                f"the last request in {self.path.name} was never answered and is dropped: "
                "the lab was killed while it wrote it"
            )
        return whole

    def _begin(self, line: bytes, region: str) -> int:
        try:
            row = json.loads(line)
            made_by, home, seed = int(row["journal"]), str(row["region"]), int(row["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(1, error) from error
        if made_by != FORMAT:
            message = f"{self.path} has format {made_by}; this version reads {FORMAT}"
            raise LabError(message, hint="./invoke lab.reset")
        if home != region:
            message = f"this lab was made in {home}, and {region} is asked for"
            raise LabError(message, hint=f"AWS_REGION={home} ./invoke lab.up, or lab.reset")
        return seed

    def _parse(self, number: int, line: bytes) -> Entry:
        try:
            return Entry.parse(json.loads(line))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(number, error) from error

    def _damaged(self, number: int, error: Exception) -> LabError:
        message = f"the lab's journal {self.path} is damaged in line {number}: {error!r}"
        return LabError(message, hint="put back a copy of it, or ./invoke lab.reset")

    def _rewrite(self, region: str) -> None:
        """Replace the file by what is held, as a whole or not at all."""
        first = json.dumps({"journal": FORMAT, "region": region, "seed": self.seed}).encode()
        new = self.path.with_suffix(".new")
        with new.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)  # states and parameters may hold secrets
            file.write(first + b"\n")
            file.writelines(_lines_of(self.entries))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _lines_of(entries: Iterable[Entry]) -> Iterable[bytes]:
    return (entry.line() for entry in entries)
