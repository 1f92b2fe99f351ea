"""Elastic IP addresses: how many an account may have in the region, and has."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.cloud.asking import ask, tags
from runtime.cloud.leftovers import STACK_TAG
from runtime.cloud.machines import STACK
from runtime.cloud.target import Target

_LIMIT = "vpc-max-elastic-ips"


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """What an account has in a region; `of_stack` are those of the operator's stack."""

    limit: int
    used: int
    of_stack: int

    @property
    def free(self) -> int:
        """Return how many more EC2 would give."""
        return self.limit - self.used


def count(target: Target) -> Addresses:
    """Return how many addresses there may be and are.

    Raises:
        CloudError: EC2 can't be asked.
    """
    reply = ask(target, "describe_account_attributes", AttributeNames=[_LIMIT])
    limits = {one["AttributeName"]: one["AttributeValues"] for one in reply["AccountAttributes"]}
    found = ask(target, "describe_addresses")["Addresses"]
    return Addresses(
        limit=int(limits[_LIMIT][0]["AttributeValue"]),
        used=len(found),
        of_stack=sum(tags(item).get(STACK_TAG) == STACK for item in found),
    )
