"""The gate lets through what was reviewed and has not expired, and nothing else of weight."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from runtime.errors import ReleaseError
from runtime.release import gate
from runtime.release.gate import Allowance, Finding, Outcome
from runtime.settings import ROOT

TODAY = date(2026, 11, 25)
ROW = {
    "id": "CVE-2026-1",
    "package": "openssl",
    "reason": "not reachable",
    "reviewed_by": "A. Person",
    "expires": "2026-11-25",
}


def judge(*found: Finding, **allowance: str) -> gate.Verdict:
    allowed = [Allowance.parse(ROW | allowance)]
    return gate.judge(found, allowed, today=TODAY, scanner="grype")


def finding(**more: str) -> Finding:
    fields = {"id": "CVE-2026-1", "package": "openssl", "version": "3", "severity": "high"}
    return Finding(**(fields | more))


def test_nothing_found_passes() -> None:
    assert judge().outcome is Outcome.PASSED


def test_what_was_reviewed_passes_until_the_end_of_its_last_day() -> None:
    verdict = judge(finding())
    assert (verdict.outcome, verdict.allowed) == (Outcome.PASSED, (finding(),))


@pytest.mark.parametrize(
    "allowance",
    [{"expires": "2026-11-24"}, {"id": "CVE-2026-2"}, {"package": "libssl3"}],
)
def test_an_expired_or_other_allowance_lets_nothing_pass(allowance: dict[str, str]) -> None:
    verdict = judge(finding(), **allowance)
    assert verdict.outcome is Outcome.REFUSED
    assert "CVE-2026-1 in openssl 3 (high" in verdict.about
    assert ("its allowance expired" in verdict.about) == ("expires" in allowance)


@pytest.mark.parametrize("severity", ["critical", "high", "unknown", "", "something new"])
def test_what_is_not_known_to_be_minor_must_be_allowed(severity: str) -> None:
    assert judge(finding(id="CVE-9", severity=severity)).outcome is Outcome.REFUSED


@pytest.mark.parametrize("severity", sorted(gate.MINOR))
def test_what_is_minor_is_counted_and_passes(severity: str) -> None:
    verdict = judge(finding(id="CVE-9", severity=severity))
    assert (verdict.outcome, verdict.minor) == (Outcome.PASSED, 1)


def test_a_refusal_says_what_to_do() -> None:
    with pytest.raises(ReleaseError, match=r"refuses this release.*CVE-9"):
        gate.require(judge(finding(id="CVE-9")), ROOT)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ROW | {"expires": "soon"}, "Invalid isoformat"),
        (ROW | {"reviewed_by": " "}, "its reviewed_by is empty"),
        ({name: ROW[name] for name in ROW if name != "expires"}, "expires"),
        (ROW | {"forever": True}, "forever"),
        ("CVE-2026-1", "entry 1"),
    ],
)
def test_a_damaged_list_is_refused_by_file_entry_and_field(
    tmp_path: Path, entry: object, said: str
) -> None:
    path = tmp_path / "allowed.json"
    path.write_text(json.dumps({"allowed": [entry]}))
    with pytest.raises(ReleaseError, match=said) as refused:
        gate.load_allowances(path)
    assert f"{path}, entry 1" in str(refused.value)


def test_the_list_of_this_repository_reads() -> None:
    gate.load_allowances(ROOT / "packer/allowed-vulnerabilities.json")
