"""Bringing the lab's machines in line with its records, after the lab, Docker or all was killed.

The records are right: a machine that they say runs is started again, in the network namespace of
its keeper, with the address, the rules and the disks it had. What can't be had again is taken out
of the records and named. What no record knows is removed and named.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from docker.errors import APIError, NotFound

from runtime import wait
from runtime.errors import BullionError
from runtime.lab import subnets
from runtime.lab.actions import snapshots
from runtime.lab.actions.amis import Amis
from runtime.lab.actions.attachments import Attachments
from runtime.lab.actions.instances import Instances
from runtime.lab.ec2 import Ec2, Refused, tags_of, text
from runtime.lab.machines import devices, sources
from runtime.lab.machines.client import DOCKER_FAILS
from runtime.lab.machines.firewall import Firewalls
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.labels import KIND, LABEL, MACHINE
from runtime.lab.memory.records import AMI, INSTANCE, LAUNCHING, VOLUME, Records
from runtime.lab.metadata.services import Services

_log = logging.getLogger(__name__)
SETTLE_S = 2.0  # what ends one machine ends others and keepers, too
_FOR_EVER_S = float("inf")


@dataclass
class Recovery:
    """What is done when the lab starts, when Docker was gone, and when an operator asks for it."""

    ec2: Ec2
    hypervisor: Hypervisor
    instances: Instances
    amis: Amis
    firewalls: Firewalls
    records: Records
    services: Services
    attachments: Attachments
    changed: Callable[[], None]
    _found: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, lost: list[str]) -> None:
        """Bring back everything but what is `lost` already; nothing else may be under way."""
        self.hypervisor.disks.end_copying()  # a copy that a killed lab began goes on by itself
        self._note([f"LOST: {line}" for line in lost])
        self._note(self._check_blocks())
        self.recover()
        self._note(self._check_amis() + self._remove_strays())

    def recover(self) -> None:
        """Bring back every machine whose container is not what its record says; else do nothing."""
        with self._lock:
            items, _ = self.instances.settled()
            statuses = self.hypervisor.machines()
            keepers = self.hypervisor.machines("keeper")
            with ThreadPoolExecutor(max_workers=8) as pool:
                lines = pool.map(
                    lambda item: self._restore(
                        item,
                        status=statuses.get(text(item, "instanceId"), ""),
                        keeper=keepers.get(text(item, "instanceId"), ""),
                    ),
                    items,
                )
                self._note([line for line in lines if line])
            self.changed()

    def report(self) -> list[str]:
        """Bring back what is amiss and return everything that was found since the last report."""
        self.recover()
        found, self._found = self._found, []
        return found

    def watch(self, since_s: float) -> None:
        """Follow machines that end, from a time on, and Docker when it is restarted; for ever."""
        while True:
            # A torn connection raises what it likes: three libraries have a say in it.
            try:
                for machine_id, status, by_docker in self.hypervisor.endings(since_s):
                    self._ended(machine_id, status, by_docker=by_docker)
            except Exception as error:
                _log.info("Docker's events ended: %r", error)
            since_s = time.time()
            wait.pause(1)
            try:
                wait.until(self.hypervisor.answers, what="Docker", timeout_s=_FOR_EVER_S, every_s=1)
                self.recover()
            except Exception:
                _log.exception("Docker went away again")

    def _ended(self, machine_id: str, status: int, *, by_docker: bool) -> None:
        _, under_way = self.instances.settled()
        busy = machine_id in under_way or machine_id in self.hypervisor.held
        if busy or self.hypervisor.is_running(machine_id):
            return
        try:
            if not by_docker:
                self.instances.ended_by_itself(machine_id, status)
                return
            # Or by somebody's `docker kill`: as if a host had failed.
            _log.info("machine %s was ended from outside", machine_id)
        except (Refused, BullionError, *DOCKER_FAILS):
            _log.exception("machine %s ended and could not be followed", machine_id)
        wait.pause(SETTLE_S)
        self.recover()

    # -- machines -------------------------------------------------------------------------

    def _restore(self, item: ET.Element, *, status: str, keeper: str) -> str:
        """Make one machine what its record says; return what was done, "" if it is already."""
        machine_id = text(item, "instanceId")
        try:
            heading = self.records.get(INSTANCE, machine_id).get("heading", "")
            if heading == "shutting-down":
                self.instances.take_away(machine_id)
                return f"{_name(item)} was being terminated, and is"
            if heading == LAUNCHING:
                self.instances.take_away(machine_id)
                return f"{_name(item)} was being launched, which nobody was told of: it is gone"
            if not status or not keeper:
                return self._lose(item, "its container is gone" if keeper else "its keeper is gone")
            if heading:  # what a lab that was killed had begun is gone on with
                action = {"pending": "StartInstances", "stopping": "StopInstances"}[heading]
                self.ec2.ask(action, {"InstanceId.1": machine_id})
                self.records.update(INSTANCE, machine_id, heading="")
            return self._revive(self.ec2.machine(machine_id), status=status, keeper=keeper)
        except (Refused, BullionError, *DOCKER_FAILS) as error:
            _log.exception("machine %s could not be brought back", machine_id)
            return f"{_name(item)} could not be brought back: {error}"

    def _revive(self, item: ET.Element, *, status: str, keeper: str) -> str:
        machine_id = text(item, "instanceId")
        wanted = text(item, "instanceState/name") in {"pending", "running"}
        runs = status == "running"
        if wanted and not runs and machine_id in self.hypervisor.held:
            return ""  # an AMI is being made of it
        subnet = subnets.read(self.ec2, text(item, "subnetId"))
        self.hypervisor.bridges.ensure(subnet)
        self.services.serve(subnet)
        rules = self.firewalls.rules_for(machine_id)
        if keeper != "running" or (runs and not self.hypervisor.shares_namespace(machine_id)):
            if runs:  # cut off
                self.hypervisor.stop(machine_id)
                runs = False
            address = text(item, "privateIpAddress")
            self.hypervisor.keepers.restart(machine_id, subnet=subnet, address=address)
        if not self.hypervisor.keepers.has_rules(machine_id, rules):
            self.hypervisor.keepers.load_rules(machine_id, rules)
        self.firewalls.loaded(machine_id, rules)
        if wanted and not runs:
            self.hypervisor.start(machine_id)
            return f"{_name(item)} was started again"
        if runs and not wanted:
            self.hypervisor.stop(machine_id)
            return f"{_name(item)} was stopped, as its record or a caller wants it"
        return ""

    def _lose(self, item: ET.Element, why: str) -> str:
        machine_id = text(item, "instanceId")
        self.instances.take_away(machine_id)
        return f"LOST: {_name(item)}: {why}; it is recorded as terminated"

    # -- what no record knows -------------------------------------------------------------

    def _check_blocks(self) -> list[str]:
        """Plug volumes in again; name what has a record and no file, or a file and no record."""
        blocks, lines = self.attachments.blocks, []
        for path in blocks.folder.glob("*.partial"):
            path.unlink()
        described = self.ec2.ask("DescribeVolumes").findall("volumeSet/item/volumeId")
        there = {one.text for one in described}
        lost = {name for name in self.records.of(VOLUME) if not blocks.has(name)}
        for volume_id in sorted(lost.union(self.attachments.recover())):
            self.records.forget(VOLUME, volume_id)
            if volume_id in there:  # else it was being deleted
                lines.append(f"LOST: the file of volume {volume_id} is gone, and its data with it")
        for snapshot_id in self.records.of(snapshots.KIND):
            if not blocks.has(snapshot_id):
                self.records.forget(snapshots.KIND, snapshot_id)
                with contextlib.suppress(Refused):
                    self.ec2.ask("DeleteSnapshot", {"SnapshotId": snapshot_id})
                lines.append(f"LOST: snapshot {snapshot_id}: its file is gone; it is deleted")
        known = [
            *self.ec2.ask("DescribeVolumes").findall("volumeSet/item/volumeId"),
            *self.ec2.ask("DescribeSnapshots").findall("snapshotSet/item/snapshotId"),
        ]
        names = {devices.file_name(self.hypervisor.lab, one.text or "") for one in known}
        for path in blocks.files():
            if path.name not in names:
                path.unlink()
                lines.append(f"removed {path.name}: no record knows it")
        return lines

    def _check_amis(self) -> list[str]:
        """Take AMIs without a whole disk out of the records, and disks without an AMI away."""
        disks, kept = self.hypervisor.disks.amis(), self.records.of(AMI)
        whole = {ami_id for ami_id, facts in kept.items() if facts.get("is_whole")}
        lines, known = [], set()
        for item in self.ec2.ask("DescribeImages").findall("imagesSet/item"):
            ami_id = text(item, "imageId")
            known.add(ami_id)
            if text(item, "imageOwnerId") == sources.SOURCE_OWNER or (
                ami_id in disks and ami_id in whole
            ):
                continue
            if kept.get(ami_id, {}).get("state") == "failed":
                continue  # and was told so
            self.amis.forget(ami_id)
            why = "its disk was not finished" if ami_id in disks else "its disk is gone"
            lines.append(f"LOST: AMI {ami_id} ({text(item, 'name')}): {why}; it is deregistered")
        for ami_id in sorted(kept.keys() | disks):
            if ami_id not in known and self.hypervisor.disks.is_made(ami_id):
                self.hypervisor.disks.discard(ami_id)
                self.records.forget(AMI, ami_id)
                lines.append(f"removed the disk of {ami_id}: no record knows that AMI")
        return lines

    def _remove_strays(self) -> list[str]:
        """Remove containers, volumes and networks of this lab that no record knows."""
        docker, lab = self.hypervisor.docker, self.hypervisor.lab
        items, under_way = self.instances.settled()
        known = {text(item, "instanceId") for item in items} | under_way
        mine = {"label": f"{LABEL}={lab}"}
        lines = []
        for container in docker.containers.list(all=True, filters=mine, ignore_removed=True):
            machine_id = container.labels.get(MACHINE, "")
            if container.labels.get(KIND) == "copy" or machine_id not in known:
                container.remove(force=True, v=True)
                lines.append(f"removed the container {container.name}: no record knows it")
        for volume in docker.volumes.list(filters=mine):
            machine_id = (volume.attrs["Labels"] or {}).get(MACHINE, "")
            if machine_id and machine_id not in known:
                with contextlib.suppress(NotFound):
                    volume.remove(force=True)
                lines.append(f"removed a volume of {machine_id}: no record knows it")
        found = self.ec2.ask("DescribeSubnets").findall("subnetSet/item/subnetId")
        names = {self.hypervisor.bridges.name(element.text or "") for element in found}
        for net in self.hypervisor.bridges.all():
            if net.name not in names:
                with contextlib.suppress(APIError):
                    net.remove()
                lines.append(f"removed the network {net.name}: no record knows its subnet")
        return lines

    def _note(self, lines: list[str]) -> None:
        for line in lines:
            _log.info("%s", line)
        self._found += lines


def _name(item: ET.Element) -> str:
    called = tags_of(item).get("Name", "")
    what = f"machine {text(item, 'instanceId')}" + (f" ({called})" if called else "")
    return f"{what} at {text(item, 'privateIpAddress')}"
