"""RunInstances: records and machines made together, or neither."""

from __future__ import annotations

import copy
import functools
import logging
import re
import threading
import xml.etree.ElementTree as ET
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from runtime.errors import BullionError, LabError
from runtime.lab import subnets, translations, views
from runtime.lab.actions import launch_templates, tag_keys
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.states import PENDING, States
from runtime.lab.actions.volumes import Volumes
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, filters, real, text
from runtime.lab.machines.client import DOCKER_FAILS
from runtime.lab.machines.firewall import Firewalls
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.network import Subnet
from runtime.lab.memory.records import INSTANCE, LAUNCHING, Records
from runtime.lab.retries import KEPT

_log = logging.getLogger(__name__)
_MOST = 100  # machines of one launch; more is surely a mistake on one computer
_USER_DATA_BYTES = 16_384


@dataclass
class Launching:
    """Launches machines.

    `build_cidr` is the range of a launch that names no subnet.
    `serve_metadata` is called with a subnet before a machine is started in it, `changed` once
    machines are recorded, before they boot, `take_away` with a machine of a launch that failed.
    """

    ec2: Ec2
    hypervisor: Hypervisor
    amis: Amis
    firewalls: Firewalls
    records: Records
    states: States
    volumes: Volumes
    build_cidr: str
    serve_metadata: Callable[[Subnet], None]
    changed: Callable[[], None]
    take_away: Callable[[str], None]
    _asked: OrderedDict[str, tuple[Parameters, Future[ET.Element]]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "DescribeLaunchTemplateVersions": functools.partial(
                launch_templates.describe_versions, self.ec2
            ),
            "RunInstances": self.run,
        }

    @real("system containers that boot; answers when they run; sizes are not enforced")
    def run(self, asked: Parameters) -> ET.Element:
        """Launch machines; answers when all are started, or leaves nothing.

        ClientToken is honoured here, as moto ignores it and tools retry slow launches: whoever
        comes with it again gets the first one's answer, or waits for it.
        """
        token = asked.get("ClientToken", "")
        if not token:
            return self._launch(asked)
        words = {key: value for key, value in asked.items() if key != "ClientToken"}
        with self._lock:
            known = self._asked.get(token)
            mine: Future[ET.Element] = Future()
            if known is None:
                self._asked[token] = (words, mine)
                while len(self._asked) > KEPT:
                    self._asked.popitem(last=False)
        if known is not None:
            if known[0] != words:
                message = (
                    "Arguments on this idempotent request are inconsistent with arguments used in"
                    " previous request(s)."
                )
                raise Refused("IdempotentParameterMismatch", message)
            return copy.deepcopy(known[1].result())
        try:
            made = self._launch(asked)
        except BaseException as error:
            self._asked.pop(token, None)  # what came to nothing may be tried again
            mine.set_exception(error)
            raise
        mine.set_result(made)
        return copy.deepcopy(made)

    def rehearse(self, asked: Parameters) -> Parameters:
        """Return a launch as it is carried out, with its template resolved.

        Raises:
            Refused: it would be, too.
        """
        asked = {key: value for key, value in asked.items() if value}  # EC2 ignores empty values
        asked = launch_templates.resolve(self.ec2, asked)
        asked = self.amis.options.complete_launch(asked)
        _refuse_counts(asked)
        translations.refuse_bad_metadata_options(asked, "MetadataOptions.")
        tag_keys.refuse_in_launch(asked)
        self.amis.refuse_unless_launchable(asked.get("ImageId", ""))
        if key_name := asked.get("KeyName"):
            self.ec2.ask("DescribeKeyPairs", {"KeyName.1": key_name})
        if len(translations.decode_user_data(asked.get("UserData", "")) or b"") > _USER_DATA_BYTES:
            message = f"User data is limited to {_USER_DATA_BYTES} bytes"
            raise Refused("InvalidParameterValue", message)
        return asked

    def _launch(self, asked: Parameters) -> ET.Element:
        asked = self.rehearse(asked)
        with self.states.recording:
            made = self._record(asked)
            ids = [text(item, "instanceId") for item in made.findall("instancesSet/item")]
            for machine_id in ids:
                self.states.begin(machine_id, PENDING)
        try:
            for machine_id in ids:
                self.records.update(INSTANCE, machine_id, heading=LAUNCHING)
            self.changed()
            self._boot_all(ids, asked)
            self._admit()
            for machine_id in ids:
                self.records.drop(INSTANCE, machine_id, heading=LAUNCHING)
        except BaseException:
            for machine_id in ids:
                self._undo(machine_id)
            self.changed()
            raise
        finally:
            for machine_id in ids:
                self.states.end(machine_id, PENDING)
        self.amis.options.note_launch(asked.get("ImageId", ""))
        return made

    def _record(self, asked: Parameters) -> ET.Element:
        has_interface = any(key.startswith("NetworkInterface.") for key in asked)
        if not has_interface and "SubnetId" not in asked:
            asked = asked | {"SubnetId": subnets.default(self.ec2, self.build_cidr)}
        self.volumes.refuse_mapping(asked)
        root_size_gb = self.amis.size_gb(asked.get("ImageId", ""))
        asked = translations.complete_mapping(asked, root_size_gb=root_size_gb)
        asked = translations.complete_interfaces(asked)
        self._refuse_interfaces_in_use(asked)
        self._refuse_address_in_use(asked)
        behaviour = "InstanceInitiatedShutdownBehavior"
        kept = {key: value for key, value in asked.items() if key != behaviour}
        kept["MinCount"] = asked.get("MaxCount", "1")  # there is room: moto makes the least
        try:
            made = self.ec2.ask("RunInstances", kept)
        except Refused as error:
            if error.code != "NoSuchEntity":  # which is how IAM calls it
                raise
            message = f"Invalid IAM Instance Profile: {error.message}"
            raise Refused("InvalidParameterValue", message) from error
        translations.drop_empty_associations(made)
        translations.show_interface_groups(made)
        translations.show_root_device(made)
        for profile in translations.profiles_lost(asked, made):
            self.ec2.ask("AssociateIamInstanceProfile", profile)
        translations.show_profiles(made, views.associations(self.ec2))
        if asked.get(behaviour) == "terminate":
            for item in made.findall("instancesSet/item"):
                self.records.update(INSTANCE, text(item, "instanceId"), terminates=True)
        return made

    def _refuse_interfaces_in_use(self, asked: Parameters) -> None:
        """Refuse an interface that a living machine has: moto gives it to the new one."""
        for key, name in asked.items():
            if re.fullmatch(r"NetworkInterface\.\d+\.NetworkInterfaceId", key):
                found = self.ec2.ask("DescribeNetworkInterfaces", {"NetworkInterfaceId.1": name})
                holder = text(found, "networkInterfaceSet/item/attachment/instanceId")
                if holder in {text(item, "instanceId") for item in views.living(self.ec2)}:
                    message = f"Interface: [{name}] in use."
                    raise Refused("InvalidNetworkInterface.InUse", message)

    def _refuse_address_in_use(self, asked: Parameters) -> None:
        first = "NetworkInterface.1."
        address = asked.get("PrivateIpAddress") or asked.get(f"{first}PrivateIpAddress")
        if not address:
            return
        there = {"subnet-id": asked.get(f"{first}SubnetId", ""), "private-ip-address": address}
        found = self.ec2.ask("DescribeNetworkInterfaces", filters(there))
        if found.find("networkInterfaceSet/item") is not None:
            raise Refused("InvalidIPAddress.InUse", f"Address {address} is in use.")

    def _boot_all(self, ids: list[str], asked: Parameters) -> None:
        """Boot machines at the same time, and protect them once they all run.

        Raises:
            Refused: at least one did not start; some of the others may run.
        """
        with ThreadPoolExecutor(max_workers=len(ids)) as pool:
            booting = [pool.submit(self._boot, machine_id) for machine_id in ids]
        for machine_id, one in zip(ids, booting, strict=True):
            try:
                one.result()
            except Refused:
                raise
            except (BullionError, *DOCKER_FAILS) as error:
                _log.exception("launch of %s failed", machine_id)
                raise Refused("LaunchFailedInLab", str(error)) from error  # not one that is retried
        if asked.get("DisableApiTermination", "").lower() == "true":
            for machine_id in ids:
                protect = {"InstanceId": machine_id, "DisableApiTermination.Value": "true"}
                self.ec2.ask("ModifyInstanceAttribute", protect)

    def _admit(self) -> None:
        """Look that all others have taken the rules by which they know new machines."""
        try:
            self.firewalls.refresh()
        except LabError as error:
            raise Refused("LaunchFailedInLab", str(error)) from error

    def _boot(self, machine_id: str) -> None:
        with self.states.hand_on(machine_id):
            item = self.ec2.machine(machine_id)
            subnet = subnets.read(self.ec2, text(item, "subnetId"))
            self.hypervisor.bridges.ensure(subnet)
            self.serve_metadata(subnet)
            self.volumes.make_mapped(machine_id)
            rules = self.firewalls.rules_for(machine_id)
            self.hypervisor.launch(
                machine_id,
                ami_id=text(item, "imageId"),
                subnet=subnet,
                address=text(item, "privateIpAddress"),
                mac=text(item, "networkInterfaceSet/item/macAddress"),
                rules=rules,
            )
            self.firewalls.loaded(machine_id, rules)

    def _undo(self, machine_id: str) -> None:
        try:
            self.take_away(machine_id)
        except (Refused, BullionError, *DOCKER_FAILS):  # recovery tries again
            _log.exception("machine %s of a failed launch is left behind", machine_id)


def _refuse_counts(asked: Parameters) -> None:
    least, most = (asked.get(name, "1") for name in ("MinCount", "MaxCount"))
    for name, value in (("minCount", least), ("maxCount", most)):
        if not value.isdigit() or not 1 <= int(value) <= _MOST:
            message = f"Value ({value}) for parameter {name} is invalid. Give 1 to {_MOST}."
            raise Refused("InvalidParameterValue", message)
    if int(least) > int(most):
        message = f"The parameter MinCount ({least}) is greater than MaxCount ({most})."
        raise Refused("InvalidParameterCombination", message)
