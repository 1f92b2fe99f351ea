"""Who needs an AMI: instances in any state but terminated, and launch templates, all versions."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime import console
from runtime.cloud import amis
from runtime.cloud.asking import ALIVE, is_absent, tags, where
from runtime.cloud.target import Target
from runtime.errors import CloudError

_OTHERS = ("ssm:Parameter", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")
_BATCH = 10  # the most that DescribeImageReferences takes
_BY_PARAMETER = "resolve:ssm:"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Somebody who needs an AMI, in words; `version` is the release they know it by, or ""."""

    who: str
    version: str = ""


References = Mapping[str, tuple[Reference, ...]]  # {AMI id: who needs it}


def gather(
    target: Target, ami_ids: Collection[str], more: Iterable[tuple[str, Reference]] = ()
) -> References:
    """Return {AMI id: who needs it} of what the account runs, or may launch by template.

    Args:
        target: where to ask.
        ami_ids: those that EC2 is asked about one by one: who else needs them.
        more: (AMI id, who needs it) of other sources.

    Raises:
        CloudError: something can't be asked; then nobody knows who needs what.
    """
    try:
        others = _of_others(target, sorted(ami_ids))
        return merge(more, _of_instances(target), _of_templates(target), others)
    except (BotoCoreError, ClientError) as error:
        message = f"EC2 does not tell who needs which AMI: {error}"
        raise CloudError(
            message, hint="check credentials and region, or ./invoke lab.status"
        ) from error


def merge(*sources: Iterable[tuple[str, Reference]]) -> References:
    """Return {AMI id: who needs it} of (AMI id, who needs it) from several sources."""
    found: dict[str, list[Reference]] = defaultdict(list)
    for source in sources:
        for ami_id, who in source:
            if who not in found[ami_id]:
                found[ami_id].append(who)
    return {ami_id: tuple(who) for ami_id, who in found.items()}


def _of_instances(target: Target) -> Iterator[tuple[str, Reference]]:
    pages = target.ec2.get_paginator("describe_instances").paginate(
        Filters=[where("instance-state-name", *ALIVE)]
    )
    for page in pages:
        for group in page["Reservations"]:
            for item in group["Instances"]:
                who = f"instance {item['InstanceId']} is {item['State']['Name']}"
                version = tags(item).get(amis.RELEASE_TAG, "")
                yield item["ImageId"], Reference(who=who, version=version)


def _of_templates(target: Target) -> Iterator[tuple[str, Reference]]:
    pages = target.ec2.get_paginator("describe_launch_templates").paginate()
    ids = [item["LaunchTemplateId"] for page in pages for item in page["LaunchTemplates"]]
    for template in ids:
        versions = target.ec2.get_paginator("describe_launch_template_versions").paginate(
            LaunchTemplateId=template
        )
        for page in versions:
            for item in page["LaunchTemplateVersions"]:
                image = _resolve(target, item.get("LaunchTemplateData", {}).get("ImageId", ""))
                if image:
                    who = f"launch template {template} has it in version {item['VersionNumber']}"
                    yield image, Reference(who=who)


def _of_others(target: Target, ami_ids: Sequence[str]) -> Iterator[tuple[str, Reference]]:
    """Yield what EC2 itself finds in places that we do not look at."""
    pages = target.ec2.get_paginator("describe_image_references")
    kinds = [{"ResourceType": kind} for kind in _OTHERS]
    try:
        for first in range(0, len(ami_ids), _BATCH):
            some = list(ami_ids[first : first + _BATCH])
            for page in pages.paginate(ImageIds=some, ResourceTypes=kinds):
                for item in page["ImageReferences"]:
                    yield item["ImageId"], Reference(who=f"{item['ResourceType']} {item['Arn']}")
    except ClientError as error:
        if not is_absent(error):
            raise
        _tell_absent(target.name)


@functools.cache
def _tell_absent(name: str) -> None:
    console.warn(f"skipped, as {name} has no such call: describe_image_references")


def _resolve(target: Target, image: str) -> str:
    """Return the AMI id that a template's image stands for, "" if it can't launch anything."""
    if not image.startswith(_BY_PARAMETER):
        return image
    ssm: Any = target.client("ssm")
    try:
        found = ssm.get_parameter(Name=image.removeprefix(_BY_PARAMETER))
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ParameterNotFound", "ParameterVersionNotFound"}:
            return ""
        raise
    return str(found["Parameter"]["Value"])
