"""Security groups in force: read from EC2, written as each machine's rules, reloaded on a change.

A rule whose other side is a group holds for the addresses of that group's members, and follows
them as they come and go.
"""

from __future__ import annotations

import logging
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from docker.errors import NotFound

from runtime.errors import LabError
from runtime.lab import subnets, views
from runtime.lab.ec2 import Ec2, text
from runtime.lab.machines import network
from runtime.lab.machines.client import DOCKER_FAILS
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.network import Permission

_log = logging.getLogger(__name__)
_ANY = "-1"
Members = Mapping[str, Iterable[str]]  # {group id: addresses of its members}


@dataclass
class Firewalls:
    """The rules of every machine of a lab, as last loaded."""

    ec2: Ec2
    hypervisor: Hypervisor
    _loaded: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def rules_for(self, machine_id: str) -> str:
        """Return the rules that a machine must have now, in nft's language."""
        return self._all().get(machine_id, "")

    def loaded(self, machine_id: str, rules: str) -> None:
        """Take note of rules that a launch has loaded."""
        with self._lock:
            self._loaded[machine_id] = rules

    def refresh(self) -> None:
        """Load the rules of each machine whose groups, peers or routes have changed.

        Raises:
            LabError: a machine did not take them; it keeps those it had.
        """
        with self._lock:
            wanted = self._all()
            self._loaded = {name: rules for name, rules in self._loaded.items() if name in wanted}
            stale = [name for name, rules in self._loaded.items() if rules != wanted[name]]
            with ThreadPoolExecutor(8) as pool:
                problems = list(pool.map(lambda name: self._load(name, wanted[name]), stale))
            for name, problem in zip(stale, problems, strict=True):
                if problem is None:
                    self._loaded[name] = wanted[name]
            for name, problem in zip(stale, problems, strict=True):
                if problem and self.hypervisor.keepers.lives(name):
                    raise problem
                if problem:  # cut off already, or being taken away
                    _log.warning("%s has no keeper that lives: it is cut off", name)

    def _load(self, machine_id: str, rules: str) -> LabError | None:
        problem = None
        for _ in range(2):  # a keeper may be late on a busy computer
            try:
                self.hypervisor.keepers.load_rules(machine_id, rules)
            except LabError as error:
                problem = error
            except NotFound:
                return LabError(f"{machine_id} has no keeper")
            except DOCKER_FAILS as error:
                problem = LabError(f"the keeper of {machine_id} can't be asked: {error}")
            else:
                return None
        return problem

    def _all(self) -> dict[str, str]:
        """Return {machine id: rules} of all living machines that are in a subnet."""
        machines = views.living(self.ec2)
        groups = {
            text(item, "groupId"): item
            for item in self.ec2.ask("DescribeSecurityGroups").findall("securityGroupInfo/item")
        }
        members: dict[str, list[str]] = {}
        for machine in machines:
            for group in views.groups_of(machine):
                members.setdefault(group, []).append(text(machine, "privateIpAddress"))
        known = subnets.read_all(self.ec2)
        return {
            text(machine, "instanceId"): network.ruleset(
                known[text(machine, "subnetId")],
                ingress=_of(groups, views.groups_of(machine), "ipPermissions", members),
                egress=_of(groups, views.groups_of(machine), "ipPermissionsEgress", members),
                has_public_address=bool(text(machine, "ipAddress")),
            )
            for machine in machines
            if text(machine, "subnetId") in known
        }


def permissions(group: ET.Element, path: str, members: Members) -> Iterator[Permission]:
    """Yield what a security group's `path` (ipPermissions or ipPermissionsEgress) allows."""
    for item in group.findall(f"{path}/item"):
        peers = [text(row, "cidrIp") for row in item.findall("ipRanges/item")]
        for row in item.findall("groups/item"):
            peers += members.get(text(row, "groupId"), ())
        if peers:  # a group without members lets nobody in
            protocol = text(item, "ipProtocol")
            yield Permission(
                protocol="" if protocol == _ANY else protocol,
                first=int(text(item, "fromPort") or "-1"),
                last=int(text(item, "toPort") or "-1"),
                peers=tuple(sorted(set(peers))),
            )


def _of(
    groups: Mapping[str, ET.Element], ids: Iterable[str], path: str, members: Members
) -> list[Permission]:
    known = [groups[name] for name in ids if name in groups]
    return sorted({one for group in known for one in permissions(group, path, members)})
