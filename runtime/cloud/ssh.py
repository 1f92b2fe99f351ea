"""Commands on machines, over ssh with the operator's key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime import proc, wait
from runtime.cloud.machines import Machine
from runtime.cloud.target import Target
from runtime.errors import CommandError, UsageError

CONNECT_S = 5
_NO_CONNECTION = 255  # ssh's own exit status


def refuse_no_key(target: Target) -> None:
    """Raise UsageError unless a key for the machines was chosen."""
    if target.ssh_key == Path():
        message = f"no ssh key is chosen for the machines on {target.name}"
        raise UsageError(message, hint="export BULLION_SSH_KEY=~/.ssh/id_ed25519")


def public_key(target: Target) -> str:
    """Return the public half of the key for the machines.

    Raises:
        UsageError: no key was chosen, or there is no .pub beside it.
    """
    refuse_no_key(target)
    path = Path(f"{target.ssh_key}.pub")
    if not path.exists():
        message = f"there is no public key {path} for the machines"
        raise UsageError(message, hint="ssh-keygen -t ed25519, and set BULLION_SSH_KEY to its path")
    return path.read_text().strip()


def command(
    target: Target, machine: Machine, words: Sequence[str], *, tty: bool = False
) -> list[str]:
    """Return the command line that runs `words` (already quoted for a shell) on a machine."""
    refuse_no_key(target)
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
