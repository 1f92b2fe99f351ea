"""What tests look at from the outside: all that EC2 has, and who holds a target's lock."""

from __future__ import annotations

from collections.abc import Callable

from runtime import wait
from runtime.cloud.target import Target
from runtime.settings import Settings

# Whoever starts the tests in the background has them ignore SIGINT, and all they start.
HEEDING_SIGINT = ("env", "--default-signal=INT")


def resources(target: Target) -> dict[str, set[str]]:
    """Return all that EC2 has which a bake may make, tagged or not."""
    ec2 = target.ec2
    machines = [m for page in ec2.describe_instances()["Reservations"] for m in page["Instances"]]
    volumes = ec2.describe_volumes()["Volumes"]
    interfaces = ec2.describe_network_interfaces()["NetworkInterfaces"]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {
        "subnets": {subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]},
        "VPCs": {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]},
        "machines": {m["InstanceId"] for m in machines if m["State"]["Name"] != "terminated"},
        "volumes": {volume["VolumeId"] for volume in volumes},
        "interfaces": {one["NetworkInterfaceId"] for one in interfaces},
        "snapshots": {snapshot["SnapshotId"] for snapshot in snapshots},
        "key pairs": {pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]},
        "groups": {g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]},
        "AMIs": {image["ImageId"] for image in ec2.describe_images(Owners=["self"])["Images"]},
    }


def at_rest(count: Callable[[], int]) -> int:
    """Return a count once it stays the same: who was killed has others finish what it began."""
    seen = [-1]

    def rests() -> bool:
        wait.pause(2)
        seen.append(count())
        return seen[-1] == seen[-2]

    wait.until(rests, what="the last of it", timeout_s=120, last=lambda: str(seen[-3:]))
    return seen[-1]


def holder(settings: Settings) -> int:
    """Return the process that holds the target's lock."""
    return int((settings.work_dir / "lock").read_text().rpartition(" ")[2])
