"""Which machine has a source address, and all that the metadata service tells it."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field, replace

from runtime.lab import translations, views
from runtime.lab.ec2 import Ec2, Refused, filters, tags_of, text
from runtime.lab.metadata.documents import Guest
from runtime.lab.metadata.roles import Roles


@dataclass
class Guests:
    """Machines by address, read once and forgotten with every change, so that each shows at once.

    Many reads make a boot: cloud-init alone asks a hundred times.
    """

    ec2: Ec2
    roles: Roles
    _known: dict[str, Guest | None] = field(default_factory=dict)
    _age: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, address: str) -> Guest | None:
        """Return the living machine at a private address, with fresh credentials of its role."""
        with self._lock:
            age, is_known = self._age, address in self._known
            guest = self._known.get(address)
        if not is_known:
            guest = self._find(address)
            with self._lock:
                if age == self._age:  # else something changed while we read
                    self._known[address] = guest
        if guest is None or guest.role is None:
            return guest
        return replace(guest, role=self.roles.with_credentials(guest.role, guest.id))

    def forget(self) -> None:
        """Read everything again: something has changed."""
        with self._lock:
            self._age += 1
            self._known.clear()

    def _find(self, address: str) -> Guest | None:
        asked = filters({"private-ip-address": address, "instance-state-name": views.ALIVE})
        found = self.ec2.ask("DescribeInstances", asked)
        for reservation in found.findall("reservationSet/item"):
            for item in reservation.findall("instancesSet/item"):
                return self._read(reservation, item)
        return None

    def _read(self, reservation: ET.Element, item: ET.Element) -> Guest:
        machine_id, key_name = text(item, "instanceId"), text(item, "keyName")
        subnet_id, vpc_id = text(item, "subnetId"), text(item, "vpcId")
        subnet = self.ec2.ask("DescribeSubnets", {"SubnetId.1": subnet_id}).find("subnetSet/item")
        subnet = ET.Element("none") if subnet is None else subnet
        options = translations.metadata_options(item)
        groups = item.findall("networkInterfaceSet/item/groupSet/item")
        profile = views.profile_of(self.ec2, machine_id)
        return Guest(
            id=machine_id,
            address=text(item, "privateIpAddress"),
            mac=text(item, "networkInterfaceSet/item/macAddress"),
            interface_id=text(item, "networkInterfaceSet/item/networkInterfaceId"),
            ami_id=text(item, "imageId"),
            launch_index=text(item, "amiLaunchIndex") or "0",
            machine_type=text(item, "instanceType"),
            zone=text(item, "placement/availabilityZone"),
            zone_id=text(subnet, "availabilityZoneId"),
            subnet_id=subnet_id,
            subnet_cidr=text(subnet, "cidrBlock"),
            vpc_id=vpc_id,
            vpc_cidrs=_vpc_cidrs(self.ec2, vpc_id),
            public_address=text(item, "ipAddress"),
            account=text(reservation, "ownerId"),
            reservation_id=text(reservation, "reservationId"),
            launched_at=text(item, "launchTime"),
            key_name=key_name,
            public_key=_public_key(self.ec2, key_name),
            security_groups=tuple(text(group, "groupName") for group in groups),
            security_group_ids=tuple(text(group, "groupId") for group in groups),
            devices=_devices(item),
            user_data=translations.decode_user_data(self.ec2.attribute(machine_id, "userData")),
            tags=tags_of(item) if options["InstanceMetadataTags"] == "enabled" else None,
            role=self.roles.find(profile) if profile else None,
            is_token_required=options["HttpTokens"] == "required",
            is_enabled=options["HttpEndpoint"] == "enabled",
            hop_limit=int(options["HttpPutResponseHopLimit"]),
        )


def _devices(item: ET.Element) -> tuple[str, ...]:
    """Return a machine's block devices, the root's first under its true name."""
    moto_root = text(item, "rootDeviceName")
    names = [text(row, "deviceName") for row in item.findall("blockDeviceMapping/item")]
    roots = {moto_root, translations.ROOT_DEVICE}
    return (translations.ROOT_DEVICE, *(name for name in names if name not in roots))


def _vpc_cidrs(ec2: Ec2, vpc_id: str) -> tuple[str, ...]:
    vpc = ec2.ask("DescribeVpcs", {"VpcId.1": vpc_id})
    first = text(vpc, "vpcSet/item/cidrBlock")
    blocks = vpc.findall("vpcSet/item/cidrBlockAssociationSet/item")
    found = [
        text(row, "cidrBlock")
        for row in blocks
        if text(row, "cidrBlockState/state") == "associated"
    ]
    return (first, *(cidr for cidr in found if cidr != first))


def _public_key(ec2: Ec2, key_name: str) -> str:
    if not key_name:
        return ""
    try:
        found = ec2.ask("DescribeKeyPairs", {"KeyName.1": key_name, "IncludePublicKey": "true"})
    except Refused:  # deleted since the launch; EC2 goes on telling it
        return ""
    return text(found, "keySet/item/publicKey")
