"""AMIs of a target: looked up by name, owner and tag."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime.cloud.asking import ask, tags, where
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import BakeError, CloudError

ROLE_TAG = "bullion:role"
KEY_TAG = "bullion:key"
IMAGES_TAG = "bullion:images"
RUN_TAG = "bullion:run"
MANAGED_TAG = "bullion:managed"  # "true": prune may have it
RELEASE_TAG = "bullion:release"  # the latest that has it
TAGS = (  # of every AMI and of its snapshots
    ROLE_TAG,
    "bullion:version",
    KEY_TAG,
    "bullion:commit",
    "bullion:source-ami",
    IMAGES_TAG,
    RUN_TAG,
)


def newest(target: Target, *, name: str, owner: str) -> str:
    """Return the id of the newest available AMI with a name like `name` of an account.

    Raises:
        CloudError: there is none, or EC2 refuses.
    """
    found = _images(
        target, Owners=[owner], Filters=[where("name", name), where("state", "available")]
    )
    if not found:
        message = f"{owner} has no AMI named {name} in {target.region}"
        raise CloudError(message, hint="check the region, or ./invoke lab.up")
    return str(max(found, key=lambda image: (image["CreationDate"], image["ImageId"]))["ImageId"])


def by_key(target: Target, role: Role) -> dict[str, str]:
    """Return {bake key: AMI id} of a role's whole AMIs; the newest where a key has two."""
    filters = [where(f"tag:{ROLE_TAG}", role), where("state", "available")]
    found = _images(target, Owners=["self"], Filters=filters)
    snapshots = snapshot_tags(target, where(f"tag:{ROLE_TAG}", role))
    return {
        tags(image)[KEY_TAG]: image["ImageId"]
        for image in sorted(found, key=lambda image: str(image["CreationDate"]))
        if is_whole(image, snapshots)
    }


def is_whole(image: Mapping[str, Any], snapshots: Mapping[str, Mapping[str, str]]) -> bool:
    """Return whether an AMI was baked to its end: it can be launched, and all tags are there.

    Tags are the last that Packer makes, those of the snapshots after those of the AMI.

    Args:
        image: as EC2 describes it.
        snapshots: {snapshot id: its tags}.
    """
    own = tags(image)
    return (
        image["State"] == "available"
        and set(own) >= set(TAGS)
        and all(set(snapshots.get(snapshot, {})) >= set(TAGS) for snapshot in snapshot_ids(image))
    )


def snapshot_ids(image: Mapping[str, Any]) -> list[str]:
    """Return the snapshots of an AMI, as EC2 describes it."""
    return [disk["SnapshotId"] for disk in disks(image) if disk.get("SnapshotId")]


def snapshot_tags(target: Target, *filters: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return {snapshot id: its tags} of our own snapshots that pass `filters`."""
    reply = ask(target, "describe_snapshots", OwnerIds=["self"], Filters=list(filters))
    return {snapshot["SnapshotId"]: tags(snapshot) for snapshot in reply["Snapshots"]}


def images_tag(target: Target, ami_ids: Collection[str]) -> dict[str, str]:
    """Return {AMI id: what its tag says of the container images in it}, of those that are there."""
    found = _images(target, Owners=["self"], Filters=[where("image-id", *ami_ids)])
    return {image["ImageId"]: tags(image).get(IMAGES_TAG, "none") for image in found}


def free_name(target: Target, name: str, *, key: str) -> str:
    """Return `name`, or `name` with a number where an AMI of this key has it: a forced bake.

    Raises:
        BakeError: an AMI of another key has the name, which holds only the first of a key.
    """
    taken = {image["Name"]: image for image in _images(target, Owners=["self"])}
    other = tags(taken[name]).get(KEY_TAG, "none") if name in taken else key
    if other != key:
        message = (
            f"the AMI name {name} is taken by {taken[name]['ImageId']} of another key:"
            f" its key is {other}, this bake's is {key}"
        )
        raise BakeError(
            message, hint="./invoke janitor removes half-made AMIs; else deregister it yourself"
        )
    tries = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(one for one in tries if one not in taken)


def refusal(target: Target, ami_id: str, instance_type: str) -> str:
    """Return why EC2 would not launch an AMI, "" if it would; nothing is launched."""
    try:
        target.ec2.run_instances(
            ImageId=ami_id, InstanceType=instance_type, MinCount=1, MaxCount=1, DryRun=True
        )
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        return "" if code == "DryRunOperation" else str(error)
    except BotoCoreError as error:
        return str(error)
    return "it did not take a launch for a rehearsal"


def missing(target: Target, ami_ids: list[str]) -> list[str]:
    """Return those of `ami_ids` that can't be launched here."""
    found = {
        image["ImageId"]
        for image in _images(target, Owners=["self"])
        if image["State"] == "available"
    }
    return [ami_id for ami_id in ami_ids if ami_id not in found]


def is_protected(image: Mapping[str, Any]) -> bool:
    """Return whether an AMI can't be deregistered as it is."""
    return str(image.get("DeregistrationProtection", "disabled")) != "disabled"


def disks(image: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the disks of an AMI, as EC2 describes it."""
    return [one["Ebs"] for one in image.get("BlockDeviceMappings", ()) if "Ebs" in one]


def size_gb(image: Mapping[str, Any]) -> int:
    """Return the size of all its disks together."""
    return sum(int(disk.get("VolumeSize", 0)) for disk in disks(image))


def _images(target: Target, **asked: Any) -> list[dict[str, Any]]:
    return list(ask(target, "describe_images", **asked)["Images"])
