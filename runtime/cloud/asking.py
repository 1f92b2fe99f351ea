"""Questions to EC2 and what is in its answers: one way to ask, to fail, and to read tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runtime.cloud.target import Target
from runtime.errors import CloudError

ALIVE = ("pending", "running", "stopping", "stopped", "shutting-down")  # all but terminated
_ABSENT = {"UnsupportedOperation", "InvalidAction"}


def ask(target: Target, action: str, **asked: Any) -> dict[str, Any]:
    """Return EC2's answer.

    Raises:
        CloudError: it refuses or can't be reached.
    """
    with told(action):
        return dict(getattr(target.ec2, action)(**asked))


@contextmanager
def told(action: str, *, service: str = "EC2") -> Iterator[None]:
    """Turn what a service refuses `action` with, or that it can't be reached, into CloudError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        message = f"{service} does not answer {action}: {error}"
        raise CloudError(
            message, hint="check credentials and region, or ./invoke lab.status"
        ) from error


def is_absent(error: ClientError) -> bool:
    """Return whether the target has no such call at all."""
    return str(error.response["Error"]["Code"]) in _ABSENT


def where(name: str, *values: str) -> dict[str, Any]:
    """Return a filter of what a description shows."""
    return {"Name": name, "Values": list(values)}


def tags(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of what EC2 describes; it calls those of an interface otherwise."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags") or item.get("TagSet", ())}
