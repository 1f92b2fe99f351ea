"""What of a lab is on the computer: containers, networks, volumes and AMIs that carry its name."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, NotFound

from runtime.errors import BullionError, LabError
from runtime.lab.machines import blocks, labels
from runtime.lab.machines.blocks import Blocks
from runtime.lab.machines.hypervisor import Hypervisor
from runtime.lab.machines.labels import AMI, HOME, KIND, LABEL

RUNNING = frozenset({"keeper", "machine", "copy", "network"})
ALL = RUNNING | {"volume", "ami"}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One thing of a lab: what it is called in a list, and how it is removed."""

    line: str
    remove: Callable[[], object]


def find(hypervisor: Hypervisor, kinds: Collection[str] = ALL) -> list[Piece]:
    """Return what there is of these kinds, in the order in which it can go."""
    mine = hypervisor.lab
    return list(_find(hypervisor.docker, kinds, lambda carried: carried[LABEL] == mine))


def find_vanished(docker: Any, kinds: Collection[str] = ALL) -> list[Piece]:
    """Return what is left of labs whose checkout is not on this computer any more."""
    wanted = functools.partial(_find, docker, is_wanted=_is_vanished)
    found = list(wanted(RUNNING & set(kinds)))
    if "volume" in kinds:  # after the machines that use them, before the AMIs, which release them
        found += _orphans(docker)
    return found + list(wanted(set(kinds) - RUNNING))


def _orphans(docker: Any) -> Iterator[Piece]:
    """Yield loop devices of labs that have no other thing of a checkout that is there."""
    containers = docker.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True)
    things = [one.labels for one in containers]
    things += [one["Labels"] for one in labels.images(docker, LABEL)]
    living = {found[LABEL] for found in things if not _is_vanished(found)}
    for lab, volume_id, loop in blocks.orphans():
        if lab not in living:
            release = functools.partial(Blocks(docker, lab, Path()).release, volume_id)
            yield Piece(line=f"loop device /dev/loop{loop} of {volume_id}", remove=release)


def find_volumes(mine: Blocks) -> list[Piece]:
    """Return the files of volumes and snapshots, and what is bound to a loop device.

    They go after the machines that use them and before the AMIs, which release them.
    """
    loops = mine.loops()
    bound = [
        Piece(
            line=f"loop device /dev/loop{loop} of {volume_id}",
            remove=functools.partial(mine.release, volume_id),
        )
        for volume_id, loop in loops.items()
    ]
    return bound + [
        Piece(
            line=f"file {path.name} ({path.stat().st_blocks * 512 >> 20} MiB)", remove=path.unlink
        )
        for path in mine.files()
    ]


def remove(pieces: Iterable[Piece]) -> None:
    """Remove the pieces that are still there.

    Raises:
        LabError: some could not be removed; names them.
    """
    kept = []
    for piece in pieces:
        try:
            piece.remove()
        except (NotFound, FileNotFoundError):  # images may go with a child of theirs
            continue
        except (DockerException, BullionError, OSError) as error:
            kept.append(f"{piece.line}: {error}")
    if kept:
        message = "these could not be removed:\n  " + "\n  ".join(kept)
        raise LabError(message, hint="docker ps -a; docker network ls; then try again")


def make_room(hypervisor: Hypervisor) -> list[str]:
    """Free network ranges that nobody uses; return what was removed.

    That are machines of checkouts that are gone, and networks of other labs that no machine runs
    in: a lab that is down makes a network again when it comes up; it is told if the range is taken.
    """
    docker = hypervisor.docker
    pieces = find_vanished(docker, RUNNING)
    remove(pieces)
    removed = [piece.line for piece in pieces]
    for net in docker.networks.list(filters={"label": LABEL}, greedy=True):
        is_other = net.attrs["Labels"][LABEL] != hypervisor.lab
        if is_other and not net.attrs.get("Containers"):
            with contextlib.suppress(APIError):  # somebody moved in meanwhile
                net.remove()
                removed.append(f"network {net.name}")
    return removed


def _is_vanished(carried: Mapping[str, str]) -> bool:
    """Return whether a checkout on this computer, and not in a container beside it, is gone."""
    host, _, folder = carried.get(HOME, "").partition(":")
    return host == socket.gethostname() and bool(folder) and not Path(folder).exists()


def _find(
    docker: Any, kinds: Collection[str], is_wanted: Callable[[Mapping[str, str]], bool]
) -> Iterator[Piece]:
    labelled = {"label": LABEL}
    for container in docker.containers.list(all=True, filters=labelled, ignore_removed=True):
        if container.labels[KIND] in kinds and is_wanted(container.labels):
            line = f"container {container.name} ({container.status})"
            yield Piece(line=line, remove=functools.partial(container.remove, force=True, v=True))
    for net in docker.networks.list(filters=labelled) if "network" in kinds else ():
        if is_wanted(net.attrs["Labels"]):
            yield Piece(line=f"network {net.name}", remove=net.remove)
    for volume in docker.volumes.list(filters=labelled) if "volume" in kinds else ():
        if is_wanted(volume.attrs["Labels"]):
            gone = functools.partial(volume.remove, force=True)
            yield Piece(line=f"volume {volume.name}", remove=gone)
    for image in labels.images(docker, LABEL) if "ami" in kinds else ():
        if is_wanted(image["Labels"]):
            line = f"AMI {image['Labels'].get(AMI, '')} ({image['Id'][:19]})"
            gone = functools.partial(docker.images.remove, image["Id"], force=True)
            yield Piece(line=line, remove=gone)
