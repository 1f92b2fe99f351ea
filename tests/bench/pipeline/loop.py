"""Our processor's loop without its HTTP API, which answers nobody here."""

from __future__ import annotations

import os
import signal
import threading

from processor import memory
from processor.consumer import Pipeline
from processor.settings import Settings
from processor.store import Store


def main() -> None:
    """Go on until told to end."""
    settings = Settings.parse(os.environ)
    store = Store(settings.mongo, settings.database)
    loop = Pipeline(settings, store)
    memory.spare_the_collector()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    loop.start()
    ended.wait()
    loop.stop(40)
    store.close()


if __name__ == "__main__":
    main()
