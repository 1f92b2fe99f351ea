"""An endpoint that is no exporter, or none that answers as it should, is refused by name."""

from __future__ import annotations

import pytest
from producers import prometheus
from producers.messages import SourceError
from producers.stop import Stop

from tests.contract.exporter import (
    Answer,
    break_off,
    drip,
    exporter,
    flood,
    say,
    say_nothing,
)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (say_nothing, r"did not answer within 0\.5 s"),
        (drip, r"did not answer within 0\.5 s"),
        (flood, "answers with more than 16777216 bytes"),
        (break_off, "broke off: IncompleteRead"),
        (say("not here", status=404), "answers with status 404"),
        (say("<html>Welcome</html>"), "not Prometheus' text format"),
        (say(b"\xff\xfe\x00"), "what is no text"),
        (say("up 1\n"), "tells of no GPU: it has no DCGM_FI_DEV_GPU_UTIL"),
        (say(""), "tells of no GPU"),
        (say('DCGM_FI_DEV_GPU_UTIL{gpu="0"} 1 +Inf\n'), "not Prometheus' text format: timestamp"),
    ],
    ids=[
        *("slow", "dripping", "endless", "cut", "404", "html", "binary", "other metrics", "empty"),
        "at no time",
    ],
)
def test_an_endpoint_that_is_no_exporter_is_refused_by_name(answer: Answer, why: str) -> None:
    with exporter(answer) as url:
        with pytest.raises(SourceError, match=rf"^http://127.*/metrics.*{why}"):
            prometheus.take(url, stop=Stop(), timeout_s=0.5 if "did not answer" in why else 30)


def test_an_exporter_that_is_not_there_is_refused_by_name() -> None:
    with exporter(say("")) as url:
        pass
    nowhere = ("http://nowhere.invalid/metrics", "http:///metrics")
    no_names = ("http://a..b/metrics", f"http://{'a' * 64}/metrics")
    for gone in (url, *nowhere, *no_names):
        with pytest.raises(SourceError, match=f"^{gone} can't be reached"):
            prometheus.take(gone, stop=Stop())
