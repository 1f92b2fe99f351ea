"""What several verbs need: the target, the newest release, one at a time."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path

from runtime import console, lock, wait
from runtime.cloud import machines
from runtime.cloud.target import Target
from runtime.errors import BusyError, ReleaseError
from runtime.lab import control
from runtime.release import ledger
from runtime.release.record import Release
from runtime.settings import Settings, TargetName

TURN_S = 7200  # how long one run waits for another


def exclusive(body: Callable[..., None]) -> Callable[..., None]:
    """Let one changing verb at a time work on a target; another is refused."""

    @functools.wraps(body)
    def alone(settings: Settings, **words: object) -> None:
        with lock.hold(settings.work_dir / "lock", what=f"./invoke {body.__name__}"):
            body(settings, **words)

    return alone


def in_turn(body: Callable[..., None]) -> Callable[..., None]:
    """Let one changing verb at a time work on a target; this one waits for another's end."""

    @functools.wraps(body)
    def waiting(settings: Settings, **words: object) -> None:
        with contextlib.ExitStack() as held:
            _take_turn(held, settings.work_dir / "lock", what=f"./invoke {body.__name__}")
            body(settings, **words)

    return waiting


def _take_turn(held: contextlib.ExitStack, path: Path, *, what: str) -> None:
    """Enter the lock into `held`, as soon as whoever holds it has ended."""
    seen: list[BusyError] = []

    def is_ours() -> bool:
        try:
            held.enter_context(lock.hold(path, what=what))
        except BusyError as busy:
            seen.append(busy)
            return False
        return True

    if is_ours():
        return
    with console.step(f"Waiting, as {seen[0].message}"):
        wait.until(
            is_ours,
            what="the other run to end",
            timeout_s=TURN_S,
            every_s=0.5,
            last=lambda: seen[-1].message,
            hint=seen[-1].hint,
        )


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
