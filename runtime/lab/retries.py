"""A request that is sent again, because its answer got lost, finds the first one's answer.

SDKs retry after a broken connection, and of most EC2 actions a second one would be refused or do
twice what was asked once. Every attempt of one call carries the same `amz-sdk-invocation-id`
(https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from werkzeug.wrappers import Response

_log = logging.getLogger(__name__)
KEPT = 1000
HEADER = "HTTP_AMZ_SDK_INVOCATION_ID"


class Answers:
    """The last answers given, by invocation."""

    def __init__(self) -> None:
        """Begin without any."""
        self._given: OrderedDict[str, Future[Response]] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, invocation: str, make: Callable[[], Response]) -> Response:
        """Return what `make` returns, or what it returned, or is about to, for an invocation."""
        if not invocation:
            return make()
        with self._lock:
            known = self._given.get(invocation)
            if known is None:
                mine = self._given[invocation] = Future()
                while len(self._given) > KEPT:
                    self._given.popitem(last=False)
        if known is not None:
            _log.info("the call %s was sent again: answered as before", invocation)
            return known.result()
        try:
            answer = make()
        except BaseException as error:
            mine.set_exception(error)
            raise
        mine.set_result(answer)
        return answer
