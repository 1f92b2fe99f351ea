"""A machine of the checkout's lab, and volumes for it; nothing needs to be deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.lab import control, slots
from runtime.lab.machines import rootfs
from runtime.lab.machines.blocks import FOLDER, Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.settings import Settings
from tests.machines.volumes.kit import SOON, Create, Inside, Launch, remove_volume


@pytest.fixture(scope="package")
def ec2(lab_settings: Settings) -> Any:
    """The checkout's lab; nothing needs to be deployed in it."""
    return control.up(lab_settings).ec2


@pytest.fixture(scope="package")
def hypervisor(lab_settings: Settings) -> Hypervisor:
    """What machines run on, to look inside them."""
    return Hypervisor(connect(), lab_settings.lab_id)


@pytest.fixture(scope="package")
def blocks(lab_settings: Settings, hypervisor: Hypervisor) -> Blocks:
    """What is behind volumes."""
    return Blocks(hypervisor.docker, lab_settings.lab_id, lab_settings.lab_dir / FOLDER)


@pytest.fixture(scope="package")
def launch(ec2: Any, lab_settings: Settings) -> Iterator[Launch]:
    """Launch a machine of the lab's own AMI, where builders go; all are terminated at the end."""
    made: list[str] = []
    subnet_id = json.loads(slots.packer_file(lab_settings.lab_dir).read_text())["subnet_id"]

    def run(**more: Any) -> str:
        asked = {"ImageId": rootfs.ami_id(), "SubnetId": subnet_id} | more
        found = ec2.run_instances(MinCount=1, MaxCount=1, **asked)
        made.append(found["Instances"][0]["InstanceId"])
        return made[-1]

    yield run
    if made:
        ec2.terminate_instances(InstanceIds=made)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=made)


@pytest.fixture(scope="package")
def machine(launch: Launch) -> str:
    """A machine that tests may plug volumes into, and must unplug them from."""
    return launch()


@pytest.fixture
def create(ec2: Any, machine: str) -> Iterator[Create]:
    """Create volumes in the machine's zone; whatever happens to them, none is left."""
    made: list[str] = []
    placement = ec2.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    zone = placement["Placement"]["AvailabilityZone"]

    def run(size_gb: int | None = 1, **more: Any) -> str:
        if size_gb:
            more["Size"] = size_gb
        made.append(ec2.create_volume(**{"AvailabilityZone": zone, **more})["VolumeId"])
        ec2.get_waiter("volume_available").wait(VolumeIds=[made[-1]], WaiterConfig=SOON)
        return made[-1]

    yield run
    for volume_id in made:
        remove_volume(ec2, volume_id)


@pytest.fixture
def inside(hypervisor: Hypervisor) -> Inside:
    """Run a shell script as root on a machine that boots, and return what it said."""

    def run(machine_id: str, script: str) -> str:
        script = f"until [ -d /run/systemd/system ]; do sleep 0.05; done; {script}"
        status, said = hypervisor.run_inside(machine_id, ["sh", "-ec", script])
        assert status == 0, f"{script}\n{said}"
        return said

    return run
