"""Messages in which the far end speaks of its own reception: to which leg they belong.

RTP statistics in a BYE or its 200 (`X-RTP-Stat`, `P-RTP-Stat`); quality reports in PUBLISH and NOTIFY (RFC
6035).
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.media.leg_media_cy import LegMedia
from agent.model.call_cy import Leg, Place
from agent.wire.sip import Message
from agent.wire.sip import quality_report as vq

TELLING = frozenset({"BYE", "PUBLISH", "NOTIFY"})


def take(
    message: Message,
    leg: Leg | None,
    legs: Mapping[str, list[Leg]],
    peer: str,
    place: Place,
    media: LegMedia,
    now_ns: int,
) -> None:
    """A message towards the vc; `leg` is its own, `legs` are all by Call-ID, `peer` is who sent it."""
    if message.method == "BYE":
        if leg is None:
            return
        for name in vq.HEADERS:
            value = message.header(name)
            stat = vq.rtp_stat(value) if value else None
            if stat is not None:
                media.statistics(leg, stat, now_ns)
                return
    elif message.content_type == vq.CONTENT_TYPE:
        report = vq.parse(message.body)
        if report is None:
            return
        theirs = legs.get(report.call_id, ())
        # A proxy's two legs share their Call-ID: the one whose far end speaks is meant.
        mine = [one for one in theirs if one.peer == peer] or [one for one in theirs if one.side == place[0]]
        if mine:
            media.quality_report(mine[0], report, now_ns)
