"""What keeps a released AMI safe: protected, private, encrypted, IMDSv2, dated, fully tagged."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime import console
from runtime.cloud import amis
from runtime.cloud.asking import ask, is_absent, tags, where
from runtime.cloud.target import Target
from runtime.errors import CloudError

TAGS = (*amis.TAGS, amis.MANAGED_TAG, amis.RELEASE_TAG)
MOST_VALUES = 200  # of one filter, by EC2's own limit


@dataclass(frozen=True, kw_only=True)
class Guards:
    """One AMI as EC2 describes it.

    Attributes:
        ami_id: whose.
        is_protected: against being deregistered.
        deprecated_at: when it counts as old, "" if never.
        is_private: nobody else may launch it without being told by us.
        has_imdsv2: its machines take no metadata request without a token.
        is_encrypted: all its disks.
        missing_tags: of the AMI, and of a snapshot with its id.
        snapshots: of its disks.
        size_gb: of its root volume.
    """

    ami_id: str
    is_protected: bool
    deprecated_at: str
    is_private: bool
    has_imdsv2: bool
    is_encrypted: bool
    missing_tags: tuple[str, ...]
    snapshots: tuple[str, ...]
    size_gb: int

    def faults(self) -> list[str]:
        """Return what is wrong with it, whether or not it is in a channel."""
        found = [
            "it is public" if not self.is_private else "",
            "it does not ask for IMDSv2" if not self.has_imdsv2 else "",
            "it is not encrypted" if not self.is_encrypted else "",
            f"it lacks tags: {', '.join(self.missing_tags)}" if self.missing_tags else "",
        ]
        return [fault for fault in found if fault]


def read(target: Target, ami_ids: Collection[str]) -> dict[str, Guards]:
    """Return {AMI id: its guards} of those of `ami_ids` that exist.

    Raises:
        CloudError: EC2 can't be asked.
    """
    wanted = sorted(ami_ids)
    batches = [wanted[at : at + MOST_VALUES] for at in range(0, len(wanted), MOST_VALUES)]
    found: list[dict[str, Any]] = []
    for batch in batches:
        by_id = [where("image-id", *batch)]
        reply = ask(target, "describe_images", Owners=["self"], IncludeDisabled=True, Filters=by_id)
        found += reply["Images"]
    snapshots = amis.snapshot_tags(target)
    return {image["ImageId"]: parse(image, snapshots) for image in found}


def parse(image: Mapping[str, Any], snapshots: Mapping[str, Mapping[str, str]]) -> Guards:
    """Return the guards of an image as EC2 describes it, with {snapshot id: its tags}."""
    disks = amis.disks(image)
    ids = amis.snapshot_ids(image)
    missing = [name for name in TAGS if name not in tags(image)]
    missing += [
        f"{name} on {id_}" for id_ in ids for name in TAGS if name not in snapshots.get(id_, {})
    ]
    return Guards(
        ami_id=image["ImageId"],
        is_protected=amis.is_protected(image),
        deprecated_at=str(image.get("DeprecationTime", "")),
        is_private=not image.get("Public", False),
        has_imdsv2=image.get("ImdsSupport") == "v2.0",
        is_encrypted=bool(disks) and all(disk.get("Encrypted", False) for disk in disks),
        missing_tags=tuple(missing),
        snapshots=tuple(ids),
        size_gb=amis.size_gb(image),
    )


def complete(
    target: Target, guards: Collection[Guards], *, release: str, deprecate_at: datetime
) -> None:
    """Tag AMIs and their snapshots with a release, and have each deprecated some day.

    Raises:
        CloudError: EC2 refuses.
    """
    for one in guards:
        _call(
            target,
            "create_tags",
            Resources=[one.ami_id, *one.snapshots],
            Tags=[{"Key": amis.RELEASE_TAG, "Value": release}],
        )
        _call(target, "enable_image_deprecation", ImageId=one.ami_id, DeprecateAt=deprecate_at)


def protect(target: Target, wanted: Collection[str], known: Collection[str]) -> list[str]:
    """Protect the AMIs `wanted` from being deregistered, and no others of `known`; say which.

    Raises:
        CloudError: EC2 refuses.
    """
    lines = []
    for ami_id, one in sorted(read(target, {*wanted, *known}).items()):
        if one.is_protected == (ami_id in wanted):
            continue
        switch = "disable" if one.is_protected else "enable"
        done = _call(target, f"{switch}_image_deregistration_protection", ImageId=ami_id)
        if done:
            lines.append(f"{ami_id}: deregistration protection {switch}d")
    return lines


def describe(guards: Guards) -> Sequence[tuple[str, str]]:
    """Return (guard, what it is) for a person."""
    return (
        ("deregistration", "protected" if guards.is_protected else "not protected"),
        ("deprecated", guards.deprecated_at or "never"),
        ("who may launch", "this account alone" if guards.is_private else "EVERYBODY"),
        ("metadata", "IMDSv2 alone" if guards.has_imdsv2 else "WITHOUT A TOKEN, TOO"),
        ("disks", "encrypted" if guards.is_encrypted else "NOT ENCRYPTED"),
        (
            "tags",
            f"MISSING {', '.join(guards.missing_tags)}" if guards.missing_tags else "complete",
        ),
    )


def _call(target: Target, action: str, **asked: Any) -> bool:
    """Return whether EC2 did it; a target that lacks the call is told of, once per call."""
    try:
        getattr(target.ec2, action)(**asked)
    except ClientError as error:
        if is_absent(error):
            console.warn(f"skipped, as {target.name} has no such call: {action}")
            return False
        raise _error(action, error) from error
    except BotoCoreError as error:
        raise _error(action, error) from error
    return True


def _error(action: str, error: Exception) -> CloudError:
    message = f"EC2 does not carry out {action}: {error}"
    return CloudError(message, hint="check credentials and what they may do")
