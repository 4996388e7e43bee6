from __future__ import annotations

from agent.uncompiled import constants
from agent.wire import frame

COLUMNS = "STRIDE OFFSET CAPTURED WIRE STAMP ORIGIN"


def test_columns_of_an_index_are_the_compilers() -> None:
    assert tuple(getattr(frame, name) for name in COLUMNS.split()) == constants("agent.wire.frame", COLUMNS)
