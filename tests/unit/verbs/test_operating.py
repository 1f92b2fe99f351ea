"""What is typed for a run of the producers is refused before it reaches the machine."""

from __future__ import annotations

import pytest

from runtime.errors import UsageError
from runtime.verbs.operating import parse_source


@pytest.mark.parametrize(
    "text", ["", "simulation", "nvml", "/var/lib/bullion/messages/a.jsonl", "http://a:9400/metrics"]
)
def test_a_source_is_taken_as_it_is(text: str) -> None:
    assert parse_source(text) == text


@pytest.mark.parametrize("text", ["relative.jsonl", "https://a/metrics", "nvml; reboot", "--help"])
def test_a_source_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="allowed: `simulation`, `nvml`"):
        parse_source(text)


def test_stdin_is_one_on_the_machine_only() -> None:
    with pytest.raises(UsageError, match="sudo bullion produce --source - < FILE"):
        parse_source("-")
