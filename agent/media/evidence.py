"""By what evidence a stream or an RTCP packet that arrives is its call's (`agent/model/trust.py`).

A far end is known by its SDP, or by the vc's answer: the vc sends media from that socket to that address.
Behind NAT, and before the vc has answered, a source has neither; then it counts while nobody better runs on
the socket. Once a named or answered source has begun there, packets of anybody else are an intruder's: they
are of no call. Of several sources without evidence the one with the most packets counts, and those that ran
beside it do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agent.media.sockets_cy import MediaSockets, SocketOwner
from agent.media.stream_index_cy import StreamIndex
from agent.model.call_cy import Leg, Stream
from agent.model.sides import Socket
from agent.model.trust import Trust

ALONE, UNKNOWN = Trust.ALONE.value, Trust.UNKNOWN.value
Times = Callable[[Stream], tuple[int, int]]  # a stream's newest packet (ns), and how many it has had


class SourceEvidence:
    """Weighs sources: when a stream begins, at a minute's close and for RTCP, never packet by packet."""

    def __init__(self, sockets: MediaSockets, found: StreamIndex, times: Times) -> None:
        self._sockets = sockets
        self._found = found
        self._times = times

    def weigh(self, leg: Leg, src: Socket, ours: Socket) -> Trust:
        """The class of what comes from `src` to a socket of `leg` on the host that captures."""
        if is_accepted(leg) and self._sockets.names_host(leg, src[0]):
            return Trust.NAMED
        for stream in self._found.sent_by(ours):
            if stream.dst[0] == src[0]:
                return Trust.ANSWERED
        if not is_accepted(leg) or (leg.sources and ours in leg.sources):
            return Trust.UNKNOWN
        return Trust.ALONE

    def meet(self, stream: Stream, leg: Leg) -> bool:
        """Give a stream that arrives on `leg` its class; whether it is an intruder's."""
        trust = self.weigh(leg, stream.src, stream.dst)
        if leg.sources is None:
            leg.sources = {}
        since_ns = leg.sources.get(stream.dst)
        if trust is Trust.UNKNOWN and since_ns is not None and self._times(stream)[0] < since_ns:
            trust = Trust.ALONE  # it was over before anybody better came
        stream.trust = trust
        if trust < ALONE:
            before_ns = leg.sources.get(stream.dst, stream.first_ns)
            leg.sources[stream.dst] = min(before_ns, stream.first_ns)
        return trust is Trust.UNKNOWN

    def intruders(self, doubtful: Iterable[Stream]) -> list[Stream]:
        """Of streams attached without evidence, those that must go now; others may have got some."""
        waiting = [stream for stream in doubtful if stream.leg is not None and not self._settle(stream)]
        found: list[Stream] = []
        alone: dict[Socket, list[Stream]] = {}
        for stream in waiting:
            assert stream.leg is not None
            since_ns = (stream.leg.sources or {}).get(stream.dst)
            if since_ns is None:
                alone.setdefault(stream.dst, []).append(stream)
            elif self._times(stream)[0] >= since_ns:
                found.append(stream)
        for rivals in alone.values():
            if len(rivals) > 1:
                found += self._beside_the_busiest(rivals)
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

    def rtcp(self, claim: SocketOwner, src: Socket) -> Trust:
        """The class of RTCP from `src` to a socket that `claim` owns: RTP's own, or the one beside it."""
        leg = claim.leg
        trust = self.weigh(leg, src, claim.rtp)
        if trust is not Trust.ALONE:
            return trust
        for stream in self._found.few_at(claim.rtp):
            if stream.leg is leg and stream.dst == claim.rtp:  # RTP comes in: RTCP comes from there too
                trust = Trust.UNKNOWN
                if stream.src[0] == src[0]:
                    return Trust.ALONE
        return trust


def is_accepted(leg: Leg) -> bool:
    """Whether the vc has taken a caller up: until then his SDP is no evidence for his own packets."""
    if leg.way != "incoming" or (leg.attempt is None and leg.call.claim is None):
        return True
    return leg.was_up or "away" in leg.described
