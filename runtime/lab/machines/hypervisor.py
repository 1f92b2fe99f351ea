"""Machines as system containers: systemd as PID 1, their own Docker, their own namespace.

Per machine there are a keeper (keepers.py), the machine's container in the keeper's namespace, and
one volume per data directory.
"""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound

from runtime.errors import LabError
from runtime.lab.machines import capabilities, devices, labels
from runtime.lab.machines.bridges import Bridges
from runtime.lab.machines.client import DOCKER_FAILS
from runtime.lab.machines.devices import Device
from runtime.lab.machines.disks import Disks
from runtime.lab.machines.keepers import Keepers
from runtime.lab.machines.labels import KIND, LABEL, MACHINE
from runtime.lab.machines.network import Subnet

STOP_S = 60
SHUT_DOWN = "SIGRTMIN+3"  # to systemd: as the power button of a computer
CONSOLE_BYTES = 65_536  # what GetConsoleOutput returns at most
REBOOT_STATUS = 129  # a container whose PID 1 called reboot(2) ends as if by SIGHUP


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
        self.keepers = Keepers(client, lab, self.bridges)
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
                keeper = self.keepers.start(
                    machine_id, image=image, net=net, address=address, mac=mac, rules=rules
                )
                mounts = copying.result()
            self._create(machine_id, image, keeper, mounts)
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
            self._end(self._container(machine_id), timeout_s=0 if is_forced else STOP_S)
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
        keeper, machine = self.keepers.find(machine_id), self._container(machine_id)
        return bool(keeper.attrs["State"]["StartedAt"] <= machine.attrs["State"]["StartedAt"])

    def remove(self, machine_id: str) -> None:
        """Take a machine away: container, keeper and volumes; what is not there is no error."""
        self.held.add(machine_id)
        self._listed.pop(machine_id, None)
        for name in (self.name(machine_id), self.keepers.name(machine_id)):
            with contextlib.suppress(NotFound):
                self.docker.containers.get(name).remove(force=True, v=True)
        self.disks.remove(machine_id)

    def stop_all(self) -> None:
        """Shut all machines down cleanly, side by side, then their keepers."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(self.stop, self.machines()))
        for machine_id, status in self.machines("keeper").items():
            if status == "running":
                self.keepers.find(machine_id).kill()
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
        mine = {"label": self._labels(kind)}
        found = self.docker.containers.list(all=True, filters=mine, ignore_removed=True)
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
        with contextlib.suppress(*DOCKER_FAILS):
            return bool(self.docker.ping())
        return False

    def name(self, machine_id: str) -> str:
        """Return the name of a machine's container."""
        return labels.name_of(self.lab, machine_id)

    # -- pieces ---------------------------------------------------------------------------

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
            labels=labels.of_machine(self.lab, "machine", machine_id),
            host_config=host,
            stop_signal=SHUT_DOWN,
            tty=True,  # so that the boot messages reach the console
        )
        return self.docker.containers.get(created["Id"])

    def _end(self, container: Any, *, timeout_s: int) -> None:
        """Have a container shut down, and end it when it has not in time.

        A machine that has only begun to boot does not hear the one signal that Docker sends.
        """
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(container.stop, timeout=timeout_s)
            while futures.wait([ending], timeout=1).not_done:
                with contextlib.suppress(APIError):  # it has just ended
                    container.kill(SHUT_DOWN)
            ending.result()

    def _list_devices(self, machine_id: str) -> None:
        """Have /lab/devices tell what is plugged into a machine now."""
        self._write_list(machine_id, devices.table(self.devices_of(machine_id)))

    def _write_list(self, machine_id: str, content: str) -> None:
        """Write what /lab/plug reads, unless it is there: Docker takes long to write a file."""
        if self._listed.pop(machine_id, None) != content:  # not known until it is written
            self._container(machine_id).put_archive("/", _one_file("lab/devices", content))
        self._listed[machine_id] = content

    def _container(self, machine_id: str) -> Any:
        return self.docker.containers.get(self.name(machine_id))

    def _labels(self, kind: str) -> list[str]:
        return [f"{LABEL}={self.lab}", f"{KIND}={kind}"]


def _one_file(name: str, content: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content.encode())
        tar.addfile(entry, io.BytesIO(content.encode()))
    return out.getvalue()
