"""What EC2 refuses about volumes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from runtime.lab.actions import volume_rules
from runtime.lab.actions.volume_rules import Volume
from runtime.lab.ec2 import Refused, plain

ZONE = "us-east-1a"
FREE: dict[str, Any] = {
    "id": "vol-1",
    "size_gb": 2,
    "kind": "gp3",
    "zone": ZONE,
    "snapshot_id": "",
    "machine_id": "",
    "device": "",
    "attached_at": "",
}
USED = FREE | {"machine_id": "i-1", "device": "/dev/sdf"}


def machine(state: str = "running") -> ET.Element:
    """Return an instance as DescribeInstances has it."""
    return plain(
        f"<item><instanceId>i-1</instanceId><instanceState><name>{state}</name></instanceState>"
        f"<placement><availabilityZone>{ZONE}</availabilityZone></placement></item>"
    )


def code_of(call: Any, *args: Any, **named: Any) -> str:
    """Return the code of the refusal, "" if there is none."""
    try:
        call(*args, **named)
    except Refused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(
    ("volume", "busy", "device", "state", "code"),
    [
        (FREE, "", "/dev/sdf", "running", ""),
        (FREE, "", "/dev/xvdba", "stopped", ""),
        (FREE, "", "sdh", "running", ""),
        (FREE, "", "/dev/sdf", "pending", "IncorrectState"),
        (FREE, "", "/dev/sdf", "terminated", "IncorrectState"),
        (FREE, "creating", "/dev/sdf", "running", "IncorrectState"),
        (FREE, "error", "/dev/sdf", "running", "IncorrectState"),
        (USED, "", "/dev/sdf", "running", "VolumeInUse"),
        (USED, "detaching", "/dev/sdf", "running", "VolumeInUse"),
        (FREE, "", "/dev/nvme1n1", "running", "InvalidParameterValue"),
        (FREE, "", "/dev/xvda", "running", "InvalidParameterValue"),
        (FREE | {"zone": "us-east-1b"}, "", "/dev/sdf", "running", "InvalidVolume.ZoneMismatch"),
    ],
)
def test_attaching_is_refused_for_the_first_thing_that_is_wrong(
    volume: dict[str, Any], busy: str, device: str, state: str, code: str
) -> None:
    asked = {"busy": busy, "device": device, "machine": machine(state), "in_use": ["/dev/xvda"]}
    assert code_of(volume_rules.refuse_attach, Volume(**volume), **asked) == code


@pytest.mark.parametrize(
    ("volume", "busy", "asked", "code"),
    [
        (USED, "", {}, ""),
        (USED, "detaching", {}, ""),
        (USED, "", {"InstanceId": "i-1", "Device": "/dev/sdf"}, ""),
        (USED, "", {"InstanceId": "i-2"}, "InvalidAttachment.NotFound"),
        (USED, "", {"Device": "/dev/sdg"}, "InvalidAttachment.NotFound"),
        (USED, "attaching", {}, "IncorrectState"),
        (FREE, "", {}, "IncorrectState"),
        (FREE, "creating", {}, "IncorrectState"),
    ],
)
def test_only_what_is_attached_can_be_detached(
    volume: dict[str, Any], busy: str, asked: dict[str, str], code: str
) -> None:
    assert code_of(volume_rules.refuse_detach, Volume(**volume), asked, busy=busy) == code


@pytest.mark.parametrize(
    ("volume", "busy", "code"),
    [
        (FREE, "", ""),
        (FREE, "error", ""),
        (FREE, "creating", "IncorrectState"),
        (USED, "", "VolumeInUse"),
        (USED, "detaching", "VolumeInUse"),
    ],
)
def test_only_a_free_volume_can_be_deleted(volume: dict[str, Any], busy: str, code: str) -> None:
    assert code_of(volume_rules.refuse_delete, Volume(**volume), busy=busy) == code


@pytest.mark.parametrize(
    ("value", "kind", "least_gb", "is_allowed"),
    [
        ("1", "gp3", 1, True),
        ("0", "gp3", 1, False),
        ("-1", "gp3", 1, False),
        ("1.5", "gp3", 1, False),
        ("big", "gp3", 1, False),
        ("65536", "gp3", 1, True),
        ("65536", "", 1, False),
        ("16384", "", 1, True),
        ("124", "st1", 1, False),
        ("125", "st1", 1, True),
        ("3", "io2", 1, False),
        ("1025", "standard", 1, False),
        ("4", "gp3", 5, False),
        ("5", "gp3", 5, True),
    ],
)
def test_a_size_is_one_that_ec2_has_for_the_type_and_holds_what_it_must(
    value: str, kind: str, least_gb: int, is_allowed: bool
) -> None:
    code = code_of(volume_rules.parse_size_gb, value, kind=kind, least_gb=least_gb)
    assert code == ("" if is_allowed else "InvalidParameterValue")


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(Refused, match=r"MissingParameter.*Device"):
        volume_rules.require({"VolumeId": "vol-1", "Device": ""}, "VolumeId", "Device")
