"""What the lab is busy with: states that callers are shown until they are no longer true."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)
FAILED = "error"


@dataclass
class Progress:
    """The things that are on their way to another state: {id: what they are shown as}."""

    shown: dict[str, str] = field(default_factory=dict)

    def run(
        self, thing_id: str, state: str, work: Callable[[], None], *, patience_s: float
    ) -> None:
        """Show a thing as `state` until `work` is done, waiting `patience_s` for it at most.

        Raises:
            Exception: what `work` raised meanwhile. What it raises later is logged, and the
                thing is shown as `error`.
        """
        done: Future[None] = Future()
        self.shown[thing_id] = state
        thread = threading.Thread(
            target=self._carry_out, args=(thing_id, work, done), name=thing_id, daemon=True
        )
        thread.start()
        futures.wait([done], timeout=patience_s)
        if done.done() and done.exception():
            self.shown.pop(thing_id, None)
            done.result()

    def _carry_out(self, thing_id: str, work: Callable[[], None], done: Future[None]) -> None:
        try:
            work()
        except BaseException as error:
            _log.exception("%s did not follow", thing_id)
            self.shown[thing_id] = FAILED
            done.set_exception(error)
        else:
            self.shown.pop(thing_id, None)
            done.set_result(None)
