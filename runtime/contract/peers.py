"""The peers file: the private addresses a machine must know, and nothing else."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping

from runtime.contract.roles import Role
from runtime.errors import BootError

NEEDS: Mapping[Role, tuple[Role, ...]] = {
    Role.KAFKA: (),
    Role.MONGO: (),
    Role.PROCESSOR: (Role.KAFKA, Role.MONGO),
    Role.PRODUCERS: (Role.KAFKA,),
}
_HINT = "correct `peers` in the user data, as terraform/locals.tf writes it, and launch again"


def parse_peers(text: str, *, role: Role) -> dict[Role, str]:
    """Return {role: IPv4 address} out of a peers file such as {"kafka": "10.20.1.10"}.

    Raises:
        BootError: not JSON, not an object, a peer too many or too few, or no IPv4 address;
            the message names the field.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        message = f"the peers file is not JSON: {error}"
        raise BootError(message, hint=_HINT) from error
    if not isinstance(value, dict):
        message = f"the peers file holds {type(value).__name__}, not an object of role: address"
        raise BootError(message, hint=_HINT)
    needed = NEEDS[role]
    wanted = ", ".join(needed) or "none"
    for name in value:
        if name not in needed:
            message = (
                f"the peers file names {name!r}, which {role} has no use for (needs: {wanted})"
            )
            raise BootError(message, hint=_HINT)
    peers: dict[Role, str] = {}
    for name in needed:
        if name not in value:
            message = f"the peers file lacks {str(name)!r} (needs: {wanted})"
            raise BootError(message, hint=_HINT)
        try:
            peers[name] = str(ipaddress.IPv4Address(value[name]))
        except (ValueError, TypeError) as error:
            message = f"peer {str(name)!r} is {value[name]!r}, not an IPv4 address"
            raise BootError(message, hint=_HINT) from error
    return peers
