"""Snapshots of volumes: copies of their files. Those that belong to AMIs are moto's records."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from runtime.errors import SpaceError
from runtime.lab import translations, views
from runtime.lab.actions import volume_rules
from runtime.lab.actions.attachments import Attachments
from runtime.lab.actions.progress import Progress
from runtime.lab.ec2 import Actions, Ec2, NotOffered, Parameters, Refused, real, text
from runtime.lab.machines.blocks import Blocks
from runtime.lab.memory.records import Records

KIND = "snapshot"  # of our records: {"size_gb": as its volume was then}
PATIENCE_S = 5.0


@dataclass
class Snapshots:
    """The snapshot actions of the EC2 API."""

    ec2: Ec2
    blocks: Blocks
    records: Records
    progress: Progress
    attachments: Attachments

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "CopySnapshot": self.refuse,
            "CreateSnapshot": self.create,
            "CreateSnapshots": self.refuse,
            "DeleteSnapshot": self.delete,
            "DescribeSnapshots": self.describe,
        }

    @real("a copy of one moment; of root disks a record")
    def create(self, asked: Parameters) -> ET.Element:
        """Copy a volume as it is in one moment; `pending` until that is done.

        A running machine's writes to it wait meanwhile, where EC2 would let them go on.
        """
        volume_rules.require(asked, "VolumeId")
        volume = views.find_volume(self.ec2, asked["VolumeId"])
        busy = self.progress.shown.get(volume.id, "")
        if busy in {"creating", "error"}:
            raise Refused("IncorrectState", f"Volume '{volume.id}' is in the '{busy}' state.")
        volume_rules.refuse_record(volume.id, has_file=self.blocks.has(volume.id))
        made = self.ec2.ask("CreateSnapshot", asked)
        snapshot_id = text(made, "snapshotId")
        self.records.update(KIND, snapshot_id, size_gb=volume.size_gb)

        def copy() -> None:
            with self.attachments.frozen(volume.id):
                self.blocks.copy(volume.id, snapshot_id, size_gb=volume.size_gb)
            if not self.records.get(KIND, snapshot_id):  # deleted while it was made
                self.blocks.delete(snapshot_id)

        try:
            self.progress.run(snapshot_id, "pending", copy, patience_s=PATIENCE_S)
        except BaseException as error:
            self.ec2.ask("DeleteSnapshot", {"SnapshotId": snapshot_id})
            self.records.forget(KIND, snapshot_id)
            if isinstance(error, SpaceError):
                raise Refused("InsufficientVolumeCapacity", str(error)) from error
            raise
        return self._shown(made)

    @real("its file goes")
    def delete(self, asked: Parameters) -> ET.Element:
        """Delete a snapshot and its file, unless an AMI is made of it."""
        volume_rules.require(asked, "SnapshotId")
        gone = self.ec2.ask("DeleteSnapshot", asked)
        self.records.forget(KIND, asked["SnapshotId"])
        self.blocks.delete(asked["SnapshotId"])
        return gone

    @real("in the states that they really are in")
    def describe(self, asked: Parameters) -> ET.Element:
        """Describe snapshots in the states they are really in, of the size they have."""
        return self._shown(self.ec2.ask("DescribeSnapshots", asked))

    def refuse(self, asked: Parameters) -> ET.Element:
        """Refuse what moto would answer with a record that nothing stands behind."""
        raise NotOffered(asked.get("Action", ""), "Use CreateSnapshot, volume by volume.")

    def _shown(self, found: ET.Element) -> ET.Element:
        sizes = {name: int(facts["size_gb"]) for name, facts in self.records.of(KIND).items()}
        translations.show_snapshots(found, sizes, self.progress.shown)
        return found
