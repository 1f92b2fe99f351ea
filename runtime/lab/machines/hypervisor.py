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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from runtime.errors import LabError, ToolError
from runtime.lab.machines import capabilities, devices, network
from runtime.lab.machines.bridges import Bridges
from runtime.lab.machines.devices import Device
from runtime.lab.machines.disks import HOME, KIND, LABEL, MACHINE, Disks, home
from runtime.lab.machines.network import Subnet

STOP_S = 60
CONSOLE_BYTES = 65_536  # what GetConsoleOutput returns at most
REBOOT_STATUS = 129  # a container whose PID 1 called reboot(2) ends as if by SIGHUP


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
        self.bridges = Bridges(client, lab)
        self.held: set[str] = set()  # machines that are stopped on purpose
        self.devices_of: Callable[[str], Iterable[Device]] = lambda _: ()
        self._dropped = capabilities.missing(capabilities.read_bounding_set())
        self._plugging: dict[str, threading.Lock] = {}
        self._listed: dict[str, str] = {}  # what /lab/devices holds, of machines that we know it of

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
            net = str(self.bridges.ensure(subnet).name)
            with ThreadPoolExecutor(2) as pool:  # each takes half a second of Docker's time
                copying = pool.submit(self.disks.copy_for, machine_id, ami_id)
                keeper = self._start_keeper(machine_id, image, net, address, mac, rules)
                mounts = copying.result()
            self._create(machine_id, image, keeper.id, mounts)
            self._listed[machine_id] = ""  # no AMI has a list
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
        self.held.add(machine_id)
        try:
            self._container(machine_id).stop(timeout=0 if is_forced else STOP_S)
        except BaseException:
            self.held.discard(machine_id)
            raise

    def start(self, machine_id: str) -> None:
        """Start a machine in its keeper's namespace, with its volumes."""
        self.held.discard(machine_id)
        with self._plugging.setdefault(machine_id, threading.Lock()):
            self._list_devices(machine_id)
            self._container(machine_id).start()

    def plug(self, machine_id: str) -> None:
        """Make a machine see the volumes that it has now, and no others.

        Raises:
            LabError: it runs and would not, or there is no such machine.
        """
        with self._plugging.setdefault(machine_id, threading.Lock()):
            try:
                self._list_devices(machine_id)
                runs = self.is_running(machine_id)
                status, said = self.run_inside(machine_id, ["/lab/plug"]) if runs else (0, "")
            except DockerException as error:
                status, said = 1, str(error)
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

    def shares_namespace(self, machine_id: str) -> bool:
        """Return whether a running machine is in its keeper's namespace.

        A keeper that was started after its machine has another one.
        """
        keeper, machine = self._keeper(machine_id), self._container(machine_id)
        return bool(keeper.attrs["State"]["StartedAt"] <= machine.attrs["State"]["StartedAt"])

    def restart_keeper(self, machine_id: str, *, subnet: Subnet, address: str) -> None:
        """Start the keeper of a machine that does not run, in its network, which may be a new one.

        Raises:
            LabError: Docker can't, for instance because the address is taken.
        """
        keeper = self._keeper(machine_id)
        net = self.bridges.ensure(subnet)
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

    def has_rules(self, machine_id: str, rules: str) -> bool:
        """Return whether these rules stand in a machine's namespace."""
        keeper = self._keeper(machine_id)
        listed = ["nft", "list", "chain", "inet", network.TABLE, network.mark_of(rules)]
        return bool(keeper.exec_run(listed).exit_code == 0)

    def remove(self, machine_id: str) -> None:
        """Take a machine away: container, keeper and volumes; what is not there is no error."""
        self.held.add(machine_id)
        self._listed.pop(machine_id, None)
        for name in (self.name(machine_id), f"{self.name(machine_id)}-keeper"):
            with contextlib.suppress(NotFound):
                self.docker.containers.get(name).remove(force=True, v=True)
        self.disks.remove(machine_id)

    def stop_all(self) -> None:
        """Shut all machines down cleanly, side by side, then their keepers."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(self.stop, self.machines()))
        for machine_id, status in self.machines("keeper").items():
            if status == "running":
                self._keeper(machine_id).kill()
        self.disks.end_copying()

    def capture(self, machine_id: str, ami_id: str) -> None:
        """Make an AMI of a machine; what it has of volumes is not in it."""
        with self._plugging.setdefault(machine_id, threading.Lock()):
            try:
                self._write_list(machine_id, "")
                self.disks.capture(self._container(machine_id), machine_id, ami_id)
            finally:
                self._list_devices(machine_id)

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

    def machines(self, kind: str = "machine") -> dict[str, str]:
        """Return {machine id: container status} of this lab's machines, or of their keepers."""
        found = self.docker.containers.list(all=True, filters={"label": self._labels(kind)})
        return {container.labels[MACHINE]: container.status for container in found}

    def endings(self, since_s: float) -> Iterator[tuple[str, int, bool]]:
        """Yield (machine id, exit status, whether Docker ended it) as machines end, from a time on.

        Ends itself when Docker does.
        """
        kinds = {"label": self._labels("machine"), "event": ["die", "kill"], "type": "container"}
        killed: set[str] = set()
        for event in self.docker.events(decode=True, filters=kinds, since=int(since_s)):
            attributes = event["Actor"]["Attributes"]
            machine_id = attributes[MACHINE]
            if event["Action"] == "kill":
                killed.add(machine_id)
                continue
            yield machine_id, int(attributes.get("exitCode", 0)), machine_id in killed
            killed.discard(machine_id)

    def answers(self) -> bool:
        """Return whether Docker answers."""
        with contextlib.suppress(DockerException, OSError):
            return bool(self.docker.ping())
        return False

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
            labels=self._marks("keeper", machine_id),
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
            labels=self._marks("machine", machine_id),
            host_config=host,
            stop_signal="SIGRTMIN+3",
            tty=True,  # so that the boot messages reach the console
        )
        return self.docker.containers.get(created["Id"])

    def _marks(self, kind: str, machine_id: str) -> dict[str, str]:
        """Return the labels of something of this lab."""
        return {LABEL: self.lab, HOME: home(), KIND: kind, MACHINE: machine_id}

    def _list_devices(self, machine_id: str) -> None:
        """Have /lab/devices tell what is plugged into a machine now."""
        self._write_list(machine_id, devices.table(self.devices_of(machine_id)))

    def _write_list(self, machine_id: str, content: str) -> None:
        """Write what /lab/plug reads, unless it is there: Docker takes long to write a file."""
        if self._listed.get(machine_id) != content:
            self._container(machine_id).put_archive("/", _one_file("lab/devices", content))
            self._listed[machine_id] = content

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
