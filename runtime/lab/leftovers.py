"""What of a lab is on the computer: containers, networks, volumes and AMIs that carry its name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from runtime import console
from runtime.lab.blocks import Blocks
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


def find_volumes(blocks: Blocks) -> list[Piece]:
    """Return the files of volumes and snapshots, and what is bound to a loop device.

    They go after the machines that use them and before the AMIs, which release them.
    """
    loops = blocks.loops()
    bound = [
        Piece(
            line=f"loop device /dev/loop{loop} of {volume_id}",
            remove=functools.partial(blocks.release, volume_id),
        )
        for volume_id, loop in loops.items()
    ]
    return bound + [
        Piece(
            line=f"file {path.name} ({path.stat().st_blocks * 512 >> 20} MiB)", remove=path.unlink
        )
        for path in blocks.files()
    ]


def remove(pieces: Iterable[Piece]) -> None:
    """Remove the pieces that are still there."""
    for piece in pieces:
        with contextlib.suppress(Exception):  # images may go with a child of theirs
            piece.remove()


def remove_machines(hypervisor: Hypervisor) -> None:
    """Remove machines that a stopped lab left: its records of them are gone."""
    found = find(hypervisor, RUNNING)
    if found:
        console.warn("the lab's API had stopped and its records are gone; AMIs stay, these go:")
        for piece in found:
            console.note(f"  {piece.line}")
        remove(found)
        for machine_id in hypervisor.machines():
            hypervisor.remove(machine_id)


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
