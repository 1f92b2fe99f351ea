"""The gate with a scanner on disk that answers as the documentation of the real ones has it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from runtime.release import gate
from runtime.release.gate import Outcome, Verdict

TODAY = date(2026, 11, 25)
GRYPE = {
    "matches": [
        {
            "vulnerability": {
                "id": "CVE-2026-1",
                "severity": "Critical",
                "fix": {"versions": ["3.6"], "state": "fixed"},
            },
            "artifact": {"name": "openssl", "version": "3.5.1", "type": "deb"},
        }
    ],
    "descriptor": {"name": "grype", "version": "0.100.0"},
}
TRIVY = {
    "SchemaVersion": 2,
    "ArtifactType": "cyclonedx",
    "Results": [
        {"Target": "Java", "Class": "lang-pkgs"},
        {
            "Target": "debian",
            "Class": "os-pkgs",
            "Vulnerabilities": [
                {
                    "VulnerabilityID": "CVE-2026-1",
                    "PkgName": "openssl",
                    "InstalledVersion": "3.5.1",
                    "Severity": "CRITICAL",
                }
            ],
        },
    ],
}
ALLOWED = {
    "id": "CVE-2026-1",
    "package": "openssl",
    "reason": "not reachable",
    "reviewed_by": "A. Person",
    "expires": "2027-01-01",
}


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Scan with a program of that name which says `report`, if it is asked as it must be."""
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    (tmp_path / "bin").mkdir()
    bill = tmp_path / "kafka.cdx.json"
    bill.write_text("{}")

    def run(name: str = "", report: str = "", *, status: int = 0, **allowed: str) -> Verdict:
        if name:
            asked = {
                "grype": f"sbom:{bill} --output json",
                "trivy": f"sbom --format json --offline-scan --skip-db-update {bill}",
            }[name]
            program = tmp_path / "bin" / name
            program.write_text(
                f'#!/bin/sh\n[ "$*" = "{asked}" ] || exit 64\n'
                f'[ {name} = trivy ] || [ "$GRYPE_DB_AUTO_UPDATE" = false ] || exit 65\n'
                f"echo '{report}'\nexit {status}\n"
            )
            program.chmod(0o755)
        reviewed = tmp_path / "allowed.json"
        reviewed.write_text(json.dumps({"allowed": [ALLOWED | allowed]}))
        return gate.scan([bill], reviewed, today=TODAY)

    return run


def test_without_a_scanner_the_gate_says_that_it_did_not_run(scan) -> None:
    verdict = scan()
    assert verdict.outcome is Outcome.DID_NOT_RUN
    assert str(verdict) == "did not run: no scanner found (neither grype nor trivy)"


@pytest.mark.parametrize(("name", "report"), [("grype", GRYPE), ("trivy", TRIVY)])
def test_a_scanner_is_heard_and_the_reviewed_list_too(scan, name: str, report: object) -> None:
    said = json.dumps(report)
    assert scan(name, said).outcome is Outcome.PASSED
    refused = scan(name, said, package="libc6")
    assert refused.outcome is Outcome.REFUSED
    assert "CVE-2026-1 in openssl 3.5.1 (critical)" in refused.about
    assert "expired" in scan(name, said, expires="2026-11-24").about


@pytest.mark.parametrize("name", ["grype", "trivy"])
@pytest.mark.parametrize(
    ("said", "status"), [("", 1), ("not JSON", 0), ("{}", 0), ("[]", 0), ("null", 0)]
)
def test_a_scanner_that_fails_refuses(scan, name: str, said: str, status: int) -> None:
    verdict = scan(name, said, status=status)
    assert verdict.outcome is Outcome.REFUSED
    assert f"{name} is here but does not scan" in verdict.about
