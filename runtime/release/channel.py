"""What a channel's history means: which release it has, and which it goes back to; pure."""

from __future__ import annotations

from runtime.cloud import channels
from runtime.cloud.channels import History
from runtime.contract.roles import Role
from runtime.errors import ReleaseError
from runtime.release.record import Release


def trail(history: History, channel: str) -> list[str]:
    """Return the releases of a channel up to the one that it has, [] if it has none.

    Who goes back to a release leaves what came after it behind: promoting A, B and A again is
    the trail A, so that a rollback never leads to what was rolled back from.

    Raises:
        ReleaseError: its roles are of several releases, as when a promote was interrupted.
    """
    trails = {role: channels.trail(one) for role, one in history.items()}
    last = {role: one[-1] if one else "none" for role, one in trails.items()}
    if len(set(last.values())) > 1:
        seen = ", ".join(f"{role} {release}" for role, release in last.items())
        message = f"the channel {channel} stands between releases, its promote ended early: {seen}"
        raise ReleaseError(message, hint=f"./invoke release.promote VERSION --channel {channel}")
    shortest = min(trails.values(), key=len)
    return [release for release in shortest if all(release in one for one in trails.values())]


def current(history: History, channel: str) -> str:
    """Return the release of a channel.

    Raises:
        ReleaseError: it has none, or several.
    """
    if found := trail(history, channel):
        return found[-1]
    message = f"the channel {channel} has no release yet"
    raise ReleaseError(message, hint=f"./invoke release.promote VERSION --channel {channel}")


def previous(history: History, channel: str) -> str:
    """Return the release that a channel had before the one it has.

    Raises:
        ReleaseError: it had none, or has several.
    """
    now, found = current(history, channel), trail(history, channel)
    if len(found) > 1:
        return found[-2]
    message = f"the channel {channel} has had no release before {now}"
    raise ReleaseError(message, hint="./invoke release.list; ./invoke release.promote VERSION")


def refuse_other_amis(history: History, channel: str, release: Release) -> None:
    """Raise ReleaseError where a channel has other AMIs for a release than its file says."""
    pointed: dict[Role, str] = {role: one[-1].ami_id for role, one in history.items() if one}
    if other := [role for role, ami_id in pointed.items() if release.ami_ids[role] != ami_id]:
        role = other[0]
        message = (
            f"the channel {channel} has {pointed[role]} as the {role} of release"
            f" {release.version}, whose file {release.variables} says {release.ami_ids[role]}"
        )
        raise ReleaseError(message, hint=f"./invoke release.promote {release.version}")
