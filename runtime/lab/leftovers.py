"""What of a lab is on the computer: containers, networks, volumes and AMIs that carry its label."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from docker.errors import APIError

from runtime.lab.disks import KIND, LABEL
from runtime.lab.hypervisor import Hypervisor

RUNNING = frozenset({"keeper", "machine", "copy", "network"})  # what goes when a lab goes down


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One thing of a lab: what it is called in a list, and how it is removed."""

    line: str
    remove: Callable[[], object]


def find(hypervisor: Hypervisor, kinds: frozenset[str] | None = None) -> list[Piece]:
    """Return what there is of these kinds, of all without, in the order in which it can go."""
    return list(_find(hypervisor, kinds))


def remove(pieces: Iterable[Piece]) -> None:
    """Remove the pieces that are still there."""
    for piece in pieces:
        with contextlib.suppress(Exception):  # images may go with a child of theirs
            piece.remove()


def make_room(hypervisor: Hypervisor) -> list[str]:
    """Remove networks that no machine runs in, of any other lab here; return what was removed.

    A lab that is down makes a network again when it comes up; it is told if the range is taken.
    """
    removed = []
    for net in hypervisor.docker.networks.list(filters={"label": LABEL}, greedy=True):
        is_other = net.attrs["Labels"][LABEL] != hypervisor.lab
        if is_other and not net.attrs.get("Containers"):
            with contextlib.suppress(APIError):  # somebody moved in meanwhile
                net.remove()
                removed.append(f"network {net.name}")
    return removed


def _find(hypervisor: Hypervisor, kinds: frozenset[str] | None) -> Iterator[Piece]:
    docker, mine = hypervisor.docker, {"label": f"{LABEL}={hypervisor.lab}"}
    for container in docker.containers.list(all=True, filters=mine):
        if kinds is None or container.labels[KIND] in kinds:
            line = f"container {container.name} ({container.status})"
            yield Piece(line=line, remove=functools.partial(container.remove, force=True, v=True))
    if kinds is None or "network" in kinds:
        for net in docker.networks.list(filters=mine):
            yield Piece(line=f"network {net.name}", remove=net.remove)
    if kinds is None:
        for volume in docker.volumes.list(filters=mine):
            yield Piece(
                line=f"volume {volume.name}", remove=functools.partial(volume.remove, force=True)
            )
        for image in docker.images.list(filters=mine):
            line = f"AMI {image.labels.get('bullion.ami', '')} ({image.short_id})"
            gone = functools.partial(docker.images.remove, image.id, force=True)
            yield Piece(line=line, remove=gone)
