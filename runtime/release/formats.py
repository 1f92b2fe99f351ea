"""Whether a release can read what stands on the data volumes; pure."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.contract.roles import Role
from runtime.errors import ReleaseError
from runtime.release.record import Release


def refuse_unreadable(wanted: Release, written_by: Mapping[Role, Release]) -> None:
    """Raise ReleaseError when `wanted` can't read what a release has written for a role.

    Args:
        wanted: what is to be launched.
        written_by: {role: the release that wrote its data volume last}.
    """
    for role, writer in written_by.items():
        written, reads = writer.parts[role].data_format, wanted.parts[role].data_format
        if written is None or (reads is not None and reads.can_read(written)):
            continue
        able = (
            f"{reads.name} from level {reads.reads_min} to {reads.reads_max}" if reads else "none"
        )
        message = (
            f"release {wanted.version} can't read the data of {role}: release {writer.version}"
            f" wrote {written}, and it reads {able}; nothing was touched"
        )
        hint = "./invoke release.list for one that can; or ./invoke destroy --data, which loses it"
        raise ReleaseError(message, hint=hint)
