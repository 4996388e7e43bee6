"""Finds the leg of a message in which the far end reports its own reception.

Only the peer of a leg is believed about its far end: the same message from another address is ignored.

RTP statistics in a BYE or its 200 (`X-RTP-Stat`, `P-RTP-Stat`); quality reports in PUBLISH and NOTIFY (RFC
6035).
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.media.leg_media_cy import LegMedia
from agent.model.call_cy import Leg
from agent.wire.sip import Message, quality_report

TELLING = frozenset({"BYE", "PUBLISH", "NOTIFY"})


def take(
    message: Message,
    leg: Leg | None,
    legs: Mapping[str, list[Leg]],
    peer: str,
    media: LegMedia,
    now_ns: int,
) -> tuple[Leg, quality_report.QualityReport | quality_report.RtpStat] | None:
    """Takes a message towards the vc. `leg`: its own; `legs`: all by Call-ID; `peer`: its sender."""
    if message.method == "BYE":
        if leg is None or leg.peer != peer:
            return None
        for name in quality_report.HEADERS:
            value = message.header(name)
            stat = quality_report.rtp_stat(value) if value else None
            if stat is not None:
                media.statistics(leg, stat, now_ns)
                return leg, stat
    elif message.content_type == quality_report.CONTENT_TYPE:
        report = quality_report.parse(message.body)
        if report is None:
            return None
        for one in legs.get(report.call_id, ()):  # a proxy's two legs share their Call-ID
            if one.peer == peer:
                media.quality_report(one, report, now_ns)
                return one, report
    return None
