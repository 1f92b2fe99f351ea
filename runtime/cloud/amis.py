"""AMIs of a target: looked up by name, owner and tag, and what an interrupted bake left."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.errors import CloudError

RUN_TAG = "bullion:run"


def newest(target: Target, *, name: str, owner: str) -> str:
    """Return the id of the newest available AMI with a name like `name` of an account.

    Raises:
        CloudError: there is none, or EC2 refuses.
    """
    found = _images(
        target, Owners=[owner], Filters=[_filter("name", name), _filter("state", "available")]
    )
    if not found:
        message = f"{owner} has no AMI named {name} in {target.region}"
        raise CloudError(message, hint="check the region, or ./invoke lab.up")
    return str(max(found, key=lambda image: (image["CreationDate"], image["ImageId"]))["ImageId"])


def by_key(target: Target, role: Role) -> dict[str, str]:
    """Return {bake key: AMI id} of a role's available AMIs; the newest where a key has two."""
    filters = [_filter("tag:bullion:role", role), _filter("state", "available")]
    found = _images(target, Owners=["self"], Filters=filters)
    return {
        tag["Value"]: image["ImageId"]
        for image in sorted(found, key=lambda image: str(image["CreationDate"]))
        for tag in image.get("Tags", ())
        if tag["Key"] == "bullion:key"
    }


def free_name(target: Target, name: str) -> str:
    """Return `name`, or `name` with a number where it is taken, as after a forced bake."""
    taken = {image["Name"] for image in _images(target, Owners=["self"])}
    tries = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return next(one for one in tries if one not in taken)


def missing(target: Target, ami_ids: list[str]) -> list[str]:
    """Return those of `ami_ids` that can't be launched here."""
    found = {
        image["ImageId"]
        for image in _images(target, Owners=["self"])
        if image["State"] == "available"
    }
    return [ami_id for ami_id in ami_ids if ami_id not in found]


def remove_run(target: Target, run: str) -> list[str]:
    """Remove instances, key pairs, groups and volumes tagged with a bake's run id; say which."""
    ec2, mine = target.ec2, [_filter(f"tag:{RUN_TAG}", run)]
    removed = []
    states = _filter("instance-state-name", "pending", "running", "stopping", "stopped")
    reply = ec2.describe_instances(Filters=[*mine, states])
    machines = [m["InstanceId"] for page in reply["Reservations"] for m in page["Instances"]]
    if machines:
        ec2.terminate_instances(InstanceIds=machines)
        ec2.get_waiter("instance_terminated").wait(
            InstanceIds=machines, WaiterConfig={"Delay": 2, "MaxAttempts": 150}
        )
        removed += [f"instance {machine}" for machine in machines]
    for pair in ec2.describe_key_pairs(Filters=mine)["KeyPairs"]:
        ec2.delete_key_pair(KeyPairId=pair["KeyPairId"])
        removed.append(f"key pair {pair['KeyName']}")
    for group in ec2.describe_security_groups(Filters=mine)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group["GroupId"])
        removed.append(f"security group {group['GroupId']}")
    return removed


def _images(target: Target, **asked: Any) -> list[dict[str, Any]]:
    try:
        return list(target.ec2.describe_images(**asked)["Images"])
    except (BotoCoreError, ClientError) as error:
        message = f"EC2 does not tell its AMIs: {error}"
        raise CloudError(
            message, hint="check credentials and region, or ./invoke lab.status"
        ) from error


def _filter(name: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}
