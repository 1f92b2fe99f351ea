"""What Terraform says becomes progress, or one error with the next thing to type."""

from __future__ import annotations

import json

import pytest

from runtime.deploy.terraform import errors_of, explain, instances, narrate, targets
from runtime.errors import BusyError, DeployError

MADE = {
    "type": "apply_complete",
    "hook": {"resource": {"addr": 'aws_instance.role["kafka"]'}, "elapsed_seconds": 14},
}
FAILED = {
    "type": "diagnostic",
    "diagnostic": {"severity": "error", "summary": "Invalid value", "detail": "The stack must be…"},
}


def test_a_finished_resource_is_told() -> None:
    assert list(narrate(json.dumps(MADE), "made")) == ['made aws_instance.role["kafka"] (14 s)']


@pytest.mark.parametrize("row", ["", "not json", "[]", '{"type": "planned_change"}'])
def test_other_rows_are_silent(row: str) -> None:
    assert list(narrate(row, "made")) == []
    assert errors_of(row) == []


def test_an_error_keeps_its_detail_and_a_warning_is_none() -> None:
    assert errors_of(json.dumps(FAILED)) == ["Invalid value: The stack must be…"]
    warning = {"diagnostic": FAILED["diagnostic"] | {"severity": "warning"}}
    assert errors_of(json.dumps(warning)) == []


def test_a_held_lock_is_somebody_else_at_work() -> None:
    assert isinstance(explain("Error acquiring the state lock: by ann", "apply"), BusyError)


def test_a_plan_that_was_overtaken_is_somebody_else_at_work() -> None:
    assert isinstance(explain("Saved plan is stale: by ann", "apply"), BusyError)


def test_a_bad_value_points_at_the_variable_files() -> None:
    error = explain("Invalid value for variable\n\nThe stack must be…", "plan")
    assert isinstance(error, DeployError)
    assert "tfvars" in error.hint
    assert "  | The stack must be…" in error.message


def resource(address: str, mode: str = "managed") -> dict[str, str]:
    kind, _, name = address.removeprefix("data.").partition(".")
    return {"address": address, "mode": mode, "type": kind, "name": name.partition("[")[0]}


def test_a_destroy_that_keeps_the_data_goes_for_everything_else() -> None:
    going = ['aws_instance.role["kafka"]', 'aws_volume_attachment.data["kafka"]', "aws_vpc.main"]
    kept = [
        resource('aws_ebs_volume.data["kafka"]'),
        resource("data.aws_availability_zones.available", "data"),
    ]
    state = {"values": {"root_module": {"resources": [*map(resource, going), *kept]}}}
    assert targets(state) == going


@pytest.mark.parametrize("state", [{}, {"values": {}}, {"values": {"root_module": {}}}])
def test_where_there_is_nothing_there_is_nothing_to_destroy(state: dict[str, object]) -> None:
    assert targets(state) == []


def test_the_machines_of_a_state_are_told_by_role() -> None:
    kafka = {"type": "aws_instance", "name": "role", "index": "kafka", "values": {"id": "i-1"}}
    others = [
        {"type": "aws_instance", "name": "other", "index": "mongo", "values": {}},
        {"type": "aws_eip", "name": "role", "index": "mongo", "values": {}},
        {"type": "aws_vpc", "name": "main", "values": {}},
    ]
    state = {"values": {"root_module": {"resources": [kafka, *others]}}}
    assert instances(state) == {"kafka": {"id": "i-1"}}
    assert instances({}) == {}
