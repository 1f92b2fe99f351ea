"""The Docker networks of one lab: one per subnet that a machine is or was in."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import docker
from docker.errors import APIError, NotFound

from runtime.errors import LabError
from runtime.lab.machines.labels import HOME, KIND, LABEL, home
from runtime.lab.machines.network import Subnet


class Bridges:
    """Makes and removes what machines are connected to."""

    def __init__(self, client: docker.DockerClient, lab: str) -> None:
        """Work for the lab called `lab`."""
        self.docker = client
        self.lab = lab
        self._lock = threading.Lock()

    def ensure(self, subnet: Subnet) -> Any:
        """Return the subnet's Docker network, made on first use.

        Raises:
            LabError: the range is taken by something else on this computer.
        """
        name = self.name(subnet.id)
        with self._lock:  # Docker would make two of the same name
            if found := self.docker.networks.list(names=[f"^{name}$"]):
                return found[0]
            pool = docker.types.IPAMPool(subnet=subnet.cidr, gateway=subnet.gateway)
            try:
                return self.docker.networks.create(
                    name,
                    driver="bridge",
                    ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                    labels={LABEL: self.lab, HOME: home(), KIND: "network"},
                )
            except APIError as error:
                message = f"network range {subnet.cidr} can't be used: {error.explanation}"
                hint = "./invoke janitor, if a trial was killed; else docker network ls; ip route"
                raise LabError(message, hint=hint) from error

    def remove(self, subnet_id: str) -> None:
        """Remove the network of a subnet that is gone."""
        with contextlib.suppress(NotFound):
            self.docker.networks.get(self.name(subnet_id)).remove()

    def all(self) -> list[Any]:
        """Return this lab's Docker networks."""
        return list(self.docker.networks.list(filters={"label": f"{LABEL}={self.lab}"}))

    def interfaces(self) -> set[str]:
        """Return the names of the network interfaces that they are on this computer."""
        return {f"br-{net.id[:12]}" for net in self.all()}

    def name(self, subnet_id: str) -> str:
        """Return the name of a subnet's network."""
        return f"bullion-{self.lab}-{subnet_id}"
