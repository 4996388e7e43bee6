"""A bound on CPU time that only a wrong growth breaks."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIES = 5


def takes_less(seconds: float, run: Callable[[], object]) -> bool:
    """Whether one of some runs stays below: another one may have collected what other tests left."""
    for _ in range(TRIES):
        began = time.process_time()
        run()
        if time.process_time() - began < seconds:
            return True
    return False
