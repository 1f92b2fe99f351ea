"""AMIs of the lab: moto's records, tied to the disks that the hypervisor keeps."""

from __future__ import annotations

import functools
import logging
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from runtime.lab import translations
from runtime.lab.actions.ami_options import AmiOptions
from runtime.lab.actions.states import States, keep_matching, take_filters
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, reply, text
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory.records import AMI, Records

_log = logging.getLogger(__name__)
PATIENCE_S = 30.0


@dataclass
class Amis:
    """Making, describing and forgetting AMIs, over real disks."""

    ec2: Ec2
    hypervisor: Hypervisor
    records: Records
    states: States
    _unfinished: set[str] = field(default_factory=set)
    _naming: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Have options of AMIs in the same records."""
        self.options = AmiOptions(ec2=self.ec2, records=self.records)

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "CreateImage": self.create,
            "DeregisterImage": self.deregister,
            "DescribeImages": self.describe,
            **self.options.actions(),
        }

    @real("root file system and data directories copied; a reboot unless NoReboot")
    def create(self, asked: Parameters) -> ET.Element:
        """Make an AMI of an instance; `pending` until its disks are captured.

        Answers when that is done, or after `PATIENCE_S`: Packer looks at an AMI in steps of 5 to
        15 s, so that one which is there at the first look saves it a step, and no SDK waits
        longer than a minute for an answer. As on EC2, the instance goes on being `running`.
        """
        name, machine_id = asked.get("Name", ""), asked.get("InstanceId", "")
        _refuse_name(name)
        self.states.require([machine_id], ("running", "stopping", "stopped"), to="imaged")
        without_snapshots, snapshot_tags = translations.take_snapshot_tags(asked)
        with self._naming:
            if taken_by := self._named(name):
                message = f"AMI name {name} is already in use by AMI {taken_by}"
                raise Refused("InvalidAMIName.Duplicate", message)
            made = self.ec2.ask("CreateImage", without_snapshots)
            ami_id = text(made, "imageId")
            self._unfinished.add(ami_id)
        size_gb, is_encrypted = _root(self.ec2, self.ec2.machine(machine_id))
        self.records.update(AMI, ami_id, size_gb=size_gb, is_encrypted=is_encrypted)
        for snapshot in self._snapshots(ami_id) if snapshot_tags else ():
            self._tag(snapshot, snapshot_tags)
        reboots = asked.get("NoReboot", "").lower() != "true"
        capture: Future[None] = Future()
        task = functools.partial(self._capture, machine_id, ami_id, reboots=reboots)
        threading.Thread(target=_answer, args=(capture, task), daemon=True).start()
        try:
            capture.result(PATIENCE_S)
        except TimeoutError:
            _log.info("AMI %s is still being made", ami_id)
        except Refused:  # who asked is told, so no failed AMI need keep its name
            self.ec2.ask("DeregisterImage", {"ImageId": ami_id})
            self.records.forget(AMI, ami_id)
            raise
        return made

    def _capture(self, machine_id: str, ami_id: str, *, reboots: bool) -> None:
        """Capture a machine's disks, stopped meanwhile if it is to be.

        On failure no disk is kept, and the AMI is `failed`, as on EC2.
        """
        try:
            with self.states.hand_on(machine_id):
                is_paused = reboots and self.hypervisor.is_running(machine_id)
                if is_paused:
                    self.hypervisor.stop(machine_id)
                try:
                    self.hypervisor.capture(machine_id, ami_id)
                finally:
                    if is_paused:
                        self.hypervisor.start(machine_id)
        except Exception as error:  # all that may happen to a disk
            _log.exception("AMI %s of %s could not be made", ami_id, machine_id)
            self.hypervisor.disks.discard(ami_id)  # first: it may be what filled the disk
            self._settle(ami_id, state="failed", reason=str(error))
            message = f"the disks of {machine_id} could not be captured: {error}"
            raise Refused("InternalError", message) from error
        finally:
            self._unfinished.discard(ami_id)
        if not self._settle(ami_id, is_whole=True):
            self.hypervisor.disks.discard(ami_id)

    def _settle(self, ami_id: str, **facts: Any) -> bool:
        """Remember what became of an AMI; return whether it is one still, and not deregistered."""
        with self._naming:
            is_there = bool(self.records.get(AMI, ami_id))
            if is_there:
                self.records.update(AMI, ami_id, **facts)
        return is_there

    @real("its disks go; snapshots go when asked")
    def deregister(self, asked: Parameters) -> ET.Element:
        """Forget an AMI and its disk; snapshots go when the caller asks for it."""
        ami_id = asked.get("ImageId", "")
        self.options.refuse_others(ami_id)
        self.options.refuse_protected(ami_id)
        snapshots = self._snapshots(ami_id)
        self.ec2.ask("DeregisterImage", asked)
        with self._naming:
            self.records.forget(AMI, ami_id)
        self.hypervisor.disks.discard(ami_id)
        rows = []
        if asked.get("DeleteAssociatedSnapshots", "").lower() == "true":
            for snapshot in snapshots:
                self.ec2.ask("DeleteSnapshot", {"SnapshotId": snapshot})
                rows.append({"snapshotId": snapshot, "returnCode": "success"})
        return reply("DeregisterImage", {"return": "true", "deleteSnapshotResultSet": rows})

    @real("in the states that they really are in")
    def describe(self, asked: Parameters) -> ET.Element:
        """Describe AMIs with what EC2 would report of them; disabled ones if asked for."""
        kept, wanted = take_filters(asked, ["state"])
        found = self.ec2.ask("DescribeImages", kept)
        kept_facts = self.records.of(AMI)
        sizes_gb = {name: f["size_gb"] for name, f in kept_facts.items() if "size_gb" in f}
        translations.describe_root_as_ebs(found, sizes_gb)
        for item in found.findall("imagesSet/item"):
            self.options.show(item)
            state = item.find("imageState")
            if state is not None and text(item, "imageId") in self._unfinished:
                state.text = "pending"
        if asked.get("IncludeDisabled", "").lower() != "true":
            wanted.append(("state", ["[!d]*", "de*"]))  # all but disabled
        for _, patterns in wanted:
            keep_matching(found, "imageState", patterns)
        return found

    def forget(self, ami_id: str) -> None:
        """End an AMI that can't be launched any more, protected or not."""
        self.ec2.ask("DeregisterImage", {"ImageId": ami_id})
        self.hypervisor.disks.discard(ami_id)
        self.records.forget(AMI, ami_id)

    def refuse_unless_launchable(self, ami_id: str) -> None:
        """Raise Refused unless `ami_id` is registered, enabled and has a disk."""
        asked = {"ImageId.1": ami_id, "IncludeDisabled": "true"}
        state = text(self.describe(asked), "imagesSet/item/imageState")
        if state != "available":
            message = f"The image ID '{ami_id}' is {state or 'no longer available'}"
            raise Refused("InvalidAMIID.Unavailable", message)
        if ami_id not in self.hypervisor.disks.amis():
            raise Refused(
                "InvalidAMIID.NotFound", f"The image ID '{ami_id}' has no disk in this lab"
            )

    def size_gb(self, ami_id: str) -> int:
        """Return the size of an AMI's root disk."""
        return int(self.records.get(AMI, ami_id).get("size_gb", 8))

    def _tag(self, resource: str, tags: dict[str, str]) -> None:
        asked = {"ResourceId.1": resource}
        for number, (key, value) in enumerate(tags.items(), start=1):
            asked |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
        self.ec2.ask("CreateTags", asked)

    def _named(self, name: str) -> str:
        """Return the id of our AMI that has a name, "" if none has."""
        found = self.ec2.ask("DescribeImages", {"Owner.1": "self"}).findall("imagesSet/item")
        return next((text(item, "imageId") for item in found if text(item, "name") == name), "")

    def _snapshots(self, ami_id: str) -> list[str]:
        try:
            found = self.ec2.ask("DescribeImages", {"ImageId.1": ami_id})
        except Refused:
            return []
        path = "imagesSet/item/blockDeviceMapping/item/ebs/snapshotId"
        return [element.text or "" for element in found.findall(path)]


def _answer(capture: Future[None], task: Callable[[], None]) -> None:
    try:
        task()
    except Exception as error:
        capture.set_exception(error)
    else:
        capture.set_result(None)


def _refuse_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}", name):
        message = (
            "AMI names must be between 3 and 128 characters long, and may contain letters,"
            " numbers, spaces and any of ( ) [ ] . / - ' @ _"
        )
        raise Refused("InvalidAMIName.Malformed", message)


def _root(ec2: Ec2, machine: ET.Element) -> tuple[int, bool]:
    """Return size in GiB of a machine's root volume, and whether it is encrypted."""
    volume = text(machine, "blockDeviceMapping/item/ebs/volumeId")
    if not volume:
        return 8, False
    found = ec2.ask("DescribeVolumes", {"VolumeId.1": volume})
    is_encrypted = text(found, "volumeSet/item/encrypted") == "true"
    return int(text(found, "volumeSet/item/size") or 8), is_encrypted
