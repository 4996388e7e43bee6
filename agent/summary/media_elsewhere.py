"""Answered calls whose media does not pass this host: a proxy without its relay, or media that goes past it.

Nobody can tell that from silence by one call alone. A call's media is elsewhere where its SDP names addresses
that are not the vc's, or where no RTP of any call passed in the minute.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent.model.call_cy import MEDIA_ELSEWHERE, Call, Leg
from agent.model.sides import Sides

LEAST_NS = 2_000_000_000  # of an answered call: media may come so late


def calls_elsewhere(calls: Iterable[Call], sides: Sides, now_ns: int, *, any_rtp: bool) -> list[Call]:
    """Of answered `calls` those whose media is not seen here; each has the flag from then on.

    `any_rtp`: RTP of some call passed in this minute.
    """
    found = []
    for call in calls:
        if call.last_rtp_ns and not call.flags:
            continue  # as nearly always
        is_elsewhere = _lacks_media(call, now_ns) and (
            not any_rtp or not any(_names_vc(leg, sides) for leg in call.legs)
        )
        if is_elsewhere:
            found.append(call)
        if is_elsewhere != (MEDIA_ELSEWHERE in call.flags):
            (call.flags.add if is_elsewhere else call.flags.discard)(MEDIA_ELSEWHERE)
            call.saved = None
    return found


def _lacks_media(call: Call, now_ns: int) -> bool:
    """Whether audio was agreed upon and none of it was seen."""
    if call.answer_ns is None or call.last_rtp_ns:
        return False
    if min(now_ns, call.end_ns or now_ns) - call.answer_ns < LEAST_NS:
        return False
    return agreed_on_audio(call) and not any(leg.held for leg in call.legs)


def agreed_on_audio(call: Call) -> bool:
    """Whether both ends of an answered leg have described audio."""
    return any(leg.was_up and _has_audio(leg) for leg in call.legs)


def _has_audio(leg: Leg) -> bool:
    """Whether both ends have described audio."""
    return len(leg.described) > 1 and all(
        any(kind == "audio" and port and is_rtp for kind, _, port, _, _, is_rtp in sections)
        for sections in leg.described.values()
    )


def _names_vc(leg: Leg, sides: Sides) -> bool:
    """Whether what the vc sent on `leg` names an address of its own for media."""
    return any(
        sides.is_vc(sides.public.get(address, address)) for _, address, *_ in leg.described.get("away", ())
    )
