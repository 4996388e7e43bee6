"""One session of boto3 for many clients: a session has tables of AWS (endpoints, models) and credentials."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boto3 import Session

_kept: dict[Hashable, Session] | None = None


@contextmanager
def shared_sessions() -> Iterator[None]:
    """Clients made inside share sessions. Else each client reads 9 MB of tables, in 60 ms.

    At the end the tables leave the memory: a client that is made needs them no more.
    """
    global _kept
    _kept = {}
    try:
        yield
    finally:
        # A client keeps its loader for waiters and pages, and botocore has no public way to empty that.
        loaders = [session._loader for session in _kept.values()]
        _kept = None
        for loader in loaders:
            loader._cache.clear()  # type: ignore[attr-defined]
        if loaders:
            gc.collect()  # a session holds itself, and what it looked up in the tables


def session_for(key: Hashable, make: Callable[[], Session]) -> Session:
    """The session that clients with this key share; a new one outside of `shared_sessions`."""
    if _kept is None:
        return make()
    if key not in _kept:
        _kept[key] = make()
    return _kept[key]
