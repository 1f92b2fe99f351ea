"""Entry point: settings from the environment, one JSON line per log record, uvicorn."""

from __future__ import annotations

import json
import logging
import os
import sys

import uvicorn

from processor import memory
from processor.app import DRAIN_S, create_app
from processor.settings import SettingError, Settings

PORT = 8080


class JsonLines(logging.Formatter):
    """Formats a record as one JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return level, logger, message and, if there is one, the traceback."""
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main() -> None:
    """Run until SIGTERM; exit 2 with one line when the environment is wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    try:
        settings = Settings.parse(os.environ)
    except SettingError as error:
        sys.exit(f"processor: {error}")
    app = create_app(settings)
    memory.spare_the_collector()
    uvicorn.run(
        app,
        host="0.0.0.0",
        port=PORT,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_S,
    )


if __name__ == "__main__":
    main()
