"""What happens to an AMI after it was made, which moto has no place for."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, reply, text
from runtime.lab.machines import sources
from runtime.lab.memory.records import AMI, Records


@dataclass
class AmiOptions:
    """Disabled, deprecated, protected, launched: kept in `records`, shown in descriptions."""

    ec2: Ec2
    records: Records

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "DisableImage": self.switch,
            "DisableImageDeprecation": self.deprecate,
            "DisableImageDeregistrationProtection": self.protect,
            "EnableImage": self.switch,
            "EnableImageDeprecation": self.deprecate,
            "EnableImageDeregistrationProtection": self.protect,
            "ModifyImageAttribute": self.modify,
        }

    @real("a disabled AMI can't be launched")
    def switch(self, asked: Parameters) -> ET.Element:
        """Disable an AMI, so that it can't be launched, or enable it again."""
        ami_id = self._known(asked)
        is_disabled = asked["Action"] == "DisableImage"
        self.records.update(AMI, ami_id, state="disabled" if is_disabled else "")
        return reply(asked["Action"], {"return": "true"})

    def deprecate(self, asked: Parameters) -> ET.Element:
        """Remember the time from which an AMI is deprecated, or forget it."""
        ami_id = self._known(asked)
        when = asked.get("DeprecateAt", "") if asked["Action"] == "EnableImageDeprecation" else ""
        self.records.update(AMI, ami_id, deprecated_at=_to_the_minute(when) if when else "")
        return reply(asked["Action"], {"return": "true"})

    @real("a protected AMI can't be deregistered; there is no cooldown")
    def protect(self, asked: Parameters) -> ET.Element:
        """Protect an AMI from being deregistered, or no longer."""
        ami_id = self._known(asked)
        protection = ""
        if asked["Action"] == "EnableImageDeregistrationProtection":
            cools = asked.get("WithCooldown", "").lower() == "true"
            protection = "enabled-with-cooldown" if cools else "enabled-without-cooldown"
        self.records.update(AMI, ami_id, protection=protection)
        return reply(asked["Action"], {"return": "true"})

    def modify(self, asked: Parameters) -> ET.Element:
        """Remember that an AMI's machines are to have IMDSv2; the rest of its attributes is moto's.

        Raises:
            Refused: there is no such AMI, or support of another kind.
        """
        named = asked.get("Value") if asked.get("Attribute") == "imdsSupport" else None
        wanted = asked.get("ImdsSupport.Value", named)
        if wanted is None:
            return self.ec2.ask("ModifyImageAttribute", asked)
        ami_id = self._known(asked)
        if wanted != "v2.0":  # EC2 knows no way back either
            message = f"Invalid value '{wanted}' for imdsSupport. Must be 'v2.0'"
            raise Refused("InvalidParameterValue", message)
        self.records.update(AMI, ami_id, imds_support=wanted)
        return reply("ModifyImageAttribute", {"return": "true"})

    def complete_launch(self, asked: Parameters) -> Parameters:
        """Fill in the metadata options that an AMI with IMDSv2 gives its machines."""
        if not self.records.get(AMI, asked.get("ImageId", "")).get("imds_support"):
            return asked
        prefix = "MetadataOptions."
        return {f"{prefix}HttpTokens": "required", f"{prefix}HttpPutResponseHopLimit": "2"} | asked

    def note_launch(self, ami_id: str) -> None:
        """Remember that an AMI was launched just now."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.records.update(AMI, ami_id, launched_at=now)

    def refuse_others(self, ami_id: str) -> None:
        """Refuse to change a source AMI: it is somebody else's, as in EC2."""
        found = self.ec2.ask("DescribeImages", {"ImageId.1": ami_id})
        if text(found, "imagesSet/item/imageOwnerId") == sources.SOURCE_OWNER:
            raise Refused("AuthFailure", f"Not authorized for image:{ami_id}")

    def refuse_protected(self, ami_id: str) -> None:
        """Refuse to deregister an AMI that is protected from it."""
        if self.records.get(AMI, ami_id).get("protection"):
            message = (
                f"The image ID '{ami_id}' may not be deregistered. Disable its deregistration"
                " protection and try again."
            )
            raise Refused("OperationNotPermitted", message)

    def show(self, item: ET.Element) -> None:
        """Put what is kept of an AMI into its description."""
        facts = self.records.get(AMI, text(item, "imageId"))
        state = item.find("imageState")
        if state is not None:
            state.text = facts.get("state") or state.text
        if facts.get("reason"):
            reason = ET.SubElement(item, "stateReason")
            ET.SubElement(reason, "code").text = "Client.InternalError"
            ET.SubElement(reason, "message").text = facts["reason"]
        if facts.get("deprecated_at"):
            ET.SubElement(item, "deprecationTime").text = facts["deprecated_at"]
        if facts.get("imds_support"):
            ET.SubElement(item, "imdsSupport").text = facts["imds_support"]
        for disk in item.findall("blockDeviceMapping/item/ebs") if "is_encrypted" in facts else ():
            is_encrypted = disk.find("encrypted")
            if is_encrypted is None:
                is_encrypted = ET.SubElement(disk, "encrypted")
            is_encrypted.text = str(facts["is_encrypted"]).lower()
        if facts.get("launched_at"):  # EC2 shows it a day late
            ET.SubElement(item, "lastLaunchedTime").text = facts["launched_at"]
        protection = facts.get("protection") or "disabled"
        ET.SubElement(item, "deregistrationProtection").text = protection

    def _known(self, asked: Parameters) -> str:
        """Return the AMI that a request names, or refuse as EC2 does if there is none."""
        ami_id = asked.get("ImageId", "")
        found = self.ec2.ask("DescribeImages", {"ImageId.1": ami_id})
        if found.find("imagesSet/item") is None:
            message = f"The image ID '{ami_id}' is no longer available"
            raise Refused("InvalidAMIID.Unavailable", message)
        self.refuse_others(ami_id)
        return ami_id


def _to_the_minute(when: str) -> str:
    """Return a time as EC2 keeps it: rounded to the nearest minute.

    Raises:
        Refused: it is not a time.
    """
    try:
        at = datetime.fromisoformat(when).astimezone(UTC)
    except ValueError as error:
        message = f"Value ({when}) for parameter DeprecateAt is invalid."
        raise Refused("InvalidParameterValue", message) from error
    rounded = (at + timedelta(seconds=30)).replace(second=0, microsecond=0)
    return rounded.strftime("%Y-%m-%dT%H:%M:%S.000Z")
