"""Whatever is killed, `lab.up` brings the lab back as it was, or names exactly what is lost.

These tests have a lab of their own. Docker itself is not killed, as others work with it here: that
all containers of the lab end at once is what a restart of Docker or of the computer leaves.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import wait
from runtime.cloud.machines import Machine
from runtime.errors import CommandError
from runtime.lab import leftovers
from runtime.lab.machines.labels import HOME, KIND, LABEL, MACHINE
from runtime.lab.memory.records import INSTANCE, LAUNCHING, Records
from tests.machines.own_lab import BOOT_ID, Lab
from tests.machines.volumes.kit import SOON

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab("survival")
    yield made
    made.verb("lab.reset", "--yes")
    made.hypervisor.docker.close()


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    made = lab.launch("kept")
    yield made
    lab.target.ec2.terminate_instances(InstanceIds=[made.id])
    wait.until(lambda: lab.state(made) == "terminated", what="its end", timeout_s=60)


def test_a_killed_process_comes_back_to_machines_that_never_stopped(
    lab: Lab, machine: Machine
) -> None:
    before, boot = lab.world(), lab.run(machine, BOOT_ID)
    lab.kill()
    assert lab.run(machine, BOOT_ID) == boot
    said = lab.up()
    assert lab.world() == before
    assert lab.run(machine, BOOT_ID) == boot
    assert machine.id not in said


def test_after_everything_was_killed_machines_boot_again_with_their_data(
    lab: Lab, machine: Machine
) -> None:
    ec2 = lab.target.ec2
    zone = ec2.describe_instances(InstanceIds=[machine.id])["Reservations"][0]["Instances"][0]
    volume = ec2.create_volume(Size=1, AvailabilityZone=zone["Placement"]["AvailabilityZone"])
    ec2.attach_volume(VolumeId=volume["VolumeId"], InstanceId=machine.id, Device="/dev/sdf")
    lab.run(machine, "sudo mkfs.ext4 -q /dev/nvme1n1 && sudo mount /dev/nvme1n1 /mnt")
    lab.run(machine, "echo kept | sudo tee /root/written /mnt/written; sync")
    before, boot = lab.world(), lab.run(machine, BOOT_ID)
    lab.kill()
    lab.kill_containers()
    said = lab.up()
    assert lab.world() == before
    assert lab.run(machine, BOOT_ID) != boot
    assert lab.run(machine, "sudo cat /root/written") == "kept\n"
    assert lab.run(machine, "sudo mount /dev/nvme1n1 /mnt; cat /mnt/written") == "kept\n"
    assert f"{machine.id} (kept) at {machine.address} was started again" in said
    console = lab.target.ec2.get_console_output(InstanceId=machine.id)["Output"]
    assert "Reached target" in console


def test_a_stopped_machine_stays_stopped_and_starts_later(lab: Lab, machine: Machine) -> None:
    lab.target.ec2.stop_instances(InstanceIds=[machine.id])
    wait.until(lambda: lab.state(machine) == "stopped", what="the stop", timeout_s=60)
    lab.kill()
    lab.kill_containers()
    lab.up()
    assert lab.state(machine) == "stopped"
    assert not lab.hypervisor.is_running(machine.id)
    lab.target.ec2.start_instances(InstanceIds=[machine.id])
    assert lab.run(machine, "echo there") == "there\n"


def test_machines_come_back_after_down_and_up(lab: Lab, machine: Machine) -> None:
    before = lab.world()
    lab.verb("lab.down")
    assert not lab.hypervisor.is_running(machine.id)
    lab.up()
    assert lab.world() == before
    assert lab.run(machine, "echo there") == "there\n"


def test_a_machine_that_is_killed_under_a_living_lab_is_started_again(
    lab: Lab, machine: Machine
) -> None:
    for container in sorted(lab.containers(), key=lambda one: one.labels[KIND]):  # its keeper first
        container.kill()
    wait.until(lambda: lab.hypervisor.is_running(machine.id), what="its return", timeout_s=30)
    assert lab.run(machine, "echo there") == "there\n"
    assert lab.state(machine) == "running"


def test_a_machine_that_was_cut_off_is_connected_again(lab: Lab, machine: Machine) -> None:
    lab.kill()
    lab.container(machine, "-keeper").kill()
    said = lab.up()
    assert f"{machine.id} (kept) at {machine.address} was started again" in said
    assert lab.run(machine, "echo there") == "there\n"


def test_a_keeper_that_was_restarted_by_somebody_gets_its_machine_back(
    lab: Lab, machine: Machine
) -> None:
    lab.container(machine, "-keeper").restart(timeout=0)
    lab.up()
    assert lab.run(machine, "echo there") == "there\n"


def test_a_network_that_another_lab_took_away_is_made_again(lab: Lab, machine: Machine) -> None:
    lab.verb("lab.down")
    for net in lab.hypervisor.bridges.all():
        net.remove()
    lab.up()
    assert lab.run(machine, f"ip -4 -o address show eth0 | grep -c {machine.address}") == "1\n"


def test_a_machine_whose_container_is_gone_is_named_and_terminated(lab: Lab) -> None:
    lost, kept = lab.launch("lost"), lab.launch("kept")
    lab.kill()
    lab.container(lost).remove(force=True)
    said = lab.up()
    assert f"LOST: machine {lost.id} (lost) at {lost.address}: its container is gone" in said
    assert kept.id not in said
    assert lab.state(lost) == "terminated"
    assert lab.run(kept, "echo there") == "there\n"
    lab.target.ec2.terminate_instances(InstanceIds=[kept.id])


def test_a_container_that_no_record_knows_is_named_and_removed(lab: Lab) -> None:
    lab.kill()
    image = lab.hypervisor.docker.images.list(filters={"label": f"{LABEL}={lab.settings.lab_id}"})
    labels = {LABEL: lab.settings.lab_id, KIND: "machine", MACHINE: "i-00000000000000000"}
    stray = lab.hypervisor.docker.containers.create(image[0].id, labels=labels)
    said = lab.up()
    assert f"removed the container {stray.name}: no record knows it" in said
    assert stray.id not in {container.id for container in lab.containers()}


def test_an_ami_comes_back_and_one_without_a_disk_is_named(lab: Lab, machine: Machine) -> None:
    ec2 = lab.target.ec2
    ids = {
        name: ec2.create_image(InstanceId=machine.id, Name=name)["ImageId"]
        for name in ("whole", "broken")
    }
    ec2.get_waiter("image_available").wait(ImageIds=[*ids.values()], WaiterConfig=SOON)
    lab.kill()
    lab.hypervisor.disks.discard(ids["broken"])
    said = lab.up()
    assert f"LOST: AMI {ids['broken']} (broken): its disk is gone" in said
    found = ec2.describe_images(Owners=["self"])["Images"]
    assert {image["Name"]: image["ImageId"] for image in found} == {"whole": ids["whole"]}
    again = lab.launch("again", ami_id=ids["whole"])
    ec2.terminate_instances(InstanceIds=[again.id])
    ec2.deregister_image(ImageId=ids["whole"])


def test_a_volume_whose_file_is_gone_is_named(lab: Lab) -> None:
    zone = lab.target.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    volume = lab.target.ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
    lab.kill()
    (path,) = (lab.settings.lab_dir / "volumes").glob(f"*{volume}*")
    path.rename(path.with_name(path.name.replace(volume, "vol-00000000000000000")))
    said = lab.up()
    assert f"LOST: the file of volume {volume} is gone, and its data with it" in said
    assert "vol-00000000000000000.img: no record knows it" in said
    lab.target.ec2.delete_volume(VolumeId=volume)


@pytest.mark.parametrize(
    ("heading", "state"),
    [("stopping", "stopped"), ("shutting-down", "terminated"), (LAUNCHING, "terminated")],
)
def test_what_was_begun_when_the_lab_was_killed_is_gone_on_with(
    lab: Lab, heading: str, state: str
) -> None:
    machine = lab.launch("heading")
    lab.kill()
    records = Records(lab.settings.lab_dir / "records.json")
    records.update(INSTANCE, machine.id, heading=heading)
    lab.up()
    assert lab.state(machine) == state
    assert not lab.hypervisor.is_running(machine.id)
    lab.target.ec2.terminate_instances(InstanceIds=[machine.id])


def test_labs_do_not_see_each_other_and_reset_takes_only_its_own(
    lab: Lab, machine: Machine
) -> None:
    before = lab.pieces()
    neighbour = Lab("neighbour")
    try:
        assert lab.settings.lab_dir != neighbour.settings.lab_dir
        assert neighbour.target.ec2.describe_instances()["Reservations"] == []
        pid = int((neighbour.settings.lab_dir / "lab.pid").read_text())
        shutil.rmtree(neighbour.settings.lab_dir)
        wait.until(
            lambda: not Path(f"/proc/{pid}").exists(), what="a lab without folder", timeout_s=30
        )
    finally:
        said = neighbour.verb("lab.reset", "--yes")
    assert "AMI" in said
    assert neighbour.pieces() == []
    assert lab.pieces() == before
    assert lab.run(machine, "echo there") == "there\n"


def test_a_reset_lists_what_a_crashed_lab_left_and_takes_all_of_it_once_told_to() -> None:
    crashed = Lab("crashed")
    try:
        ec2, machine = crashed.target.ec2, crashed.launch("left")
        found = ec2.describe_instances(InstanceIds=[machine.id])["Reservations"][0]["Instances"][0]
        zone = found["Placement"]["AvailabilityZone"]
        volume = ec2.create_volume(Size=1, AvailabilityZone=zone)["VolumeId"]
        ec2.attach_volume(VolumeId=volume, InstanceId=machine.id, Device="/dev/sdf")
        crashed.kill()
        there = crashed.pieces()
        with pytest.raises(CommandError, match="nothing was removed"):
            crashed.verb("lab.reset")  # there is nobody to ask
        kept = crashed.pieces()
    finally:
        said = crashed.verb("lab.reset", "--yes")
    assert kept == there
    for kind in ("loop device", "file", "container", "network", "volume", "AMI"):
        assert any(line.startswith(f"{kind} ") for line in there), kind
    assert [line for line in there if line not in said] == []
    assert crashed.pieces() == []
    crashed.hypervisor.docker.close()


def test_what_a_vanished_checkout_left_is_told_from_what_lives(lab: Lab, machine: Machine) -> None:
    docker = lab.hypervisor.docker
    labels = {LABEL: "lab-gone", HOME: f"{socket.gethostname()}:/no/such/folder"}
    left = docker.volumes.create(labels=labels)
    elsewhere = docker.volumes.create(labels=labels | {HOME: "another:/no/such/folder"})
    try:
        lines = [piece.line for piece in leftovers.find_vanished(docker)]
    finally:
        left.remove()
        elsewhere.remove()
    assert f"volume {left.name}" in lines
    assert f"volume {elsewhere.name}" not in lines
    assert not set(lab.pieces()) & set(lines)
