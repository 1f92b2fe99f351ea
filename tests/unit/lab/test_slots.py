"""Labs of several checkouts find ports and ranges of their own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from runtime.errors import RangeError
from runtime.lab import slots
from runtime.lab.slots import Slot


def test_no_two_slots_share_a_port_or_a_range() -> None:
    for one, other in itertools.combinations([Slot(number=n) for n in range(slots.COUNT)], 2):
        assert one.port != other.port
        assert not one.build.overlaps(other.build)
        assert not one.run.overlaps(other.run)
        assert not one.trial.overlaps(other.trial)


def test_a_trial_stack_stands_beside_every_other() -> None:
    for one, other in itertools.product([Slot(number=n) for n in range(slots.COUNT)], repeat=2):
        assert not one.trial.overlaps(other.run)
        assert not one.trial.overlaps(other.build)


def test_the_first_free_slot_is_taken_and_remembered(tmp_path: Path) -> None:
    chosen = slots.choose(tmp_path, used_by=lambda slot: "" if slot.number else "a neighbour")
    assert chosen.number == 1
    assert slots.read(tmp_path) == chosen
    assert slots.choose(tmp_path, used_by=lambda _: "").number == 1


def test_when_none_is_free_the_error_says_what_uses_each(tmp_path: Path) -> None:
    with pytest.raises(RangeError, match="lab 0; lab 1; lab 2"):
        slots.choose(tmp_path, used_by=lambda slot: f"lab {slot.number}")
    assert not (tmp_path / "slot").exists()


@pytest.mark.parametrize("text", ["", "nonsense", "99", "-1"])
def test_a_damaged_memory_is_the_first_slot(tmp_path: Path, text: str) -> None:
    (tmp_path / "slot").write_text(text)
    assert slots.read(tmp_path).number == 0


def test_the_tools_get_the_slots_ranges(tmp_path: Path) -> None:
    slots.write_variables(tmp_path, Slot(number=2), subnet_id="subnet-1")
    assert json.loads(slots.terraform_file(tmp_path).read_text()) == {
        "vpc_cidr": "10.22.0.0/16",
        "admin_cidr": "10.22.1.1/32",
    }
    assert json.loads(slots.trial_file(tmp_path).read_text()) == {
        "vpc_cidr": "10.42.0.0/16",
        "admin_cidr": "10.42.1.1/32",
    }
    assert json.loads(slots.packer_file(tmp_path).read_text()) == {
        "subnet_id": "subnet-1",
        "ssh_source_cidrs": ["172.31.32.1/32"],
    }


def test_a_lab_with_machines_keeps_its_slot_or_says_who_has_it(tmp_path: Path) -> None:
    slots.choose(tmp_path, used_by=lambda slot: "" if slot.number == 1 else "x")
    with pytest.raises(RangeError, match=r"machines have their addresses where others are: br-1"):
        slots.choose(
            tmp_path, used_by=lambda slot: "br-1" if slot.number == 1 else "", is_bound=True
        )
    assert slots.read(tmp_path).number == 1
