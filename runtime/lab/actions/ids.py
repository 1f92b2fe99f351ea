"""Ids that can't be anything are refused before anybody looks them up, as EC2 does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runtime.lab.ec2 import NotOffered, Refused

_FORMS = {
    "InstanceId": ("i", "InvalidInstanceID.Malformed"),
    "ImageId": ("ami", "InvalidAMIID.Malformed"),
}


def refuse_malformed(asked: Mapping[str, str]) -> None:
    """Refuse a request with an instance or AMI id that has not the form of one."""
    if asked.get("ImageId", "").startswith("resolve:ssm:"):
        what, instead = "an ImageId by parameter", "Look it up and give the AMI's id."
        raise NotOffered(what, instead)
    for key, value in asked.items():
        prefix, code = _FORMS.get(re.sub(r"\.\d+$", "", key), ("", ""))
        if (
            not prefix
            or not value
            or re.fullmatch(rf"{prefix}-([0-9a-f]{{8}}|[0-9a-f]{{17}})", value)
        ):
            continue
        hint = "" if value.startswith(f"{prefix}-") else f' (expecting "{prefix}-...")'
        raise Refused(code, f'Invalid id: "{value}"{hint}')
