"""What the metadata service tells a machine about itself: every path and its content.

Names, nesting and formats follow the EC2 user guide, "Instance metadata categories" and
"Instance identity documents". Not offered: signatures of the identity document, which only AWS
can make.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.lab.metadata.roles import Role

# The dated versions that EC2 lists. Any other date is served too, as cloud-init and SDKs ask for
# the one they were written against; all say the same as `latest`.
VERSIONS = (
    *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01"),
    *("2008-09-01", "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25"),
    *("2014-11-05", "2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28"),
    *("2018-08-17", "2018-09-24", "2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23"),
    *("2021-07-15", "2022-09-24", "2024-04-11", "latest"),
)
_TAGS = "meta-data/tags/instance"
_KEYS = "meta-data/public-keys"


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What the service knows of one machine.

    Attributes:
        id, address, mac, interface_id, ami_id, launch_index, machine_type, zone, zone_id,
            subnet_id, subnet_cidr, vpc_id, vpc_cidrs, public_address, key_name, public_key,
            reservation_id, account: as the API describes the machine.
        launched_at: UTC, ISO 8601.
        security_groups: names, in order; security_group_ids likewise.
        devices: names of its block devices, the root's first.
        user_data: the bytes given at launch, or None.
        tags: instance tags, or None where they are not offered in metadata.
        role: of its instance profile, or None without a profile.
        is_token_required: HttpTokens=required.
        is_enabled: HttpEndpoint=enabled.
        hop_limit: IP time-to-live of the answer that carries a token.
    """

    id: str
    address: str
    mac: str
    interface_id: str
    ami_id: str
    machine_type: str
    zone: str
    zone_id: str
    subnet_id: str
    subnet_cidr: str
    vpc_id: str
    vpc_cidrs: tuple[str, ...]
    account: str
    reservation_id: str
    launched_at: str
    launch_index: str = "0"
    public_address: str = ""
    key_name: str = ""
    public_key: str = ""
    security_groups: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("/dev/xvda",)
    user_data: bytes | None = None
    tags: Mapping[str, str] | None = None
    role: Role | None = None
    is_token_required: bool = True
    is_enabled: bool = True
    hop_limit: int = 1

    @property
    def region(self) -> str:
        """Return the region of its zone."""
        return self.zone.rstrip("abcdefgh")

    @property
    def name(self) -> str:
        """Return its private DNS name, as EC2 makes it of the address."""
        is_first = self.region == "us-east-1"
        domain = "ec2.internal" if is_first else f"{self.region}.compute.internal"
        return f"ip-{self.address.replace('.', '-')}.{domain}"

    @property
    def public_name(self) -> str:
        """Return its public DNS name, "" without a public address."""
        if not self.public_address:
            return ""
        part = "compute-1" if self.region == "us-east-1" else f"{self.region}.compute"
        return f"ec2-{self.public_address.replace('.', '-')}.{part}.amazonaws.com"


def answer(guest: Guest, path: str) -> bytes | None:
    """Return what stands at `path` (without the leading slash), a listing, or None."""
    version, _, rest = path.partition("/")
    if not version:
        return "\n".join(VERSIONS).encode()
    if version not in VERSIONS and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", version):
        return None
    found = documents(guest)
    if rest in found or rest.rstrip("/") == "user-data":
        return found.get(rest.rstrip("/"))
    return _listing(guest, set(found), rest.rstrip("/"))


def _listing(guest: Guest, paths: set[str], wanted: str) -> bytes | None:
    """Return what stands below `wanted`, a name a line; what has more below it ends in a slash.

    Three places have a form of their own: a version's top has no slashes, keys come as
    number=name, and a tag's key is listed whole.
    """
    prefix = f"{wanted}/" if wanted else ""
    below = {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
    if wanted == _KEYS and below:
        return f"0={guest.key_name}".encode()
    split = (name.partition("/") for name in below)
    listing = {head + ("/" if tail and wanted else "") for head, _, tail in split}
    if wanted == _TAGS:
        listing = below
    return "\n".join(sorted(listing)).encode() if listing else None


def documents(guest: Guest) -> dict[str, bytes]:
    """Return {path below the version: content} of everything the service offers a machine."""
    found = _machine(guest) | _interface(guest)
    found["dynamic/instance-identity/document"] = _identity(guest)
    if guest.public_key:
        found[f"{_KEYS}/0/openssh-key"] = guest.public_key
    for key, value in (guest.tags or {}).items():
        found[f"{_TAGS}/{key}"] = value
    if guest.role:
        found["meta-data/iam/info"] = guest.role.info()
        if guest.role.credentials:
            path = f"meta-data/iam/security-credentials/{guest.role.name}"
            found[path] = guest.role.credentials.document()
    content = {path: value.encode() for path, value in found.items()}
    if guest.user_data is not None:
        content["user-data"] = guest.user_data
    return content


def _machine(guest: Guest) -> dict[str, str]:
    root, *more = guest.devices
    found = {
        "ami-id": guest.ami_id,
        "ami-launch-index": guest.launch_index,
        "ami-manifest-path": "(unknown)",
        "block-device-mapping/ami": root,
        "block-device-mapping/root": root,
        "events/maintenance/history": "[]",
        "events/maintenance/scheduled": "[]",
        "hibernation/configured": "false",
        "hostname": guest.name,
        "instance-action": "none",
        "instance-id": guest.id,
        "instance-life-cycle": "on-demand",
        "instance-type": guest.machine_type,
        "local-hostname": guest.name,
        "local-ipv4": guest.address,
        "mac": guest.mac,
        "placement/availability-zone": guest.zone,
        "placement/availability-zone-id": guest.zone_id,
        "placement/region": guest.region,
        "profile": "default-hvm",
        "reservation-id": guest.reservation_id,
        "security-groups": "\n".join(guest.security_groups),
        "services/domain": "amazonaws.com",
        "services/partition": "aws",
        "system": "nitro",
    }
    for number, device in enumerate(more, start=1):
        found[f"block-device-mapping/ebs{number}"] = device.removeprefix("/dev/")
    if guest.public_address:
        found |= {"public-ipv4": guest.public_address, "public-hostname": guest.public_name}
    return {f"meta-data/{name}": value for name, value in found.items()}


def _interface(guest: Guest) -> dict[str, str]:
    found = {
        "device-number": "0",
        "interface-id": guest.interface_id,
        "local-hostname": guest.name,
        "local-ipv4s": guest.address,
        "mac": guest.mac,
        "owner-id": guest.account,
        "security-group-ids": "\n".join(guest.security_group_ids),
        "security-groups": "\n".join(guest.security_groups),
        "subnet-id": guest.subnet_id,
        "subnet-ipv4-cidr-block": guest.subnet_cidr,
        "vpc-id": guest.vpc_id,
        "vpc-ipv4-cidr-block": guest.vpc_cidrs[0],
        "vpc-ipv4-cidr-blocks": "\n".join(guest.vpc_cidrs),
    }
    if guest.public_address:
        found |= {
            "public-hostname": guest.public_name,
            "public-ipv4s": guest.public_address,
            f"ipv4-associations/{guest.public_address}": guest.address,
        }
    place = f"meta-data/network/interfaces/macs/{guest.mac}"
    return {f"{place}/{name}": value for name, value in found.items()}


def _identity(guest: Guest) -> str:
    """Return the identity document, with the fields that EC2 leaves null."""
    return json.dumps(
        {
            "accountId": guest.account,
            "architecture": "x86_64",
            "availabilityZone": guest.zone,
            "billingProducts": None,
            "devpayProductCodes": None,
            "marketplaceProductCodes": None,
            "imageId": guest.ami_id,
            "instanceId": guest.id,
            "instanceType": guest.machine_type,
            "kernelId": None,
            "pendingTime": re.sub(r"\.\d+", "", guest.launched_at),
            "privateIp": guest.address,
            "ramdiskId": None,
            "region": guest.region,
            "version": "2017-09-30",
        },
        indent=2,
    )
