"""Our processor, with its HTTP API on any free port and no logs but warnings."""

from __future__ import annotations

import os

import uvicorn
from processor import memory
from processor.app import create_app
from processor.settings import Settings


def main() -> None:
    """Go on until told to end."""
    app = create_app(Settings.parse(os.environ))
    memory.spare_the_collector()
    uvicorn.run(app, host="127.0.0.1", port=0, log_level="warning")


if __name__ == "__main__":
    main()
