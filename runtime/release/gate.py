"""The scan of a release: an offline scanner over its SBOMs, against a reviewed list; fails closed.

Where no scanner is on this computer the outcome says so, and is never a pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from runtime import proc
from runtime.errors import CommandError, ReleaseError, ToolError

SCAN_S = 900
# What these are called need not be allowed one by one; whatever else, unknown included, must be.
MINOR = frozenset({"negligible", "low", "medium"})
_OFFLINE = {"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_CHECK_FOR_APP_UPDATE": "false"}


class Outcome(StrEnum):
    """What the gate came to."""

    PASSED = "passed"
    REFUSED = "refused"
    DID_NOT_RUN = "did not run"


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """A vulnerability of a package, as a scanner tells it; its severity in lower case."""

    id: str
    package: str
    version: str
    severity: str


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """A finding that somebody looked at and lets pass until a day."""

    id: str
    package: str
    reason: str
    reviewed_by: str
    expires: date

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Allowance:
        """Return the allowance in `row`, or raise ValueError naming the field."""
        names = ("id", "package", "reason", "reviewed_by", "expires")
        if wrong := set(row).symmetric_difference(names):
            message = f"it must hold {', '.join(names)} and nothing else; see {sorted(wrong)}"
            raise ValueError(message)
        for name in names:
            if not str(row[name]).strip():
                message = f"its {name} is empty"
                raise ValueError(message)
        return cls(**(dict(row) | {"expires": date.fromisoformat(row["expires"])}))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gate came to, and why.

    Attributes:
        outcome: passed, refused or did not run.
        about: one line for a person and the record.
        refused: findings that nobody allows.
        allowed: findings that somebody does.
        minor: how many were of no weight.
    """

    outcome: Outcome
    about: str
    refused: tuple[Finding, ...] = ()
    allowed: tuple[Finding, ...] = ()
    minor: int = field(default=0)

    def __str__(self) -> str:
        """Return outcome and reason in a line."""
        return f"{self.outcome}: {self.about}"


def load_allowances(path: Path) -> tuple[Allowance, ...]:
    """Return the reviewed list; none where there is no file.

    Raises:
        ReleaseError: the file is damaged; names it and the entry.
    """
    if not path.exists():
        return ()
    where = str(path)
    try:
        rows = json.loads(path.read_text())["allowed"]
        found = []
        for number, row in enumerate(rows, start=1):
            where = f"{path}, entry {number}"
            found.append(Allowance.parse(row))
    except (ValueError, TypeError, KeyError) as error:
        message = f"{where}: {error}"
        raise ReleaseError(message, hint=f"correct {path.name}; see packer/README.md") from error
    return tuple(found)


def judge(
    findings: Sequence[Finding], allowances: Sequence[Allowance], *, today: date, scanner: str
) -> Verdict:
    """Return what `findings` come to; pure."""
    weighty = [one for one in sorted(set(findings)) if one.severity not in MINOR]
    live = {(one.id, one.package) for one in allowances if one.expires >= today}
    over = {(one.id, one.package) for one in allowances if one.expires < today}
    allowed = tuple(one for one in weighty if (one.id, one.package) in live)
    refused = tuple(one for one in weighty if (one.id, one.package) not in live)
    minor = len(set(findings)) - len(weighty)
    about = f"{scanner} found {len(weighty)} of weight ({len(allowed)} allowed) and {minor} minor"
    if refused:
        named = "; ".join(
            f"{one.id} in {one.package} {one.version} ({one.severity}"
            + (", its allowance expired)" if (one.id, one.package) in over else ")")
            for one in refused[:5]
        )
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        about = f"{about}: not allowed {named}{more}"
    return Verdict(
        outcome=Outcome.REFUSED if refused else Outcome.PASSED,
        about=about,
        refused=refused,
        allowed=allowed,
        minor=minor,
    )


def scan(sboms: Sequence[Path], allowed: Path, *, today: date) -> Verdict:
    """Scan SBOM files with whichever scanner is on this computer, offline.

    A scanner that is here but fails, as without its database, refuses.

    Raises:
        ReleaseError: the reviewed list is damaged.
    """
    allowances = load_allowances(allowed)
    for scanner in _SCANNERS:
        try:
            program = proc.find(scanner, needed_by="the scan")
        except ToolError:
            continue
        try:
            findings = [found for sbom in sboms for found in _scan_one(scanner, program, sbom)]
        except (CommandError, ValueError, TypeError, KeyError, AttributeError) as error:
            about = f"{scanner} is here but does not scan: {error}"
            return Verdict(outcome=Outcome.REFUSED, about=about)
        return judge(findings, allowances, today=today, scanner=scanner)
    about = f"no scanner found (neither {' nor '.join(_SCANNERS)})"
    return Verdict(outcome=Outcome.DID_NOT_RUN, about=about)


def require(verdict: Verdict, allowed: Path) -> None:
    """Raise ReleaseError unless the gate passed or says that it did not run."""
    if verdict.outcome is Outcome.REFUSED:
        message = f"the scan refuses this release: {verdict.about}"
        raise ReleaseError(message, hint=f"update the package, or review it into {allowed}")


def parse_grype(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a report of `grype -o json` tells."""
    for match in report["matches"]:
        yield Finding(
            id=match["vulnerability"]["id"],
            package=match["artifact"]["name"],
            version=match["artifact"]["version"],
            severity=match["vulnerability"]["severity"].lower(),
        )


def parse_trivy(report: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what a report of `trivy --format json` tells; it has no Results if it looked at none.

    Raises:
        KeyError: there are no Results, so nothing was looked at.
    """
    for result in report["Results"]:
        for one in result.get("Vulnerabilities") or ():
            yield Finding(
                id=one["VulnerabilityID"],
                package=one["PkgName"],
                version=one["InstalledVersion"],
                severity=one["Severity"].lower(),
            )


def _scan_one(scanner: str, program: Path, sbom: Path) -> Iterator[Finding]:
    words, parse = _SCANNERS[scanner]
    argv: list[str | Path] = [program, *(word.format(sbom=sbom) for word in words)]
    said = proc.run(argv, timeout_s=SCAN_S, env=_OFFLINE).stdout
    yield from parse(json.loads(said))


_SCANNERS = {
    "grype": (("sbom:{sbom}", "--output", "json"), parse_grype),
    "trivy": (
        ("sbom", "--format", "json", "--offline-scan", "--skip-db-update", "{sbom}"),
        parse_trivy,
    ),
}
