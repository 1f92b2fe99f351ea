"""Our AMIs, with all that decides whether they may go, and how they go: snapshots with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from runtime.cloud import amis as images
from runtime.cloud.asking import ask, tags, told, where
from runtime.cloud.target import Target

AVAILABLE, DISABLED = "available", "disabled"
_GONE = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidSnapshot.NotFound")


@dataclass(frozen=True, kw_only=True)
class Ami:
    """An AMI that carries our tags.

    Attributes:
        role, key: as tagged by its bake.
        release: the latest that has it, as tagged when that was made.
        state: available, disabled, pending, failed…
        created_at: aware.
        launched_at: when it was last launched, None where that is not known or it never was;
            EC2 tells it a day late.
        is_managed: it is tagged as one that prune may have.
        is_protected: it can't be deregistered as it is.
    """

    id: str
    name: str
    role: str
    key: str
    release: str
    state: str
    created_at: datetime
    launched_at: datetime | None
    is_managed: bool
    is_protected: bool
    snapshots: tuple[str, ...]
    size_gb: int


def read_all(target: Target) -> dict[str, Ami]:
    """Return {id: AMI} of everything we baked, disabled ones too.

    Raises:
        CloudError: EC2 can't be asked.
    """
    with told("describe_images"):
        pages = target.ec2.get_paginator("describe_images").paginate(
            Owners=["self"],
            IncludeDisabled=True,
            Filters=[where("tag-key", images.ROLE_TAG)],
        )
        return {item["ImageId"]: read(item) for page in pages for item in page["Images"]}


def read(item: dict[str, Any]) -> Ami:
    """Return the AMI that EC2 describes as `item`."""
    known = tags(item)
    launched = item.get("LastLaunchedTime", "")
    return Ami(
        id=item["ImageId"],
        name=item.get("Name", ""),
        role=known.get(images.ROLE_TAG, ""),
        key=known.get(images.KEY_TAG, ""),
        release=known.get(images.RELEASE_TAG, ""),
        state=item["State"],
        created_at=datetime.fromisoformat(item["CreationDate"]),
        launched_at=datetime.fromisoformat(launched) if launched else None,
        is_managed=known.get(images.MANAGED_TAG) == "true",
        is_protected=images.is_protected(item),
        snapshots=tuple(images.snapshot_ids(item)),
        size_gb=images.size_gb(item),
    )


@contextlib.contextmanager
def withdrawn(target: Target, amis: Sequence[Ami]) -> Iterator[None]:
    """Keep `amis` from being launched during the body; those still there after a failure may be.

    So nobody can launch one between the last look at who needs it and its end.
    """
    disabled: list[str] = []
    try:
        for ami in amis:
            if ami.state == AVAILABLE:
                with told("disable_image"), _unless_gone():
                    target.ec2.disable_image(ImageId=ami.id)
                    disabled.append(ami.id)
        yield
    except BaseException:
        for ami_id in disabled:
            with told("enable_image"), _unless_gone():
                target.ec2.enable_image(ImageId=ami_id)
        raise


def remove(target: Target, ami: Ami) -> None:
    """Deregister an AMI, protected or not, and delete its snapshots; gone already is no error."""
    with told("deregister_image"), _unless_gone():
        if ami.is_protected:
            target.ec2.disable_image_deregistration_protection(ImageId=ami.id)
        target.ec2.deregister_image(ImageId=ami.id, DeleteAssociatedSnapshots=True)
    for snapshot in ami.snapshots:
        with told("delete_snapshot"), _unless_gone():
            target.ec2.delete_snapshot(SnapshotId=snapshot)


def left(target: Target, amis: Sequence[Ami]) -> list[str]:
    """Return the ids of `amis` and of their snapshots that EC2 still has."""
    ids = [ami.id for ami in amis]
    snapshots = [snapshot for ami in amis for snapshot in ami.snapshots]
    if not ids:
        return []
    by_id = [where("image-id", *ids)]
    found = ask(target, "describe_images", IncludeDisabled=True, Filters=by_id)["Images"]
    kept = images.snapshot_tags(target, where("snapshot-id", *(snapshots or ["none"])))
    return [*(one["ImageId"] for one in found), *kept]


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
