"""What may be changed about an instance, and what an instance tells about itself."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from runtime.lab import translations
from runtime.lab.ec2 import Actions, Ec2, Parameters, reply
from runtime.lab.records import Records


@dataclass
class Attributes:
    """The actions about one instance's attributes."""

    ec2: Ec2
    records: Records

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "ModifyInstanceMetadataOptions": self.modify_metadata_options,
        }

    def modify_metadata_options(self, asked: Parameters) -> ET.Element:
        """Change how the metadata service answers a machine; in force when this answers.

        EC2 says `pending` in the reply and `applied` in descriptions, so does this.
        """
        translations.refuse_bad_metadata_options(asked)
        machine_id = asked.get("InstanceId", "")
        whole = translations.keep_metadata_options(asked, self.ec2.machine(machine_id))
        self.ec2.ask("ModifyInstanceMetadataOptions", whole)
        now = translations.metadata_options(self.ec2.machine(machine_id))
        shown = {f"{name[0].lower()}{name[1:]}": value for name, value in now.items()}
        return reply(
            "ModifyInstanceMetadataOptions",
            {"instanceId": machine_id, "instanceMetadataOptions": {"state": "pending", **shown}},
        )
