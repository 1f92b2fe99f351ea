"""What a person calls a machine of the lab leads to that very machine."""

from __future__ import annotations

from typing import Any

from runtime.lab import control


def item(machine_id: str, name: str, role: str = "") -> dict[str, Any]:
    tags = {"Name": name} | ({"bullion:role": role} if role else {})
    return {
        "InstanceId": machine_id,
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def test_a_role_leads_to_its_first_machine_and_a_name_to_each() -> None:
    items = [
        item("i-3", "bullion-processor-3", "processor"),
        item("i-1", "bullion-processor", "processor"),
        item("i-4", "trial-1-processor", "processor"),
        item("i-2", "scratch"),
    ]
    known = control.names(items)
    assert known == control.names(items[::-1])
    assert (known["processor"], known["processor-3"], known["scratch"]) == ("i-1", "i-3", "i-2")
    assert (known["i-4"], known["trial-1-processor"]) == ("i-4", "i-4")
    assert control.names([item("i-4", "trial-1-kafka", "kafka")])["kafka"] == "i-4"
    assert control.names([{"InstanceId": "i-1"}]) == {"i-1": "i-1"}
