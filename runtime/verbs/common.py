"""What several verbs need: the target, the newest release, one at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec

from runtime import lock
from runtime.cloud import machines
from runtime.cloud.target import Target
from runtime.errors import ReleaseError
from runtime.lab import control
from runtime.release import ledger
from runtime.release.record import Release
from runtime.settings import Settings, TargetName

Words = ParamSpec("Words")


def exclusive(
    body: Callable[Concatenate[Settings, Words], None],
) -> Callable[Concatenate[Settings, Words], None]:
    """Let one changing verb at a time work on a target; another is refused."""

    @functools.wraps(body)
    def alone(settings: Settings, /, *words: Words.args, **more: Words.kwargs) -> None:
        with lock.hold(settings.work_dir / "lock", what=f"./invoke {body.__name__}"):
            body(settings, *words, **more)

    return alone


def in_turn(
    body: Callable[Concatenate[Settings, Words], None],
) -> Callable[Concatenate[Settings, Words], None]:
    """Let one changing verb at a time work on a target; this one waits for another's end."""

    @functools.wraps(body)
    def waiting(settings: Settings, /, *words: Words.args, **more: Words.kwargs) -> None:
        with lock.take_turn(settings.work_dir / "lock", what=f"./invoke {body.__name__}"):
            body(settings, *words, **more)

    return waiting


def spell_out(words: Sequence[str], may_follow: Mapping[str, str]) -> list[str]:
    """Return what was typed, with a word that may follow a verb as the flag that it stands for.

    Invoke knows only words that must follow. `may_follow` is {verb: its flag}.
    """
    found = list(words)
    for at, word in enumerate(words[:-1]):
        if word in may_follow and not words[at + 1].startswith("-"):
            found[at + 1 : at + 2] = [f"--{may_follow[word]}", words[at + 1]]
            break
    return found


def find_target(settings: Settings) -> Target:
    """Return the target: the running lab, or AWS with the operator's own credentials."""
    if settings.target is TargetName.LAB:
        return control.target(settings)
    return Target(
        name=TargetName.AWS,
        region=settings.region,
        endpoint="",
        credentials=settings.aws_credentials,
        ssh_key=settings.ssh_key,
        ssh_user=control.SSH_USER,
        known_hosts=settings.work_dir / "known_hosts",
    )


def newest(settings: Settings) -> Release:
    """Return the newest release of the target, or raise ReleaseError."""
    release = ledger.latest(settings.ledger_dir)
    if release is None:
        message = f"there is no release for {settings.target} yet"
        raise ReleaseError(message, hint=f"./invoke release.create --target {settings.target}")
    return release


def running(settings: Settings, target: Target) -> list[Release]:
    """Return the releases that machines run, as far as the ledger has them."""
    versions = {machine.release for machine in machines.find_all(target).values()}
    return [
        ledger.load(settings.ledger_dir, version)
        for version in sorted(versions)
        if ledger.path(settings.ledger_dir, version).exists()
    ]


def running_stand_ins(settings: Settings, target: Target) -> list[str]:
    """Return what stands in for something else on the machines that run."""
    return sorted({one for release in running(settings, target) for one in release.stand_ins()})
