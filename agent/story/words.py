"""Words shared by the verdict, the diagnoses and the commands."""

from __future__ import annotations

from datetime import UTC, datetime

NOTABLE = 0.005  # share of lost packets from which a direction is named
SILENT = ("one_way_audio", "dead_air", "far_end_deaf")  # flags of calls in which somebody heard nothing
FAR = {"customer": "the customer", "remote": "the remote side"}
NAMES = {
    "cust2vc": "from the customer to the vc",
    "vc2cust": "from the vc to the customer",
    "rem2vc": "from the remote side to the vc",
    "vc2rem": "from the vc to the remote side",
}


def clock(stamp_ns: int) -> str:
    """A time of day, UTC, as `15:42:20`."""
    return datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).strftime("%H:%M:%S")


def day(stamp_ns: int) -> str:
    """A date, UTC, as `2026-11-29`."""
    return datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d")


def percent(share: float | None) -> str:
    """As `2.1 %`; a share above 0 never shows as 0."""
    if share is None:
        return "an unknown share"
    return f"{share * 100:.1f} %" if share >= 0.0005 or not share else "less than 0.1 %"
