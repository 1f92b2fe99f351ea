"""EBS volumes: moto's records over files on this computer.

A volume of the lab is one that has a file. Those that moto makes for root disks have none: they
are records, and a request for more than that is refused.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.errors import SpaceError
from runtime.lab import translations, views
from runtime.lab.actions import snapshots, volume_rules
from runtime.lab.actions.attachments import Attachments
from runtime.lab.actions.progress import Progress
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, text
from runtime.lab.machines.blocks import Blocks
from runtime.lab.memory.records import VOLUME, Records

PATIENCE_S = 5.0


@dataclass
class Volumes:
    """The volume actions of the EC2 API that concern the volume alone, and launches' data disks."""

    ec2: Ec2
    blocks: Blocks
    records: Records
    progress: Progress
    attachments: Attachments

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "CreateVolume": self.create,
            "DeleteVolume": self.delete,
            "DescribeVolumes": self.describe,
            "ModifyVolume": self.modify,
        }

    @real("a sparse file on this computer; encryption and IOPS are records")
    def create(self, asked: Parameters) -> ET.Element:
        """Make a blank volume or one from a snapshot; `creating` until it is there."""
        volume_rules.require(asked, "AvailabilityZone")
        if asked.get("MultiAttachEnabled", "").lower() == "true":
            raise Refused("UnsupportedOperation", "The lab's volumes attach to one machine each.")
        self._refuse_source_and_size(asked, size=asked.get("Size", ""))
        if not asked.get("Size"):  # moto takes what the snapshot's volume has grown to
            of = self.records.get(snapshots.KIND, asked.get("SnapshotId", ""))
            asked = asked | {"Size": str(of["size_gb"])} if of else asked
        made = self.ec2.ask("CreateVolume", asked)
        volume_id = text(made, "volumeId")
        try:
            self.progress.run(
                volume_id, "creating", lambda: self._make(volume_id), patience_s=PATIENCE_S
            )
        except BaseException:
            self.ec2.ask("DeleteVolume", {"VolumeId": volume_id})
            self.records.forget(VOLUME, volume_id)
            raise
        return made

    @real("its file goes")
    def delete(self, asked: Parameters) -> ET.Element:
        """Delete a free volume and its file."""
        volume_rules.require(asked, "VolumeId")
        volume = views.find_volume(self.ec2, asked["VolumeId"])
        volume_rules.refuse_delete(volume, busy=self.progress.shown.get(volume.id, ""))
        gone = self.ec2.ask("DeleteVolume", asked)
        self.blocks.delete(volume.id)
        self.records.forget(VOLUME, volume.id)
        self.progress.shown.pop(volume.id, None)
        return gone

    @real("in the states that they really are in")
    def describe(self, asked: Parameters) -> ET.Element:
        """Describe volumes in the states they are really in."""
        found = self.ec2.ask("DescribeVolumes", asked)
        translations.show_volume_states(found, self.progress.shown)
        return found

    @real("grows under a running machine; IOPS are a record")
    def modify(self, asked: Parameters) -> ET.Element:
        """Grow a volume, under a running machine too, or change what is only recorded."""
        volume_rules.require(asked, "VolumeId")
        volume = views.find_volume(self.ec2, asked["VolumeId"])
        if asked.get("Size"):
            kind = asked.get("VolumeType") or volume.kind
            size_gb = volume_rules.parse_size_gb(asked["Size"], kind=kind, least_gb=volume.size_gb)
            if self.progress.shown.get(volume.id):
                raise Refused("IncorrectState", f"{volume.id} is not 'available' or 'in-use'.")
            if self.blocks.has(volume.id):
                self.blocks.grow(volume.id, size_gb)
        return self.ec2.ask("ModifyVolume", asked)

    # -- data disks that a launch maps ----------------------------------------------------

    def refuse_mapping(self, asked: Parameters) -> None:
        """Raise Refused where a launch maps a data disk that can't be made.

        moto finds out when the instance is in its records already, and leaves it there.
        """
        for disk in translations.data_disks(asked):
            if not disk.get("SnapshotId"):
                volume_rules.require(disk, "VolumeSize")
            self._refuse_source_and_size(disk, size=disk.get("VolumeSize", ""))

    def make_mapped(self, machine_id: str) -> None:
        """Make the data disks that a launch has mapped, before its machine starts.

        Raises:
            SpaceError, LabError: one could not be made.
        """
        for item in self.ec2.machine(machine_id).findall("blockDeviceMapping/item"):
            volume_id = text(item, "ebs/volumeId")
            if text(item, "deviceName") not in translations.ROOT_DEVICES:
                self._make(volume_id)
                self.attachments.take_number(volume_id, machine_id)

    def delete_forgotten(self, volume_ids: Iterable[str]) -> None:
        """Remove the files of those volumes that went with their instance."""
        for volume_id in volume_ids:
            try:
                views.find_volume(self.ec2, volume_id)
            except Refused:
                self.blocks.delete(volume_id)
                self.records.forget(VOLUME, volume_id)

    # -- pieces ---------------------------------------------------------------------------

    def _make(self, volume_id: str) -> None:
        """Make the file of a volume that is in moto's records."""
        volume = views.find_volume(self.ec2, volume_id)
        self.records.update(VOLUME, volume_id)
        try:
            if volume.snapshot_id:
                self.blocks.copy(volume.snapshot_id, volume_id, size_gb=volume.size_gb)
            else:
                self.blocks.create(volume_id, volume.size_gb)
        except SpaceError as error:
            raise Refused("InsufficientVolumeCapacity", str(error)) from error

    def _refuse_source_and_size(self, asked: Parameters, *, size: str) -> None:
        least_gb, snapshot_id = 1, asked.get("SnapshotId", "")
        if snapshot_id:
            self.ec2.ask("DescribeSnapshots", {"SnapshotId.1": snapshot_id})
            if state := self.progress.shown.get(snapshot_id):
                raise Refused("IncorrectState", f"Snapshot {snapshot_id} is '{state}'.")
            volume_rules.refuse_record(snapshot_id, has_file=self.blocks.has(snapshot_id))
            least_gb = int(self.records.get(snapshots.KIND, snapshot_id)["size_gb"])
        if size:
            volume_rules.parse_size_gb(size, kind=asked.get("VolumeType", ""), least_gb=least_gb)
