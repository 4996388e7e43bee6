"""The garbage collector, held off while tens of thousands of objects are made that are to stay.

Each collection that they set off would walk them all, and every call, and find nothing: a fifth of the time
that a minute takes to close.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held_off() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
