# cython: language_level=3
"""Flags of a media record: what an operator would look at first. Each has its one definition here.

one_way_audio       A side's audio runs one way only: 100 packets or more one way and none the other in 10 s
                    or more of answered call, with nothing held and since the media was last described.
dead_air            For 10 s or more of answered call nothing at all came or went on a side, as above.
late_media          A direction's first packet came more than 500 ms after the answer.
unexpected_source   Packets came from an address that no SDP of their sender names (NAT, or somebody else).
codec_asymmetry     A side's two directions used different codecs for speech (50 packets or more each).
ptime_asymmetry     ... or different packet times.
assumed_clock_rate  No SDP gave a stream's clock rate: it was inferred, so its jitter is an estimate.
clock_rate_mismatch The wire's clock rate is not the declared one, by 1.5 times or more: the wire's is used.
packets_twice       Nine in ten packets of a stream came twice: a mirror shows each one on both its ways. Set
                    capture.single_span = true where it does.
capture_loss        The capture itself missed frames in gaps of a stream: `*_packets_unknown` counts them.
rtcp_implausible    A side's far end claims what cannot be true of its delays, of our stamps that it
                    returns or of its losses. The figures that rest on the claim are null.
far_end_deaf        A side's far end reports twice or more that nothing new reached it, while packets leave.
static_type_redefined  An SDP gives a static payload type (RFC 3551) another meaning, which is ignored.
ssrc_flood          Many streams of few packets came from a far end's own socket beside its media, most likely
                    forged. They count as an intruder's.
late_answer         The call was answered after its failure had been counted (given by counting).
seen_twice          Another host sees the same leg, and was the first with it (given by the board's election).
sip_seen_twice      ... of the call's SIP alone: its media ends on this host.
bye_refused         A BYE was answered 481, and its leg's media was silent then (given by the call table).
"""

from __future__ import annotations

import cython

from agent.model.call_cy import Call, Leg
from agent.model.units import FOREVER_NS
from agent.summary.direction_totals_cy import DirectionFigures

OF_SILENCE = frozenset({"one_way_audio", "dead_air", "late_media"})  # by what was not heard
Flags = set[str]
Legs = list[Leg]
First = dict[bool, int]  # a leg's first packets towards the vc, and away from it
ONE_WAY_NS = 10_000_000_000
ONE_WAY_PACKETS = 100
LATE_NS = 500_000_000
COMPARED_PACKETS = 50
NEVER_NS = FOREVER_NS


def flag_side(
    found: Flags,
    call: Call,
    legs: Legs,
    to_vc: DirectionFigures,
    away: DirectionFigures,
    start_ns: cython.longlong,
    until_ns: cython.longlong,
) -> None:
    """Add the flags of a side. The minute starts at `start_ns` and was watched until `until_ns`."""
    if to_vc.unknown or away.unknown:
        found.add("capture_loss")
    if to_vc.assumed or away.assumed:
        found.add("assumed_clock_rate")
    if to_vc.clock_rate_mismatch or away.clock_rate_mismatch:
        found.add("clock_rate_mismatch")
    if to_vc.twice or away.twice:
        found.add("packets_twice")
    if to_vc.unnamed or away.unnamed:
        found.add("unexpected_source")
    if to_vc.codec_packets >= COMPARED_PACKETS and away.codec_packets >= COMPARED_PACKETS:
        one, other = to_vc.codec, away.codec
        if one != other and one and other and one.upper() != other.upper():
            found.add("codec_asymmetry")
        if to_vc.packet_ms and away.packet_ms and abs(to_vc.packet_ms - away.packet_ms) >= 1.0:
            found.add("ptime_asymmetry")
    late_ns: cython.longlong = NEVER_NS
    if call.answer_ns is not None:
        answer_ns: cython.longlong = call.answer_ns
        late_ns = answer_ns + LATE_NS
    leg: Leg
    for leg in legs:
        first: First = leg.media_totals.first_ns
        if len(first) < 2:
            to_vc_late = began_late(first, True, to_vc, late_ns)
            away_late = began_late(first, False, away, late_ns)
            if (to_vc_late or away_late) and "late_media" not in found and call.whole:
                found.add("late_media")
    if call.answer_ns is None:
        return
    if call.end_ns is not None:
        until_ns = min(until_ns, call.end_ns)
    silent_from_ns: cython.longlong = until_ns - ONE_WAY_NS
    if to_vc.last_ns > silent_from_ns and away.last_ns > silent_from_ns:
        return  # as nearly always: both were heard to the end
    found |= silence(call, legs, to_vc, away, start_ns, until_ns)


def began_late(
    first: First, to_vc: cython.bint, figures: DirectionFigures, late_ns: cython.longlong
) -> cython.bint:
    """Note a direction's first packet where it has come; whether that was now, and later than `late_ns`."""
    if not figures.first_ns or to_vc in first:
        return False
    first[to_vc] = figures.first_ns
    return figures.first_ns > late_ns


def silence(
    call: Call, legs: Legs, to_vc: DirectionFigures, away: DirectionFigures, start_ns: int, until_ns: int
) -> set[str]:
    """Whether one direction of an answered call, or both, should have been heard and was not."""
    speaking = [leg for leg in legs if leg.was_up and not leg.held and _has_audio(leg)]
    if not speaking or any(leg.held for leg in call.legs):
        return set()
    assert call.answer_ns is not None
    start_ns = max(start_ns, call.answer_ns, *(leg.described_ns for leg in call.legs))
    if until_ns - start_ns < ONE_WAY_NS:
        return set()
    found = set()
    if until_ns - max(start_ns, to_vc.last_ns, away.last_ns) >= ONE_WAY_NS:
        found.add("dead_air")
    for heard, silent in ((to_vc, away), (away, to_vc)):
        if heard.packets >= ONE_WAY_PACKETS and silent.last_ns < start_ns:
            found.add("one_way_audio")
    return found


def _has_audio(leg: Leg) -> bool:
    """Whether the last SDP of either end has speech to carry: a fax (T.38) does not."""
    return any(
        kind == "audio" and port and is_rtp
        for sections in leg.described.values()
        for kind, _, port, _, _, is_rtp in sections
    )
