"""Machines as system containers: systemd as PID 1, their own Docker, their own namespace.

Per machine there are a keeper container (network namespace and firewall, see network.py), the
machine's container in the keeper's namespace, and one volume per data directory. Everything
carries labels, so that the lab finds what is its own and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from runtime.errors import LabError, ToolError
from runtime.lab import devices, network
from runtime.lab.devices import Device
from runtime.lab.disks import KIND, LABEL, MACHINE, Disks
from runtime.lab.network import Subnet

STOP_S = 60
CONSOLE_BYTES = 65_536  # what GetConsoleOutput returns at most
REBOOT_STATUS = 129  # a container whose PID 1 called reboot(2) ends as if by SIGHUP
_ALL_CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


def missing_capabilities(bounding_set: int) -> list[str]:
    """Return the capabilities that are absent from a bounding set, as in /proc/self/status.

    `--privileged` fails where one is missing, so a machine gets all but these.
    """
    return [name for bit, name in enumerate(_ALL_CAPABILITIES) if not bounding_set >> bit & 1]


def read_bounding_set() -> int:
    """Return this process's capability bounding set."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("CapBnd:")[1].split()[0], 16)


def connect() -> docker.DockerClient:
    """Return a Docker client, or raise ToolError when Docker does not answer."""
    try:
        client = docker.from_env(timeout=300)
        client.ping()
    except DockerException as error:
        message = f"Docker does not answer: {error}"
        raise ToolError(
            message, hint="./invoke lab.up installs and starts it; see `docker info`"
        ) from error
    return client


class Hypervisor:
    """Makes, stops, starts, copies and removes the machines of one lab.

    Attributes:
        devices_of: asked at every start which volumes are plugged into a machine.
    """

    def __init__(self, client: docker.DockerClient, lab: str) -> None:
        """Work for the lab called `lab`."""
        self.docker = client
        self.lab = lab
        self.disks = Disks(client, lab)
        self.devices_of: Callable[[str], Iterable[Device]] = lambda _: ()
        self._dropped = missing_capabilities(read_bounding_set())
        self._plugging: dict[str, threading.Lock] = {}

    # -- networks -------------------------------------------------------------------------

    def ensure_network(self, subnet: Subnet) -> str:
        """Return the name of the subnet's Docker network, made on first use.

        Raises:
            LabError: the range is taken by something else on this computer.
        """
        name = f"bullion-{self.lab}-{subnet.id}"
        if self.docker.networks.list(names=[f"^{name}$"]):
            return name
        pool = docker.types.IPAMPool(subnet=subnet.cidr, gateway=subnet.gateway)
        try:
            self.docker.networks.create(
                name,
                driver="bridge",
                ipam=docker.types.IPAMConfig(pool_configs=[pool]),
                labels={LABEL: self.lab, KIND: "network"},
            )
        except APIError as error:
            message = f"network range {subnet.cidr} can't be used: {error.explanation}"
            raise LabError(message, hint="free the range: docker network ls; ip route") from error
        return name

    def remove_idle_networks(self) -> list[str]:
        """Remove networks of any lab here that no machine runs in; return their names.

        A lab that ended without saying so leaves its ranges taken; one that lives makes a
        network again when it needs it.
        """
        removed = []
        for net in self.docker.networks.list(filters={"label": LABEL}, greedy=True):
            if not net.attrs.get("Containers"):
                with contextlib.suppress(APIError):  # somebody moved in meanwhile
                    net.remove()
                    removed.append(str(net.name))
        return removed

    def remove_network(self, subnet_id: str) -> None:
        """Remove the network of a subnet that is gone."""
        with contextlib.suppress(NotFound):
            self.docker.networks.get(f"bullion-{self.lab}-{subnet_id}").remove()

    # -- machines -------------------------------------------------------------------------

    def launch(
        self, machine_id: str, *, ami_id: str, subnet: Subnet, address: str, mac: str, rules: str
    ) -> None:
        """Start a new machine from an AMI behind its firewall; on failure nothing of it is left.

        Raises:
            LabError: Docker could not make it.
        """
        image = self.disks.image_of(ami_id)
        try:
            net = self.ensure_network(subnet)
            keeper = self._start_keeper(machine_id, image, net, address, mac, rules)
            mounts = self.disks.copy_for(machine_id, ami_id)
            self._create(machine_id, image, keeper.id, mounts)
            self.start(machine_id)
        except (APIError, LabError) as error:
            self.remove(machine_id)
            message = f"machine {machine_id} could not start: {error}"
            raise LabError(message, hint="see .lab/lab.log") from error
        except BaseException:
            self.remove(machine_id)
            raise

    def stop(self, machine_id: str, *, is_forced: bool = False) -> None:
        """Shut a machine down, cleanly unless forced; its keeper, address and data stay."""
        self._container(machine_id).stop(timeout=0 if is_forced else STOP_S)

    def start(self, machine_id: str) -> None:
        """Start a machine in its keeper's namespace, with its volumes."""
        with self._plugging.setdefault(machine_id, threading.Lock()):
            self._list_devices(machine_id)
            self._container(machine_id).start()

    def plug(self, machine_id: str) -> None:
        """Make a machine see the volumes that it has now, and no others.

        Raises:
            LabError: it runs, and would not.
        """
        with self._plugging.setdefault(machine_id, threading.Lock()):
            self._list_devices(machine_id)
            if self.is_running(machine_id):
                status, said = self.run_inside(machine_id, ["/lab/plug"])
                if status:
                    message = f"machine {machine_id} does not see its volumes: {said}"
                    raise LabError(message, hint=f"docker exec {self.name(machine_id)} /lab/plug")

    def run_inside(self, machine_id: str, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program as root on a running machine; return its status and what it said."""
        done = self._container(machine_id).exec_run(list(argv))
        return int(done.exit_code), bytes(done.output or b"").decode(errors="replace").strip()

    def is_running(self, machine_id: str) -> bool:
        """Return whether the machine's container runs."""
        with contextlib.suppress(NotFound):
            return bool(self._container(machine_id).status == "running")
        return False

    def remove(self, machine_id: str) -> None:
        """Take a machine away: container, keeper and volumes; what is not there is no error."""
        for name in (self.name(machine_id), f"{self.name(machine_id)}-keeper"):
            with contextlib.suppress(NotFound):
                self.docker.containers.get(name).remove(force=True, v=True)
        self.disks.remove(machine_id)

    def capture(self, machine_id: str, ami_id: str) -> None:
        """Make an AMI of a stopped machine."""
        self.disks.capture(self._container(machine_id), machine_id, ami_id)

    def console(self, machine_id: str) -> tuple[bytes, str]:
        """Return what the machine wrote on its console, the last 64 KiB of it, and when last.

        The time is in UTC, ISO 8601; "" for a machine that wrote nothing or is gone.
        """
        with contextlib.suppress(NotFound):
            container = self._container(machine_id)
            last = bytes(container.logs(tail=1, timestamps=True)).decode(errors="replace")
            written_at = last.partition(" ")[0].partition(".")[0]
            output = bytes(container.logs(tail=2000))[-CONSOLE_BYTES:]
            return output, f"{written_at}.000Z" if written_at else ""
        return b"", ""

    def machines(self) -> dict[str, str]:
        """Return {machine id: container status} of everything of this lab."""
        found = self.docker.containers.list(all=True, filters={"label": self._labels("machine")})
        return {container.labels[MACHINE]: container.status for container in found}

    def endings(self) -> Iterator[tuple[str, int]]:
        """Yield (machine id, exit status) whenever a machine's container ends, for ever."""
        filters = {"label": self._labels("machine"), "event": "die", "type": "container"}
        for event in self.docker.events(decode=True, filters=filters):
            attributes = event["Actor"]["Attributes"]
            yield attributes[MACHINE], int(attributes.get("exitCode", 0))

    def name(self, machine_id: str) -> str:
        """Return the name of a machine's container."""
        return f"bullion-{self.lab}-{machine_id}"

    # -- pieces ---------------------------------------------------------------------------

    def _start_keeper(
        self, machine_id: str, image: str, net: str, address: str, mac: str, rules: str
    ) -> Any:
        api = self.docker.api
        endpoint = api.create_endpoint_config(ipv4_address=address)
        created = api.create_container(
            image,
            command=["-c", network.keeper_script(mac=mac)],
            entrypoint=["/bin/sh"],
            name=f"{self.name(machine_id)}-keeper",
            labels={LABEL: self.lab, KIND: "keeper", MACHINE: machine_id},
            networking_config=api.create_networking_config({net: endpoint}),
            host_config=api.create_host_config(
                network_mode=net, cap_add=["NET_ADMIN"], tmpfs={"/run": ""}, init=False
            ),
        )
        keeper = self.docker.containers.get(created["Id"])
        keeper.start()
        self.load_rules(machine_id, rules)
        return keeper

    def load_rules(self, machine_id: str, rules: str) -> None:
        """Load `rules` into a machine's namespace through its keeper; returns when in force.

        Raises:
            LabError: the keeper did not take them.
        """
        words = ["timeout", "20", "sh", "-c", network.LOAD_RULES, "sh"]
        keeper = self._keeper(machine_id)
        try:
            done = keeper.exec_run([*words, rules, network.mark_of(rules)])
        except APIError as error:
            message = f"the keeper of {machine_id} can't take firewall rules: {error.explanation}"
            raise LabError(message, hint="see .lab/lab.log") from error
        if done.exit_code:
            said = keeper.logs(tail=5).decode()
            message = f"the firewall rules of {machine_id} did not come into force: {said}"
            raise LabError(message, hint="see .lab/lab.log")

    def is_connected(self, machine_id: str) -> bool:
        """Return whether a machine has a keeper that lives, without which it is cut off."""
        with contextlib.suppress(NotFound):
            return bool(self._keeper(machine_id).status == "running")
        return False

    def _create(
        self, machine_id: str, image: str, keeper_id: str, mounts: Mapping[str, str]
    ) -> Any:
        api = self.docker.api
        host = api.create_host_config(
            network_mode=f"container:{keeper_id}",
            cap_add=["ALL"],
            cap_drop=self._dropped,
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "exec,mode=755", "/run/lock": ""},
            device_cgroup_rules=["b 7:* rwm"],  # loop devices, for volumes
            binds={name: {"bind": path, "mode": "rw"} for path, name in mounts.items()},
            init=False,  # a daemon-wide docker-init would take systemd's PID 1
        )
        # What `--security-opt systempaths=unconfined` and `--cgroupns=private` mean in the API.
        host |= {"MaskedPaths": [], "ReadonlyPaths": [], "CgroupnsMode": "private"}
        created = api.create_container(
            image,
            name=self.name(machine_id),
            labels={LABEL: self.lab, KIND: "machine", MACHINE: machine_id},
            host_config=host,
            stop_signal="SIGRTMIN+3",
            tty=True,  # so that the boot messages reach the console
        )
        return self.docker.containers.get(created["Id"])

    def _list_devices(self, machine_id: str) -> None:
        """Write what /lab/plug reads: always, as an AMI has the list of whom it was made of."""
        content = devices.table(self.devices_of(machine_id))
        self._container(machine_id).put_archive("/", _one_file("lab/devices", content))

    def _container(self, machine_id: str) -> Any:
        return self.docker.containers.get(self.name(machine_id))

    def _keeper(self, machine_id: str) -> Any:
        return self.docker.containers.get(f"{self.name(machine_id)}-keeper")

    def _labels(self, kind: str) -> list[str]:
        return [f"{LABEL}={self.lab}", f"{KIND}={kind}"]


def _one_file(name: str, content: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content.encode())
        tar.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()
