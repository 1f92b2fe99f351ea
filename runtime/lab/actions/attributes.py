"""What may be changed about an instance, and what an instance tells about itself."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.lab import translations
from runtime.lab.actions import tag_keys
from runtime.lab.actions.states import States
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, reply, text
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.memory.records import INSTANCE, Records

# What EC2 changes of a stopped instance only.
_WHILE_STOPPED = ("InstanceType", "UserData", "Kernel", "Ramdisk", "EbsOptimized")
# What moto has no place for (it takes such a change for one of security groups, and leaves the
# instance without any): {attribute: (default, allowed values)}.
_KEPT = {
    "instanceInitiatedShutdownBehavior": ("stop", ("stop", "terminate")),
    "enaSupport": ("true", ("true", "false")),
    "sriovNetSupport": ("simple", ("simple",)),
}
# What else a change may name; moto takes what it does not know for security groups, too.
_CHANGEABLE = {
    *_WHILE_STOPPED,
    *(f"{name[0].upper()}{name[1:]}" for name in _KEPT),
    *(
        "BlockDeviceMapping",
        "DisableApiStop",
        "DisableApiTermination",
        "GroupId",
        "SourceDestCheck",
    ),
    *("Action", "Attribute", "DryRun", "InstanceId", "Version"),
}


@dataclass
class Attributes:
    """The actions about one instance's attributes."""

    ec2: Ec2
    hypervisor: Hypervisor
    records: Records
    states: States

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "CreateTags": self.tag,
            "DescribeInstanceAttribute": self.describe,
            "GetConsoleOutput": self.console,
            "ModifyInstanceAttribute": self.modify,
            "ModifyInstanceMetadataOptions": self.modify_metadata_options,
            "MonitorInstances": self.monitor,
            "UnmonitorInstances": self.monitor,
        }

    def describe(self, asked: Parameters) -> ET.Element:
        """Return one attribute: ours, or moto's."""
        machine_id, name = asked.get("InstanceId", ""), asked.get("Attribute", "")
        if name not in _KEPT:
            found = self.ec2.ask("DescribeInstanceAttribute", asked)
            translations.drop_empty_user_data(found)
            return found
        self.ec2.machine(machine_id)
        value = {name: {"value": self._kept(machine_id, name)}}
        return reply("DescribeInstanceAttribute", {"instanceId": machine_id, **value})

    @real("user data, protection and power-off behaviour work; a size is a record")
    def modify(self, asked: Parameters) -> ET.Element:
        """Change attributes of an instance, some of them only while it is stopped."""
        asked = translations.spell_out_attribute(asked)
        machine_id = asked.get("InstanceId", "")
        changed = {key.partition(".")[0] for key in asked}
        for name in sorted(changed - _CHANGEABLE):
            message = f"Value ({name}) for parameter attribute is invalid. Unknown attribute."
            raise Refused("InvalidParameterValue", message)
        state = self.states.of(machine_id)[1]
        if changed & {*_WHILE_STOPPED, "EnaSupport", "SriovNetSupport"} and state != "stopped":
            message = f"The instance '{machine_id}' is not in the 'stopped' state."
            raise Refused("IncorrectInstanceState", message)
        for name, (_, allowed) in _KEPT.items():
            value = asked.pop(f"{name[0].upper()}{name[1:]}.Value", None)
            if value is None:
                continue
            if value not in allowed:
                message = f"Value ({value}) for parameter {name} is invalid."
                raise Refused("InvalidParameterValue", message)
            facts = {"terminates": value == "terminate"} if "Behavior" in name else {name: value}
            self.records.update(INSTANCE, machine_id, **facts)
        if groups := translations.groups_of(asked):  # an instance's are those of its interface
            machine = self.ec2.machine(machine_id)
            interface = text(machine, "networkInterfaceSet/item/networkInterfaceId")
            numbered = {f"SecurityGroupId.{n}": group for n, group in enumerate(groups, 1)}
            which = {"NetworkInterfaceId": interface}
            self.ec2.ask("ModifyNetworkInterfaceAttribute", which | numbered)
        if not {key.partition(".")[0] for key in asked} - {"Action", "Version", "InstanceId"}:
            return reply("ModifyInstanceAttribute", {"return": "true"})
        return self.ec2.ask(
            "ModifyInstanceAttribute", translations.encode_user_data_once_more(asked)
        )

    @real("tokens, endpoint, hop limit and tags, in force at once")
    def modify_metadata_options(self, asked: Parameters) -> ET.Element:
        """Change how the metadata service answers a machine; in force when this answers.

        EC2 says `pending` in the reply and `applied` in descriptions, so does this.
        """
        translations.refuse_bad_metadata_options(asked)
        machine_id = asked.get("InstanceId", "")
        machine = self.ec2.machine(machine_id)
        tag_keys.refuse_to_begin(machine, asked)
        whole = translations.keep_metadata_options(asked, machine)
        self.ec2.ask("ModifyInstanceMetadataOptions", whole)
        now = translations.metadata_options(self.ec2.machine(machine_id))
        shown = {f"{name[0].lower()}{name[1:]}": value for name, value in now.items()}
        return reply(
            "ModifyInstanceMetadataOptions",
            {"instanceId": machine_id, "instanceMetadataOptions": {"state": "pending", **shown}},
        )

    @real("those of instances show in metadata at once")
    def tag(self, asked: Parameters) -> ET.Element:
        """Tag things, with keys that an instance's metadata can tell where it does."""
        tag_keys.refuse_on_telling(self.ec2, asked)
        return self.ec2.ask("CreateTags", asked)

    def monitor(self, asked: Parameters) -> ET.Element:
        """Remember whether an instance is monitored in detail; nothing measures it."""
        action = asked["Action"]
        after, passing = (
            ("enabled", "pending") if action == "MonitorInstances" else ("disabled", "disabling")
        )
        ids = [value for key, value in sorted(asked.items()) if key.startswith("InstanceId.")]
        for machine_id in ids:
            self.ec2.machine(machine_id)
        for machine_id in ids:
            self.records.update(INSTANCE, machine_id, monitoring=after)
        rows = [{"instanceId": one, "monitoring": {"state": passing}} for one in ids]
        return reply(action, {"instancesSet": rows})

    @real("what systemd and cloud-init wrote at boot")
    def console(self, asked: Parameters) -> ET.Element:
        """Return what the machine wrote on its console, and when it last did."""
        machine_id = asked.get("InstanceId", "")
        recorded = self.ec2.machine(machine_id)
        output, written_at = self.hypervisor.console(machine_id)
        return reply(
            "GetConsoleOutput",
            {
                "instanceId": machine_id,
                "timestamp": written_at or text(recorded, "launchTime"),
                "output": base64.b64encode(output).decode(),
            },
        )

    def show(self, found: ET.Element) -> None:
        """Put what we keep into a description of instances."""
        kept = self.records.of(INSTANCE)
        for item in found.findall("reservationSet/item/instancesSet/item"):
            facts = kept.get(text(item, "instanceId"), {})
            monitored = item.find("monitoring/state")
            if monitored is not None and "monitoring" in facts:
                monitored.text = facts["monitoring"]
            if item.find("enaSupport") is None:
                ena = _KEPT["enaSupport"][0]
                ET.SubElement(item, "enaSupport").text = facts.get("enaSupport", ena)

    def refuse_protected(self, ids: Iterable[str], attribute: str, *, to: str) -> None:
        """Refuse if one of the machines is protected from being stopped or terminated."""
        for machine_id in ids:
            if self.ec2.attribute(machine_id, attribute) == "true":
                message = (
                    f"The instance '{machine_id}' may not be {to}. Modify its '{attribute}'"
                    " instance attribute and try again."
                )
                raise Refused("OperationNotPermitted", message)

    def _kept(self, machine_id: str, name: str) -> str:
        facts = self.records.get(INSTANCE, machine_id)
        if "Behavior" in name:
            return "terminate" if facts.get("terminates") else "stop"
        return str(facts.get(name, _KEPT[name][0]))
