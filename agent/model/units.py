"""Units of time. A name says its unit by its end: `_ns`, `_us`, `_ms`, `_ts` (RTP ticks)."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
SLOT_NS = 10 * SECOND_NS  # one slot of a record's timeline
