"""What one engine hands to the next: across a restart, a reload, a step of the clock.

Each room writes its part with `give` and reads it with `take`. The saved part is what a checkpoint holds; the
live part passes only within one process, and is empty after a restart: its loss costs at most a `null`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.model.call_cy import Call
from agent.model.far_end_cy import FarEndLoss


class Live(Struct):
    """The live part: objects that go on as they are."""

    loop: Any = None  # the streams, where the next engine's settings are those of the one before
    loop_settings: Any = None
    reports: Any = None  # sender reports and reference times that wait for their answer
    early: Any = None  # RTCP that came before its SDP
    orphans: Any = None  # streams that no SDP explained
    transport: Any = None  # half-assembled fragments and TCP streams
    copies: Any = None  # packets of the last 20 ms
    budget: Any = None  # what each source of SIP may have parsed


class Handover(Struct):
    """Times are those of the engine before, moved by `shift_ns` already in the saved part, in ns."""

    now_ns: int | None = None
    minute_ns: int | None = None  # the oldest minute that is not closed
    missed: list[tuple[int, int]] = []
    loop: bytes = b""
    calls: list[tuple[Call, Any]] = []
    away: list[tuple[int, bool, FarEndLoss]] = []  # stream id, seen from its first packet, the far end's view
    intervals: Any = None
    unsignalled: list[tuple[Any, ...]] = []  # sockets, kind of media and call of streams without signalling
    begun_ns: int = 0  # when watching began
    live: Live | None = None
    shift_ns: int = 0  # the clock was set by so much
