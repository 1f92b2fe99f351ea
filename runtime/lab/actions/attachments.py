"""Which volume is plugged into which machine: attach, detach, and what machines' lives need.

A detached volume is `detaching` until its machine holds it no longer: the kernel lets a loop device
go when the last who has it mounted or open lets go, and until then it is not given to another.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field

from docker.errors import DockerException

from runtime import wait
from runtime.errors import BullionError
from runtime.lab import views
from runtime.lab.actions import volume_rules
from runtime.lab.actions.progress import Progress
from runtime.lab.actions.states import States
from runtime.lab.actions.volume_rules import Volume
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, reply, text
from runtime.lab.machines import devices
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.devices import Device
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory.records import Records

_log = logging.getLogger(__name__)
KIND = "attachment"  # of our records, by volume: {"machine": id, "number": NVMe controller}
PATIENCE_S = 1.0  # what nobody holds is free by then
_FOREVER_S = float("inf")
_HELD_ALREADY = "Device or resource busy"  # what fsfreeze says of what its machine's user froze


@dataclass
class Attachments:
    """AttachVolume and DetachVolume over block devices that machines see."""

    ec2: Ec2
    hypervisor: Hypervisor
    blocks: Blocks
    records: Records
    progress: Progress
    states: States
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {"AttachVolume": self.attach, "DetachVolume": self.detach}

    @real("a block device with EC2's by-id name, by a loop device")
    def attach(self, asked: Parameters) -> ET.Element:
        """Plug a volume into a machine; answers when the machine sees it."""
        volume_rules.require(asked, "VolumeId", "InstanceId", "Device")
        machine_id = asked["InstanceId"]
        with self._lock:
            volume = views.find_volume(self.ec2, asked["VolumeId"])
            machine = self.ec2.machine(machine_id)
            mapped = machine.findall("blockDeviceMapping/item")
            volume_rules.refuse_attach(
                volume,
                busy=self.progress.shown.get(volume.id, ""),
                device=asked["Device"],
                machine=machine,
                in_use={text(item, "deviceName") for item in mapped},
            )
            volume_rules.refuse_record(volume.id, has_file=self.blocks.has(volume.id))
            attached = self.ec2.ask("AttachVolume", asked)
            self.take_number(volume.id, machine_id)
            self.progress.shown[volume.id] = "attaching"
        try:
            self.hypervisor.plug(machine_id)
        except BaseException:
            self._unplug(volume.id, machine_id)
            self._set_free(volume.id)
            raise
        finally:
            self.progress.shown.pop(volume.id, None)
        return attached

    @real("held back while mounted; Force unmounts")
    def detach(self, asked: Parameters) -> ET.Element:
        """Unplug a volume; `detaching` as long as the machine has it mounted or open.

        Its names are gone from the machine at once. With Force it is unmounted there too, in use
        or not; what a process keeps open still keeps it `detaching`.
        """
        volume_rules.require(asked, "VolumeId")
        with self._lock:
            volume = views.find_volume(self.ec2, asked["VolumeId"])
            busy = self.progress.shown.get(volume.id, "")
            volume_rules.refuse_detach(volume, asked, busy=busy)
            volume_rules.refuse_record(volume.id, has_file=self.blocks.has(volume.id))
            self.progress.shown[volume.id] = "detaching"
        try:
            if asked.get("Force", "").lower() == "true":
                for path in reversed(self._mounts(volume.id, volume.machine_id)):
                    self.hypervisor.run_inside(volume.machine_id, ["umount", "--lazy", path])
            if busy != "detaching":
                self._unplug(volume.id, volume.machine_id)
                self._follow_detaching(volume.id)
        except BaseException:
            if busy != "detaching":  # so that it may be tried again
                self.progress.shown.pop(volume.id, None)
            raise
        return reply(
            "DetachVolume",
            {
                "volumeId": volume.id,
                "instanceId": volume.machine_id,
                "device": volume.device,
                "status": "detaching",
                "attachTime": volume.attached_at,
            },
        )

    def devices_of(self, machine_id: str) -> list[Device]:
        """Return the volumes plugged into a machine, bound to loop devices.

        Raises:
            LabError: the file of one is gone, or there are no loop devices.
        """
        return [
            Device(
                volume_id=name,
                number=self.records.get(KIND, name)["number"],
                loop=self.blocks.bind(name),
            )
            for name in self._plugged(machine_id)
        ]

    def take_number(self, volume_id: str, machine_id: str) -> None:
        """Plan to plug a volume into a machine, as its next NVMe controller."""
        with self._lock:
            taken = [self.records.get(KIND, name)["number"] for name in self._plugged(machine_id)]
            number = devices.next_number(taken)
            self.records.update(KIND, volume_id, machine=machine_id, number=number)

    def release_all(self, machine_id: str) -> list[str]:
        """Unplug the volumes of a machine that is gone; return their ids."""
        plugged = self._plugged(machine_id)
        for volume_id in plugged:
            self.records.forget(KIND, volume_id)
            self.blocks.release(volume_id)
        return plugged

    @contextlib.contextmanager
    def frozen(self, volume_id: str) -> Iterator[None]:
        """Hold a running machine's writes to a volume that it has mounted.

        EC2 takes a snapshot of one moment without that; a copy of a file takes a while, in which
        the file must not change. A volume that is used without a file system is not held.

        Raises:
            Refused: the file system can't be held, so a copy would not be of one moment.
        """
        machine_id = self.records.get(KIND, volume_id).get("machine", "")
        held = []
        # Nobody ends the machine meanwhile: a frozen file system would outlive it.
        with self.states.hand_on(machine_id) if machine_id else contextlib.nullcontext():
            for path in self._mounts(volume_id, machine_id)[:1]:  # one stands for the file system
                freeze = ["fsfreeze", "--freeze", path]
                status, said = self.hypervisor.run_inside(machine_id, freeze)
                if status == 0:
                    held.append(path)
                elif _HELD_ALREADY not in said:
                    message = (
                        f"The file system of '{volume_id}' at {path} can't be held for a snapshot "
                        f"({said}). Unmount it, or stop '{machine_id}', and try again."
                    )
                    raise Refused("IncorrectState", message)
            try:
                yield
            finally:
                for path in held:
                    self.hypervisor.run_inside(machine_id, ["fsfreeze", "--unfreeze", path])

    def recover(self) -> list[str]:
        """Plug in again what the API says is attached; return the volumes whose file is lost.

        For the start of the lab's process, after a crash of it or of the computer, and harmless
        at any time: missing loop devices are bound, running machines see their volumes, a file
        system that a snapshot left frozen thaws, a detaching goes on, and a loop device that
        belongs to no attachment is released. Which machines run is not changed.
        """
        found = self.ec2.ask("DescribeVolumes").findall("volumeSet/item")
        volumes = [Volume.parse(item) for item in found]
        attached = {one.id: one.machine_id for one in volumes if one.machine_id}
        for volume_id, facts in self.records.of(KIND).items():
            if attached.get(volume_id) != facts["machine"]:
                self.records.forget(KIND, volume_id)
        known = self.records.of(KIND)
        lost = [name for name in known if not self.blocks.has(name)]
        for volume_id in lost:
            self.records.forget(KIND, volume_id)
        for volume_id in filter(self.blocks.has, attached):
            if self.blocks.is_leaving(volume_id):
                self.records.forget(KIND, volume_id)
                self._follow_detaching(volume_id, patience_s=0)
            elif volume_id not in known:
                self.take_number(volume_id, attached[volume_id])
        plugged = self.records.of(KIND)
        for volume_id in self.blocks.loops():
            if volume_id not in plugged:
                self.blocks.release(volume_id)
        self._plug_running()
        return lost

    # -- pieces ---------------------------------------------------------------------------

    def _plugged(self, machine_id: str) -> list[str]:
        """Return the volumes plugged into a machine, whether it runs or not."""
        known = self.records.of(KIND).items()
        return [name for name, facts in known if facts["machine"] == machine_id]

    def _unplug(self, volume_id: str, machine_id: str) -> None:
        """Take a volume's names from its machine; its loop device goes when it is free."""
        self.records.forget(KIND, volume_id)
        try:
            self.hypervisor.plug(machine_id)
        except BullionError:  # it was on its way down: it sees nothing any more
            _log.exception("machine %s was not told that %s goes", machine_id, volume_id)
        self.blocks.release(volume_id)

    def _follow_detaching(self, volume_id: str, patience_s: float = PATIENCE_S) -> None:
        def until_free() -> None:
            wait.until(
                lambda: volume_id not in self.blocks.loops(),
                what=f"{volume_id} to be let go",
                timeout_s=_FOREVER_S,
            )
            self._set_free(volume_id)

        self.progress.run(volume_id, "detaching", until_free, patience_s=patience_s)

    def _set_free(self, volume_id: str) -> None:
        with contextlib.suppress(Refused):  # its instance was terminated meanwhile
            volume = views.find_volume(self.ec2, volume_id)
            attachment = {"VolumeId": volume_id, "InstanceId": volume.machine_id}
            self.ec2.ask("DetachVolume", attachment)

    def _mounts(self, volume_id: str, machine_id: str) -> list[str]:
        """Return where a machine has a volume mounted, in the order of mounting."""
        loop = self.blocks.loops().get(volume_id)
        if loop is None or not machine_id or not self.hypervisor.is_running(machine_id):
            return []
        _, mountinfo = self.hypervisor.run_inside(machine_id, ["cat", "/proc/1/mountinfo"])
        return devices.mount_points(mountinfo, loop)

    def _plug_running(self) -> None:
        for machine_id, status in self.hypervisor.machines().items():
            if status != "running":
                continue
            try:
                self.hypervisor.plug(machine_id)
                for volume_id in self._plugged(machine_id):
                    for path in self._mounts(volume_id, machine_id)[:1]:
                        self.hypervisor.run_inside(machine_id, ["fsfreeze", "--unfreeze", path])
            except (BullionError, DockerException):  # the others are worth as much
                _log.exception("machine %s does not have its volumes again", machine_id)
