"""Whether a release knows the parameters that are overridden; pure."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.contract.parameters import TAG_PREFIX
from runtime.contract.roles import role_of
from runtime.errors import ReleaseError
from runtime.release.record import Release


def of_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return {parameter: value} of the instance tags that override one."""
    return {
        tag.removeprefix(TAG_PREFIX): text
        for tag, text in tags.items()
        if tag.startswith(TAG_PREFIX)
    }


def refuse_unknown(wanted: Release, tags: Mapping[str, Mapping[str, str]], *, source: str) -> None:
    """Raise ReleaseError when an override is of a parameter that `wanted` does not have.

    Its machines would refuse to boot with such a tag.

    Args:
        wanted: what is to be launched.
        tags: {machine: the instance tags it is to have}.
        source: the file that an operator sets overrides in.
    """
    for machine, own in tags.items():
        role = role_of(machine)
        known = wanted.parts[role].parameters if role else of_tags(own)
        if unknown := ", ".join(sorted(of_tags(own).keys() - known.keys())):
            message = (
                f"release {wanted.version} has no parameter {unknown} of {role}, which {source}"
                " sets: its machine would not boot; nothing was touched"
            )
            raise ReleaseError(message, hint=f"take {unknown} out of {source}, then try again")
