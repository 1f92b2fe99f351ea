"""What the interpreter does with memory, set once per process."""

from __future__ import annotations

import gc

_LIVING = 100_000  # more objects than all batches on their way hold


def spare_the_collector() -> None:
    """Keep the collector of cycles from looking through every batch.

    Messages and documents hold no cycles and go by their counts. What has been made up to here
    stays and is not looked at again; a fifth of a batch's time was spent in looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_LIVING)
