"""A trial stack: a release launched beside the running one, looked at, and taken away again."""

from __future__ import annotations

import ipaddress
import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runtime import console, lock
from runtime.cloud import leftovers
from runtime.cloud.leftovers import TRIAL
from runtime.cloud.target import Target
from runtime.contract.roles import Role
from runtime.deploy import ready
from runtime.deploy.terraform import Terraform
from runtime.errors import BullionError, DeployError
from runtime.settings import Settings

# A VPC is no larger than one of these, so that it overlaps one at most.
RANGES = (ipaddress.IPv4Network("10.40.0.0/16"), ipaddress.IPv4Network("10.41.0.0/16"))


@contextmanager
def launched(
    settings: Settings, target: Target, *, version: str, ami_ids: Mapping[Role, str], keep: bool
) -> Iterator[str]:
    """Launch AMIs as a stack of their own while the body runs, which gets its name.

    Afterwards the stack and its data are destroyed, whatever happened; `keep` leaves it there.

    Raises:
        UsageError, DeployError: `ready.require` says that it can't be; nothing was launched.
        DeployError: it was not launched, or not all of it could be removed; names what is left.
    """
    seen = ready.require(settings, target, trial=True)
    own = {} if seen is None else {"vpc_cidr": str(beside(seen.vpc))}
    stack = f"{TRIAL}{secrets.token_hex(3)}"
    with (
        lock.mark(settings.runs_dir, stack, what=f"trial of release {version}") as marker,
        tempfile.TemporaryDirectory() as scratch,
    ):
        # A Terraform that outlives us so holds the trial's file, and the janitor waits for it.
        terraform = Terraform(settings, target, stack=stack, inherits=[marker])
        variables = Path(scratch) / "trial.tfvars.json"
        variables.write_text(
            json.dumps(own | {"release": version, "ami_ids": dict(ami_ids), "processor_count": 1})
        )
        terraform.init()
        try:
            with console.step(f"Launching release {version} as {stack}"):
                terraform.apply([variables])
            yield stack
        except BaseException:
            _end(target, terraform, variables, stack, keep=keep, is_well=False)
            raise
        _end(target, terraform, variables, stack, keep=keep, is_well=True)


def beside(network: ipaddress.IPv4Network) -> ipaddress.IPv4Network:
    """Return a range for a trial's VPC that is not that of the operator's.

    A private address so never means a machine of either stack.
    """
    return next(one for one in RANGES if not one.overlaps(network))


def _end(
    target: Target,
    terraform: Terraform,
    variables: Path,
    stack: str,
    *,
    keep: bool,
    is_well: bool,
) -> None:
    """Take a stack away; when something failed already, that is not hidden by what fails here."""
    if keep:
        console.note(f"kept, as told: {stack}; ./invoke janitor removes it")
        return
    try:
        with console.step(f"Removing {stack}"):
            terraform.destroy([variables], data=True)
            if left := [str(one) for one in leftovers.find_of_stack(target, stack)]:
                message = f"still there of {stack}: {', '.join(left)}"
                raise DeployError(message, hint="./invoke janitor")
            terraform.forget()
    except BullionError as error:
        if is_well:
            message = f"{stack} could not be removed: {error.message}"
            raise DeployError(message, hint="./invoke janitor") from error
        console.warn(f"{stack} could not be removed: {error.message}; ./invoke janitor removes it")
