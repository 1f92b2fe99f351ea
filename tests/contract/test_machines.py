"""Machines of a stack as EC2 tells of them: by name, and the places of those that are not there."""

from __future__ import annotations

import pytest

from runtime.cloud import machines
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import UsageError
from tests.contract.scripted import Lab
from tests.contract.test_releases import target

__all__ = ["target"]  # a fixture


def launch(lab: Lab, name: str, role: Role) -> str:
    tags = {"Name": name, "bullion:role": str(role), "bullion:stack": "bullion"}
    rows = [{"Key": key, "Value": value} for key, value in tags.items()]
    (machine_id,) = lab.launch(TagSpecifications=[{"ResourceType": "instance", "Tags": rows}])
    return machine_id


def test_machines_are_found_by_name_and_a_role_by_any_that_runs(lab: Lab, target: Target) -> None:
    first = launch(lab, "bullion-processor", Role.PROCESSOR)
    second = launch(lab, "bullion-processor-2", Role.PROCESSOR)
    renamed = launch(lab, "renamed by hand", Role.KAFKA)
    lab.becomes("running", "running", "running")

    found = machines.find_all(target)
    assert {name: one.id for name, one in found.items()} == {
        "kafka": renamed,
        "processor": first,
        "processor-2": second,
    }
    assert machines.find(target, "processor-2").id == second
    assert machines.find_any(target, Role.PROCESSOR).id == first
    with pytest.raises(UsageError, match=r"no running machine 'processor-3': deployed are kafka, "):
        machines.find(target, "processor-3")

    lab.ec2.stop_instances(InstanceIds=[first])
    lab.becomes("running", "running", "stopped")
    assert machines.find_any(target, Role.PROCESSOR).id == second
    with pytest.raises(UsageError, match="no running machine 'processor': stopped"):
        machines.find(target, Role.PROCESSOR)
    with pytest.raises(UsageError, match="no running machine 'mongo': deployed are kafka, "):
        machines.find_any(target, Role.MONGO)


def test_a_place_is_told_of_without_its_machine(lab: Lab, target: Target) -> None:
    for stack, name in (("bullion", "bullion-processor-2"), ("trial-1", "trial-1-kafka")):
        rows = [{"Key": "Name", "Value": name}, {"Key": "bullion:stack", "Value": stack}]
        lab.ec2.create_network_interface(
            SubnetId=lab.subnet,
            TagSpecifications=[{"ResourceType": "network-interface", "Tags": rows}],
        )
    assert machines.find_places(target) == ["processor-2"]
    assert machines.find_places(target, "trial-1") == ["kafka"]
