"""The machines of a stack as EC2 describes them now, down to tags and user data."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from runtime.cloud.asking import ask, tags
from runtime.cloud.machines import Machine
from runtime.cloud.target import Target


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What an operator may have changed about a machine, and when it was launched (aware)."""

    launched_at: datetime
    tags: dict[str, str]
    user_data: str


def observe(target: Target, machine: Machine) -> Observed:
    """Return what EC2 knows of a machine now.

    Raises:
        CloudError: EC2 can't be asked, or the machine is gone by now.
    """
    reply = ask(target, "describe_instances", InstanceIds=[machine.id])
    item = reply["Reservations"][0]["Instances"][0]
    told = ask(target, "describe_instance_attribute", InstanceId=machine.id, Attribute="userData")
    encoded = told.get("UserData", {}).get("Value", "")
    return Observed(
        launched_at=item["LaunchTime"],
        tags=tags(item),
        user_data=base64.b64decode(encoded).decode(errors="replace"),
    )
