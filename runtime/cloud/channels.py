"""Channels: SSM parameters of type aws:ec2:image, one per role, with their whole history.

`/bullion/<channel>/<role>` holds an AMI id and is labelled with its release, so that
`resolve:ssm:/bullion/stable/kafka:release-2026.11.25` names that AMI, too. A label moves to the
latest version; the description of each version keeps which release it was, and whether the
channel went back to it. SSM keeps a hundred versions and drops the oldest, if that has no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
MOST_VERSIONS = 100  # SSM's own limit
_ABOUT = "release "
_BACK = "back to "


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a role's parameter was set to once.

    Attributes:
        release, ami_id: what it came to.
        is_return: it had been there before, and left what came after that behind.
    """

    release: str
    ami_id: str
    is_return: bool = field(default=False, compare=False)


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
    return {
        role: tuple(map(_entry, _versions(ssm, name_of(channel, role)))) for role in MACHINE_ROLES
    }


def trail(entries: Iterable[Entry]) -> list[str]:
    """Return the releases that a parameter went through up to the last, less those left behind."""
    found: list[str] = []
    for entry in entries:
        if entry.release in found:
            del found[found.index(entry.release) + 1 :]
        elif entry.is_return:  # to a version that SSM has dropped: all since then is left behind
            found = [entry.release]
        else:
            found.append(entry.release)
    return found


def move(target: Target, channel: str, release: str, ami_ids: Mapping[Role, str]) -> None:
    """Point a channel to the AMIs of a release; roles that are there already only get its label.

    Raises:
        CloudError: SSM refuses; roles before it have moved, which `history` shows.
    """
    refuse_name(channel)
    ssm = target.client("ssm")
    for role in MACHINE_ROLES:
        name = name_of(channel, role)
        versions = _versions(ssm, name)
        known = [_entry(version) for version in versions]
        is_return = release in trail(known)
        wanted = Entry(release=release, ami_id=ami_ids[role], is_return=is_return)
        if known[-1:] != [wanted]:
            if len(versions) >= MOST_VERSIONS:
                _unlabel(ssm, name, versions[0])
            _put(ssm, name, wanted)
        _label(ssm, name, release)  # which a move that was cut short has not done


def name_of(channel: str, role: Role) -> str:
    """Return the name of a parameter."""
    return f"{ROOT}/{channel}/{role}"


def refuse_name(channel: str) -> None:
    """Raise UsageError unless a channel may be called so."""
    if not _NAME.fullmatch(channel):
        message = f"{channel!r} is no channel: lower-case letters, digits and dashes, at most 31"
        raise UsageError(message, hint=f"--channel {DEFAULT}")


def _versions(ssm: Any, name: str) -> list[dict[str, Any]]:
    """Return the versions that SSM has of a parameter, the oldest first."""
    with told("get_parameter_history", service="SSM"):
        try:
            pages = list(ssm.get_paginator("get_parameter_history").paginate(Name=name))
        except ssm.exceptions.ParameterNotFound:
            return []
    rows = [row for page in pages for row in page["Parameters"]]
    return sorted(rows, key=lambda row: int(row["Version"]))


def _entry(version: Mapping[str, Any]) -> Entry:
    about = str(version.get("Description", ""))
    return Entry(
        release=about.removeprefix(_BACK).removeprefix(_ABOUT),
        ami_id=version["Value"],
        is_return=about.startswith(_BACK),
    )


def _put(ssm: Any, name: str, wanted: Entry) -> None:
    with told("put_parameter", service="SSM"):
        made = ssm.put_parameter(
            Name=name,
            Value=wanted.ami_id,
            Description=f"{_BACK if wanted.is_return else ''}{_ABOUT}{wanted.release}",
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


def _label(ssm: Any, name: str, release: str) -> None:
    """Have the latest version of a parameter carry the label of a release."""
    with told("label_parameter_version", service="SSM"):
        ssm.label_parameter_version(Name=name, Labels=[f"release-{release}"])


def _unlabel(ssm: Any, name: str, version: Mapping[str, Any]) -> None:
    """Let SSM drop a version."""
    if labels := version.get("Labels", []):
        with told("unlabel_parameter_version", service="SSM"):
            ssm.unlabel_parameter_version(
                Name=name, ParameterVersion=version["Version"], Labels=labels
            )
