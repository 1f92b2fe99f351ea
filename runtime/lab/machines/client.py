"""The client of Docker that the lab works with."""

from __future__ import annotations

from typing import Any

import docker
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from runtime.errors import ToolError

DOCKER_FAILS = (DockerException, OSError)  # it refuses, or is not there
_TIMEOUT_S = 300


def connect() -> docker.DockerClient:
    """Return a Docker client, or raise ToolError when Docker does not answer."""
    try:
        client = docker.from_env(timeout=_TIMEOUT_S)
        client.api = _Api(timeout=_TIMEOUT_S, **kwargs_from_env())
        client.ping()
    except DockerException as error:
        message = f"Docker does not answer: {error}"
        raise ToolError(
            message, hint="./invoke lab.up installs and starts it; see `docker info`"
        ) from error
    return client


class _Api(docker.APIClient):  # type: ignore[misc]  # docker-py has no types
    """docker-py's, which loses what a program in a container says at once (its issue 3332).

    That comes right behind the head of Docker's answer. Whoever is late to read gets both with one
    read, into a buffer that docker-py reads past.
    """

    def _get_raw_response_socket(self, response: Any) -> Any:
        self._raise_for_status(response)
        return _Stream(response)


class _Stream:
    """The socket of an answer, read by way of its buffer."""

    def __init__(self, response: Any) -> None:
        self._response = response  # closes its connection once nobody has it
        self._buffer = response.raw._fp.fp  # noqa: SLF001  where docker-py takes its socket from

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer.raw, name)

    def recv(self, most: int) -> bytes:
        """Return up to so many bytes, none at the end."""
        return bytes(self._buffer.read1(most))
