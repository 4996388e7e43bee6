"""The columns of the media record, in order. summary/media_record_cy.py says what they hold."""

from __future__ import annotations

from agent.summary.catalog import DIRECTIONS, MEDIA_FIELDS, SIDES

OWN = (
    "host", "transaction_id", "key_id", "record_id", "part", "start_ts", "carrier", "codec", "peer_media",
    "call_ids", "flags", "side_flags", "vc_lost", "jitter_buffer", "mos_directions", "page",
)  # fmt: skip
"""The record's own, beside the 37 of the media log."""


def direction_extras(direction: str) -> tuple[str, ...]:
    """Extras of a direction's figures."""
    names = (
        "packets_lost_source", "jitter_source", "packets_lost_total", "packets_known", "packets_unknown",
        "packets_discarded", "burst_density", "gap_density", "bursts", "ssrc_gap", "timebase_changes",
        "loss_runs", "late_histogram", "timeline",
    )  # fmt: skip
    return tuple(f"{direction}_{name}" for name in names)


def side_extras(short: str) -> tuple[str, ...]:
    """Extras of a side's figures; `short`: cust or rem."""
    pair = f"btwn_vc_and_{short}"
    return (
        f"rtt_{pair}_source", f"mos_{pair}_source", f"r_{pair}", f"mos_wb_{pair}", f"mos_worst_{pair}",
        f"r_worst_{pair}", f"rtt_end_to_end_{short}", f"far_end_{short}", f"vc2{short}_relayed",
        f"mos_codec_assumed_{pair}", f"rtt_{pair}_timeline",
    )  # fmt: skip


EXTRAS = (
    *(name for direction in DIRECTIONS for name in direction_extras(direction)),
    *(name for _, short, _ in SIDES.values() for name in side_extras(short)),
)
MEDIA_COLUMNS = (*MEDIA_FIELDS, *OWN, *EXTRAS)
