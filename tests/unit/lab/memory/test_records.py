"""The lab's own facts outlive it."""

from __future__ import annotations

from pathlib import Path

from runtime.lab.memory.records import Records


def test_facts_are_found_again_by_another_start(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "records.json"
    records = Records(path)
    records.update("ami", "ami-1", state="disabled")
    records.update("ami", "ami-1", protected=True)

    again = Records(path)

    assert again.get("ami", "ami-1") == {"state": "disabled", "protected": True}
    assert again.of("ami") == {"ami-1": {"state": "disabled", "protected": True}}


def test_what_was_forgotten_stays_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    records = Records(path)
    records.update("ami", "ami-1", state="disabled")
    records.forget("ami", "ami-1")
    records.forget("ami", "ami-2")

    assert Records(path).get("ami", "ami-1") == {}


def test_what_is_returned_is_a_copy(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.json")
    records.update("ami", "ami-1", state="disabled")
    records.get("ami", "ami-1")["state"] = "changed"
    assert records.get("ami", "ami-1") == {"state": "disabled"}
