"""What moto and EC2 say differently, one small function each.

Requests are flat parameter dictionaries and come back changed; replies are XML trees without
namespaces and are changed in place. Each function names what moto does; tests/contract has one
test per function that fails when moto no longer needs it.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping

from runtime.lab.ec2 import Refused, text

Parameters = dict[str, str]
ROOT_DEVICE = "/dev/xvda"
ROOT_DEVICES = (ROOT_DEVICE, "/dev/sda1")  # the second where a launch maps no disks


def show_interface_groups(reply: ET.Element) -> None:
    """Give instances the groups of their first interface: moto shows those of the launch."""
    for item in reply.iter("item"):
        shown, interface = item.find("groupSet"), item.find("networkInterfaceSet/item/groupSet")
        if item.find("instanceId") is not None and shown is not None and interface is not None:
            shown[:] = copy.deepcopy(list(interface))


def encode_user_data_once_more(asked: Parameters) -> Parameters:
    """Wrap ModifyInstanceAttribute's user data: moto decodes it once too often."""
    key = "UserData.Value"
    if key not in asked:
        return asked
    return asked | {key: base64.b64encode(asked[key].encode()).decode()}


def spell_out_attribute(asked: Parameters) -> Parameters:
    """Write ModifyInstanceAttribute's older form (Attribute, Value) as the one that names it.

    moto takes anything in that form, and at any time; what we refuse goes by the name.
    """
    if "Attribute" not in asked or "Value" not in asked:
        return dict(asked)
    name = asked["Attribute"]
    kept = {key: value for key, value in asked.items() if key not in {"Attribute", "Value"}}
    return kept | {f"{name[0].upper()}{name[1:]}.Value": asked["Value"]}


METADATA_DEFAULTS = {
    "HttpTokens": "optional",
    "HttpPutResponseHopLimit": "1",
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}


def metadata_options(item: ET.Element) -> dict[str, str]:
    """Return all metadata options of an instance, with EC2's defaults where moto has none."""
    return {
        name: text(item, f"metadataOptions/{name[0].lower()}{name[1:]}") or default
        for name, default in METADATA_DEFAULTS.items()
    }


def keep_metadata_options(asked: Parameters, item: ET.Element) -> Parameters:
    """Add the options that a change leaves alone: moto forgets them."""
    return metadata_options(item) | asked


def refuse_bad_metadata_options(asked: Mapping[str, str], prefix: str = "") -> None:
    """Refuse what EC2 refuses: moto takes any value."""
    limits = {
        "HttpTokens": {"optional", "required"},
        "HttpPutResponseHopLimit": {str(number) for number in range(1, 65)},
        "HttpEndpoint": {"enabled", "disabled"},
        "InstanceMetadataTags": {"enabled", "disabled"},
    }
    for name, allowed in limits.items():
        value = asked.get(prefix + name)
        if value is not None and value not in allowed:
            message = f"Value ({value}) for parameter {name} is invalid."
            raise Refused("InvalidParameterValue", message)


def profiles_lost(asked: Mapping[str, str], made: ET.Element) -> list[Parameters]:
    """Return the associations of a launch's profile that moto leaves out: all but the first.

    Each is the parameters of one AssociateIamInstanceProfile.
    """
    profile = {k: v for k, v in asked.items() if k.startswith("IamInstanceProfile.")}
    ids = [text(item, "instanceId") for item in made.findall("instancesSet/item")]
    return [profile | {"InstanceId": machine_id} for machine_id in ids[1:]] if profile else []


def show_profiles(found: ET.Element, associations: ET.Element) -> None:
    """Show instance profiles as associated: moto goes on showing one that was replaced."""
    now = {
        text(row, "instanceId"): row.find("iamInstanceProfile")
        for row in associations.findall("iamInstanceProfileAssociationSet/item")
        if text(row, "state") == "associated"
    }
    for item in found.iter("item"):
        shown = item.find("iamInstanceProfile")
        if item.find("instanceState") is None:
            continue
        if shown is not None:
            item.remove(shown)
        profile = now.get(text(item, "instanceId"))
        if profile is not None:
            item.append(profile)


def take_snapshot_tags(asked: Parameters) -> tuple[Parameters, dict[str, str]]:
    """Split CreateImage's tags for snapshots off: moto answers 500 to them."""
    numbers = {
        match[1]
        for key, value in asked.items()
        if (match := re.fullmatch(r"TagSpecification\.(\d+)\.ResourceType", key))
        and value == "snapshot"
    }
    mine = tuple(f"TagSpecification.{number}." for number in numbers)
    taken = {key: value for key, value in asked.items() if key.startswith(mine)} if mine else {}
    kept = {key: value for key, value in asked.items() if key not in taken}
    tags = {
        value: taken[key.removesuffix(".Key") + ".Value"]
        for key, value in taken.items()
        if key.endswith(".Key")
    }
    return kept, tags


def groups_of(asked: Mapping[str, str]) -> list[str]:
    """Return the groups that a change of an interface or instance asks for, in order."""
    wanted = ("SecurityGroupId.", "GroupId.")
    found = [(key, value) for key, value in asked.items() if key.startswith(wanted)]
    return [value for _, value in sorted(found)]


def drop_empty_associations(reply: ET.Element) -> None:
    """Remove `<association/>` without an address: the provider takes it for a public one."""
    for parent in list(reply.iter()):
        for child in list(parent.findall("association")):
            if not text(child, "publicIp"):
                parent.remove(child)


def detach_from_terminated(reply: ET.Element, living: Collection[str]) -> None:
    """Show interfaces of instances that live no more as available: moto leaves them attached."""
    for item in reply.findall("networkInterfaceSet/item"):
        attachment = item.find("attachment")
        if attachment is not None and text(attachment, "instanceId") not in {"", *living}:
            item.remove(attachment)
            status = item.find("status")
            if status is not None:
                status.text = "available"


def descriptions_lost(asked: Mapping[str, str], made: ET.Element) -> list[Parameters]:
    """Return the changes that give new rules between groups the description moto drops.

    Each is the parameters of one ModifySecurityGroupRules.
    """
    changes = []
    for item in made.findall("securityGroupRuleSet/item"):
        source = text(item, "referencedGroupInfo/groupId")
        wanted = _description_for(asked, source, text(item, "fromPort"))
        if source and wanted and not text(item, "description"):
            rule = "SecurityGroupRule.1.SecurityGroupRule."
            changes.append(
                {
                    "GroupId": text(item, "groupId"),
                    "SecurityGroupRule.1.SecurityGroupRuleId": text(item, "securityGroupRuleId"),
                    f"{rule}ReferencedGroupId": source,
                    f"{rule}IpProtocol": text(item, "ipProtocol"),
                    f"{rule}FromPort": text(item, "fromPort"),
                    f"{rule}ToPort": text(item, "toPort"),
                    f"{rule}Description": wanted,
                }
            )
    return changes


def _description_for(asked: Mapping[str, str], source: str, port: str) -> str:
    """Return the description that a request gives the pair of a group and a port."""
    for key, value in asked.items():
        match = re.fullmatch(
            r"(IpPermissions\.\d+)\.(?:Groups|UserIdGroupPairs)\.\d+\.GroupId", key
        )
        if match and value == source and asked.get(f"{match[1]}.FromPort") == port:
            return asked.get(key.removesuffix("GroupId") + "Description", "")
    return ""


def show_states(reply: ET.Element, states: Mapping[str, tuple[int, str]]) -> None:
    """Show instances in transition as they are: moto changes states at once."""
    for item in reply.iter("item"):
        state = states.get(text(item, "instanceId"))
        shown = item.find("instanceState")
        if state and shown is not None:
            for name, value in zip(("code", "name"), state, strict=True):
                element = shown.find(name)
                if element is not None:
                    element.text = str(value)


def describe_root_as_ebs(reply: ET.Element, sizes_gb: Mapping[str, int]) -> None:
    """Give made AMIs the root that EC2 reports: moto says type `standard`, /dev/sda1, 15 GiB."""
    for item in reply.findall("imagesSet/item"):
        size_gb = sizes_gb.get(text(item, "imageId"))
        if size_gb is None:
            continue
        for path, value in (
            ("rootDeviceName", ROOT_DEVICE),
            ("rootDeviceType", "ebs"),
            ("blockDeviceMapping/item/deviceName", ROOT_DEVICE),
            ("blockDeviceMapping/item/ebs/volumeSize", str(size_gb)),
            ("blockDeviceMapping/item/ebs/volumeType", "gp3"),
        ):
            element = item.find(path)
            if element is not None:
                element.text = value


def decode_user_data(encoded: str) -> bytes | None:
    """Return user data as the metadata service serves it, None if there is none."""
    if not encoded:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return encoded.encode()


def data_disks(asked: Mapping[str, str]) -> list[Parameters]:
    """Return what a launch says of each disk that it maps beside the root (its `Ebs` part)."""
    found = []
    for key, device in asked.items():
        match = re.fullmatch(r"(BlockDeviceMapping\.\d+\.)DeviceName", key)
        if match and device not in ROOT_DEVICES and f"{match[1]}NoDevice" not in asked:
            ebs = f"{match[1]}Ebs."
            found.append({k.removeprefix(ebs): v for k, v in asked.items() if k.startswith(ebs)})
    return found


def complete_mapping(asked: Parameters, *, root_size_gb: int) -> Parameters:
    """Fill in what EC2 does about disks at a launch.

    moto makes no root where only data disks are mapped, calls it /dev/sda1 where none are, and
    keeps volumes at termination unless it is told to delete them.
    """
    mapped = {
        match[1]: device
        for key, device in asked.items()
        if (match := re.fullmatch(r"BlockDeviceMapping\.(\d+)\.DeviceName", key))
    }
    filled = dict(asked)
    if not set(mapped.values()) & set(ROOT_DEVICES):
        number = str(max(map(int, mapped), default=0) + 1)
        mapped[number] = ROOT_DEVICE
        filled[f"BlockDeviceMapping.{number}.DeviceName"] = ROOT_DEVICE
        filled[f"BlockDeviceMapping.{number}.Ebs.VolumeSize"] = str(root_size_gb)
    for number in mapped:
        filled.setdefault(f"BlockDeviceMapping.{number}.Ebs.DeleteOnTermination", "true")
    return filled


def complete_interfaces(asked: Parameters) -> Parameters:
    """Have the interfaces that a launch makes go with their machine, as EC2 does.

    moto keeps one, and its address for ever, unless it is spelled out and told to go.
    """
    filled = dict(asked)
    if "SubnetId" in filled and "NetworkInterface.1.DeviceIndex" not in filled:
        filled["NetworkInterface.1.DeviceIndex"] = "0"
        filled["NetworkInterface.1.SubnetId"] = filled.pop("SubnetId")
    for key in list(filled):
        match = re.fullmatch(r"(NetworkInterface\.\d+\.)DeviceIndex", key)
        if match and f"{match[1]}NetworkInterfaceId" not in filled:
            filled.setdefault(f"{match[1]}DeleteOnTermination", "true")
    return filled


def drop_tags_of_template(reply: ET.Element) -> None:
    """Take a launch template's own tags out of its data, where moto puts them, too."""
    for parent in reply.iter("tagSpecificationSet"):
        for item in list(parent):
            if text(item, "resourceType") == "launch-template":
                parent.remove(item)


def drop_empty_user_data(reply: ET.Element) -> None:
    """Say nothing of user data that there is none of: moto says that it is empty."""
    shown = reply.find("userData")
    value = None if shown is None else shown.find("value")
    if shown is not None and value is not None and not value.text:
        shown.remove(value)


def show_root_device(reply: ET.Element) -> None:
    """Name the root disk as it is mapped: moto says /dev/sda1 of all made AMIs."""
    for item in reply.iter("item"):
        root = item.find("rootDeviceName")
        names = [text(row, "deviceName") for row in item.findall("blockDeviceMapping/item")]
        if root is not None and item.find("instanceId") is not None:
            root.text = next((name for name in names if name in ROOT_DEVICES), ROOT_DEVICE)


def show_volume_states(reply: ET.Element, states: Mapping[str, str]) -> None:
    """Show volumes on their way as they are: moto changes states at once."""
    for item in reply.findall("volumeSet/item"):
        state = states.get(text(item, "volumeId"))
        path = "attachmentSet/item/status" if state in {"attaching", "detaching"} else "status"
        shown = item.find(path)
        if state and shown is not None:
            shown.text = state


def show_snapshots(
    reply: ET.Element, sizes_gb: Mapping[str, int], states: Mapping[str, str]
) -> None:
    """Show snapshots as they are: moto's are done at once and grow with their volume."""
    for item in [reply, *reply.findall("snapshotSet/item")]:
        snapshot_id = text(item, "snapshotId")
        size, state = item.find("volumeSize"), item.find("status")
        if snapshot_id in sizes_gb and size is not None:
            size.text = str(sizes_gb[snapshot_id])
        if snapshot_id in states and state is not None:
            state.text = states[snapshot_id]
            progress = item.find("progress")
            if progress is not None:
                progress.text = "0%"
