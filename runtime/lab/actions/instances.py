"""What follows a launch: describe, stop, start, reboot, terminate, and ends from inside.

moto keeps the records; a state is shown to callers only when it is true of the machine.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection
from dataclasses import dataclass

from runtime import wait
from runtime.errors import BullionError
from runtime.lab import translations, views
from runtime.lab.actions.attributes import Attributes
from runtime.lab.actions.states import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPING,
    State,
    States,
    keep_matching,
)
from runtime.lab.actions.volumes import Volumes
from runtime.lab.ec2 import Actions, Ec2, Parameters, Refused, real, reply, text
from runtime.lab.machines.client import DOCKER_FAILS
from runtime.lab.machines.hypervisor import REBOOT_STATUS, Hypervisor
from runtime.lab.memory.records import INSTANCE, Records

_log = logging.getLogger(__name__)
_STAYING = ("pending", "running", "stopping", "stopped")
PATIENCE_S = 5.0
AGAIN_S = 2.0  # until what Docker would not do is tried again


@dataclass
class Instances:
    """The lifecycle of machines that were launched.

    `changed` is called after a record has changed behind an answer, or without any request.
    """

    ec2: Ec2
    hypervisor: Hypervisor
    records: Records
    states: States
    attributes: Attributes
    volumes: Volumes
    changed: Callable[[], None]

    def actions(self) -> Actions:
        """Return {EC2 action: what carries it out}."""
        return {
            "DescribeInstances": self.describe,
            "DescribeInstanceStatus": self.describe_status,
            "StopInstances": self.stop,
            "StartInstances": self.start,
            "RebootInstances": self.reboot,
            "TerminateInstances": self.terminate,
        }

    @real("states are held back until they are true")
    def describe(self, asked: Parameters) -> ET.Element:
        """Describe instances in the states they are really in."""
        found = self.states.ask("DescribeInstances", asked)
        self.attributes.show(found)
        translations.show_profiles(found, views.associations(self.ec2))
        translations.drop_empty_associations(found)
        translations.show_interface_groups(found)
        translations.show_root_device(found)
        return found

    @real("reachability is always passed: nobody knocks")
    def describe_status(self, asked: Parameters) -> ET.Element:
        """Describe the status of machines that really run, of all where the caller says so."""
        everything = asked | {"IncludeAllInstances": "true"}
        found = self.states.ask("DescribeInstanceStatus", everything)
        if asked.get("IncludeAllInstances", "").lower() != "true":
            keep_matching(found, "instanceState/name", [RUNNING[1]])
        return found

    @real("a clean shutdown by systemd; Force pulls the plug")
    def stop(self, asked: Parameters) -> ET.Element:
        """Begin a clean shutdown; `stopping` until it is done."""
        ids = _ids(asked)
        self.states.require(ids, ("running", "stopping", "stopped"), to="stopped")
        self.attributes.refuse_protected(ids, "disableApiStop", to="stopped")
        is_forced = asked.get("Force", "").lower() == "true"

        work = functools.partial(self._stop, is_forced=is_forced)
        return self._in_background("StopInstances", ids, STOPPING, work, ("stopping", "stopped"))

    @real("same address, disks and volumes")
    def start(self, asked: Parameters) -> ET.Element:
        """Begin to start stopped machines; `pending` until they run."""
        ids = _ids(asked)
        self.states.require(ids, ("stopped", "pending", "running"), to="started")

        idle = ("pending", "running")
        return self._in_background("StartInstances", ids, PENDING, self._start, idle)

    @real("a clean shutdown and a start in place")
    def reboot(self, asked: Parameters) -> ET.Element:
        """Shut down and start again, in place; answers at once, as EC2 does."""
        ids = _ids(asked)
        self.states.require(ids, ("running",), to="rebooted")
        for machine_id in ids:
            threading.Thread(target=self._reboot, args=(machine_id,), daemon=True).start()
        return reply("RebootInstances", {"return": "true"})

    @real("at once, without a shutdown inside")
    def terminate(self, asked: Parameters) -> ET.Element:
        """Begin to take machines away; `shutting-down` until they are gone."""
        ids = _ids(asked)
        self.attributes.refuse_protected(ids, "disableApiTermination", to="terminated")
        idle = ("shutting-down", "terminated")
        return self._in_background("TerminateInstances", ids, SHUTTING_DOWN, self.take_away, idle)

    def settled(self) -> tuple[list[ET.Element], set[str]]:
        """Return the living machines that nothing is being done with, and the others' ids."""
        with self.states.recording:
            under_way = self.states.under_way()
            items = views.living(self.ec2)
        return [item for item in items if text(item, "instanceId") not in under_way], under_way

    def ended_by_itself(self, machine_id: str, status: int) -> None:
        """Do what the end of a machine asks for, if it was not us who ended it.

        Whoever of us ends a machine has a hand on it: once that is off, the machine runs again
        or its record says what became of it.
        """
        with self.states.hand_on(machine_id):
            recorded = text(self.ec2.machine(machine_id), "instanceState/name")
            if recorded != "running" or self.hypervisor.is_running(machine_id):
                return
            _log.info("machine %s ended by itself, status %d", machine_id, status)
            if status == REBOOT_STATUS:
                self.hypervisor.start(machine_id)
            elif self.records.get(INSTANCE, machine_id).get("terminates"):
                with self.states.passing(machine_id, SHUTTING_DOWN):
                    self.take_away(machine_id)
            else:
                self._record_end("StopInstances", machine_id, "DisableApiStop")
        self.changed()

    def take_away(self, machine_id: str) -> None:
        """Take what is left of a machine away, with volumes that go with it; end its record."""
        self.hypervisor.remove(machine_id)
        held = self.volumes.attachments.release_all(machine_id)
        self._record_end("TerminateInstances", machine_id, "DisableApiTermination")
        self.volumes.delete_forgotten(held)
        self.records.forget(INSTANCE, machine_id)

    def _start(self, machine_id: str) -> None:
        self.hypervisor.start(machine_id)
        self.ec2.ask("StartInstances", {"InstanceId.1": machine_id})

    def _stop(self, machine_id: str, *, is_forced: bool = False) -> None:
        self.hypervisor.stop(machine_id, is_forced=is_forced)
        self.ec2.ask("StopInstances", {"InstanceId.1": machine_id})

    def _reboot(self, machine_id: str) -> None:
        try:
            with self.states.hand_on(machine_id):
                self._insist(machine_id, self._restart)
        except (Refused, BullionError, *DOCKER_FAILS):
            _log.exception("machine %s did not come back from a reboot", machine_id)

    def _restart(self, machine_id: str) -> None:
        if text(self.ec2.machine(machine_id), "instanceState/name") == "running":  # still
            self.hypervisor.stop(machine_id)
            self.hypervisor.start(machine_id)

    def _insist(self, machine_id: str, work: Callable[[str], None]) -> None:
        """Do what may be done twice, once more where Docker is busy with something else."""
        for is_last in (False, False, True):
            try:
                work(machine_id)
            except (BullionError, *DOCKER_FAILS):
                if is_last:
                    raise
                _log.warning("machine %s did not follow: once more", machine_id, exc_info=True)
                wait.pause(AGAIN_S)
            else:
                return

    def _record_end(self, action: str, machine_id: str, protection: str) -> None:
        """Record an end that has come: protection keeps callers from it, and nothing else."""
        is_protected = self.ec2.attribute(machine_id, f"d{protection[1:]}") == "true"
        change = {"InstanceId": machine_id, f"{protection}.Value": "false"}
        if is_protected:  # moto would refuse
            self.ec2.ask("ModifyInstanceAttribute", change)
        self.ec2.ask(action, {"InstanceId.1": machine_id})
        if is_protected:
            self.ec2.ask("ModifyInstanceAttribute", change | {f"{protection}.Value": "true"})

    def _in_background(
        self,
        action: str,
        ids: list[str],
        state: State,
        work: Callable[[str], None],
        idle: Collection[str],
    ) -> ET.Element:
        """Show `state` for each of `ids` until `work` is done; answer after `PATIENCE_S` at most.

        Machines in an `idle` state are there already. Clients poll at fixed steps (Packer every
        15 s): what is done by the first look is not waited for.
        """
        rows, threads = [], []
        with self.states.recording:  # two calls at once: the second finds the first's state
            if state != SHUTTING_DOWN:  # nothing turns back a machine that is going
                self.states.require(ids, _STAYING, to=state[1])
            for machine_id in ids:
                was = self.states.of(machine_id)
                now = was if was[1] in idle else state
                rows.append(
                    {
                        "instanceId": machine_id,
                        "currentState": {"code": now[0], "name": now[1]},
                        "previousState": {"code": was[0], "name": was[1]},
                    }
                )
                if was[1] not in idle:
                    self._head_for(machine_id, state)
                    self.states.begin(machine_id, state)
                    task = (machine_id, state, work)
                    threads.append(threading.Thread(target=self._carry_out, args=task, daemon=True))
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return reply(action, {"instancesSet": rows})

    def _carry_out(self, machine_id: str, state: State, work: Callable[[str], None]) -> None:
        keeps_on = False
        try:
            with self.states.hand_on(machine_id):
                self._insist(machine_id, work)
        except Refused:
            _log.exception("machine %s did not follow", machine_id)
        except (BullionError, *DOCKER_FAILS):  # recovery goes on with what can't be turned back
            _log.exception("machine %s did not follow", machine_id)
            keeps_on = state == SHUTTING_DOWN
        finally:
            if not keeps_on:
                with contextlib.suppress(OSError):  # no room: it is forgotten in memory
                    self.records.drop(INSTANCE, machine_id, heading=state[1])
            self.changed()
            self.states.end(machine_id, state)

    def _head_for(self, machine_id: str, state: State) -> None:
        """Remember what a machine is on its way to, for a lab that is killed meanwhile."""
        try:
            self.records.update(INSTANCE, machine_id, heading=state[1])
        except OSError:  # a full disk must not keep machines from being taken away
            _log.exception("that %s is %s can't be kept", machine_id, state[1])


def _ids(asked: Parameters) -> list[str]:
    """Return the machines that a request names, each once, in its order."""
    found = [(key, value) for key, value in asked.items() if key.startswith("InstanceId.")]
    return list(dict.fromkeys(value for _, value in sorted(found)))
