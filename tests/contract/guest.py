"""A Debian machine as a container, with the machine program and loop devices for EBS volumes."""

from __future__ import annotations

import contextlib
import io
import tarfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime import proc
from runtime.bake import stage
from runtime.contract import paths
from runtime.contract.manifest import Manifest
from runtime.contract.roles import Role
from runtime.lab.machines import capabilities, rootfs
from runtime.lab.machines.client import connect
from runtime.settings import ROOT, Settings
from tests.contract import killed

BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"


@dataclass(kw_only=True)
class Volume:
    """A sparse file behind a loop device of this computer."""

    id: str
    file: Path
    device: str

    @property
    def minor(self) -> int:
        """Return the number of the loop device."""
        return int(self.device.removeprefix("/dev/loop"))

    def grow(self, size_mb: int) -> None:
        """Make the volume larger, as ModifyVolume does."""
        proc.run(["truncate", f"--size={size_mb}M", self.file], timeout_s=10)
        proc.run(["losetup", "--set-capacity", self.device], timeout_s=10)


@dataclass(kw_only=True)
class Answer:
    """What a program in the guest came to, its output and errors together."""

    status: int
    said: str


class Guest:
    """A machine of one role with the machine program; `prepare` runs before systemd starts in it.

    Without `prepare` there is no systemd, just the machine program to be called.
    """

    def __init__(
        self, image: str, role: Role, *, files: Mapping[str, bytes] | None = None, prepare: str = ""
    ) -> None:
        """Make it, with the machine program, a manifest and more files."""
        self._docker = connect()
        killed.remove_left(self._docker)
        api = self._docker.api
        host = api.create_host_config(
            cap_add=["ALL"],
            cap_drop=capabilities.missing(capabilities.read_bounding_set()),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            tmpfs={"/run": "exec,mode=755", "/run/lock": ""},
            device_cgroup_rules=["b 7:* rwm"],
            network_mode="none",
        )
        host |= {"MaskedPaths": [], "ReadonlyPaths": [], "CgroupnsMode": "private"}
        created = api.create_container(
            image,
            name=f"bullion-test-{uuid.uuid4().hex[:8]}",
            labels=killed.mine(),
            entrypoint=["sh", "-ec", f"{prepare}\nexec /lab/machine-init"]
            if prepare
            else ["sleep", "infinity"],
            host_config=host,
            stop_signal="SIGRTMIN+3" if prepare else "SIGKILL",
            tty=True,
        )
        self.container = self._docker.containers.get(created["Id"])
        manifest = Manifest(role=role, version="v", key="k", source_ami="a")
        self.put(
            stage.machine_program(ROOT)
            | {str(paths.MANIFEST): manifest.to_json().encode()}
            | dict(files or {})
        )

    def start(self) -> None:
        """Start it."""
        self.container.start()

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files into it, executable by all."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name.lstrip("/"))
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
        self.container.put_archive("/", out.getvalue())

    def run(self, *words: str) -> Answer:
        """Run a program in it; any exit status is an answer."""
        done = self.container.exec_run(list(words))
        return Answer(status=done.exit_code, said=done.output.decode())

    def data(self, *, wait_s: float = 1) -> Answer:
        """Run `bullion data`."""
        program = str(paths.MACHINE_PROGRAM)
        return self.run("python3", "-I", program, "data", "--wait", str(wait_s))

    def attach(self, volume: Volume, *, name: str = "nvme1n1") -> None:
        """Show a volume as the kernel and udev of a Nitro machine do, with both its names."""
        link = f"{BY_ID}{volume.id.replace('-', '')}"
        made = self.run(
            "sh",
            "-ec",
            f"rm -f /dev/{name}; mknod /dev/{name} b 7 {volume.minor}; mkdir -p /dev/disk/by-id;"
            f"ln -sf ../../{name} {link}_1; ln -sf ../../{name} {link}",
        )
        assert made.status == 0, made.said

    def remove(self) -> None:
        """Take it away; what it has mounted goes with it."""
        self.container.remove(force=True, v=True)
        self._docker.close()


@contextlib.contextmanager
def image(settings: Settings) -> Iterator[str]:
    """Yield an image of the lab's Debian, made for this run."""
    client = connect()
    name = f"test{uuid.uuid4().hex[:8]}"
    rootfs._build(client, rootfs._root_file_system(settings.cache_dir), lab=name, wanted="guest")
    try:
        yield f"bullion-{name}/ami:guest"
    finally:
        client.images.remove(f"bullion-{name}/ami:guest", force=True)
        client.close()


@contextlib.contextmanager
def volumes(folder: Path) -> Iterator[Any]:
    """Yield a function that makes a volume of so many MiB; all are taken away at the end."""
    made: list[Volume] = []

    def make(size_mb: int = 64) -> Volume:
        file = folder / f"{uuid.uuid4().hex}.img"
        proc.run(["truncate", f"--size={size_mb}M", file], timeout_s=10)
        shown = proc.run(["losetup", "--find", "--show", file], timeout_s=10)
        volume_id = f"vol-{uuid.uuid4().hex[:17]}"
        made.append(Volume(id=volume_id, file=file, device=shown.stdout.strip()))
        return made[-1]

    try:
        yield make
    finally:
        for volume in made:
            proc.run(["losetup", "--detach", volume.device], timeout_s=10)
