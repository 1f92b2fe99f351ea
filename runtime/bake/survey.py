"""What the bake of each role depends on now, what its last one was, and what there is to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runtime.bake import images, key, plan, tools
from runtime.bake.key import Inputs
from runtime.bake.plan import Bake
from runtime.cloud import amis
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role
from runtime.settings import Settings

SOURCE_NAME = "debian-13-amd64-*"
SOURCE_OWNER = "136693071363"  # Debian's own account


@dataclass(frozen=True, kw_only=True)
class Survey:
    """One role: the inputs of its key, and what a bake does about it."""

    inputs: Inputs
    todo: Bake


@dataclass(frozen=True, kw_only=True)
class Past:
    """The last bake of a role, or what was kept instead of one.

    Attributes:
        inputs: of its key, None if there was none.
        seconds: per phase, of the last one made here.
    """

    inputs: Inputs | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


def work_dir(settings: Settings) -> Path:
    """Return where bakes on a target keep their scratch files and memories."""
    return settings.work_dir / "bake"


def scratch_dir(settings: Settings) -> Path:
    """Return where bakes keep what they upload; what is there while none is at work can go."""
    return work_dir(settings) / "scratch"


def clear_scratch(settings: Settings) -> None:
    """Empty it of what a killed bake left; for who holds the target's lock."""
    shutil.rmtree(scratch_dir(settings), ignore_errors=True)
    scratch_dir(settings).mkdir(parents=True)


def source(target: Target) -> str:
    """Return the id of the AMI that base is baked on."""
    return amis.newest(target, name=SOURCE_NAME, owner=SOURCE_OWNER)


def look(
    settings: Settings,
    target: Target,
    role: Role,
    *,
    source: str,
    versions: Inputs,
    origin: str = "",
    forced: bool = False,
) -> Survey:
    """Return what a role depends on and what is to be done about it."""
    found = key.collect(settings, role, source=source, tools=versions, origin=origin)
    todo = plan.decide(
        role,
        found,
        existing=amis.by_key(target, role),
        before=recall(settings, role).inputs,
        forced=forced,
    )
    return Survey(inputs=found, todo=todo)


def explain(
    settings: Settings, target: Target, roles: Sequence[Role] = MACHINE_ROLES
) -> dict[Role, Survey]:
    """Return what base and `roles` depend on; nothing is made, pulled or started."""
    versions = tools.versions(settings)
    base = look(settings, target, Role.BASE, source=source(target), versions=versions)
    chosen = images.choose_bases(settings, roles)
    return {Role.BASE: base} | {
        role: look(
            settings, target, role, source=base.todo.key, versions=versions, origin=chosen[role]
        )
        for role in roles
    }


def recall(settings: Settings, role: Role) -> Past:
    """Return the last bake of a role; none where its memory is not there or from before."""
    try:
        known = json.loads((work_dir(settings) / f"{role}.json").read_text())
        return Past(inputs=known["inputs"], seconds=known["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return Past()


def remember(settings: Settings, role: Role, past: Past) -> None:
    """Keep the last bake of a role."""
    (work_dir(settings) / f"{role}.json").write_text(json.dumps(vars(past), indent=1))


def remember_kept(settings: Settings, role: Role, inputs: Inputs) -> None:
    """Keep the inputs of an AMI that was found, so that the next bake can tell what changed."""
    past = recall(settings, role)
    if past.inputs != inputs:
        remember(settings, role, Past(inputs=inputs, seconds=past.seconds))
