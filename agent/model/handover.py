"""The state that one engine hands to the next: across a restart, a reload, or a step of the clock.

Each room writes its part with `give` and reads it with `take`. A checkpoint holds the saved part. The live
part passes only within one process and is empty after a restart: its loss costs at most a `null`.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from agent.model.call_cy import Call
from agent.model.far_end_cy import FarEndLoss


class Live(Struct):
    """The live part: objects that the next engine uses as they are."""

    loop: Any = None  # the streams, where the next engine has the same settings
    loop_settings: Any = None
    reports: Any = None  # sender reports and reference times that wait for their answer
    early: Any = None  # RTCP that came before its SDP
    orphans: Any = None  # streams without SDP
    transport: Any = None  # half-assembled fragments and TCP streams
    copies: Any = None  # packets of the last 20 ms
    rate_limit: Any = None  # the rate limit of each SIP source
    answers: Any = None  # SIP messages that wait for the vc's confirmation, or for their request
    claims: Any = None  # the newest claim of each leg


class Handover(Struct):
    """One engine's state. Times are the old engine's, ns; in the saved part `shift_ns` is added already."""

    now_ns: int | None = None
    minute_ns: int | None = None  # the oldest open minute
    missed: list[tuple[int, int]] = []
    loop: bytes = b""
    calls: list[tuple[Call, Any]] = []
    away: list[tuple[int, bool, FarEndLoss]] = []  # stream id, seen from its first packet, the far end's view
    intervals: Any = None
    unsignalled: list[tuple[Any, ...]] = []  # sockets, kind of media and call of streams without signalling
    # RTCP that came before its SDP: its two sockets, packets and bytes by minute
    early: list[tuple[Any, dict[int, list[int]]]] = []
    waiting: list[Any] = []  # RTCP whose source's RTP is not judged yet
    reported: list[tuple[Any, int]] = []  # ends for which sender reports left, and when the last one did
    asks_ns: int | None = None  # when the vc's first request was seen
    asked: list[tuple[str, str]] = []  # the vc sent requests from one address to the other
    begun_ns: int = 0  # when watching began
    claims_read: dict[str, str] = {}  # the newest entry of the board that was taken, by relay address
    live: Live | None = None
    shift_ns: int = 0  # the clock was set by this much
