"""Entry point: settings from the environment, one JSON line per log record, uvicorn."""

from __future__ import annotations

import json
import logging
import os
import sys
from ipaddress import IPv4Address
from socket import INADDR_ANY

import uvicorn

from processor import memory
from processor.app import create_app
from processor.settings import SettingError, Settings

PORT = 8080
ANSWER_S = 5  # that a stop waits for answers on their way, before it drains


class JsonLines(logging.Formatter):
    """Formats a record as one JSON line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return level, logger, message and, if there is one, the traceback."""
        line = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main() -> None:
    """Run until SIGTERM, or until the loop ends by itself: exit 1, so that Docker starts us again.

    Exit 2 with one line when the environment is wrong.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    try:
        settings = Settings.parse(os.environ)
    except SettingError as error:
        print(f"processor: {error}", file=sys.stderr)
        sys.exit(2)
    memory.spare_the_collector()

    def end() -> None:
        server.should_exit = True

    app = create_app(settings, when_ended=end)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=str(IPv4Address(INADDR_ANY)),
            port=PORT,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=ANSWER_S,
        )
    )
    server.run()
    if app.state.progress.fatal or not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
