"""Keys of tags that the metadata service can tell: each is the last part of a path there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from runtime.lab import translations
from runtime.lab.ec2 import Ec2, Refused, tags_of

_LEGAL = r"[0-9a-zA-Z\-_+=,.@:]{1,255}"
_RESERVED = {".", "..", "_index"}


def refuse_untellable(keys: Iterable[str]) -> None:
    """Refuse keys that EC2 refuses for instances that tell their tags: moto takes any."""
    for key in keys:
        if not re.fullmatch(_LEGAL, key) or key in _RESERVED:
            message = (
                f"'{key}' is not a valid tag key. Tag keys must match pattern ({_LEGAL}), and must"
                " not be a reserved name ('.', '..', '_index')"
            )
            raise Refused("InvalidParameterValue", message)


def refuse_on_telling(ec2: Ec2, asked: Mapping[str, str]) -> None:
    """Refuse a CreateTags with such a key for an instance that tells its tags."""
    ids = [value for key, value in asked.items() if key.startswith("ResourceId.")]
    if any(one.startswith("i-") and tells(ec2.machine(one)) for one in ids):
        refuse_untellable(
            value for key, value in asked.items() if re.fullmatch(r"Tag\.\d+\.Key", key)
        )


def refuse_in_launch(asked: Mapping[str, str]) -> None:
    """Refuse a launch with such a key among the tags that its instances are to tell."""
    if asked.get("MetadataOptions.InstanceMetadataTags") != "enabled":
        return
    for key, value in asked.items():
        if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", key) and value == "instance":
            prefix = key.removesuffix("ResourceType") + "Tag."
            refuse_untellable(
                value
                for key, value in asked.items()
                if key.startswith(prefix) and key.endswith(".Key")
            )


def refuse_to_begin(machine: ET.Element, asked: Mapping[str, str]) -> None:
    """Refuse to let an instance tell its tags as long as it has such a key."""
    if asked.get("InstanceMetadataTags") == "enabled":
        refuse_untellable(tags_of(machine))


def tells(machine: ET.Element) -> bool:
    """Return whether an instance's metadata shows its tags."""
    return translations.metadata_options(machine)["InstanceMetadataTags"] == "enabled"
