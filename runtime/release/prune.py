"""What may go of releases and AMIs, and why the rest stays; decides, touches nothing.

A release stays while somebody knows it by its version, while it is younger than the rollback
window, and while it is the newest. An AMI stays while anybody needs it, while it was launched
within the window, while a bake would come to it now, and unless it is tagged as ours to remove;
and the newest release that has it stays with it. An AMI goes with the last of its releases; those
in no release go by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runtime.cloud.amis import MANAGED_TAG
from runtime.cloud.channels import History
from runtime.cloud.references import Reference, References
from runtime.cloud.stock import AVAILABLE, DISABLED, Ami
from runtime.contract.roles import Role
from runtime.errors import ReleaseError, UsageError
from runtime.release import channel as following
from runtime.release.record import Release

KEEP_DAYS = 30
MOST = 20
_SETTLED = (AVAILABLE, DISABLED, "failed")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How careful to be.

    Attributes:
        keep_days: the rollback window: what is younger, or was launched within it, stays.
        most: AMIs that may go in one run.
    """

    keep_days: int = KEEP_DAYS
    most: int = MOST


@dataclass(frozen=True, kw_only=True)
class Item:
    """A release, or an AMI that is in none.

    Attributes:
        version: of the release, "" for an AMI in none.
        amis: those that go with it; of what stays all that are there.
        why: why it stays; () when it goes.
    """

    version: str
    amis: tuple[Ami, ...]
    why: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what a person calls it."""
        if self.version:
            return f"release {self.version}"
        return f"{self.amis[0].id} ({self.amis[0].role}, in no release)"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes, the oldest first, and what stays."""

    go: tuple[Item, ...]
    stay: tuple[Item, ...]


def parse_policy(keep_days: str, most: str) -> Policy:
    """Return the policy that two flags ask for, or raise UsageError naming the flag."""
    return Policy(
        keep_days=_number(keep_days, KEEP_DAYS, flag="--keep-days", least=0),
        most=_number(most, MOST, flag="--most", least=1),
    )


def refuse_blind(
    releases: Sequence[Release], amis: Mapping[str, Ami], channels: Collection[str]
) -> None:
    """Raise ReleaseError where what should say who needs which AMI says nothing at all."""
    if not releases:
        message = "the ledger knows no release, so nothing tells which AMIs are needed"
        raise ReleaseError(message, hint="restore the ledger; ./invoke release.list")
    if not any(ami_id in amis for one in releases for ami_id in one.ami_ids.values()):
        message = f"EC2 shows no AMI of the {len(releases)} releases in the ledger"
        raise ReleaseError(message, hint="is it the right account and region? ./invoke status")
    if not channels:
        message = "no channel points to a release, so nothing tells which one is in use"
        raise ReleaseError(message, hint="./invoke release.promote VERSION")


def of_channels(histories: Mapping[str, History]) -> Iterator[tuple[str, Reference]]:
    """Yield what {channel: its history} points to, and what a rollback would point to.

    Raises:
        ReleaseError: a channel stands between releases, so that nobody knows.
    """
    for name, history in histories.items():
        for version in following.trail(history, name)[-2:]:
            is_current = version == following.current(history, name)
            who = f"channel {name} points" if is_current else f"rollback of channel {name} goes"
            for entries in history.values():
                last = [entry.ami_id for entry in entries if entry.release == version][-1]
                yield last, Reference(who=f"{who} to it", version=version)


def plan(
    releases: Sequence[Release],
    amis: Mapping[str, Ami],
    references: References,
    *,
    pruned: Collection[str],
    current_keys: Collection[str],
    now: datetime,
    policy: Policy,
) -> Plan:
    """Return what goes and what stays.

    Args:
        releases: all that can still be launched, the oldest first.
        amis: {id: AMI} of everything we baked.
        references: {AMI id: who needs it}.
        pruned: versions that went before.
        current_keys: the keys that a bake would come to now.
        now: aware.
        policy: how careful to be.
    """
    holder = {ami_id: one.version for one in releases for ami_id in one.ami_ids.values()}
    ids = {one.version: set(one.ami_ids.values()) for one in releases}

    def needs(i: str, version: str) -> Iterator[str]:
        """Yield why an AMI stays, as far as it is for a release; "" for one in none."""
        is_held = holder.get(i, "") == version
        for one in references.get(i, ()):
            if one.version == version or (is_held and i not in ids.get(one.version, ())):
                yield one.who
        if is_held and i in amis:
            yield from _why_ami(amis[i], current_keys, now, policy)

    why = {
        one.version: (
            *(("the newest",) if one is releases[-1] else ()),
            *_too_young(now - datetime.fromisoformat(one.created_at), policy),
            *_by_role({role: list(needs(i, one.version)) for role, i in one.ami_ids.items()}),
            *_knowing(
                one.version,
                {i: who for i, who in references.items() if i not in ids[one.version]},
            ),
        )
        for one in releases
    }
    free = [one for one in releases if not why[one.version]]
    while free and len(_doomed(free, releases, amis)) > policy.most:
        over = free.pop()
        why[over.version] = (f"beyond the {policy.most} AMIs that go in one run",)
    doomed = _doomed(free, releases, amis)
    last = {ami_id: one.version for one in free for ami_id in one.ami_ids.values()}

    def item(one: Release) -> Item:
        goes = {i for i in doomed if last[i] == one.version}
        ids = set(one.ami_ids.values()) & (amis.keys() if why[one.version] else goes)
        return Item(
            version=one.version, amis=tuple(amis[i] for i in sorted(ids)), why=why[one.version]
        )

    known = {*(one.version for one in releases), *pruned}
    loose = [
        Item(
            version="",
            amis=(ami,),
            why=(
                *_too_young(now - ami.created_at, policy),
                *_of_others(ami, known),
                *needs(i, ""),
            ),
        )
        for i, ami in sorted(amis.items(), key=lambda pair: (pair[1].created_at, pair[0]))
        if i not in holder and ami.is_managed
    ]
    room = policy.most - len(doomed)
    spare = [one for one in loose if not one.why]
    over_cap = (f"beyond the {policy.most} AMIs that go in one run",)
    return Plan(
        go=(*map(item, free), *spare[:room]),
        stay=(
            *(item(one) for one in releases if why[one.version]),
            *(one for one in loose if one.why),
            *(replace(one, why=over_cap) for one in spare[room:]),
        ),
    )


def needed_by(item: Item, references: References) -> list[str]:
    """Return who needs an item that is to go."""
    found = [one.who for ami in item.amis for one in references.get(ami.id, ())]
    return list(dict.fromkeys([*found, *_knowing(item.version, references)]))


def _knowing(version: str, references: References) -> Iterator[str]:
    """Yield who needs something of a release, and knows it by its version."""
    for found in references.values():
        yield from (one.who for one in found if version and one.version == version)


def _by_role(why: Mapping[Role, Sequence[str]]) -> list[str]:
    """Return each reason once, with the roles whose AMIs it is about."""
    roles: dict[str, list[str]] = {}
    for role, reasons in why.items():
        for reason in reasons:
            roles.setdefault(reason, []).append(role)
    return [f"{', '.join(whose)}: {reason}" for reason, whose in roles.items()]


def _why_ami(
    ami: Ami, current_keys: Collection[str], now: datetime, policy: Policy
) -> Iterator[str]:
    if not ami.is_managed:
        yield f"{ami.id} has no tag {MANAGED_TAG}=true"
    if ami.state not in _SETTLED:
        yield f"{ami.id} is {ami.state}"
    if ami.key and ami.key in current_keys:
        yield "nothing changed since its bake, so a bake would keep it"
    if ami.launched_at and now - ami.launched_at < timedelta(days=policy.keep_days):
        yield f"last launched {_days(now - ami.launched_at)} ago"


def _of_others(ami: Ami, known: Collection[str]) -> Iterator[str]:
    if ami.release and ami.release not in known:
        yield f"tagged as of release {ami.release}, which this ledger does not know"


def _too_young(age: timedelta, policy: Policy) -> Iterator[str]:
    if age < timedelta(days=policy.keep_days):
        yield f"{_days(age)} old, and the rollback window is {policy.keep_days} days"


def _doomed(
    free: Sequence[Release], releases: Sequence[Release], amis: Mapping[str, Ami]
) -> set[str]:
    """Return the AMIs that go when `free` go: those that no other release has."""
    gone = {one.version for one in free}
    kept = {i for one in releases if one.version not in gone for i in one.ami_ids.values()}
    return {i for one in free for i in one.ami_ids.values() if i in amis and i not in kept}


def _days(age: timedelta) -> str:
    return "less than a day" if age.days < 1 else f"{age.days} day{'s' * (age.days != 1)}"


def _number(text: str, default: int, *, flag: str, least: int) -> int:
    if not text:
        return default
    if text.isdigit() and least <= int(text) <= 100_000:
        return int(text)
    message = f"{flag} is {text!r}; allowed: a whole number from {least}"
    raise UsageError(message, hint=f"./invoke release.prune {flag} {default}")
