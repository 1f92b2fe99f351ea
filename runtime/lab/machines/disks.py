"""Disks: an AMI is a committed root file system and a copy of each data directory's volume.

`docker commit` leaves volumes out, and nested Docker needs its data on one (overlay on overlay is
refused by the kernel), so volumes are copied when an AMI is made and again for each machine.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import docker
from docker.errors import APIError, NotFound

from runtime.errors import LabError
from runtime.lab.machines.labels import AMI, HOME, KIND, LABEL, MACHINE, home, images, of_machine

DATA_DIRS = ("/var/lib/docker",)  # overlay on overlay is refused by the kernel: needs a volume

# Copies volume $1 to volume $2. Finished layers of a nested Docker's images, which is nearly all
# there is, are never written to again (Docker marks them `committed`): hard links do, so a copy
# takes time by the number of files and no room. Everything else is copied, sharing blocks where
# the file system can. Links need one mount: hence the folder that holds both.
_COPY = r"""
set -e
from="/volumes/$1/_data" to="/volumes/$2/_data"
chmod --reference="$from" "$to"
find "$from" -mindepth 1 -maxdepth 1 ! -name overlay2 -exec cp -a --reflink=auto -t "$to" {} +
[ -d "$from/overlay2" ] || exit 0
mkdir -m 710 -p "$to/overlay2"
for layer in "$from"/overlay2/*; do
  if [ -e "$layer/committed" ] && cp -al -t "$to/overlay2" "$layer" 2>/dev/null; then continue; fi
  rm -rf "$to/overlay2/${layer##*/}"
  cp -a --reflink=auto -t "$to/overlay2" "$layer"
done
"""


class Disks:
    """The disks of one lab: of its AMIs and of its machines."""

    def __init__(self, client: docker.DockerClient, lab: str) -> None:
        """Work for the lab called `lab`."""
        self.docker = client
        self.lab = lab
        self._copying = threading.Lock()
        self._leaving: set[str] = set()  # AMIs that are gone but for those made of them

    def image_of(self, ami_id: str) -> str:
        """Return the Docker image that holds an AMI's root file system.

        Raises:
            LabError: there is none; a launch must then be refused.
        """
        found = self._images(f"{AMI}={ami_id}")
        if not found:
            message = f"AMI {ami_id} has no disk in this lab"
            raise LabError(message, hint="./invoke bake --force")
        return str(found[0]["Id"])

    def capture(self, container: Any, machine_id: str, ami_id: str) -> None:
        """Make an AMI of a stopped machine: its root committed, its data directories copied.

        The image's configuration is set explicitly: a commit would otherwise bake what the
        launch was given.
        """
        labels = {LABEL: self.lab, HOME: home(), KIND: "ami", AMI: ami_id, MACHINE: ""}
        changes = [f"LABEL {json.dumps(key)}={json.dumps(value)}" for key, value in labels.items()]
        container.commit(
            repository=f"bullion-{self.lab}/ami",
            tag=ami_id,
            changes=[*changes, 'ENTRYPOINT ["/lab/machine-init"]', "CMD []"],
        )
        for volume in self._volumes({MACHINE: machine_id}):
            path = volume.attrs["Labels"]["bullion.path"]
            copy = self._make_volume({AMI: ami_id, "bullion.path": path})
            self._copy_volume(volume.name, copy)

    def discard(self, ami_id: str) -> None:
        """Remove an AMI's image and volumes.

        An image that machines or other AMIs are made of goes with the last of them: as on EC2,
        deregistering does nothing to those.
        """
        self._leaving.add(ami_id)
        for volume in self._volumes({AMI: ami_id}):
            volume.remove(force=True)
        self._let_go()

    def _let_go(self) -> None:
        for ami_id in sorted(self._leaving):
            try:
                for image in self._images(f"{AMI}={ami_id}"):
                    self.docker.images.remove(image["Id"], force=True)
            except APIError:  # something is made of it
                continue
            self._leaving.discard(ami_id)

    def amis(self) -> set[str]:
        """Return the ids of the AMIs whose disks are here."""
        return {image["Labels"][AMI] for image in self._images(AMI) if image["Labels"][AMI]}

    def is_made(self, ami_id: str) -> bool:
        """Return whether an AMI's disk came from a machine, and not from outside as a source."""
        found = self._images(f"{AMI}={ami_id}")
        return bool(self._volumes({AMI: ami_id})) or any(MACHINE in one["Labels"] for one in found)

    def copy_for(self, machine_id: str, ami_id: str) -> dict[str, str]:
        """Return {data directory: new volume}, each a copy of the AMI's if it has one."""
        kept = {v.attrs["Labels"]["bullion.path"]: v.name for v in self._volumes({AMI: ami_id})}
        mounts = {}
        for path in DATA_DIRS:
            mounts[path] = self._make_volume({MACHINE: machine_id, "bullion.path": path})
            if path in kept:
                self._copy_volume(kept[path], mounts[path])
        return mounts

    def remove(self, machine_id: str) -> None:
        """Remove the volumes of a machine whose container is gone."""
        for volume in self._volumes({MACHINE: machine_id}):
            volume.remove(force=True)
        self._let_go()

    def _make_volume(self, labels: Mapping[str, str]) -> str:
        return str(
            self.docker.volumes.create(labels={LABEL: self.lab, HOME: home(), **labels}).name
        )

    def _copy_volume(self, source: str, target: str) -> None:
        argv = ["sh", "-c", _COPY, "sh", source, target]
        done = self._copier(source).exec_run(argv)
        if done.exit_code:
            said = bytes(done.output or b"").decode(errors="replace").strip()
            message = f"volume {source} could not be copied: {said}"
            raise LabError(message, hint="df -h; docker volume ls")

    def _copier(self, volume: str) -> Any:
        """Return the container that copies volumes; one for all copies, as a start costs more.

        It sees all of Docker's volumes, and is made of a source AMI, which no bake replaces.
        """
        with self._copying:
            with contextlib.suppress(NotFound):
                found = self.docker.containers.get(self._copier_name)
                found.start()  # nothing happens where it runs
                return found
            place = PurePosixPath(self.docker.volumes.get(volume).attrs["Mountpoint"]).parent.parent
            return self.docker.containers.run(
                self._source_image(),
                entrypoint=["sleep", "infinity"],
                name=self._copier_name,
                network_mode="none",
                detach=True,
                init=True,
                volumes={str(place): {"bind": "/volumes", "mode": "rw"}},
                labels=of_machine(self.lab, "copy", ""),
            )

    def _source_image(self) -> str:
        return str(next(one["Id"] for one in self._images(AMI) if MACHINE not in one["Labels"]))

    def end_copying(self) -> None:
        """Remove the container that copies volumes; the next copy makes one again."""
        with self._copying, contextlib.suppress(APIError):  # there is none, or it goes already
            self.docker.containers.get(self._copier_name).remove(force=True)

    @property
    def _copier_name(self) -> str:
        return f"bullion-{self.lab}-copier"

    def _images(self, label: str) -> list[Mapping[str, Any]]:
        """Return the images of this lab's AMIs that have a label."""
        return images(self.docker, f"{LABEL}={self.lab}", label)

    def _volumes(self, labels: Mapping[str, str]) -> list[Any]:
        wanted = [f"{LABEL}={self.lab}", *(f"{key}={value}" for key, value in labels.items())]
        return list(self.docker.volumes.list(filters={"label": wanted}))
