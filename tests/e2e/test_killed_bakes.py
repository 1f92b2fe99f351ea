"""A bake or trial that is interrupted or killed, at whatever moment, leaves nothing that stays."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from runtime import lock, proc
from runtime.bake import survey
from runtime.bake.packer import parse_row, phase_of
from runtime.cloud import amis, leftovers
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.settings import Settings

pytestmark = pytest.mark.e2e

ROLE = Role.PRODUCERS  # the smallest
MOMENTS = [  # phases of Packer's run, each with one of the two signals
    ("preparing", signal.SIGKILL),
    ("launching", signal.SIGINT),
    ("booting", signal.SIGKILL),
    ("uploading", signal.SIGINT),
    ("install-rootfs", signal.SIGKILL),
    ("load-images", signal.SIGINT),
    ("cleanup", signal.SIGKILL),
    ("stopping", signal.SIGINT),
    ("creating AMI", signal.SIGKILL),
    ("cleaning up", signal.SIGKILL),
]


@pytest.mark.parametrize(("phase", "number"), MOMENTS)
def test_nothing_is_left_of_a_bake_that_ends_while_it_is(
    target: Target, lab_settings: Settings, invoke, phase: str, number: signal.Signals
) -> None:
    before, known = resources(target), amis.by_key(target, ROLE)
    said, status = bake(lab_settings, phase, number)
    assert phase in phases(lab_settings.work_dir / f"bake/{ROLE}.log"), said
    if number is signal.SIGINT:
        assert status == 130, said
    else:
        assert status == -signal.SIGKILL, said
        cleaned = invoke("janitor", "--yes")
        assert cleaned.status == 0, cleaned.stderr

    assert leftovers.find_of_bakes(target) == []
    whole = set(amis.by_key(target, ROLE).values()) - set(known.values())
    assert whole == set() or phase == "cleaning up"
    gone = remove(target, whole)
    assert resources(target) == before, gone
    assert not list(lab_settings.runs_dir.iterdir())
    assert not list(survey.scratch_dir(lab_settings).iterdir())


def test_nothing_is_left_of_a_trial_stack_whose_verb_is_killed_while_it_launches(
    target: Target, lab_settings: Settings, invoke
) -> None:
    before, states = resources(target), state_files(target, lab_settings)
    argv = [lab_settings.root / "invoke", "release.create"]
    said = []
    with proc.stream(argv, env=lab_settings.passed_on(), grace_s=120) as running:
        for line in running.lines:
            said.append(line)
            if "made aws_network_interface.role" in line:
                os.kill(holder(lab_settings), signal.SIGKILL)
        running.wait(120)
    [trial] = [path.name for path in lab_settings.runs_dir.iterdir()]
    assert trial.startswith("trial-"), said
    shown = invoke("janitor")
    cleaned = invoke("janitor", "--yes")

    assert shown.status == 2, shown.stderr
    assert f"{trial}  its run was killed" in shown.stderr
    assert cleaned.status == 0, cleaned.stderr
    assert leftovers.find_of_trials(target) == []
    assert resources(target) == before
    assert state_files(target, lab_settings) == states
    assert not list(lab_settings.runs_dir.iterdir())
    assert invoke("verify.kafka").status == 0  # the operator's own stack is as it was


def test_the_janitor_asks_and_tells_what_would_go(
    target: Target, lab_settings: Settings, invoke
) -> None:
    tags = [{"Key": "bullion:run", "Value": "20261125T000000-aaaaaa"}]
    volume = target.ec2.create_volume(
        AvailabilityZone=f"{target.region}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )["VolumeId"]
    target.ec2.get_waiter("volume_available").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1})
    asked = invoke("janitor", "--json")
    with lock.mark(lab_settings.runs_dir, tags[0]["Value"], what="a test"):
        pass  # a run that ended as it should leaves no file
    done = invoke("janitor", "--yes")
    again = invoke("janitor")

    assert asked.status == 2, asked.stderr
    assert "nothing was removed" in asked.stderr
    assert [row["id"] for row in json.loads(asked.stdout)] == [volume]
    assert done.status == 0, done.stderr
    assert "nothing is left of runs that are over" in done.stderr
    assert again.status == 0
    assert "nothing is left of any bake or trial stack" in again.stderr


def bake(settings: Settings, phase: str, number: signal.Signals) -> tuple[str, int]:
    """Bake `ROLE` and signal the verb as Packer begins `phase`; return its words and status."""
    log, over = settings.work_dir / f"bake/{ROLE}.log", threading.Event()
    log.unlink(missing_ok=True)

    def watch() -> None:
        while phase not in phases(log):
            if over.wait(0.02):
                return
        os.kill(holder(settings), number)

    watching = threading.Thread(target=watch)
    # Whoever starts the tests in the background has them ignore SIGINT, and all they start.
    heeding = ["env", "--default-signal=INT"]
    argv = [*heeding, settings.root / "invoke", "bake", "--role", ROLE, "--force"]
    with proc.stream(argv, env=settings.passed_on(), grace_s=120) as running:
        watching.start()
        said = "\n".join(running.lines)
        over.set()
        status = running.wait(120)
    watching.join()
    return said, status


def holder(settings: Settings) -> int:
    """Return the process that holds the target's lock."""
    return int((settings.work_dir / "lock").read_text().rpartition(" ")[2])


def state_files(target: Target, settings: Settings) -> set[str]:
    """Return what Terraform keeps in its bucket."""
    found = target.client("s3").list_objects_v2(Bucket=settings.state_bucket)
    return {row["Key"] for row in found.get("Contents", ())}


def phases(log: Path) -> set[str]:
    """Return the phases that Packer has begun."""
    rows = log.read_text().splitlines() if log.exists() else []
    said = (data[-1] for kind, data in map(parse_row, rows) if kind == "ui" and data)
    return {phase_of(text) for text in said}


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


def remove(target: Target, whole: set[str]) -> list[str]:
    """Remove AMIs that were whole when their bake was killed: no leftovers, but none of ours."""
    for ami in whole:
        target.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
    return sorted(whole)
