"""Keepers: the containers that own a machine's network namespace, address and rules.

They outlive stops and reboots of their machines; what stands in a namespace is in network.py.
"""

from __future__ import annotations

import contextlib
from typing import Any

import docker
from docker.errors import APIError, NotFound

from runtime.errors import LabError
from runtime.lab.machines import labels, network
from runtime.lab.machines.bridges import Bridges
from runtime.lab.machines.network import Subnet


class Keepers:
    """Makes, asks and ends the keepers of one lab's machines."""

    def __init__(self, client: docker.DockerClient, lab: str, bridges: Bridges) -> None:
        """Work for the lab called `lab`, whose networks are `bridges`."""
        self.docker = client
        self.lab = lab
        self._bridges = bridges

    def start(
        self, machine_id: str, *, image: str, net: str, address: str, mac: str, rules: str
    ) -> str:
        """Start the keeper of a new machine and return its id; its rules are in force by then.

        Raises:
            LabError: it did not take the rules.
        """
        api = self.docker.api
        endpoint = api.create_endpoint_config(ipv4_address=address)
        created = api.create_container(
            image,
            command=["-c", network.keeper_script(mac=mac)],
            entrypoint=["/bin/sh"],
            name=self.name(machine_id),
            labels=labels.of_machine(self.lab, "keeper", machine_id),
            networking_config=api.create_networking_config({net: endpoint}),
            host_config=api.create_host_config(
                network_mode=net, cap_add=["NET_ADMIN"], tmpfs={"/run": ""}, init=False
            ),
        )
        api.start(created["Id"])
        self.load_rules(machine_id, rules)
        return str(created["Id"])

    def restart(self, machine_id: str, *, subnet: Subnet, address: str) -> None:
        """Start the keeper of a machine that does not run, in its network, which may be a new one.

        Raises:
            LabError: Docker can't, for instance because the address is taken.
        """
        keeper = self.find(machine_id)
        net = self._bridges.ensure(subnet)
        joined = keeper.attrs["NetworkSettings"]["Networks"].get(net.name, {}).get("NetworkID")
        try:
            if keeper.status == "running":
                keeper.kill()
                keeper.wait()
            if joined != net.id:  # the network was made anew since
                net.disconnect(keeper, force=True)
                net.connect(keeper, ipv4_address=address)
            keeper.start()
        except APIError as error:
            message = f"the keeper of {machine_id} did not start: {error.explanation}"
            raise LabError(message, hint="docker network ls; see .lab/lab.log") from error

    def load_rules(self, machine_id: str, rules: str) -> None:
        """Load `rules` into a machine's namespace through its keeper; returns when in force.

        Raises:
            LabError: the keeper did not take them.
        """
        words = ["timeout", "20", "sh", "-c", network.LOAD_RULES, "sh"]
        keeper = self.find(machine_id)
        try:
            done = keeper.exec_run([*words, rules, network.mark_of(rules)])
        except APIError as error:
            message = f"the keeper of {machine_id} can't take firewall rules: {error.explanation}"
            raise LabError(message, hint="see .lab/lab.log") from error
        if done.exit_code:
            said = _last_words(keeper)
            message = f"the firewall rules of {machine_id} did not come into force: {said}"
            raise LabError(message, hint="see .lab/lab.log")

    def has_rules(self, machine_id: str, rules: str) -> bool:
        """Return whether these rules stand in a machine's namespace."""
        listed = ["nft", "list", "chain", "inet", network.TABLE, network.mark_of(rules)]
        return bool(self.find(machine_id).exec_run(listed).exit_code == 0)

    def lives(self, machine_id: str) -> bool:
        """Return whether a machine has a keeper that lives, without which it is cut off."""
        with contextlib.suppress(NotFound):
            return bool(self.find(machine_id).status == "running")
        return False

    def find(self, machine_id: str) -> Any:
        """Return a machine's keeper, or raise NotFound."""
        return self.docker.containers.get(self.name(machine_id))

    def name(self, machine_id: str) -> str:
        """Return the name of a machine's keeper."""
        return f"{labels.name_of(self.lab, machine_id)}-keeper"


def _last_words(keeper: Any) -> str:
    try:
        return bytes(keeper.logs(tail=5)).decode()
    except APIError as error:  # it is being removed
        return str(error.explanation)
