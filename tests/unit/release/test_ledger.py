"""A release is complete, immutable, and refused by file name when it is damaged."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from runtime.contract.manifest import ImageRecord, Manifest
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import ReleaseError
from runtime.release import ledger

IDS = {role: f"ami-{number:017x}" for number, role in enumerate(MACHINE_ROLES)}
STAND_IN = ImageRecord(name="i", id="sha256:1", base="b", origin="packages", stand_in="not MongoDB")
MANIFESTS = {
    Role.MONGO: Manifest(role=Role.MONGO, version="v", key="k", source_ami="a", images=(STAND_IN,))
}
TODAY = date(2026, 11, 24)


def test_versions_of_a_day_count_up_and_sort_by_number(tmp_path: Path) -> None:
    for _ in range(11):
        ledger.write(tmp_path, ledger.next_version(tmp_path, TODAY), IDS, {})
    versions = [release.version for release in ledger.load_all(tmp_path)]
    assert versions[:3] == ["2026.11.24", "2026.11.24.2", "2026.11.24.3"]
    assert versions[-2:] == ["2026.11.24.10", "2026.11.24.11"]
    latest = ledger.latest(tmp_path)
    assert latest
    assert latest.version == "2026.11.24.11"


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    release = ledger.write(tmp_path, "2026.11.24", IDS, MANIFESTS)
    assert ledger.load(tmp_path, "2026.11.24") == release
    assert dict(release.ami_ids) == IDS
    assert release.stand_ins() == ["not MongoDB"]


def test_terraform_gets_the_literal_ids(tmp_path: Path) -> None:
    release = ledger.write(tmp_path, "2026.11.24", IDS, {})
    assert json.loads(release.variables.read_text()) == {"release": "2026.11.24", "ami_ids": IDS}


def test_a_release_never_changes(tmp_path: Path) -> None:
    before = ledger.write(tmp_path, "2026.11.24", IDS, {}).variables.read_bytes()
    with pytest.raises(ReleaseError, match="exists already"):
        ledger.write(tmp_path, "2026.11.24", dict.fromkeys(IDS, "ami-ffffffff"), {})
    assert ledger.load(tmp_path, "2026.11.24").variables.read_bytes() == before


def test_a_release_that_lacks_a_role_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="missing: mongo"):
        ledger.write(
            tmp_path, "2026.11.24", {r: a for r, a in IDS.items() if r is not Role.MONGO}, {}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"release": "2026.11.25", "ami_ids": IDS}),
        json.dumps({"release": "2026.11.24", "ami_ids": {"kafka": "ami-1"}}),
        json.dumps({"release": "2026.11.24", "ami_ids": IDS | {"kafka": "ami-xyz"}}),
        json.dumps({"release": "2026.11.24", "ami_ids": IDS | {"kafka": 7}}),
    ],
)
def test_a_damaged_release_is_refused_by_the_name_of_its_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "2026.11.24.tfvars.json"
    path.write_text(content)
    with pytest.raises(ReleaseError, match=r"2026\.11\.24\.tfvars\.json is damaged"):
        ledger.load(tmp_path, "2026.11.24")


def test_an_unknown_release_is_answered_with_those_there_are(tmp_path: Path) -> None:
    ledger.write(tmp_path, "2026.11.24", IDS, {})
    with pytest.raises(ReleaseError, match=r"no release '1'; there are: 2026\.11\.24"):
        ledger.load(tmp_path, "1")
