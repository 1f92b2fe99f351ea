"""What EC2 refuses about volumes, in its own words, where moto says yes; pure.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from runtime.lab.ec2 import Refused, text

_SIZES_GB = {  # by volume type: least, most
    "gp3": (1, 65536),
    "io2": (4, 65536),
    "io1": (4, 16384),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}
_OTHER_SIZES_GB = (1, 16384)  # gp2, the default
_DEVICE = re.compile(r"(/dev/)?(sd|xvd|hd)[a-z]{1,2}\d{0,2}")


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume as DescribeVolumes tells; what an attachment has is "" while it is free."""

    id: str
    size_gb: int
    kind: str
    zone: str
    snapshot_id: str
    machine_id: str
    device: str
    attached_at: str

    @classmethod
    def parse(cls, item: ET.Element) -> Volume:
        """Read one item of a volumeSet."""
        return cls(
            id=text(item, "volumeId"),
            size_gb=int(text(item, "size")),
            kind=text(item, "volumeType"),
            zone=text(item, "availabilityZone"),
            snapshot_id=text(item, "snapshotId"),
            machine_id=text(item, "attachmentSet/item/instanceId"),
            device=text(item, "attachmentSet/item/device"),
            attached_at=text(item, "attachmentSet/item/attachTime"),
        )


def require(asked: Mapping[str, str], *names: str) -> None:
    """Raise Refused unless every parameter in `names` has a value."""
    for name in names:
        if not asked.get(name):
            raise Refused("MissingParameter", f"The request must contain the parameter {name}")


def parse_size_gb(value: str, *, kind: str, least_gb: int = 1) -> int:
    """Return the size in GiB that a request asks for.

    Args:
        value: as in the request.
        kind: the volume's type.
        least_gb: what the size must not be below, whatever the type.

    Raises:
        Refused: not a size that EC2 has for that type, or smaller than what it must hold.
    """
    lowest, highest = _SIZES_GB.get(kind, _OTHER_SIZES_GB)
    if not value.isdigit() or not lowest <= int(value) <= highest:
        message = (
            f"Volume of {value}GiB is not allowed for volume type {kind or 'gp2'}: "
            f"use {lowest} to {highest} GiB"
        )
        raise Refused("InvalidParameterValue", message)
    if int(value) < least_gb:
        message = f"Volume of {value}GiB is smaller than what it must hold: {least_gb}GiB"
        raise Refused("InvalidParameterValue", message)
    return int(value)


def refuse_attach(
    volume: Volume, *, busy: str, device: str, machine: ET.Element, in_use: Collection[str]
) -> None:
    """Raise Refused unless the volume may be attached.

    Args:
        volume: the volume.
        busy: what it is on its way to, "" if nothing.
        device: the name asked for.
        machine: the item that describes the instance.
        in_use: names of devices that the instance has.
    """
    machine_id, state = text(machine, "instanceId"), text(machine, "instanceState/name")
    if state not in {"running", "stopped"}:
        raise Refused("IncorrectState", f"Instance '{machine_id}' is not 'running'.")
    if volume.machine_id:
        raise Refused("VolumeInUse", f"{volume.id} is already attached to an instance")
    if busy:
        raise Refused("IncorrectState", f"{volume.id} is not 'available'.")
    if not _DEVICE.fullmatch(device):
        message = (
            f"Value ({device}) for parameter device is invalid. "
            f"{device} is not a valid EBS device name."
        )
        raise Refused("InvalidParameterValue", message)
    if device in in_use:
        message = (
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )
        raise Refused("InvalidParameterValue", message)
    zone = text(machine, "placement/availabilityZone")
    if volume.zone != zone:
        message = (
            f"The volume '{volume.id}' is not in the same availability zone "
            f"as instance '{machine_id}'"
        )
        raise Refused("InvalidVolume.ZoneMismatch", message)


def refuse_record(thing_id: str, *, has_file: bool) -> None:
    """Raise Refused unless there is a file behind a volume or snapshot."""
    if not has_file:
        message = (
            f"{thing_id} is of a root disk, which in the lab is the file system of a container: "
            "use CreateImage"
        )
        raise Refused("UnsupportedOperation", message)


def refuse_detach(volume: Volume, asked: Mapping[str, str], *, busy: str) -> None:
    """Raise Refused unless the volume is attached as the request says."""
    if not volume.machine_id or busy == "attaching":
        state = busy or "available"
        raise Refused("IncorrectState", f"Volume '{volume.id}' is in the '{state}' state.")
    wanted = asked.get("InstanceId") or volume.machine_id
    device = asked.get("Device") or volume.device
    if (wanted, device) != (volume.machine_id, volume.device):
        message = f"The volume '{volume.id}' is not attached to instance '{wanted}' as {device}."
        raise Refused("InvalidAttachment.NotFound", message)


def refuse_delete(volume: Volume, *, busy: str) -> None:
    """Raise Refused while the volume is attached or being made."""
    if volume.machine_id:
        message = f"Volume {volume.id} is currently attached to {volume.machine_id}"
        raise Refused("VolumeInUse", message)
    if busy not in {"", "error"}:
        raise Refused("IncorrectState", f"Volume '{volume.id}' is in the '{busy}' state.")
