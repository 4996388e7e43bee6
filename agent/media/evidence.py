"""The evidence that a stream or RTCP packet that arrives belongs to its call (`agent/model/trust.py`).

A far end is known by its SDP, or by the vc's answer: the vc sends media from that socket to that address.
Behind NAT, and before the vc has answered, a source has neither. It then counts while no better source runs
on the socket. Once a named or answered source has begun there, packets of any other source are an intruder's
and belong to no call. Of several sources without evidence the one with the most packets counts, and those
that ran beside it do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from agent.media.sockets_cy import MediaSockets, SocketOwner
from agent.media.stream_index_cy import StreamIndex
from agent.model.call_cy import Leg, Stream
from agent.model.sides import Socket
from agent.model.trust import Trust
from agent.model.units import MINUTE_NS, SECOND_NS, SLOT_NS

ALONE, UNKNOWN = Trust.ALONE.value, Trust.UNKNOWN.value
Times = Callable[[Stream], tuple[int, int]]  # a stream's newest packet (ns), and how many it has had
Paused = Callable[[Stream, int, int], bool]  # whether nothing of a stream came between two times (ns)
STAND_IN_NS = SECOND_NS  # a stand-in runs for so long
KNOWN_NS = 2 * MINUTE_NS  # pauses are known of two open minutes; a file's stamps may be years apart
HANDOVER_NS = 200_000_000  # it may begin so much before the last packet of the named source, and end as late
PASSING_PACKETS = 16  # a stream of fewer, while another runs between its two sockets, is passing
PASSING_STREAMS = 8  # more of them, or more that come too fast, are a flood
PASSING_RATE = 200  # packets a second that short streams in turns do not reach: their packets are 10 ms long


class SourceEvidence:
    """Weighs sources: when a stream begins, at a minute's close and for RTCP, never packet by packet."""

    def __init__(self, sockets: MediaSockets, found: StreamIndex, times: Times, paused: Paused) -> None:
        self._sockets = sockets
        self._found = found
        self._times = times
        self._paused = paused
        self._open_ns = 0  # the oldest minute whose pauses are still known
        self._standing: set[Stream] | None = None  # at a minute's close, which forgets them

    def begin_close(self, strangers: Iterable[Stream]) -> None:
        """Find who stands in among `strangers`, while the pauses of the closing minute are still known."""
        self._standing = {stream for stream in strangers if self.stands_in(stream)}

    def end_close(self, open_ns: int) -> None:
        self._standing = None
        self._open_ns = open_ns

    def stands_in(self, stream: Stream) -> bool:
        """Whether every known or answered source of its socket pauses while `stream` runs."""
        if self._standing is not None:
            return stream in self._standing
        first_ns, last_ns = stream.first_ns, self._times(stream)[0]
        if last_ns - first_ns < STAND_IN_NS:
            return False
        others = [
            other
            for other in self._found.few_at(stream.dst)
            if other.dst == stream.dst and other.trust < ALONE and other is not stream
        ]
        begin_ns = max(first_ns, self._open_ns)
        last_ns = min(last_ns, begin_ns + KNOWN_NS)
        while others and begin_ns < last_ns:
            end_ns = min(last_ns, (begin_ns // SLOT_NS + 1) * SLOT_NS)
            span = begin_ns + HANDOVER_NS, end_ns - HANDOVER_NS
            if span[0] < span[1] and not all(self._paused(other, *span) for other in others):
                return False
            begin_ns = end_ns
        return bool(self._found.few_at(stream.dst))

    def _ended_before(self, stream: Stream, since_ns: int) -> bool:
        """Whether it ran for a second, and ended before a better source began. Less proves no media."""
        last_ns = self._times(stream)[0]
        return last_ns < since_ns and last_ns - stream.first_ns >= STAND_IN_NS

    def weigh(self, leg: Leg, src: Socket, ours: Socket) -> Trust:
        """The class of a source `src` that sends to a socket of `leg` on this host."""
        if is_accepted(leg) and self._sockets.names_host(leg, src[0]):
            return Trust.NAMED
        for stream in self._found.sent_by(ours):
            if stream.dst[0] == src[0]:
                return Trust.ANSWERED
        if not is_accepted(leg) or (leg.sources and ours in leg.sources):
            return Trust.UNKNOWN
        return Trust.ALONE

    def meet(self, stream: Stream, leg: Leg) -> bool:
        """Gives a stream that arrives on `leg` its class. Returns whether it is an intruder's."""
        trust = self.weigh(leg, stream.src, stream.dst)
        if leg.sources is None:
            leg.sources = {}
        since_ns = leg.sources.get(stream.dst)
        # It was over before anybody better came, or runs while all of them are silent.
        is_alone = since_ns is not None and (self._ended_before(stream, since_ns) or self.stands_in(stream))
        if trust is Trust.UNKNOWN and is_alone:
            trust = Trust.ALONE
        if trust is Trust.ALONE and _is_over(leg, stream.first_ns):
            trust = Trust.UNKNOWN
        stream.trust = trust
        if trust < ALONE:
            before_ns = leg.sources.get(stream.dst, stream.first_ns)
            leg.sources[stream.dst] = min(before_ns, stream.first_ns)
        return trust is Trust.UNKNOWN

    def intruders(self, doubtful: Iterable[Stream]) -> list[Stream]:
        """Of streams attached without evidence, those that must be detached now."""
        waiting = [stream for stream in doubtful if stream.leg is not None and not self._settle(stream)]
        found: list[Stream] = []
        alone: dict[Socket, list[Stream]] = {}
        for stream in waiting:
            assert stream.leg is not None
            since_ns = (stream.leg.sources or {}).get(stream.dst)
            if since_ns is None or self.stands_in(stream):
                alone.setdefault(stream.dst, []).append(stream)
            elif not self._ended_before(stream, since_ns):
                found.append(stream)
        for rivals in alone.values():
            if len(rivals) > 1:
                found += self._beside_the_busiest(rivals)
        return found

    def passing(self, leg: Leg) -> list[Stream]:
        """Streams that arrive on `leg` and are too short to be its media.

        A single packet proves no source (RFC 3550 A.1): it passes while a longer stream runs between the same
        two sockets. Several packets do, unless such streams are many: a sender changes its SSRC, but not each
        few packets. Many beside a longer stream, or faster than one source sends, are a flood, and all of the
        short ones pass.
        """
        short: dict[tuple[Socket, Socket], list[tuple[Stream, int, int]]] = {}
        longer: dict[tuple[Socket, Socket], list[tuple[int, int]]] = {}
        for stream in leg.streams:
            if stream.measured_here:
                (last_ns, packets), pair = self._times(stream), (stream.src, stream.dst)
                if packets < PASSING_PACKETS:
                    short.setdefault(pair, []).append((stream, last_ns, packets))
                else:
                    longer.setdefault(pair, []).append((stream.first_ns, last_ns))
        found: list[Stream] = []
        for pair, candidates in short.items():
            spans = longer.get(pair, [])[:PASSING_STREAMS]
            beside = [
                (stream, packets)
                for stream, last_ns, packets in candidates
                if any(begin <= stream.first_ns and last_ns <= end for begin, end in spans)
            ]
            if max(len(beside), _too_fast(candidates)) > PASSING_STREAMS:
                found += [stream for stream, _, _ in candidates]
            else:
                found += [stream for stream, packets in beside if packets == 1]
        return found

    def _settle(self, stream: Stream) -> bool:
        """Whether evidence has come meanwhile."""
        assert stream.leg is not None
        self.meet(stream, stream.leg)
        return stream.trust < ALONE

    def _beside_the_busiest(self, rivals: list[Stream]) -> list[Stream]:
        """Streams of other addresses that ran while the address with the most packets did."""
        packets: dict[str, int] = {}
        for stream in rivals:
            packets[stream.src[0]] = packets.get(stream.src[0], 0) + self._times(stream)[1]
        busiest = max(packets, key=lambda host: packets[host])
        ran = [(stream.first_ns, self._times(stream)[0]) for stream in rivals if stream.src[0] == busiest]
        first_ns, last_ns = min(begin for begin, _ in ran), max(end for _, end in ran)
        return [
            stream
            for stream in rivals
            if stream.src[0] != busiest and stream.first_ns <= last_ns and self._times(stream)[0] >= first_ns
        ]

    def has_rtp_from(self, leg: Leg, ours: Socket, host: str) -> bool:
        """Whether RTP from `host` to that socket is the leg's."""
        return any(
            stream.leg is leg and stream.dst == ours and stream.src[0] == host
            for stream in self._found.few_at(ours)
        )

    def rtcp(self, claim: SocketOwner, src: Socket) -> Trust:
        """The class of RTCP from `src` to a socket that `claim` owns: RTP's own, or the one beside it."""
        leg = claim.leg
        trust = self.weigh(leg, src, claim.rtp)
        if trust is not Trust.ALONE:
            return trust
        # RTP comes in: RTCP comes from there too. Of several hosts, the minute's close says whose it was.
        hosts = {
            stream.src[0]
            for stream in self._found.few_at(claim.rtp)
            if stream.leg is leg and stream.dst == claim.rtp
        }
        if hosts == {src[0]}:
            return Trust.ALONE
        return Trust.UNKNOWN if hosts else trust


def is_accepted(leg: Leg) -> bool:
    """Whether the vc has taken a caller up. Before that his SDP is no evidence for his own packets."""
    was_seen_to_ask = leg.whole or leg.call.claim is not None
    if leg.way != "incoming" or not was_seen_to_ask:
        return True
    return leg.was_up or "away" in leg.described


def _is_over(leg: Leg, stamp_ns: int) -> bool:
    """Whether a BYE had ended the leg by then: nobody begins to stand in for somebody who has left."""
    end_ns = leg.call.end_ns if leg.call.end_reason == "bye" else None
    return end_ns is not None and end_ns < stamp_ns and not leg.up


def _too_fast(short: list[tuple[Stream, int, int]]) -> int:
    """The number of streams after which the next one begins sooner than one source sends.

    Floods come in bursts, so neighbours are compared and no mean is taken.
    """
    short.sort(key=lambda each: (each[0].first_ns, each[0].id))
    return sum(
        (following.first_ns - stream.first_ns) * PASSING_RATE < packets * SECOND_NS
        for (stream, _, packets), (following, _, _) in pairwise(short)
    )
