"""RunInstances and what follows, over machines that really boot.

moto keeps the records; a state is shown to callers only when it is true of the machine.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field

from docker.errors import DockerException

from runtime.errors import BullionError
from runtime.lab import translations, views
from runtime.lab.amis import Amis
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, reply, text
from runtime.lab.firewall import Firewalls
from runtime.lab.hypervisor import REBOOT_STATUS, Hypervisor
from runtime.lab.network import Subnet
from runtime.lab.records import Records
from runtime.lab.volumes import Volumes

_log = logging.getLogger(__name__)
PATIENCE_S = 5.0
KIND = "instance"  # of our records
_STOPPING = (64, "stopping")
_SHUTTING_DOWN = (32, "shutting-down")


@dataclass
class Instances:
    """The instance actions of the EC2 API.

    `serve_metadata` is called with a subnet before a machine is started in it.
    `transitions` holds the states that machines are on their way to.
    """

    ec2: Ec2
    hypervisor: Hypervisor
    amis: Amis
    firewalls: Firewalls
    records: Records
    volumes: Volumes
    serve_metadata: Callable[[Subnet], None]
    transitions: dict[str, tuple[int, str]] = field(default_factory=dict)
    _launched: dict[str, ET.Element] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _asked_to_end: set[str] = field(default_factory=set)

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "RunInstances": self.run,
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.describe_status,
            "StopInstances": self.stop,
            "StartInstances": self.start,
            "RebootInstances": self.reboot,
            "TerminateInstances": self.terminate,
            "GetConsoleOutput": self.console,
            "ModifyInstanceAttribute": self.modify,
        }

    def run(self, asked: Parameters) -> ET.Element:
        """Launch machines; answers when they are started, or leaves nothing.

        ClientToken is honoured here, as moto ignores it and SDKs retry slow launches.
        """
        token = asked.get("ClientToken", "")
        with self._lock:
            if token and token in self._launched:
                return self._launched[token]
            made = self._record(asked)
            if token:
                self._launched[token] = made
        try:
            for item in made.findall("instancesSet/item"):
                self._boot(text(item, "instanceId"), asked)
        except BaseException:
            self._launched.pop(token, None)
            raise
        return made

    def describe(self, asked: Parameters) -> ET.Element:
        """Describe instances in the states they are really in."""
        found = self.ec2.ask("DescribeInstances", asked)
        translations.show_states(found, self.transitions)
        translations.drop_empty_associations(found)
        return found

    def describe_status(self, asked: Parameters) -> ET.Element:
        """Describe instance status in the states they are really in."""
        found = self.ec2.ask("DescribeInstanceStatus", asked)
        translations.show_states(found, self.transitions)
        return found

    def stop(self, asked: Parameters) -> ET.Element:
        """Begin a clean shutdown; `stopping` until it is done."""
        ids = _ids(asked)
        for machine_id in ids:
            if self._state(machine_id) not in {"pending", "running", "stopping", "stopped"}:
                raise _incorrect_state(machine_id, self._state(machine_id))
        return self._in_background("StopInstances", ids, _STOPPING, self._stop)

    def terminate(self, asked: Parameters) -> ET.Element:
        """Begin to take machines away; `shutting-down` until they are gone."""
        ids = _ids(asked)
        for machine_id in ids:
            if self.ec2.attribute(machine_id, "disableApiTermination") == "true":
                message = (
                    f"The instance '{machine_id}' may not be terminated (DisableApiTermination)"
                )
                raise Refused("OperationNotPermitted", message)
        return self._in_background("TerminateInstances", ids, _SHUTTING_DOWN, self._terminate)

    def start(self, asked: Parameters) -> ET.Element:
        """Start stopped machines, with the address and data they had."""
        for machine_id in _ids(asked):
            state = self._state(machine_id)
            if state not in {"stopped", "running"}:
                raise _incorrect_state(machine_id, state)
            if state == "stopped":
                self._asked_to_end.discard(machine_id)
                self.hypervisor.start(machine_id)
        return self.ec2.ask("StartInstances", asked)

    def reboot(self, asked: Parameters) -> ET.Element:
        """Shut down and start again, in place."""
        for machine_id in _ids(asked):
            self._asked_to_end.add(machine_id)
            self.hypervisor.stop(machine_id)
            self.hypervisor.start(machine_id)
            self._asked_to_end.discard(machine_id)
        return self.ec2.ask("RebootInstances", asked)

    def console(self, asked: Parameters) -> ET.Element:
        """Return what the machine wrote on its console."""
        machine_id = asked.get("InstanceId", "")
        self.ec2.machine(machine_id)
        output = base64.b64encode(self.hypervisor.console(machine_id)).decode()
        return reply("GetConsoleOutput", {"instanceId": machine_id, "output": output})

    def modify(self, asked: Parameters) -> ET.Element:
        """Change an attribute of an instance."""
        changed = translations.encode_user_data_once_more(asked)
        return self.ec2.ask("ModifyInstanceAttribute", changed)

    def watch(self) -> None:
        """Follow machines that end by themselves, for ever: reboot, or power-off from inside."""
        for machine_id, status in self.hypervisor.endings():
            if machine_id in self._asked_to_end or machine_id in self.transitions:
                continue
            try:
                self._ended_by_itself(machine_id, status)
            except (Refused, BullionError, DockerException):
                _log.exception("machine %s ended and could not be followed", machine_id)

    def _ended_by_itself(self, machine_id: str, status: int) -> None:
        if status == REBOOT_STATUS:
            _log.info("machine %s reboots", machine_id)
            self.hypervisor.start(machine_id)
        elif self.records.get(KIND, machine_id).get("terminates"):
            self._in_background("TerminateInstances", [machine_id], _SHUTTING_DOWN, self._terminate)
        else:
            _log.info("machine %s powered off, status %d", machine_id, status)
            self.ec2.ask("StopInstances", {"InstanceId.1": machine_id})

    def _record(self, asked: Parameters) -> ET.Element:
        asked = {key: value for key, value in asked.items() if value}  # EC2 ignores empty values
        self.amis.refuse_unless_launchable(asked.get("ImageId", ""))
        has_interface = any(key.startswith("NetworkInterface.") for key in asked)
        if not has_interface and "SubnetId" not in asked:
            asked = asked | {"SubnetId": views.default_subnet(self.ec2)}
        self.volumes.refuse_mapping(asked)
        root_size_gb = self.amis.sizes_gb.get(asked.get("ImageId", ""), 8)
        asked = translations.complete_mapping(asked, root_size_gb=root_size_gb)
        behaviour = "InstanceInitiatedShutdownBehavior"
        kept = {key: value for key, value in asked.items() if key != behaviour}
        made = self.ec2.ask("RunInstances", translations.lift_interface_groups(kept))
        translations.drop_empty_associations(made)
        for item in made.findall("instancesSet/item"):
            machine_id = text(item, "instanceId")
            if asked.get(behaviour) == "terminate":
                self.records.update(KIND, machine_id, terminates=True)
            if asked.get("DisableApiTermination", "").lower() == "true":
                protect = {"InstanceId": machine_id, "DisableApiTermination.Value": "true"}
                self.ec2.ask("ModifyInstanceAttribute", protect)
        return made

    def _boot(self, machine_id: str, asked: Parameters) -> None:
        item = self.ec2.machine(machine_id)
        try:
            subnet = views.read_subnet(self.ec2, text(item, "subnetId"))
            self.hypervisor.ensure_network(subnet)
            self.serve_metadata(subnet)
            self.volumes.make_mapped(machine_id)
            rules = self.firewalls.rules_for(machine_id)
            self.hypervisor.launch(
                machine_id,
                ami_id=asked["ImageId"],
                subnet=subnet,
                address=text(item, "privateIpAddress"),
                mac=text(item, "networkInterfaceSet/item/macAddress"),
                rules=rules,
            )
            self.firewalls.loaded(machine_id, rules)
        except (BullionError, Refused) as error:
            _log.exception("launch of %s failed", machine_id)
            self._forget(machine_id)
            if isinstance(error, Refused):
                raise
            raise Refused("InsufficientInstanceCapacity", str(error)) from error

    def _stop(self, machine_id: str) -> None:
        self.hypervisor.stop(machine_id)
        self.ec2.ask("StopInstances", {"InstanceId.1": machine_id})

    def _terminate(self, machine_id: str) -> None:
        self.hypervisor.remove(machine_id)
        self._forget(machine_id)

    def _forget(self, machine_id: str) -> None:
        """Set the volumes of a machine that is gone free, or delete them, and end its record."""
        held = self.volumes.attachments.release_all(machine_id)
        self.ec2.ask("TerminateInstances", {"InstanceId.1": machine_id})
        self.volumes.delete_forgotten(held)
        self.records.forget(KIND, machine_id)

    def _in_background(
        self, action: str, ids: list[str], state: tuple[int, str], work: Callable[[str], None]
    ) -> ET.Element:
        """Show `state` for each of `ids` until `work` is done; answer after `PATIENCE_S` at most.

        Clients poll at fixed steps (Packer every 15 s): what is done by the first look is not
        waited for.
        """
        rows, threads = [], []
        for machine_id in ids:
            was = self.ec2.machine(machine_id).find("instanceState")
            if was is None or text(was, "name") == "terminated":
                continue
            before = {"code": text(was, "code"), "name": text(was, "name")}
            shown = {"code": state[0], "name": state[1]}
            rows.append({"instanceId": machine_id, "currentState": shown, "previousState": before})
            self.transitions[machine_id] = state
            self._asked_to_end.add(machine_id)
            threads.append(
                threading.Thread(target=self._carry_out, args=(machine_id, work), daemon=True)
            )
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return reply(action, {"instancesSet": rows})

    def _carry_out(self, machine_id: str, work: Callable[[str], None]) -> None:
        try:
            work(machine_id)
        except (Refused, BullionError, DockerException):
            _log.exception("machine %s did not follow", machine_id)
        finally:
            self.transitions.pop(machine_id, None)

    def _state(self, machine_id: str) -> str:
        if machine_id in self.transitions:
            return self.transitions[machine_id][1]
        return text(self.ec2.machine(machine_id), "instanceState/name")


def _ids(asked: Parameters) -> list[str]:
    return [value for key, value in sorted(asked.items()) if key.startswith("InstanceId")]


def _incorrect_state(machine_id: str, state: str) -> Refused:
    message = f"The instance '{machine_id}' is not in a state from which it can do that: {state}"
    return Refused("IncorrectInstanceState", message)
