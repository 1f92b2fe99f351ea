"""AMIs of the lab: moto's records, tied to the disks that the hypervisor keeps.

moto forgets at every start, disks stay; the catalogue file ties them together again: it is moto's
own AMI list (MOTO_AMIS_PATH), with the tags beside it.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.lab import translations
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, reply, tags_of, text
from runtime.lab.hypervisor import Hypervisor

SOURCE_OWNER = "136693071363"  # the account that publishes Debian's AMIs
_ACCOUNT = "123456789012"  # moto's default account, ours


@dataclass
class Amis:
    """CreateImage, DeregisterImage and DescribeImages over real disks."""

    ec2: Ec2
    hypervisor: Hypervisor
    catalogue: Path
    sizes_gb: dict[str, int] = field(default_factory=dict)

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
        self.sizes_gb[ami_id] = _root_size_gb(self.ec2, machine)
        for snapshot in self._snapshots(ami_id) if snapshot_tags else ():
            self._tag(snapshot, snapshot_tags)
        self.save()
        return made

    def deregister(self, asked: Parameters) -> ET.Element:
        """Forget an AMI and its disk; snapshots go when the caller asks for it."""
        ami_id = asked.get("ImageId", "")
        snapshots = self._snapshots(ami_id)
        gone = self.ec2.ask("DeregisterImage", asked)
        self.hypervisor.disks.discard(ami_id)
        self.sizes_gb.pop(ami_id, None)
        if asked.get("DeleteAssociatedSnapshots", "").lower() == "true":
            for snapshot in snapshots:
                self.ec2.ask("DeleteSnapshot", {"SnapshotId": snapshot})
        self.save()
        return gone

    def describe(self, asked: Parameters) -> ET.Element:
        """Describe AMIs with the root device that EC2 would report."""
        found = self.ec2.ask("DescribeImages", asked)
        translations.describe_root_as_ebs(found, self.sizes_gb)
        return found

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

    def save(self) -> None:
        """Write the catalogue of AMIs that have disks, in moto's format, atomically."""
        rows = []
        for item in self.ec2.ask("DescribeImages").findall("imagesSet/item"):
            ami_id = text(item, "imageId")
            rows.append(
                record(
                    ami_id,
                    name=text(item, "name"),
                    description=text(item, "description"),
                    owner_id=text(item, "imageOwnerId"),
                    creation_date=text(item, "creationDate"),
                )
                | {"lab_tags": tags_of(item), "lab_size_gb": self.sizes_gb.get(ami_id, 0)}
            )
        write_catalogue(self.catalogue, rows)

    def restore_tags(self, rows: list[dict[str, Any]]) -> None:
        """Tag AMIs as the catalogue remembers them, after moto has loaded it."""
        for row in rows:
            if row.get("lab_tags"):
                self._tag(row["ami_id"], row["lab_tags"])
            if row.get("lab_size_gb"):
                self.sizes_gb[row["ami_id"]] = row["lab_size_gb"]

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


def record(
    ami_id: str,
    *,
    name: str,
    description: str,
    owner_id: str,
    creation_date: str,
    public: bool = False,
) -> dict[str, Any]:
    """Return an entry of moto's AMI list for a Debian-like x86-64 AMI."""
    return {
        "ami_id": ami_id,
        "name": name,
        "description": description,
        "owner_id": owner_id or _ACCOUNT,
        "creation_date": creation_date,
        "public": public or owner_id == SOURCE_OWNER,
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


def read_catalogue(path: Path) -> list[dict[str, Any]]:
    """Return the catalogue's rows, none if it was never written."""
    return list(json.loads(path.read_text())) if path.exists() else []


def write_catalogue(path: Path, rows: list[dict[str, Any]]) -> None:
    """Replace the catalogue atomically."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(rows, indent=1))
    new.replace(path)


def moto_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without what is ours, as moto takes them."""
    return [{k: v for k, v in row.items() if not k.startswith("lab_")} for row in rows]


def done(action: str) -> ET.Element:
    """Return the reply of an action that only says yes."""
    return reply(action, {"return": "true"})


def _root_size_gb(ec2: Ec2, machine: ET.Element) -> int:
    volume = text(machine, "blockDeviceMapping/item/ebs/volumeId")
    if not volume:
        return 8
    return int(text(ec2.ask("DescribeVolumes", {"VolumeId.1": volume}), "volumeSet/item/size") or 8)
