"""Machines have names: the first of a role has the role's, and nobody hides behind another."""

from __future__ import annotations

from runtime.cloud.machines import Machine, by_name
from runtime.contract.roles import Role


def machine(name: str, *, id: str = "", state: str = "running") -> Machine:  # noqa: A002
    return Machine(
        id=id or f"i-{name}",
        name=name,
        role=Role(name.partition("-")[0]),
        state=state,
        address="",
        public_address="",
        ami_id="",
        release="",
    )


def test_machines_are_told_role_by_role_and_in_order() -> None:
    names = ["producers", "processor-3", "processor", "kafka", "processor-2"]
    found = by_name(machine(name) for name in names)
    assert list(found) == ["kafka", "processor", "processor-2", "processor-3", "producers"]
    assert all(one.name == name for name, one in found.items())


def test_a_machine_on_its_way_out_does_not_hide_the_one_that_comes() -> None:
    old, new = machine("kafka", id="i-1", state="shutting-down"), machine("kafka", id="i-2")
    assert by_name([old, new]) == by_name([new, old]) == {"kafka": new}


def test_one_machine_more_of_the_same_name_is_called_by_its_id() -> None:
    one, more = machine("kafka", id="i-1"), machine("kafka", id="i-2")
    found = by_name([more, one])
    assert {name: each.id for name, each in found.items()} == {"kafka": "i-1", "i-2": "i-2"}
    assert found["i-2"].name == "i-2"
