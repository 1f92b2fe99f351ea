"""Composes the rooms into the verbs of tasks.py; the only module that knows all of them.

Each function is one verb: settings and the operator's words in, results on stdout, talk on stderr.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from runtime import console, lock, proc
from runtime.bake import bake as baking
from runtime.bake import images
from runtime.cloud import amis, machines
from runtime.cloud import ssh as remote
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES, Role, parse_role
from runtime.deploy.terraform import Terraform
from runtime.errors import DeployError, ReleaseError, UsageError
from runtime.lab import control
from runtime.release import ledger
from runtime.release.ledger import Release
from runtime.settings import Settings, TargetName
from runtime.verify import checks, workflow

WORKFLOW_COUNT = 100
MOST_MESSAGES = 10_000_000


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


def exclusive(body: Callable[..., None]) -> Callable[..., None]:
    """Let one changing verb at a time work on a target."""

    @functools.wraps(body)
    def alone(settings: Settings, **words: object) -> None:
        with lock.hold(settings.work_dir / "lock", what=f"./invoke {body.__name__}"):
            body(settings, **words)

    return alone


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


# -- the whole ----------------------------------------------------------------------------


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
    with summary.phase("images") as about:
        built = images.build(settings)
        about.append(", ".join(f"{name}: {image.record.origin}" for name, image in built.items()))
    with summary.phase("bake and release") as about:
        release, baked = _bake_and_release(settings, target, force=force)
        new = [str(role) for role, one in baked.items() if one.is_new]
        about.append(f"{release.version}: " + (f"baked {', '.join(new)}" if new else "nothing changed"))
    with summary.phase("deploy") as about:
        about.append("applied" if _apply(settings, target, release) else "nothing changed")
    with summary.phase("verify") as about:
        verdicts = checks.run(target)
        checks.report(verdicts)
        checks.refuse_failed(verdicts)
        about.append(f"{len(verdicts)} checks passed")
    with summary.phase("workflow") as about:
        outcome = workflow.run(target, count=WORKFLOW_COUNT)
        about.append(", ".join(f"{name} +{rise}" for name, rise in outcome.deltas().items()))
    summary.rows.append(("all", console.duration(time.monotonic() - started), ""))
    summary.show()
    workflow.celebrate(outcome, release.stand_ins())


def test(settings: Settings, *, fast: bool, matching: str) -> int:
    """Run pytest on this terminal; return its status."""
    where = ["tests/unit", "tests/style"] if fast else ["tests"]
    argv = [str(settings.root / ".venv/bin/python"), "-m", "pytest", *where]
    return proc.attach([*argv, "-k", matching] if matching else argv, env=settings.passed_on())


# -- bake, release, deploy ----------------------------------------------------------------


@exclusive
def bake(settings: Settings, *, role: str, force: bool) -> None:
    """Bake all roles and record a release, or one role alone."""
    target = find_target(settings)
    if not role:
        release, _ = _bake_and_release(settings, target, force=force)
        console.result(release.version)
        return
    one = parse_role(role)
    baked = baking.bake(settings, target, version=_version(settings), roles=[one], force=force)
    console.result(baked[one].ami_id)


@exclusive
def deploy(settings: Settings, *, version: str) -> None:
    """Launch a release, the newest unless one is named."""
    release = ledger.load(settings.ledger_dir, version) if version else _newest(settings)
    target = find_target(settings)
    if not _apply(settings, target, release):
        console.note(f"release {release.version} runs already; nothing changed")
    for role, machine in machines.find_all(target).items():
        console.result(f"{role} {machine.id} {machine.reach}")


@exclusive
def destroy(settings: Settings, *, yes: bool) -> None:
    """Remove the stack, and prove by looking that nothing of it is left."""
    target = find_target(settings)
    for line in machines.leftovers(target):
        console.note(line)
    if not yes and not console.confirm("Destroy these? Stored documents go with them."):
        message = "nothing was destroyed"
        raise UsageError(message, hint="./invoke destroy --yes")
    terraform = Terraform(settings, target)
    with console.step("Destroying the stack"):
        terraform.init()
        terraform.destroy([_newest(settings).variables])
    if left := machines.leftovers(target):
        message = "still there: " + ", ".join(left)
        raise DeployError(message, hint="./invoke destroy --yes once more")
    console.note("looked: nothing of the stack is left; AMIs stay (./invoke release.list)")


def release_list(settings: Settings, *, as_json: bool) -> None:
    """List releases with their AMIs and bases."""
    releases = ledger.load_all(settings.ledger_dir)
    if as_json:
        console.result_json([{"version": r.version, "ami_ids": r.ami_ids, "stand_ins": r.stand_ins()} for r in releases])
        return
    rows = [(r.version, *r.ami_ids.values(), "; ".join(r.stand_ins()) or "none") for r in releases]
    for line in console.layout(rows, header=("release", *releases[0].ami_ids, "stand-ins")) if releases else ():
        console.result(line)
    if not releases:
        console.note("no release yet: ./invoke bake")


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


# -- looking and proving ------------------------------------------------------------------


def status(settings: Settings, *, as_json: bool) -> None:
    """Show machines, the release they run, and the bases of its images."""
    target = find_target(settings)
    found = machines.find_all(target)
    releases = {release.version: release for release in ledger.load_all(settings.ledger_dir)}
    running = {machine.release for machine in found.values()}
    records = [
        image
        for version in sorted(running & releases.keys())
        for manifest in releases[version].manifests.values()
        for image in manifest.images
    ]
    if as_json:
        console.result_json({
            "target": settings.target,
            "machines": [vars(machine) for machine in found.values()],
            "images": [vars(image) for image in records],
        })
        return
    rows = [(m.role, m.state, m.id, m.reach, m.ami_id, m.release) for m in found.values()]
    for line in console.layout(rows, header=("role", "state", "machine", "address", "AMI", "release")):
        console.result(line)
    console.result("")
    rows = [(i.name, i.base, i.origin, i.stand_in or "-") for i in records]
    for line in console.layout(rows, header=("image", "base", "from", "stand-in")):
        console.result(line)


def verify(settings: Settings, *, as_json: bool) -> None:
    """Check every machine, then the workflow; banner at the end."""
    target = find_target(settings)
    verdicts = checks.run(target)
    checks.report(verdicts)
    stand_ins = _running_stand_ins(settings, target)
    if as_json and any(not verdict.check.ok for verdict in verdicts):
        console.result_json({"checks": checks.to_json(verdicts), "stand_ins": stand_ins})
    checks.refuse_failed(verdicts)
    outcome = workflow.run(target, count=WORKFLOW_COUNT)
    if as_json:
        report = {"checks": checks.to_json(verdicts), "workflow": vars(outcome), "stand_ins": stand_ins}
        console.result_json(report)
    workflow.celebrate(outcome, stand_ins)


def verify_role(settings: Settings, role: str, *, as_json: bool) -> None:
    """Check one machine."""
    verdicts = checks.run(find_target(settings), [parse_role(role)])
    checks.report(verdicts)
    if as_json:
        console.result_json(checks.to_json(verdicts))
    checks.refuse_failed(verdicts)


def verify_workflow(settings: Settings, *, count: str, as_json: bool) -> None:
    """Prove that exactly what was sent arrived."""
    target = find_target(settings)
    outcome = workflow.run(target, count=_count(count) or WORKFLOW_COUNT)
    if as_json:
        console.result_json(vars(outcome))
    workflow.celebrate(outcome, _running_stand_ins(settings, target))


# -- working on machines ------------------------------------------------------------------


def produce(settings: Settings, *, count: str, interval: str, source: str) -> None:
    """Send one run and print its report."""
    target = find_target(settings)
    sent = workflow.produce(target, count=_count(count), interval_s=_seconds(interval), source=source)
    console.result_json({"sent": dict(sent.by_topic), "failed": sent.failed, "seconds": sent.seconds})


@exclusive
def refresh(settings: Settings, *, role: str) -> None:
    """Bring the stacks of machines in line with their tags."""
    target = find_target(settings)
    for one in [parse_role(role)] if role else MACHINE_ROLES:
        with console.step(f"Refreshing {one}"):
            remote.run(target, machines.find(target, one), ["sudo", "bullion", "refresh"], timeout_s=400)


@exclusive
def reset_mongo(settings: Settings, *, yes: bool) -> None:
    """Delete every stored document and apply the seeds again."""
    target = find_target(settings)
    mongo = machines.find(target, Role.MONGO)
    console.note(f"stored now: {workflow.counts(target, mongo)}")
    if not yes and not console.confirm("Delete every stored document?"):
        message = "nothing was deleted"
        raise UsageError(message, hint="./invoke mongo-factory-reset --yes")
    with console.step("Resetting the store"):
        remote.run(target, mongo, ["sudo", "bullion", "reset", "--yes"], timeout_s=400)
    console.note(f"stored now: {workflow.counts(target, mongo)}")


def ssh(settings: Settings, role: str) -> int:
    """Open a shell on a machine; return its status."""
    target = find_target(settings)
    return proc.attach(remote.command(target, machines.find(target, parse_role(role)), [], tty=True))


def logs(settings: Settings, role: str, *, follow: bool) -> int:
    """Show a machine's journal of boot, stack and containers; return the status."""
    target = find_target(settings)
    units = ["-u", "bullion-boot", "-u", "bullion-stack", "-u", "docker"]
    words = ["sudo", "journalctl", "--no-pager", "-n", "200", *units, *(["-f"] if follow else [])]
    return proc.attach(remote.command(target, machines.find(target, parse_role(role)), words, tty=follow))


# -- the lab ------------------------------------------------------------------------------


@exclusive
def lab_up(settings: Settings) -> None:
    """Start the lab and print its endpoint."""
    console.result(control.up(settings).endpoint)


@exclusive
def lab_down(settings: Settings) -> None:
    """Stop the lab."""
    with console.step("Stopping the lab"):
        control.down(settings)


def lab_status(settings: Settings, *, as_json: bool) -> None:
    """Show the lab's machines and AMIs."""
    found = control.status(settings)
    if as_json:
        console.result_json(found)
        return
    console.result(f"lab {found['lab']}: {found['api'] or 'not running (./invoke lab.up)'}")
    rows = [tuple(machine.values()) for machine in found.get("machines", ())]
    for line in console.layout(rows, header=("machine", "name", "state", "address", "AMI")):
        console.result(line)
    for ami, name in found.get("amis", {}).items():
        console.result(f"{ami}  {name}")


def lab_shell(settings: Settings, machine: str) -> int:
    """Open a root shell on a machine of the lab; return its status."""
    return control.shell(settings, machine)


def lab_reset(settings: Settings, *, yes: bool) -> None:
    """Remove everything of the lab."""
    removed = control.reset(settings, yes=yes)
    console.note(f"removed {len(removed)} things and {settings.lab_dir}")


# -- pieces -------------------------------------------------------------------------------


def _bake_and_release(
    settings: Settings, target: Target, *, force: bool
) -> tuple[Release, dict[Role, baking.Baked]]:
    """Bake what changed; record a release unless the newest has these very AMIs."""
    baked = baking.bake(settings, target, version=_version(settings), force=force)
    ami_ids = {role: one.ami_id for role, one in baked.items()}
    last = ledger.latest(settings.ledger_dir)
    if last and dict(last.ami_ids) == ami_ids:
        return last, baked
    manifests = {role: one.manifest for role, one in baked.items()}
    release = ledger.write(settings.ledger_dir, _version(settings), ami_ids, manifests)
    console.note(f"recorded release {release.version}: {release.variables}")
    return release, baked


def _apply(settings: Settings, target: Target, release: Release) -> bool:
    """Bring the stack to a release; return whether anything changed."""
    if gone := amis.missing(target, list(release.ami_ids.values())):
        message = f"release {release.version} can't be launched: no AMI {', '.join(gone)} on {target.name}"
        raise ReleaseError(message, hint="./invoke bake, or --release with another version")
    terraform = Terraform(settings, target)
    with console.step("Comparing with Terraform's plan"):
        terraform.init()
        if not terraform.has_changes([release.variables]):
            return False
    with console.step(f"Launching release {release.version}"):
        terraform.apply([release.variables])
    return True


def _newest(settings: Settings) -> Release:
    release = ledger.latest(settings.ledger_dir)
    if release is None:
        message = f"there is no release for {settings.target} yet"
        raise ReleaseError(message, hint=f"./invoke bake --target {settings.target}")
    return release


def _version(settings: Settings) -> str:
    return ledger.next_version(settings.ledger_dir, datetime.now(UTC).date())


def _running_stand_ins(settings: Settings, target: Target) -> list[str]:
    running = {machine.release for machine in machines.find_all(target).values()}
    known = (release for release in ledger.load_all(settings.ledger_dir) if release.version in running)
    return sorted({stand_in for release in known for stand_in in release.stand_ins()})


def _count(text: str) -> int | None:
    if not text:
        return None
    if text.isdigit() and 1 <= int(text) <= MOST_MESSAGES:
        return int(text)
    message = f"--count is {text!r}; allowed: a whole number from 1 to {MOST_MESSAGES}"
    raise UsageError(message, hint="./invoke produce --count 100")


def _seconds(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1
    if 0 <= value <= 3600:  # noqa: PLR2004  an hour, the parameter's own bound
        return value
    message = f"--interval is {text!r}; allowed: seconds from 0 to 3600"
    raise UsageError(message, hint="./invoke produce --interval 0.5")
