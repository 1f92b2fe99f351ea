"""From sources to a running stack and back: up, bake, destroy."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from runtime import console
from runtime.bake import bake as baking
from runtime.bake import images, survey
from runtime.cloud import channels, machines
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role, parse_role
from runtime.deploy import ready
from runtime.deploy.terraform import Terraform
from runtime.errors import DeployError, UsageError
from runtime.lab import control
from runtime.release import ledger
from runtime.release.record import Release
from runtime.settings import Settings, TargetName
from runtime.verbs import creating, releasing
from runtime.verbs.common import exclusive, find_target, in_turn, newest
from runtime.verify import checks, workflow

_ABOUT = ("role", "AMI", "key", "did", "why")


@dataclass
class Summary:
    """Seconds per phase of `up`, for its last table."""

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[list[str]]:
        """Time the body; it may append what it came to."""
        started, about = time.monotonic(), list[str]()
        yield about
        self.rows.append((name, console.duration(time.monotonic() - started), "; ".join(about)))

    def show(self) -> None:
        """Print the table."""
        console.table(self.rows, header=("phase", "took", "came to"))


@exclusive
def up(settings: Settings, *, force: bool) -> None:
    """Do it all, each phase finding what is done already."""
    summary = Summary()
    started = time.monotonic()
    if settings.target is TargetName.LAB:
        with summary.phase("lab") as about:
            about.append("was up" if control.is_up(settings) else "started")
            control.up(settings)
    target = find_target(settings)
    # In the lab nothing is asked for, and looking ahead takes a while.
    is_new = settings.target is TargetName.AWS and (force or _is_release_due(settings, target))
    ready.require(settings, target, stack=True, trial=is_new)
    with summary.phase("images") as about:
        built = images.build(settings)
        about.append(", ".join(f"{name}: {image.record.origin}" for name, image in built.items()))
    with summary.phase("bake") as about:
        version = creating.choose_version(settings)
        baked = baking.bake(settings, target, version=version, force=force)
        new = [str(role) for role, one in baked.items() if one.is_new]
        about.append(f"baked {', '.join(new)}" if new else "nothing changed")
    with summary.phase("release") as about:
        release, is_new = _release(settings, target, version, baked)
        about.append(f"{release.version}: " + ("verified and recorded" if is_new else "was there"))
    with summary.phase("promote") as about:
        moved = releasing.point(settings, target, release, channels.DEFAULT)
        about.append(f"{channels.DEFAULT}: " + (f"now {release.version}" if moved else "was there"))
    with summary.phase("deploy") as about:
        changed = releasing.apply(settings, target, release)
        about.append("applied" if changed else "nothing changed")
    with summary.phase("verify") as about:
        verdicts = checks.run(target)
        checks.report(verdicts)
        checks.refuse_failed(verdicts)
        about.append(f"{len(verdicts)} checks passed")
    with summary.phase("workflow") as about:
        outcome = workflow.run(target, count=workflow.COUNT)
        about.append(", ".join(f"{name} +{rise}" for name, rise in outcome.deltas().items()))
    summary.rows.append(("all", console.duration(time.monotonic() - started), ""))
    summary.show()
    workflow.celebrate(outcome, release.stand_ins())


@in_turn
def bake(settings: Settings, *, role: str, force: bool, as_json: bool) -> None:
    """Bake what changed of all roles, or of one, and print what is there now."""
    roles = [parse_role(role)] if role else MACHINE_ROLES
    target, version = find_target(settings), creating.choose_version(settings)
    baked = baking.bake(settings, target, version=version, roles=roles, force=force)
    if as_json:
        console.result_json({name: _about(one) for name, one in baked.items()})
        return
    for line in console.layout(
        [tuple(_about(one).values()) for one in baked.values()], header=_ABOUT
    ):
        console.result(line)


def explain(settings: Settings, *, role: str, as_json: bool) -> None:
    """Show what each role's key is made of, and what changed since its last bake."""
    roles = [parse_role(role)] if role else MACHINE_ROLES
    target = find_target(settings)
    found = survey.explain(settings, target, roles)
    if as_json:
        console.result_json(
            {
                name: {"key": one.todo.key, "why": one.todo.why, "inputs": one.inputs}
                for name, one in found.items()
            }
        )
        return
    for name, one in found.items():
        console.result(f"{name}: key {one.todo.key}")
        console.result(
            f"  {'keep ' + one.todo.ami_id if one.todo.ami_id else 'bake'}: {one.todo.why}"
        )
        for line in console.layout(sorted(one.inputs.items()), header=("input", "value")):
            console.result(f"  {line}")


@exclusive
def destroy(settings: Settings, *, yes: bool, data: bool) -> None:
    """Remove the stack, and prove by looking that nothing of it is left but its data.

    With `data` the data volumes go, too.
    """
    target = find_target(settings)
    flags = "--data " if data else ""
    for line in _left(target, data=data):
        console.note(line)
    for volume in () if data else machines.find_data(target):
        console.note(f"stays: {volume}")
    question = "Destroy these, and all stored messages and documents?" if data else "Destroy these?"
    if not yes and not console.confirm(question):
        message = "nothing was destroyed"
        raise UsageError(message, hint=f"./invoke destroy {flags}--yes")
    terraform = Terraform(settings, target)
    with console.step("Destroying the stack and its data" if data else "Destroying the stack"):
        terraform.init()
        terraform.destroy([newest(settings).variables], data=data)
    if left := _left(target, data=data):
        message = "still there: " + ", ".join(left)
        raise DeployError(message, hint=f"./invoke destroy {flags}--yes once more")
    console.note("looked: nothing of the stack is left; AMIs stay (./invoke release.list)")
    for volume in machines.find_data(target):
        console.note(f"kept: {volume} (./invoke deploy attaches it, destroy --data deletes it)")


def images_build(settings: Settings, *, name: str, as_json: bool) -> None:
    """Build images and print what each was built from."""
    built = images.build(settings, [name] if name else images.NAMES)
    if as_json:
        console.result_json({key: vars(image.record) for key, image in built.items()})
        return
    rows = [
        (image.record.name, image.record.base, image.record.origin, image.record.stand_in or "-")
        for image in built.values()
    ]
    for line in console.layout(rows, header=("image", "base", "from", "stand-in")):
        console.result(line)


def _about(baked: baking.Baked) -> dict[str, str]:
    did = "baked" if baked.is_new else "kept"
    return dict(zip(_ABOUT, (baked.role, baked.ami_id, baked.key, did, baked.why), strict=True))


def _is_release_due(settings: Settings, target: Target) -> bool:
    """Return whether a bake comes to other AMIs than those of the newest release."""
    last = ledger.latest(settings.ledger_dir)
    if last is None:
        return True
    found = survey.explain(settings, target)
    return last.ami_ids != {role: found[role].todo.ami_id for role in MACHINE_ROLES}


def _release(
    settings: Settings, target: Target, version: str, baked: Mapping[Role, baking.Baked]
) -> tuple[Release, bool]:
    """Return the newest release if it has these very AMIs, else one made now; and which it is."""
    last = ledger.latest(settings.ledger_dir)
    if last and last.ami_ids == {role: one.ami_id for role, one in baked.items()}:
        return last, False
    return creating.make(settings, target, version, baked), True


def _left(target: Target, *, data: bool) -> list[str]:
    """Return a line for all of the stack that is there and that a destroy is to take away."""
    volumes = machines.find_data(target) if data else []
    return [*machines.leftovers(target), *map(str, volumes)]
