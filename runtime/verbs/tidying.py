"""The janitor: what killed bakes and trial stacks left, shown, asked about, removed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from runtime import console, lock, orphans, wait
from runtime.bake import survey
from runtime.cloud import leftovers, removal
from runtime.cloud.leftovers import Leftover
from runtime.cloud.target import Target
from runtime.deploy.terraform import Terraform
from runtime.errors import CloudError, UsageError
from runtime.release import janitor as tidy
from runtime.release.janitor import Runs, Verdict
from runtime.settings import Settings, TargetName
from runtime.verbs.common import exclusive, find_target

ORPHANS_S = 180  # a Packer whose bake was killed ends when it is told, or next says something


@exclusive
def janitor(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Remove what is left of runs that are over, after showing it, and look that it is gone."""
    target = find_target(settings)
    _await_orphans(settings)
    survey.clear_scratch(settings)
    verdicts = _look(settings, target)
    _show(verdicts, as_json=as_json)
    if going := [verdict.leftover for verdict in verdicts if verdict.goes]:
        if not yes and not console.confirm("Remove these?"):
            message = "nothing was removed"
            raise UsageError(message, hint=f"./invoke janitor --target {settings.target} --yes")
        _remove(settings, target, going)
        verdicts = [verdict for verdict in verdicts if not verdict.goes]
    owners = {verdict.leftover.owner for verdict in verdicts}
    for run in _runs(settings).killed:
        if run not in owners:
            if run.startswith(leftovers.TRIAL):
                Terraform(settings, target, stack=run).forget()
            (settings.runs_dir / run).unlink(missing_ok=True)


def _await_orphans(settings: Settings) -> None:
    """Wait for programs of killed runs; none but those can be at work, as we hold the lock."""
    if not _runs(settings).at_work:
        return

    def are_gone() -> bool:
        for run in _runs(settings).at_work:
            orphans.end_plugins(settings.runs_dir / run)
        return not _runs(settings).at_work

    with console.step("Waiting for what a killed run started, and what still works"):
        wait.until(
            are_gone,
            what="the programs of killed runs to end",
            timeout_s=ORPHANS_S,
            last=lambda: ", ".join(_runs(settings).at_work),
            hint="end them (ps -C packer,terraform), then ./invoke janitor again",
        )


def _look(settings: Settings, target: Target) -> list[Verdict]:
    found = [*leftovers.find_of_bakes(target), *leftovers.find_of_trials(target)]
    return tidy.plan(found, _runs(settings), now=datetime.now(UTC))


def _show(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    if as_json:
        console.result_json([vars(one.leftover) | {"goes": one.goes} for one in verdicts])
    if not verdicts:
        console.note("looked: nothing is left of any bake or trial stack")
        return
    rows = [
        ("goes" if one.goes else "stays", str(one.leftover), one.leftover.owner, one.why)
        for one in verdicts
    ]
    console.table(rows, header=("", "what", "of", "why"))


def _remove(settings: Settings, target: Target, going: Sequence[Leftover]) -> None:
    with console.step(f"Removing {len(going)} things"):
        failed = removal.remove(target, going)
    left = [verdict.leftover for verdict in _look(settings, target) if verdict.goes]
    if failed or left:
        message = "still there: " + "; ".join([*failed, *map(str, left)])
        raise CloudError(message, hint=f"./invoke janitor --target {settings.target} once more")
    console.note(f"removed {len(going)} things; looked: nothing is left of runs that are over")


def _runs(settings: Settings) -> Runs:
    return Runs(
        at_work=lock.find_at_work(settings.runs_dir),
        killed=lock.find_killed(settings.runs_dir),
        is_shared=settings.target is TargetName.AWS,
    )
