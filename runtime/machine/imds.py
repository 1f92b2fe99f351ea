"""A client of the instance metadata service, version 2, with a deadline."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping

from runtime.errors import BootError

BASE = "http://169.254.169.254/latest"
TTL_S = 300
NOT_FOUND = 404


class Imds:
    """Answers from the machine's own metadata service."""

    def __init__(self, base: str = BASE, *, timeout_s: float = 30) -> None:
        """Ask at `base`, trying again for `timeout_s` seconds in all."""
        self._base = base
        self._deadline = time.monotonic() + timeout_s
        self._token = ""

    def address(self) -> str:
        """Return the machine's private IPv4 address."""
        found = self._get("meta-data/local-ipv4")
        if not found:
            message = "the metadata service has no local-ipv4"
            raise BootError(
                message, hint="curl the metadata service by hand; is this an EC2 machine?"
            )
        return found

    def tags(self) -> dict[str, str]:
        """Return the instance's tags.

        Raises:
            BootError: the launch does not offer them in metadata.
        """
        keys = self._get("meta-data/tags/instance")
        if keys is None:
            message = "instance tags are not offered in metadata"
            raise BootError(
                message, hint="launch with InstanceMetadataTags=enabled, as terraform/ does"
            )
        return {
            key: self._get(f"meta-data/tags/instance/{key}") or ""
            for key in keys.splitlines()
            if key
        }

    def _get(self, path: str) -> str | None:
        if not self._token:
            ttl = {"X-aws-ec2-metadata-token-ttl-seconds": str(TTL_S)}
            self._token = self._ask("api/token", method="PUT", headers=ttl) or ""
        return self._ask(path, method="GET", headers={"X-aws-ec2-metadata-token": self._token})

    def _ask(self, path: str, *, method: str, headers: Mapping[str, str]) -> str | None:
        """Return the body, None for not found; other failures are tried again for a while."""
        url = f"{self._base}/{path}"
        request = urllib.request.Request(url, method=method, headers=dict(headers))
        while True:
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    return str(answer.read().decode())
            except urllib.error.HTTPError as error:
                if error.code == NOT_FOUND:
                    return None
                seen: OSError = error
            except OSError as error:
                seen = error
            if time.monotonic() > self._deadline:
                message = f"the metadata service does not answer {method} {path}: {seen}"
                raise BootError(
                    message, hint="is HttpEndpoint enabled, and the hop limit at least 1?"
                )
            time.sleep(0.2)
