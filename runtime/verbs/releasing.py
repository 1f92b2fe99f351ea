"""A release gets into a channel and onto machines, and back: promote, deploy, rollback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runtime import console
from runtime.cloud import ami_guards, amis, channels, machines
from runtime.cloud.target import Target
from runtime.contract.data import OWNERS
from runtime.contract.roles import Role
from runtime.deploy import ready
from runtime.deploy.terraform import Terraform
from runtime.errors import DeployError, ReleaseError
from runtime.release import channel as following
from runtime.release import formats, ledger, overrides
from runtime.release.record import Release
from runtime.settings import Settings
from runtime.verbs.common import exclusive, find_target

REHEARSED_ON = "t3.micro"


@exclusive
def promote(settings: Settings, *, version: str, channel: str) -> None:
    """Point a channel to a release whose AMIs can be launched."""
    release = ledger.load(settings.ledger_dir, version)
    point(settings, find_target(settings), release, channel)
    console.result(f"{channel} {release.version}")


@exclusive
def deploy(settings: Settings, *, version: str, channel: str) -> None:
    """Launch the release of a channel, or the one that is named."""
    target = find_target(settings)
    ready.require(settings, target, stack=True)
    if version:
        release = ledger.load(settings.ledger_dir, version)
    else:
        release = release_of(settings, target, channel)
    if not apply(settings, target, release):
        console.note(f"release {release.version} runs already; nothing changed")
    show(target)


@exclusive
def rollback(settings: Settings, *, channel: str) -> None:
    """Launch the release that a channel had before, and point the channel to it.

    In this order, as what failed is typed again: a channel that had moved would go one too far.
    """
    target = find_target(settings)
    ready.require(settings, target, stack=True)
    history = channels.history(target, channel)
    now, before = following.current(history, channel), following.previous(history, channel)
    release = ledger.load(settings.ledger_dir, before)
    console.note(f"{channel} goes back from {now} to {before}")
    refuse_unlaunchable(target, release)
    try:
        apply(settings, target, release)
    except DeployError as error:
        again = f"./invoke rollback --channel {channel}"
        back = f"./invoke deploy --channel {channel} for {now}, which {channel} still has"
        raise DeployError(error.message, hint=f"{error.hint}; {again} to go on; {back}") from error
    point(settings, target, release, channel)
    show(target)


def release_of(settings: Settings, target: Target, channel: str) -> Release:
    """Return the release that a channel has.

    Raises:
        ReleaseError: it has none, or other AMIs than the release's file.
    """
    history = channels.history(target, channel)
    release = ledger.load(settings.ledger_dir, following.current(history, channel))
    following.refuse_other_amis(history, channel, release)
    return release


def point(settings: Settings, target: Target, release: Release, channel: str) -> bool:
    """Point a channel to a release, and have protection follow; return whether it moved.

    Raises:
        ReleaseError: an AMI is gone or would not be launched; nothing was moved.
    """
    history = channels.history(target, channel)
    last = {role: one[-1] for role, one in history.items() if one}
    wanted = {
        role: channels.Entry(release=release.version, ami_id=ami_id)
        for role, ami_id in release.ami_ids.items()
    }
    known = ledger.load_all(settings.ledger_dir)  # a damaged file is told of before anything moves
    if last != wanted:
        refuse_unlaunchable(target, release)
    with console.step(f"Pointing {channel} to release {release.version}"):
        # Also where it points already: a promote that was cut short left labels and protection out.
        channels.move(target, channel, release.version, release.ami_ids)
        for line in _protect(target, known):
            console.note(line)
    return last != wanted


def apply(settings: Settings, target: Target, release: Release) -> bool:
    """Bring the stack to a release; return whether anything changed.

    Raises:
        ReleaseError: its AMIs are gone, it can't read the data there is, or it lacks a parameter
            that is overridden; nothing was touched.
    """
    _refuse_gone(target, release)
    formats.refuse_unreadable(release, writers(settings, target))
    terraform = Terraform(settings, target)
    with console.step("Comparing with Terraform's plan"):
        terraform.init()
        planned = terraform.plan([release.variables])
    if planned is None:
        return False
    tags = {name: one["tags"] or {} for name, one in planned.items()}
    overrides.refuse_unknown(release, tags, source=f"terraform/{target.name}.tfvars")
    with console.step(f"Launching release {release.version}"):
        terraform.apply_planned()
    return True


def show(target: Target) -> None:
    """Print the machines that run."""
    for name, machine in machines.find_all(target).items():
        console.result(f"{name} {machine.id} {machine.reach}")


def refuse_unlaunchable(target: Target, release: Release) -> None:
    """Raise ReleaseError unless EC2 has every AMI of a release and would launch it."""
    _refuse_gone(target, release)
    for role, ami_id in release.ami_ids.items():
        if why := amis.refusal(target, ami_id, REHEARSED_ON):
            message = f"release {release.version} would not launch {role} ({ami_id}): {why}"
            raise ReleaseError(message, hint="./invoke release.list for another version")


def writers(settings: Settings, target: Target) -> Mapping[Role, Release]:
    """Return {role: the release that wrote its data volume last}, of those there are.

    Raises:
        ReleaseError: that release is not in the ledger, so that nobody knows what it wrote.
    """
    running = machines.find_all(target)
    volumes = {volume.role: volume for volume in machines.find_data(target)}
    found = {}
    for role in OWNERS:
        holder = running.get(role) or volumes.get(role)
        if holder and holder.release:
            found[role] = _known(settings, holder.release, role)
    return found


def _known(settings: Settings, version: str, role: Role) -> Release:
    pruned = {release.version: release for release in ledger.load_pruned(settings.ledger_dir)}
    if version in pruned:
        return pruned[version]
    file = ledger.path(settings.ledger_dir, version)
    if file.exists():
        return ledger.load(settings.ledger_dir, version)
    message = f"release {version} wrote the data of {role}, and its file is gone: {file}"
    raise ReleaseError(message, hint=f"restore {file.name}, so that its data format is known")


def _refuse_gone(target: Target, release: Release) -> None:
    if gone := amis.missing(target, list(release.ami_ids.values())):
        lost = ", ".join(gone)
        message = f"release {release.version} can't be launched: no AMI {lost} on {target.name}"
        raise ReleaseError(message, hint="./invoke release.list for another version")


def _protect(target: Target, known: Sequence[Release]) -> list[str]:
    """Have the AMIs that a channel has or goes back to protected, and no others."""
    ami_ids = {release.version: set(release.ami_ids.values()) for release in known}
    kept = {version for name in channels.names(target) for version in _kept(target, name)}
    wanted = set[str]().union(*(ami_ids[version] for version in kept & ami_ids.keys()))
    return ami_guards.protect(target, wanted, set[str]().union(*ami_ids.values()))


def _kept(target: Target, channel: str) -> Sequence[str]:
    """Return the releases that a channel has and goes back to; all of one that is in between."""
    history = channels.history(target, channel)
    try:
        return following.trail(history, channel)[-2:]
    except ReleaseError as error:
        console.warn(str(error))
        return [entry.release for one in history.values() for entry in one]
