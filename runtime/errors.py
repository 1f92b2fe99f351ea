"""Everything Bullion can fail with, one exit code per class.

    BullionError            1
    ├── UsageError          2   a flag, variable, parameter or file says something impossible
    ├── ToolError           3   a program that is needed is missing, too old or not answering
    ├── CommandError        4   a program that was started failed
    ├── WaitError           5   something did not come true in the time it was given
    ├── BakeError           6   an image or AMI could not be made
    ├── DeployError         7   Terraform, or what it was asked for, failed
    ├── LabError            8   the local EC2 could not do its part
    ├── CheckError          9   a check of a running stack failed
    ├── BusyError          10   somebody else holds the lock
    ├── SpaceError         11   not enough disk or memory, stated before starting
    ├── RangeError         12   a port or network range is taken
    ├── BootError          13   a machine could not be configured from its peers and parameters
    ├── ReleaseError       14   the ledger of releases is missing, damaged or does not have it
    ├── CloudError         15   the EC2 API refused or could not be reached
    └── DriftError         16   machines, release and channel are not at one

Interrupted by the operator is 130, as shells have it. Each error keeps its facts and renders one
paragraph: what failed, on what, what was seen, and `hint`, the next thing to type.
Only entry points (tasks.py, machine/__main__.py, lab/__main__.py) turn an error into an exit.
"""

from __future__ import annotations

INTERRUPTED = 130


class BullionError(Exception):
    """Expected failure with a message for a person; a traceback means a bug instead."""

    code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep `message` (what failed, on what, what was seen) and `hint` (what to type next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Render the paragraph an operator reads."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(BullionError):
    """A flag, variable, parameter or file says something impossible."""

    code = 2


class ToolError(BullionError):
    """A program that is needed is missing, too old or not answering."""

    code = 3


class CommandError(BullionError):
    """A program that was started failed; carries its command line, status and last lines."""

    code = 4

    def __init__(self, command: str, *, status: int, tail: str, hint: str = "") -> None:
        """Render `command` (copy-pasteable, secrets redacted) with the `tail` of its output."""
        seen = "\n".join(f"  | {line}" for line in tail.splitlines())
        super().__init__(f"exit status {status} from: {command}\n{seen}".rstrip(), hint=hint)
        self.command = command
        self.status = status
        self.tail = tail


class WaitError(BullionError):
    """Something did not come true in the time it was given; carries the last state seen."""

    code = 5

    def __init__(self, what: str, *, timeout_s: float, last: str, hint: str = "") -> None:
        """Say what was waited for, how long, and what was seen last."""
        super().__init__(f"waited {timeout_s:g} s for {what}; last seen: {last}", hint=hint)
        self.what = what
        self.timeout_s = timeout_s
        self.last = last


class BakeError(BullionError):
    """An image or AMI could not be made."""

    code = 6


class DeployError(BullionError):
    """Terraform, or what it was asked for, failed."""

    code = 7


class LabError(BullionError):
    """The local EC2 could not do its part."""

    code = 8


class CheckError(BullionError):
    """A check of a running stack failed."""

    code = 9


class BusyError(BullionError):
    """Somebody else holds the lock."""

    code = 10


class SpaceError(BullionError):
    """Not enough disk or memory, stated before starting."""

    code = 11


class RangeError(BullionError):
    """A port or network range is taken."""

    code = 12


class BootError(BullionError):
    """A machine could not be configured from its peers and parameters."""

    code = 13


class ReleaseError(BullionError):
    """The ledger of releases is missing, damaged or does not have what was asked for."""

    code = 14


class CloudError(BullionError):
    """The EC2 API refused or could not be reached."""

    code = 15


class DriftError(BullionError):
    """Machines, their release and the channel are not at one."""

    code = 16
