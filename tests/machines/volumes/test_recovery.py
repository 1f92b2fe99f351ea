"""After a crash of the lab's process or of the computer: volumes are as the API says they are.

The records are a moto of their own here, so that nothing that runs in the checkout's lab is
touched; files and loop devices are real.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime import wait
from runtime.lab import control, leftovers
from runtime.lab.actions.attachments import KIND, Attachments
from runtime.lab.actions.progress import Progress
from runtime.lab.actions.states import States
from runtime.lab.ec2 import Ec2, text
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.client import connect
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.labels import KIND as LABEL_KIND
from runtime.lab.machines.labels import LABEL
from runtime.lab.memory import moto
from runtime.lab.memory.records import Records
from runtime.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Crashed:
    """What a process that starts finds."""

    ec2: Ec2
    blocks: Blocks
    records: Records
    attachments: Attachments
    client: Any
    lab: str

    def volume(self) -> str:
        """Return a new volume."""
        asked = {"AvailabilityZone": "us-east-1a", "Size": "1"}
        volume_id = text(self.ec2.ask("CreateVolume", asked), "volumeId")
        self.blocks.create(volume_id, 1)
        return volume_id

    def attached(self) -> tuple[str, str]:
        """Return a volume that the API says is attached, and to which machine."""
        volume_id = self.volume()
        ami = text(self.ec2.ask("DescribeImages"), "imagesSet/item/imageId")
        made = self.ec2.ask("RunInstances", {"ImageId": ami, "MinCount": "1", "MaxCount": "1"})
        machine_id = text(made, "instancesSet/item/instanceId")
        asked = {"VolumeId": volume_id, "InstanceId": machine_id, "Device": "/dev/sdf"}
        self.ec2.ask("AttachVolume", asked)
        return volume_id, machine_id

    def state(self, volume_id: str) -> str:
        """Return a volume's state in the records."""
        found = self.ec2.ask("DescribeVolumes", {"VolumeId.1": volume_id})
        return text(found, "volumeSet/item/status")


@pytest.fixture
def crashed(lab_settings: Settings, tmp_path: Path) -> Iterator[Crashed]:
    """Records, files and loop devices, and no memory of them."""
    control.up(lab_settings)  # its AMI is what loop devices are set up with
    client = connect()
    ec2 = Ec2(moto.load(), lab_settings.region)
    blocks = Blocks(client, lab_settings.lab_id, tmp_path)
    records = Records(tmp_path / "records.json")
    before = blocks.loops()
    attachments = Attachments(
        ec2=ec2,
        hypervisor=Hypervisor(client, "nobody"),
        blocks=blocks,
        records=records,
        progress=Progress(),
        states=States(ec2),
    )
    yield Crashed(
        ec2=ec2,
        blocks=blocks,
        records=records,
        attachments=attachments,
        client=client,
        lab=lab_settings.lab_id,
    )
    for volume_id in set(blocks.loops()) - set(before):
        blocks.release(volume_id)
        assert volume_id not in blocks.loops()


def test_an_attached_volume_is_bound_again_and_one_that_is_not_is_released(
    crashed: Crashed,
) -> None:
    attached, machine_id = crashed.attached()
    free = crashed.volume()
    crashed.blocks.bind(free)

    assert crashed.attachments.recover() == []

    assert free not in crashed.blocks.loops()
    (device,) = crashed.attachments.devices_of(machine_id)
    assert (device.volume_id, device.name) == (attached, "nvme1n1")
    assert crashed.blocks.loops()[attached] == device.loop
    assert crashed.attachments.recover() == []  # as often as one likes
    assert crashed.attachments.devices_of(machine_id) == [device]


def test_a_volume_keeps_the_number_it_had_on_its_machine(crashed: Crashed) -> None:
    volume_id, machine_id = crashed.attached()
    crashed.records.update(KIND, volume_id, machine=machine_id, number=4)
    crashed.attachments.recover()
    assert [one.name for one in crashed.attachments.devices_of(machine_id)] == ["nvme4n1"]


def test_a_volume_whose_file_is_lost_is_named_and_does_not_keep_its_machine_from_starting(
    crashed: Crashed,
) -> None:
    volume_id, machine_id = crashed.attached()
    crashed.records.update(KIND, volume_id, machine=machine_id, number=1)
    crashed.blocks.delete(volume_id)
    assert crashed.attachments.recover() == [volume_id]
    assert crashed.attachments.devices_of(machine_id) == []


def test_what_a_crashed_lab_left_is_listed_and_removed(crashed: Crashed) -> None:
    volume_id = crashed.volume()
    loop = crashed.blocks.bind(volume_id)
    mine = [piece for piece in leftovers.find_volumes(crashed.blocks) if volume_id in piece.line]
    assert [piece.line.split(f"-{volume_id}")[0] for piece in mine] == [
        f"loop device /dev/loop{loop} of {volume_id}",
        f"file bullion-{crashed.lab}",
    ]
    leftovers.remove(mine)
    assert volume_id not in crashed.blocks.loops()
    assert not crashed.blocks.has(volume_id)


def test_a_loop_device_of_a_checkout_that_is_gone_is_found_and_one_of_a_living_lab_is_not(
    crashed: Crashed,
) -> None:
    volume_id = crashed.volume()
    gone = Blocks(crashed.client, f"{crashed.lab}-gone", crashed.blocks.folder)
    for blocks in (gone, crashed.blocks):
        if not blocks.has(volume_id):
            blocks.create(volume_id, 1)
        blocks.bind(volume_id)
        blocks.delete(volume_id)
    left = [one for one in leftovers.find_vanished(crashed.client) if volume_id in one.line]
    loops = gone.loops()
    assert [one.line for one in left] == [f"loop device /dev/loop{loops[volume_id]} of {volume_id}"]
    leftovers.remove(left)
    assert gone.loops() == {}
    assert volume_id in crashed.blocks.loops()


def test_a_detaching_that_was_under_way_goes_on(crashed: Crashed) -> None:
    volume_id, _ = crashed.attached()
    loop = crashed.blocks.bind(volume_id)
    image = crashed.client.images.list(filters={"label": f"{LABEL}={crashed.lab}"})[0]
    holder = crashed.client.containers.run(
        image.id,
        entrypoint=["sh", "-c", f"mknod /dev/held b 7 {loop}; exec 3</dev/held; sleep 600"],
        detach=True,
        network_mode="none",
        device_cgroup_rules=["b 7:* rwm"],
        labels={LABEL: crashed.lab, LABEL_KIND: "copy"},
    )
    try:
        wait.until(
            lambda: "held" in holder.exec_run(["ls", "-l", "/proc/1/fd"]).output.decode(),
            what="somebody to hold the volume",
            timeout_s=20,
        )
        crashed.blocks.release(volume_id)
        assert crashed.blocks.is_leaving(volume_id)

        crashed.attachments.recover()

        assert crashed.attachments.progress.shown == {volume_id: "detaching"}
        assert crashed.state(volume_id) == "in-use"
    finally:
        holder.remove(force=True)
    wait.until(
        lambda: crashed.state(volume_id) == "available", what="the volume to be free", timeout_s=20
    )
    assert volume_id not in crashed.blocks.loops()
