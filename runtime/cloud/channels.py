"""Channels: SSM parameters of type aws:ec2:image, one per role, with their whole history.

`/bullion/<channel>/<role>` holds an AMI id and is labelled with its release, so that
`resolve:ssm:/bullion/stable/kafka:release-2026.11.25` names that AMI, too. A label moves to the
latest version; the description of each version keeps which release it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runtime import wait
from runtime.cloud.asking import told
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.errors import UsageError

DEFAULT = "stable"
ROOT = "/bullion"
VALID_S = 60  # AWS looks at an AMI's id after it has answered
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_ABOUT = "release "


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a role's parameter was set to once."""

    release: str
    ami_id: str


History = Mapping[Role, tuple[Entry, ...]]  # the oldest first; empty where it was never set


def names(target: Target) -> list[str]:
    """Return the channels there are.

    Raises:
        CloudError: SSM can't be asked.
    """
    with told("get_parameters_by_path", service="SSM"):
        pages = target.client("ssm").get_paginator("get_parameters_by_path")
        found = [
            parameter["Name"].split("/")
            for page in pages.paginate(Path=ROOT, Recursive=True)
            for parameter in page["Parameters"]
        ]
    return sorted({parts[2] for parts in found if len(parts) == 4 and parts[3] in MACHINE_ROLES})


def history(target: Target, channel: str = DEFAULT) -> History:
    """Return what each role's parameter was set to, the oldest first.

    Raises:
        UsageError: the channel can't be called so.
        CloudError: SSM can't be asked.
    """
    refuse_name(channel)
    ssm = target.client("ssm")
    return {role: tuple(_entries(ssm, name_of(channel, role))) for role in MACHINE_ROLES}


def move(target: Target, channel: str, release: str, ami_ids: Mapping[Role, str]) -> None:
    """Point a channel to the AMIs of a release; roles that are there already are left alone.

    Raises:
        CloudError: SSM refuses; roles before it have moved, which `history` shows.
    """
    known = history(target, channel)
    ssm = target.client("ssm")
    for role in MACHINE_ROLES:
        wanted = Entry(release=release, ami_id=ami_ids[role])
        if known[role][-1:] != (wanted,):
            _put(ssm, name_of(channel, role), wanted)


def name_of(channel: str, role: Role) -> str:
    """Return the name of a parameter."""
    return f"{ROOT}/{channel}/{role}"


def refuse_name(channel: str) -> None:
    """Raise UsageError unless a channel may be called so."""
    if not _NAME.fullmatch(channel):
        message = f"{channel!r} is no channel: lower-case letters, digits and dashes, at most 31"
        raise UsageError(message, hint=f"--channel {DEFAULT}")


def _entries(ssm: Any, name: str) -> Iterator[Entry]:
    with told("get_parameter_history", service="SSM"):
        try:
            pages = list(ssm.get_paginator("get_parameter_history").paginate(Name=name))
        except ssm.exceptions.ParameterNotFound:
            return
    rows = [row for page in pages for row in page["Parameters"]]
    for row in sorted(rows, key=lambda row: int(row["Version"])):
        about = str(row.get("Description", ""))
        yield Entry(release=about.removeprefix(_ABOUT), ami_id=row["Value"])


def _put(ssm: Any, name: str, wanted: Entry) -> None:
    with told("put_parameter", service="SSM"):
        made = ssm.put_parameter(
            Name=name,
            Value=wanted.ami_id,
            Description=f"{_ABOUT}{wanted.release}",
            Type="String",
            DataType="aws:ec2:image",
            Overwrite=True,
        )
        version = int(made["Version"])
    last = [""]

    def is_valid() -> bool:
        try:
            last[0] = str(ssm.get_parameter(Name=name)["Parameter"]["Version"])
        except ssm.exceptions.ParameterNotFound:
            last[0] = "no such parameter"
        return last[0] == str(version)

    with told("get_parameter", service="SSM"):
        wait.until(
            is_valid,
            what=f"SSM to find {wanted.ami_id} valid and {name} at version {version}",
            timeout_s=VALID_S,
            last=lambda: last[0],
            hint="./invoke release.promote again",
        )
    with told("label_parameter_version", service="SSM"):
        ssm.label_parameter_version(
            Name=name, ParameterVersion=version, Labels=[f"release-{wanted.release}"]
        )
