"""The GPUs that an endpoint in Prometheus' text format tells of, by the names of DCGM."""

from __future__ import annotations

import http.client
import math
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from producers.messages import SourceError
from producers.sampling import Reading
from producers.stop import Stop

TIMEOUT_S = 10.0
MOST_BYTES = 16 << 20
FIELDS = {
    "DCGM_FI_DEV_GPU_UTIL": "utilization",  # percent
    "DCGM_FI_DEV_FB_USED": "mem_used_mb",  # MiB
    "DCGM_FI_DEV_POWER_USAGE": "power_w",  # watts
}
# What DCGM writes where it has no value: 64 and 32 bit integers, and floats.
_WHY = ("blank", "not found", "not supported", "not permitted")
_BLANKS = {
    first + number: why
    for first in (0x7FFF_FFFF_FFFF_FFF0, 0x7FFF_FFF0, 140_737_488_355_328)
    for number, why in enumerate(_WHY)
} | {2**63: _WHY[0]}  # any of the first four, once it has been a float


def take(url: str, *, stop: Stop, timeout_s: float = TIMEOUT_S) -> list[Reading]:
    """Return a reading of each GPU that the endpoint tells of.

    Raises:
        SourceError: it does not answer in time or with the text of metrics, or tells of no GPU.
    """
    text = fetch(url, stop=stop, timeout_s=timeout_s)
    try:
        found = list(read(text, host=urlsplit(url).hostname or "", now=datetime.now(UTC)))
    except (ValueError, OverflowError) as error:
        message = f"{url} answers with what is not Prometheus' text format: {str(error)[:200]}"
        raise SourceError(message) from error
    if not found:
        message = f"{url} tells of no GPU: it has no {', '.join(FIELDS)} with a label gpu"
        raise SourceError(message)
    return found


def fetch(url: str, *, stop: Stop, timeout_s: float) -> str:
    """Return what the endpoint answers, within `timeout_s` seconds and MOST_BYTES.

    Raises:
        SourceError: it does not, or it is no text.
    """
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        until = time.monotonic() + timeout_s
        with stop.waiting(), direct.open(url, timeout=timeout_s) as answer:
            return _body(answer, until).decode()
    except urllib.error.HTTPError as error:
        with error:
            why = f"answers with status {error.code}"
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            why = f"did not answer within {timeout_s:g} s"
        elif reason is error:
            why = f"broke off: {str(error) or type(error).__name__}"
        else:
            why = f"can't be reached: {reason}"
    except _TooLargeError:
        why = f"answers with more than {MOST_BYTES} bytes"
    except UnicodeDecodeError:
        why = "answers with what is no text"
    except UnicodeError as error:  # a part of the host's name is empty or over 63 characters
        why = f"can't be reached: {error}"
    message = f"{url} {why}"
    raise SourceError(message)


class _TooLargeError(Exception):
    pass


def _body(answer: http.client.HTTPResponse, until: float) -> bytearray:
    body = bytearray()
    while chunk := answer.read1(65_536):
        body += chunk
        if len(body) > MOST_BYTES:
            raise _TooLargeError
        if time.monotonic() > until:  # a socket's own timeout is one of each read
            raise TimeoutError
    if answer.length:  # `read1` does not mind
        raise http.client.IncompleteRead(b"", answer.length)
    return body


def read(text: str, *, host: str, now: datetime) -> Iterator[Reading]:
    """Yield a reading of each GPU in a text of metrics, in the order of hosts and GPUs.

    Args:
        text: the metrics.
        host: the name of a GPU's host where its label does not say.
        now: the time of a sample that has none.

    Raises:
        ValueError, OverflowError: it is not Prometheus' text format, or a time can't be one.
    """
    gpus: dict[tuple[str, int], dict[str, Sample]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            field = FIELDS.get(sample.name)
            index = sample.labels.get("gpu", "")
            # Parts of a partitioned GPU share its number, and none of them is all of it.
            if field and index.isdecimal() and "GPU_I_ID" not in sample.labels:
                gpus[_host(sample.labels) or host, int(index)][field] = sample
    for (name, index), samples in sorted(gpus.items()):
        times = [one.timestamp for one in samples.values() if one.timestamp]
        yield Reading(
            host=name,
            gpu_index=index,
            ts=datetime.fromtimestamp(max(times), UTC) if times else now,
            **{field: _tell(samples.get(field)) for field in FIELDS.values()},
        )


def _host(labels: Mapping[str, str]) -> str:
    return labels.get("Hostname") or labels.get("hostname") or ""


def _tell(sample: Sample | None) -> float | str:
    if sample is None:
        return "not told"
    if why := _BLANKS.get(sample.value):
        return f"DCGM says {why}"
    return sample.value if math.isfinite(sample.value) else f"is {sample.value}"
