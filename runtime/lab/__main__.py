"""Entry point of the lab's process: `python -m runtime.lab`."""

from __future__ import annotations

import sys

from runtime import settings
from runtime.errors import BullionError
from runtime.lab import daemon

if __name__ == "__main__":
    try:
        daemon.serve(settings.load("lab"))
    except BullionError as error:
        sys.exit(f"{error}")
