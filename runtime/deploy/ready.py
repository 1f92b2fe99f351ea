"""What a launch on AWS needs, asked before anything is paid for; the lab brings its own."""

from __future__ import annotations

import ipaddress

from runtime.cloud import addresses
from runtime.cloud.addresses import Addresses
from runtime.cloud.target import Target
from runtime.contract.roles import MACHINE_ROLES
from runtime.deploy import inputs
from runtime.deploy.inputs import Inputs
from runtime.deploy.terraform import Terraform
from runtime.errors import DeployError, UsageError
from runtime.settings import Settings, TargetName

PLACEHOLDERS = ipaddress.IPv4Network("203.0.113.0/24")  # for documentation (RFC 5737)
MORE_ADDRESSES = (
    "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-0263D0A3"
)
_OWN = "terraform/aws.tfvars"


def require(
    settings: Settings, target: Target, *, stack: bool = False, trial: bool = False
) -> Inputs | None:
    """Return the operator's variables, None in the lab, if `stack` and `trial` can be launched.

    Raises:
        UsageError: bucket, key or a variable is not as it must be.
        DeployError: a variable breaks its rule, or EC2 would not give enough addresses.
    """
    if target.name is TargetName.LAB:
        return None
    Terraform(settings, target)  # which needs a bucket
    seen = inputs.read(settings, target)
    refuse_unreachable(seen, trial=trial)
    if seen.is_public and (stack or trial):
        refuse_without_addresses(seen, addresses.count(target), stack=stack, trial=trial)
    return seen


def refuse_unreachable(seen: Inputs, *, trial: bool) -> None:
    """Raise UsageError if the operator could not reach the machines."""
    if seen.admin.subnet_of(PLACEHOLDERS):
        message = f"admin_cidr in {_OWN} is {seen.admin}, which stands for your own address"
        raise UsageError(message, hint="curl https://checkip.amazonaws.com, and write it there")
    if trial and not seen.is_public:
        message = (
            "a trial stack has a VPC of its own that no VPN leads into:"
            " its machines are reached by public addresses or not at all"
        )
        raise UsageError(message, hint=f"public_ip = true in {_OWN}")


def refuse_without_addresses(seen: Inputs, there: Addresses, *, stack: bool, trial: bool) -> None:
    """Raise DeployError unless a trial, and afterwards the stack, get their Elastic IPs."""
    machines = len(MACHINE_ROLES) - 1 + seen.processor_count
    missing = machines - there.of_stack if stack else 0
    needed = max(missing, len(MACHINE_ROLES) if trial else 0)
    if needed > there.free:
        most = machines + len(MACHINE_ROLES)
        message = (
            f"{needed} more Elastic IP addresses are needed; the account has {there.used} of"
            f" {there.limit} in this region (a stack and a trial beside it: {most})"
        )
        raise DeployError(message, hint=f"{MORE_ADDRESSES} --desired-value {there.used + needed}")
