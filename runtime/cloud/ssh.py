"""Commands on machines, over ssh with the operator's key."""

from __future__ import annotations

from collections.abc import Sequence

from runtime import proc, wait
from runtime.cloud.machines import Machine
from runtime.cloud.target import Target
from runtime.errors import CommandError

CONNECT_S = 5
_NO_CONNECTION = 255  # ssh's own exit status


def command(
    target: Target, machine: Machine, words: Sequence[str], *, tty: bool = False
) -> list[str]:
    """Return the command line that runs `words` (already quoted for a shell) on a machine."""
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": "10",
        "LogLevel": "ERROR",
        # A host key belongs to a machine, not to an address that the next machine inherits.
        "HostKeyAlias": machine.id,
        "StrictHostKeyChecking": "accept-new",
        "UserKnownHostsFile": str(target.known_hosts),
    }
    argv = ["ssh", "-i", str(target.ssh_key)]
    for name, value in options.items():
        argv += ["-o", f"{name}={value}"]
    return [*argv, *(["-t"] if tty else []), f"{target.ssh_user}@{machine.reach}", *words]


def run(
    target: Target,
    machine: Machine,
    words: Sequence[str],
    *,
    timeout_s: float,
    ok: Sequence[int] = (0,),
) -> proc.Completed:
    """Run a command on a machine to its end.

    Raises:
        CommandError: its exit status is not in `ok`; 255 means that ssh did not get there.
    """
    return proc.run(command(target, machine, words), timeout_s=timeout_s, ok=ok)


def wait_until_reachable(target: Target, machine: Machine, *, timeout_s: float) -> None:
    """Return when a machine takes commands.

    Raises:
        WaitError: it did not within `timeout_s` seconds.
    """
    last = ["nothing"]

    def answers() -> bool:
        try:
            run(target, machine, ["true"], timeout_s=CONNECT_S + 5)
        except CommandError as error:
            last[0] = error.tail.splitlines()[-1] if error.tail else f"exit {error.status}"
            return False
        return True

    wait.until(
        answers,
        what=f"ssh to {machine.name} ({machine.reach})",
        timeout_s=timeout_s,
        last=lambda: last[0],
        hint="./invoke lab.status; ./invoke status",
    )
