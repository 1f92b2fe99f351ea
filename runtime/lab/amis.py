"""AMIs of the lab: moto's records, tied to the disks that the hypervisor keeps.

The source AMIs, which nobody makes by a request, are given to moto in a file (MOTO_AMIS_PATH).
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.lab import translations
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, text
from runtime.lab.hypervisor import Hypervisor
from runtime.lab.records import Records

SOURCE_OWNER = "136693071363"  # the account that publishes Debian's AMIs
KIND = "ami"  # of our records: those whose disk is whole
SHELF = 20  # source AMIs that a lab can have had


@dataclass
class Amis:
    """CreateImage, DeregisterImage and DescribeImages over real disks."""

    ec2: Ec2
    hypervisor: Hypervisor
    records: Records

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "CreateImage": self.create,
            "DeregisterImage": self.deregister,
            "DescribeImages": self.describe,
        }

    def create(self, asked: Parameters) -> ET.Element:
        """Make an AMI of an instance; answers when it is available."""
        name, machine_id = asked.get("Name", ""), asked.get("InstanceId", "")
        if self._named(name):
            raise Refused("InvalidAMIName.Duplicate", f"AMI name {name} is already in use")
        machine = self.ec2.machine(machine_id)
        without_snapshots, snapshot_tags = translations.take_snapshot_tags(asked)
        made = self.ec2.ask("CreateImage", without_snapshots)
        ami_id = text(made, "imageId")
        is_paused = self.hypervisor.is_running(machine_id) and asked.get("NoReboot") != "true"
        try:
            if is_paused:
                self.hypervisor.stop(machine_id)
            self.hypervisor.capture(machine_id, ami_id)
        except BaseException:
            self.ec2.ask("DeregisterImage", {"ImageId": ami_id})
            self.hypervisor.disks.discard(ami_id)
            raise
        finally:
            if is_paused:
                self.hypervisor.start(machine_id)
        for snapshot in self._snapshots(ami_id) if snapshot_tags else ():
            self._tag(snapshot, snapshot_tags)
        self.records.update(KIND, ami_id, size_gb=_root_size_gb(self.ec2, machine))
        return made

    def deregister(self, asked: Parameters) -> ET.Element:
        """Forget an AMI and its disk; snapshots go when the caller asks for it."""
        ami_id = asked.get("ImageId", "")
        snapshots = self._snapshots(ami_id)
        gone = self.ec2.ask("DeregisterImage", asked)
        self.hypervisor.disks.discard(ami_id)
        self.records.forget(KIND, ami_id)
        if asked.get("DeleteAssociatedSnapshots", "").lower() == "true":
            for snapshot in snapshots:
                self.ec2.ask("DeleteSnapshot", {"SnapshotId": snapshot})
        return gone

    def describe(self, asked: Parameters) -> ET.Element:
        """Describe AMIs with the root device that EC2 would report."""
        found = self.ec2.ask("DescribeImages", asked)
        sizes_gb = {ami_id: facts["size_gb"] for ami_id, facts in self.records.of(KIND).items()}
        translations.describe_root_as_ebs(found, sizes_gb)
        return found

    def size_gb(self, ami_id: str) -> int:
        """Return the size of an AMI's root disk."""
        return int(self.records.get(KIND, ami_id).get("size_gb", 8))

    def refuse_unless_launchable(self, ami_id: str) -> None:
        """Raise Refused unless `ami_id` is registered, enabled and has a disk."""
        try:
            found = self.ec2.ask("DescribeImages", {"ImageId.1": ami_id})
        except Refused as error:
            raise Refused("InvalidAMIID.NotFound", error.message) from error
        state = text(found, "imagesSet/item/imageState")
        if state != "available":
            raise Refused(
                "InvalidAMIID.Unavailable", f"The image ID '{ami_id}' is {state or 'gone'}"
            )
        if ami_id not in self.hypervisor.disks.amis():
            raise Refused(
                "InvalidAMIID.NotFound", f"The image ID '{ami_id}' has no disk in this lab"
            )

    def _tag(self, resource: str, tags: dict[str, str]) -> None:
        asked = {"ResourceId.1": resource}
        for number, (key, value) in enumerate(tags.items(), start=1):
            asked |= {f"Tag.{number}.Key": key, f"Tag.{number}.Value": value}
        self.ec2.ask("CreateTags", asked)

    def _named(self, name: str) -> bool:
        found = self.ec2.ask("DescribeImages", {"Owner.1": "self"})
        return any(text(item, "name") == name for item in found.findall("imagesSet/item"))

    def _snapshots(self, ami_id: str) -> list[str]:
        try:
            found = self.ec2.ask("DescribeImages", {"ImageId.1": ami_id})
        except Refused:
            return []
        path = "imagesSet/item/blockDeviceMapping/item/ebs/snapshotId"
        return [element.text or "" for element in found.findall(path)]


def source(ami_id: str, *, name: str, description: str) -> dict[str, Any]:
    """Return a source AMI as moto reads it."""
    return {
        "ami_id": ami_id,
        "name": name,
        "description": description,
        "owner_id": SOURCE_OWNER,
        "creation_date": "2026-01-01T00:00:00.000Z",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": translations.ROOT_DEVICE,
        "root_device_type": "ebs",
        "sriov": "simple",
    }


def read_sources(path: Path) -> list[dict[str, Any]]:
    """Return the source AMIs that this lab has had, oldest first."""
    found = {row["ami_id"]: row for row in json.loads(path.read_text())} if path.exists() else {}
    return list(found.values())


def write_sources(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the source AMIs as moto reads them, at least one, atomically.

    moto draws random numbers for each before it makes the default VPC, whose ids must stay: so
    it is always given as many, the last again and again.
    """
    newest = rows[-SHELF:]
    new = path.with_suffix(".new")
    new.write_text(json.dumps([*newest, *[newest[-1]] * (SHELF - len(newest))], indent=1))
    new.replace(path)


def _root_size_gb(ec2: Ec2, machine: ET.Element) -> int:
    volume = text(machine, "blockDeviceMapping/item/ebs/volumeId")
    if not volume:
        return 8
    return int(text(ec2.ask("DescribeVolumes", {"VolumeId.1": volume}), "volumeSet/item/size") or 8)
