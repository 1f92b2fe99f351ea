"""What is sent: the two kinds of message with their bounds, and the batches they come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

GPU, TOKEN = "gpu", "token"
MOST_BYTES = 900_000  # of one message; Kafka takes a million, with what it adds

_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Time = Annotated[datetime, Meta(tz=True)]

# (kind, key, value): the key holds all of a host, or a model, in one partition and so in order.
Message = tuple[str, bytes, bytes]


class GpuMetric(msgspec.Struct, frozen=True):
    """A measurement of one GPU: percent, MiB, watts and the time it was taken."""

    host: _Name
    gpu_index: Annotated[int, Meta(ge=0, le=1023)]
    utilization: Annotated[float, Meta(ge=0, le=100)]
    mem_used_mb: Annotated[float, Meta(ge=0, le=1e9)]
    power_w: Annotated[float, Meta(ge=0, le=1e6)]
    ts: _Time


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens that one call of a model used; cost in US dollars per token."""

    model: _Name
    prompt_tokens: _Count
    completion_tokens: _Count
    cost_per_token: Annotated[float, Meta(ge=0, le=1e6)]
    ts: _Time


class SourceError(Exception):
    """The source can't be read, or tells what can't be sent; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Messages that are sent together.

    Attributes:
        messages: in the order in which they are sent.
        lines: the number of the source's last line in it; 0 where there are no lines.
    """

    messages: list[Message]
    lines: int = 0


_FIELDS = {kind: set(of.__struct_fields__) for kind, of in ((GPU, GpuMetric), (TOKEN, TokenUsage))}
_DECODERS: dict[str, Any] = {
    GPU: msgspec.json.Decoder(GpuMetric, strict=True),
    TOKEN: msgspec.json.Decoder(TokenUsage, strict=True),
}
_encode = msgspec.json.Encoder().encode


def from_metric(metric: GpuMetric) -> Message:
    """Return a measurement's message."""
    return GPU, metric.host.encode(), _encode(metric)


def from_usage(usage: TokenUsage) -> Message:
    """Return a token count's message."""
    return TOKEN, usage.model.encode(), _encode(usage)


def from_line(line: bytes, name: str, number: int) -> Message:
    """Return the message in a line of JSON of the source `name`; it is sent as it stands.

    Raises:
        SourceError: it is none of both kinds, or the processor would not store it.
    """
    if len(line) > MOST_BYTES:
        message = f"{name} line {number} is longer than {MOST_BYTES} bytes"
        raise SourceError(message)
    kind = GPU if b'"host"' in line else TOKEN  # a guess, to be quick
    try:
        value = _DECODERS[kind].decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind, value = _decode_slowly(line, f"{name} line {number}")
    try:
        if value.ts.tzinfo is not UTC:
            value.ts.astimezone(UTC)
    except OverflowError as error:
        message = f"{name} line {number} has a time before the year 1 or after 9999 in UTC"
        raise SourceError(message) from error
    key = value.host if kind == GPU else value.model
    if "\0" in key:  # of texts there is none but the key
        message = f"{name} line {number} has a text with a zero byte"
        raise SourceError(message)
    return kind, key.encode(), line


def _decode_slowly(line: bytes, where: str) -> tuple[str, Any]:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{where} is not JSON: {error}"
        raise SourceError(message) from error
    known = set(fields) if isinstance(fields, dict) else set()
    for kind, needed in _FIELDS.items():
        if needed <= known:
            try:
                return kind, _DECODERS[kind].decode(line)
            except msgspec.ValidationError as error:
                message = f"{where} can't be a {kind} message: {error}"
                raise SourceError(message) from error
    gpu, token = (", ".join(sorted(_FIELDS[kind])) for kind in (GPU, TOKEN))
    message = (
        f"{where} has neither the fields of a GPU message ({gpu}) nor of a token message ({token})"
    )
    raise SourceError(message)
