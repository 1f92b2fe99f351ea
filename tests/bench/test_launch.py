"""How long a launch takes in this lab: RunInstances until ssh answers. Figures, never assertions.

They are the lab's, and of this computer; none of them says anything about AWS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from runtime import wait
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.lab import control, slots
from runtime.lab.machines import rootfs
from runtime.release import ledger
from runtime.settings import Settings

pytestmark = pytest.mark.e2e
GROUP = "bench"
SINGLE, AT_ONCE, ROUNDS = 10, 4, 3
PATIENCE_S = 120


@dataclass(frozen=True)
class Range:
    """Launches machines in the build subnet, reachable by ssh from this computer."""

    target: Target
    subnet_id: str
    group: str

    def launch(self, ami_id: str) -> float:
        """Return the seconds from the call until ssh answers."""
        started = time.monotonic()
        made = self.target.ec2.run_instances(
            ImageId=ami_id,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet_id,
            SecurityGroupIds=[self.group],
        )
        address = made["Instances"][0]["PrivateIpAddress"]
        wait.until(
            lambda: _greets(address), what=f"ssh of {address}", timeout_s=PATIENCE_S, every_s=0.05
        )
        return time.monotonic() - started

    def clear(self) -> None:
        """Terminate every machine here, and wait until it is gone."""
        mine = [{"Name": "instance.group-id", "Values": [self.group]}]
        pages = self.target.ec2.describe_instances(Filters=mine)["Reservations"]
        ids = [
            machine["InstanceId"]
            for page in pages
            for machine in page["Instances"]
            if machine["State"]["Name"] != "terminated"
        ]
        if ids:
            self.target.ec2.terminate_instances(InstanceIds=ids)
            self.target.ec2.get_waiter("instance_terminated").wait(
                InstanceIds=ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )

    def remove(self) -> None:
        """Terminate every machine here, and delete the group."""
        self.clear()
        self.target.ec2.delete_security_group(GroupId=self.group)


@pytest.fixture
def range_(lab_settings: Settings) -> Iterator[Range]:
    target = control.up(lab_settings)
    slot = slots.read(lab_settings.lab_dir)
    subnet_id = json.loads(slots.packer_file(lab_settings.lab_dir).read_text())["subnet_id"]
    (subnet,) = target.ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    named = [{"Name": "group-name", "Values": [GROUP]}]
    for left in target.ec2.describe_security_groups(Filters=named)["SecurityGroups"]:
        Range(target, subnet_id, left["GroupId"]).remove()  # of a run that was killed
    group = target.ec2.create_security_group(
        GroupName=GROUP, Description="ssh from this computer", VpcId=subnet["VpcId"]
    )["GroupId"]
    made = Range(target, subnet_id, group)
    try:
        target.ec2.authorize_security_group_ingress(
            GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=f"{slot.build[1]}/32"
        )
        yield made
    finally:
        made.remove()


def test_launches(
    range_: Range, lab_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    release = ledger.latest(lab_settings.ledger_dir)
    name, ami_id = (
        ("kafka", release.ami_ids[Role.KAFKA]) if release else ("Debian", rootfs.ami_id())
    )
    alone = []
    for _ in range(SINGLE):
        alone.append(range_.launch(ami_id))
        range_.clear()
    together = []
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            together += pool.map(range_.launch, [ami_id] * AT_ONCE)
        range_.clear()
    rows = [(f"{name}, one", alone), (f"{name}, {AT_ONCE} at once", together)]
    with capsys.disabled():
        print("\nRunInstances until ssh answers, seconds, this lab on this computer:")
        print(f"  {'':20} {'runs':>5} {'min':>6} {'median':>6} {'p90':>6} {'max':>6}")
        for name, seconds in rows:
            print(f"  {name:20} {len(seconds):>5} {_line(seconds)}")
    assert all(seconds > 0 for _, found in rows for seconds in found)


def _line(seconds: Sequence[float]) -> str:
    ninth = statistics.quantiles(seconds, n=10, method="inclusive")[-1]
    figures = (min(seconds), statistics.median(seconds), ninth, max(seconds))
    return " ".join(f"{figure:6.2f}" for figure in figures)


def _greets(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 22), timeout=1) as sock:
        return sock.recv(4) == b"SSH-"
    return False
