"""Units of time. A name says its unit by its end: `_ns`, `_us`, `_ms`, `_ts` (RTP ticks)."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
SLOT_NS = 10 * SECOND_NS  # one slot of a record's timeline
FOREVER_NS = 1 << 62  # later than any stamp
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}  # of a unit as people write it
