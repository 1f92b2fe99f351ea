"""A release is complete, immutable, and refused by file name when it is not what was written."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from runtime.contract.roles import Role
from runtime.errors import ReleaseError
from runtime.release import ledger
from tests.unit.release.records import IDS, SBOMS, part, release, written

TODAY = date(2026, 11, 24)


def test_versions_of_a_day_count_up_and_sort_by_number(tmp_path: Path) -> None:
    for _ in range(11):
        written(tmp_path, ledger.next_version(tmp_path, TODAY))
    versions = [release.version for release in ledger.load_all(tmp_path)]
    assert versions[:3] == ["2026.11.24", "2026.11.24.2", "2026.11.24.3"]
    assert versions[-2:] == ["2026.11.24.10", "2026.11.24.11"]
    latest = ledger.latest(tmp_path)
    assert latest
    assert latest.version == "2026.11.24.11"


@pytest.mark.parametrize(
    ("made", "next_one"),
    [("2026.11.24", "2026.11.24.2"), ("2026.11.25.2", "2026.11.25.3"), ("2026.11.1", "2026.11.24")],
)
def test_the_next_version_is_later_than_all_there_are(
    tmp_path: Path, made: str, next_one: str
) -> None:
    if made != "2026.11.1":  # which is no version, and none of the ledger's
        written(tmp_path, made)
    assert ledger.next_version(tmp_path, TODAY) == next_one


def test_a_version_of_a_pruned_release_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "pruned").mkdir()
    written(tmp_path).variables.rename(ledger.path(tmp_path / "pruned", "2026.11.24"))
    assert ledger.next_version(tmp_path, TODAY) == "2026.11.24.2"
    assert [one.version for one in ledger.load_pruned(tmp_path)] == ["2026.11.24"]
    with pytest.raises(ReleaseError, match="was pruned: its AMIs are gone"):
        ledger.load(tmp_path, "2026.11.24")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    whole = release(tmp_path)
    assert ledger.write(whole, SBOMS) == whole == ledger.load(tmp_path, "2026.11.24")
    assert whole.ami_ids == IDS
    assert whole.stand_ins() == ["not MongoDB"]
    assert ledger.read_sbom(whole, Role.MONGO) == {"of": "mongo"}


def test_terraform_gets_the_literal_ids_and_a_comment(tmp_path: Path) -> None:
    said = json.loads(written(tmp_path).variables.read_text())
    assert said.keys() == {"release", "ami_ids", "//"}
    assert (said["release"], said["ami_ids"]) == ("2026.11.24", IDS)


def test_a_release_never_changes(tmp_path: Path) -> None:
    before = written(tmp_path).variables.read_bytes()
    with pytest.raises(ReleaseError, match="exists already"):
        written(tmp_path, commit="another")
    assert ledger.load(tmp_path, "2026.11.24").variables.read_bytes() == before


@pytest.mark.parametrize("version", ["1", "2026.11", "v2026.11.24", "2026.11.24.x", "../x"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match="is no version"):
        ledger.refuse_version(tmp_path, version)


def test_a_release_older_than_one_there_is_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ReleaseError, match=r"would be older than 2026\.11\.24"):
        ledger.refuse_version(tmp_path, "2026.11.23")


def test_a_release_that_lacks_a_role_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    whole = release(tmp_path)
    parts = {role: one for role, one in whole.parts.items() if role is not Role.MONGO}
    with pytest.raises(ReleaseError, match="missing: mongo"):
        ledger.write(release(tmp_path, parts=parts), SBOMS)
    with pytest.raises(ReleaseError, match="missing: kafka"):
        ledger.write(whole, {role: text for role, text in SBOMS.items() if role is not Role.KAFKA})
    with pytest.raises(ReleaseError, match="SBOM of kafka is not that of"):
        ledger.write(whole, SBOMS | {Role.KAFKA: "another"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"//": {}}', '{"//": 1}'])
def test_a_damaged_release_is_refused_by_the_name_of_its_file(tmp_path: Path, content: str) -> None:
    written(tmp_path).variables.write_text(content)
    with pytest.raises(ReleaseError, match=r"2026\.11\.24\.tfvars\.json is damaged"):
        ledger.load(tmp_path, "2026.11.24")


@pytest.mark.parametrize("change", ["ami_ids", "//"])
def test_a_release_changed_by_hand_is_refused_by_the_name_of_its_file(
    tmp_path: Path, change: str
) -> None:
    path = written(tmp_path).variables
    value = json.loads(path.read_text())
    value[change][Role.KAFKA if change == "ami_ids" else "gate"] = "ami-0123456789abcdef0"
    path.write_text(json.dumps(value))
    with pytest.raises(ReleaseError, match=r"11\.24\.tfvars\.json was changed after it was writ"):
        ledger.load(tmp_path, "2026.11.24")


def test_a_release_that_was_merely_laid_out_anew_is_the_same(tmp_path: Path) -> None:
    before = written(tmp_path)
    before.variables.write_text(json.dumps(json.loads(before.variables.read_text())))
    assert ledger.load(tmp_path, "2026.11.24") == before


def test_a_renamed_release_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    written(tmp_path).variables.rename(ledger.path(tmp_path, "2026.11.25"))
    with pytest.raises(ReleaseError, match=r"11\.25\.tfvars\.json was renamed: it holds release"):
        ledger.latest(tmp_path)


def test_a_release_whose_record_is_incomplete_is_refused(tmp_path: Path) -> None:
    whole = release(tmp_path)
    some = release(tmp_path, parts={Role.KAFKA: part(Role.KAFKA)})
    whole.variables.write_text(some.to_json())
    with pytest.raises(ReleaseError, match="is incomplete: it lacks mongo, processor, producers"):
        ledger.load(tmp_path, whole.version)


def test_an_sbom_that_is_not_what_was_written_is_refused_by_its_name(tmp_path: Path) -> None:
    whole = written(tmp_path)
    path = ledger.sbom_path(whole, Role.MONGO)
    path.write_text("{}")
    with pytest.raises(ReleaseError, match=r"mongo\.cdx\.json was changed"):
        ledger.read_sbom(whole, Role.MONGO)
    path.unlink()
    with pytest.raises(ReleaseError, match=r"mongo\.cdx\.json is gone"):
        ledger.read_sbom(whole, Role.MONGO)


def test_an_unknown_release_is_answered_with_those_there_are(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ReleaseError, match=r"no release '1'; there are: 2026\.11\.24"):
        ledger.load(tmp_path, "1")


def test_a_pruned_release_keeps_its_record_and_cannot_be_loaded(tmp_path: Path) -> None:
    one = written(tmp_path)
    ledger.retire(tmp_path, one.version)
    assert ledger.load_all(tmp_path) == []
    with pytest.raises(ReleaseError, match="was pruned"):
        ledger.load(tmp_path, one.version)
    (kept,) = ledger.load_pruned(tmp_path)
    assert kept.parts == one.parts
    assert ledger.read_sbom(kept, Role.KAFKA) == {"of": "kafka"}
    ledger.retire(tmp_path, one.version)  # once more, as after an interruption: no harm
    assert len(ledger.load_pruned(tmp_path)) == 1
