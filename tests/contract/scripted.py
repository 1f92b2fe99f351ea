"""Machines that do as they are told when they are let, behind the lab's API over real moto."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runtime import wait
from tests.contract.emulator import AMI, Emulator, Scripted

UNKNOWN = "i-0123456789abcdef0"


@dataclass
class Lab:
    """An emulator with scripted machines, seen through boto3."""

    emulator: Emulator
    machines: Scripted
    ec2: Any
    subnet: str

    def launch(self, count: int = 1, **more: Any) -> list[str]:
        made = self.ec2.run_instances(
            **{
                "ImageId": AMI,
                "MinCount": count,
                "MaxCount": count,
                "SubnetId": self.subnet,
                **more,
            }
        )
        assert {item["State"]["Name"] for item in made["Instances"]} == {"pending"}
        return [item["InstanceId"] for item in made["Instances"]]

    def states(self, *filters: str) -> list[str]:
        """Return the states of all instances, or of those in states that match `filters`."""
        asked = [{"Name": "instance-state-name", "Values": list(filters)}] if filters else []
        found = self.ec2.describe_instances(Filters=asked)["Reservations"]
        assert all(reservation["Instances"] for reservation in found)
        return [item["State"]["Name"] for group in found for item in group["Instances"]]

    def becomes(self, *states: str) -> None:
        wait.until(
            lambda: sorted(self.states()) == sorted(states),
            what=f"states {states}",
            timeout_s=20,
            every_s=0.05,
            last=lambda: str(self.states()),
        )

    def held(self, call: Callable[[], Any], *, until: str) -> Any:
        """Run `call` while machines hold still; yield to the caller once `until` shows."""
        return _Held(self, call, until)


class _Held:
    def __init__(self, lab: Lab, call: Callable[[], Any], until: str) -> None:
        self.lab, self.call, self.until = lab, call, until
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> None:
        self.lab.machines.go.clear()
        self.future = self.pool.submit(self.call)
        wait.until(
            lambda: self.until in self.lab.states(), what=self.until, timeout_s=20, every_s=0.05
        )

    def __exit__(self, *_: object) -> None:
        self.lab.machines.go.set()
        self.result = self.future.result(30)
        self.pool.shutdown()


def refused(call: Callable[..., Any], **words: Any) -> str:
    """Return the code that a call is refused with."""
    with pytest.raises(ClientError) as error:
        call(**words)
    assert 400 <= error.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return str(error.value.response["Error"]["Code"])
