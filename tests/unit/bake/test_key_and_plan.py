"""Same inputs, same key, nothing to do; and a person is told which input changed."""

from __future__ import annotations

import pytest

from runtime.bake import key, plan
from runtime.bake.stage import inputs, machine_program
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import ROOT, Settings

INPUTS = {"source": "ami-1", "packer/build.pkr.hcl": "aa", "tool packer": "1.16.0"}


def decide(**more: object) -> plan.Bake:
    options = {"existing": {}, "before": None, "forced": False} | more
    return plan.decide(Role.KAFKA, INPUTS, **options)


def test_the_order_of_inputs_does_not_change_the_key() -> None:
    assert key.digest(INPUTS) == key.digest(dict(reversed(INPUTS.items())))


@pytest.mark.parametrize("name", INPUTS)
def test_any_changed_input_changes_the_key(name: str) -> None:
    assert key.digest(INPUTS | {name: "other"}) != key.digest(INPUTS)


def test_an_ami_with_the_key_is_kept() -> None:
    kept = decide(existing={key.digest(INPUTS): "ami-9"})
    assert (kept.is_needed, kept.ami_id, kept.why) == (False, "ami-9", "nothing changed")


def test_force_bakes_although_nothing_changed() -> None:
    assert decide(existing={key.digest(INPUTS): "ami-9"}, forced=True).is_needed


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (None, "never baked here"),
        (INPUTS, "its AMI is gone"),
        (INPUTS | {"source": "ami-0"}, "changed: source"),
        ({"a": "1", "b": "2"}, "changed: a, b, packer/build.pkr.hcl and 2 more"),
    ],
)
def test_the_reason_names_what_changed(before: dict[str, str] | None, why: str) -> None:
    assert decide(before=before).why == why


def test_the_amis_name_tells_role_version_and_key() -> None:
    name = plan.ami_name(Role.MONGO, "2026.11.24", "0123456789ab")
    assert name == "bullion-mongo-2026.11.24-01234567"


@pytest.mark.parametrize("role", MACHINE_ROLES)
def test_inputs_of_a_role_are_its_own_files_by_relative_path(role: Role) -> None:
    found = inputs(ROOT, role)
    others = {f"runtime/rootfs/{other}/" for other in Role if other is not role}
    assert any(name.startswith(f"runtime/rootfs/{role}/") for name in found)
    assert not [name for name in found if name.startswith((*others, "/"))]


def test_the_key_of_a_checkout_does_not_depend_on_the_clock(lab_settings: Settings) -> None:
    tools = {"packer": "1"}
    once, again = (
        key.collect(lab_settings, Role.PROCESSOR, source="k", tools=tools) for _ in range(2)
    )
    assert once == again
    assert "images/processor/processor/app.py" in once
    assert "packer/build.pkr.hcl" in once


def test_the_machine_program_holds_no_test_and_no_operator_code() -> None:
    import io
    import zipfile

    names = zipfile.ZipFile(io.BytesIO(machine_program(ROOT))).namelist()
    rooms = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert rooms == {"contract", "machine"}
