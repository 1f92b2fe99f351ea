"""Launch templates: what a launch names by template, as if it had been asked for directly."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from runtime.lab import translations
from runtime.lab.ec2 import Ec2, Parameters, Refused

# How EC2's replies name lists, and requests their members.
_LISTS = {
    "blockDeviceMappingSet": "BlockDeviceMapping",
    "groupSet": "SecurityGroupId",
    "networkInterfaceSet": "NetworkInterface",
    "securityGroupIdSet": "SecurityGroupId",
    "securityGroupSet": "SecurityGroup",
    "tagSet": "Tag",
    "tagSpecificationSet": "TagSpecification",
}
_PREFIX = "LaunchTemplate."


def describe_versions(ec2: Ec2, asked: Parameters) -> ET.Element:
    """Describe versions of a template with the data it was made of."""
    found = ec2.ask("DescribeLaunchTemplateVersions", asked)
    translations.drop_tags_of_template(found)
    return found


def resolve(ec2: Ec2, asked: Parameters) -> Parameters:
    """Return a launch with what its template adds; what the request says itself wins.

    The template stays named, so that the instance is tagged with it.

    Raises:
        Refused: there is no such template or version.
    """
    named = {key: value for key, value in asked.items() if key.startswith(_PREFIX)}
    if not named:
        return asked
    version = named.pop(f"{_PREFIX}Version", "$Default")
    which = {key.removeprefix(_PREFIX): value for key, value in named.items()}
    found = describe_versions(ec2, which | {"LaunchTemplateVersion.1": version})
    data = found.find("launchTemplateVersionSet/item/launchTemplateData")
    if data is None:
        message = f"Could not find the launch template version {version}"
        raise Refused("InvalidLaunchTemplateId.VersionNotFound", message)
    return merge(dict(flatten(data)), asked)


def merge(template: Parameters, asked: Parameters) -> Parameters:
    """Return a template's parameters with those of a request over them; a list goes as a whole."""
    heads = {key.partition(".")[0] for key in asked}
    lists = set(_LISTS.values())
    kept = {
        key: value
        for key, value in template.items()
        if not ((head := key.partition(".")[0]) in lists and head in heads)
    }
    return kept | asked


def flatten(data: ET.Element, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the request parameters that stand for a reply's tree."""
    for child in data:
        if child.tag in _LISTS:
            for number, item in enumerate(child, start=1):
                name = f"{prefix}{_LISTS[child.tag]}.{number}"
                if len(item):
                    yield from flatten(item, f"{name}.")
                else:
                    yield name, item.text or ""
        else:
            name = prefix + child.tag[0].upper() + child.tag[1:]
            if len(child):
                yield from flatten(child, f"{name}.")
            elif child.text:
                yield name, child.text
