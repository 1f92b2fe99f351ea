"""The container's health check: /health on loopback; exit 0 or 1."""

from __future__ import annotations

import http.client
import sys

PATIENCE_S = 5  # of the 6 s that the Dockerfile gives it

if __name__ == "__main__":
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE_S)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        print(answer.read(2000).decode(errors="replace"))
        sys.exit(answer.status != http.HTTPStatus.OK)
    except OSError as error:
        sys.exit(f"no answer: {error}")
