"""Media without signalling: streams between a vc address and another that no SDP explains.

Examples: TLS without keys, a media relay whose proxy is elsewhere, a capture that began in the middle of a
call. Once RTP runs both ways between two sockets the vc has answered, so it is media: it counts by address,
with the flag `unsignalled`. Packets in one direction only prove nothing: they stay orphans.

A pair of sockets is one leg of a call of its own, so all later steps are those of other calls. A later SDP
takes the streams over. There are at most as many pairs as streams in the loop.
"""

from __future__ import annotations

from agent.media.sockets_cy import SocketOwner
from agent.model.call_cy import Call, Leg, Stream
from agent.model.names import UNSIGNALLED
from agent.model.sides import Sides, Socket
from agent.wire.rtp.payload_types import KIND_VIDEO, STATIC_TYPES
from agent.wire.sdp.session_cy import MediaDescription, Session

Found = tuple[SocketOwner, bool]  # whose packets are, and whether they go towards the vc
Row = tuple[Socket, Socket, str, Call]  # the vc's socket, the other, kind of media


class SocketPair:
    """The streams between a socket of the vc and another; it has an `owner` once they run both ways."""

    def __init__(self) -> None:
        self.to_vc: set[Stream] = set()
        self.away: set[Stream] = set()
        self.owner: SocketOwner | None = None


class Unsignalled:
    """Pairs of sockets by the vc's, then by the other."""

    def __init__(self, sides: Sides, *, count: bool = True) -> None:
        """`count`: whether media without signalling counts at all, or stays with the orphans."""
        self._sides = sides
        self._count = count and sides.known
        self._at: dict[Socket, dict[Socket, SocketPair]] = {}

    def __len__(self) -> int:
        return sum(len(pairs) for pairs in self._at.values())

    def rows(self) -> list[Row]:
        """Pairs that count, for a checkpoint."""
        return [
            (ours, far, pair.owner.media[0].kind, pair.owner.leg.call)
            for ours, pairs in self._at.items()
            for far, pair in pairs.items()
            if pair.owner is not None
        ]

    def restore(self, ours: Socket, far: Socket, kind: str, call: Call) -> None:
        """Takes over a pair that counted before a restart; without its streams `prune` drops it."""
        if self._count:
            pair = self._at.setdefault(ours, {}).setdefault(far, SocketPair())
            pair.owner = _owner_of(call.lead, ours, kind)

    def prune(self) -> None:
        """Drops pairs without a stream."""
        for ours, pairs in tuple(self._at.items()):
            for far, pair in tuple(pairs.items()):
                if not pair.to_vc and not pair.away:
                    del pairs[far]
            if not pairs:
                del self._at[ours]

    def meet(self, stream: Stream, payload_type: int) -> list[tuple[Stream, SocketOwner, bool]]:
        """Takes a stream that no SDP explains.

        Returns the streams that count from now on, with owner and direction.
        """
        ends = self._ends(stream.src, stream.dst)
        if ends is None:
            return []
        ours, far, to_vc = ends
        pairs = self._at.setdefault(ours, {})
        pair = pairs.setdefault(far, SocketPair())
        (pair.to_vc if to_vc else pair.away).add(stream)
        if pair.owner is not None:
            return [(stream, pair.owner, to_vc)]
        if not pair.to_vc or not pair.away:
            stream.named = not (to_vc and any(other.owner for other in pairs.values()))
            return []
        for other in pairs.values():
            for stranger in other.to_vc if other.owner is None else ():
                stranger.named = False
        first_ns = min(each.first_ns for each in (*pair.to_vc, *pair.away))
        pair.owner = self._owner(ours, far, first_ns, payload_type)
        return [(each, pair.owner, True) for each in pair.to_vc] + [
            (each, pair.owner, False) for each in pair.away
        ]

    def leave(self, stream: Stream) -> Leg | None:
        """The stream is over, or an SDP explains it now. Returns the leg that it had here."""
        ends = self._ends(stream.src, stream.dst)
        pairs = self._at.get(ends[0]) if ends else None
        if ends is None or pairs is None or (pair := pairs.get(ends[1])) is None:
            return None
        pair.to_vc.discard(stream)
        pair.away.discard(stream)
        if not pair.to_vc and not pair.away:
            del pairs[ends[1]]
            if not pairs:
                del self._at[ends[0]]
        return pair.owner.leg if pair.owner is not None else None

    def find(self, src: Socket, dst: Socket) -> Found | None:
        """The owner of RTCP from `src` to `dst`: on the sockets of RTP, or on the next port (RFC 3550 11)."""
        ends = self._ends(src, dst)
        if ends is None:
            return None
        (host, port), far, to_vc = ends
        for ours in ((host, port), (host, port - 1)):
            pairs = self._at.get(ours)
            if not pairs:
                continue
            offset = port - ours[1]
            pair = pairs.get((far[0], far[1] - offset)) or pairs.get(far)
            if pair is not None and pair.owner is not None:
                return pair.owner, to_vc
        return None

    def _ends(self, src: Socket, dst: Socket) -> tuple[Socket, Socket, bool] | None:
        """(the vc's socket, the other, towards the vc); None where the vc is at both ends, or at neither."""
        if not self._count:
            return None
        from_vc, to_vc = self._sides.is_vc(src[0]), self._sides.is_vc(dst[0])
        if from_vc == to_vc:
            return None
        return (dst, src, True) if to_vc else (src, dst, False)

    def _owner(self, ours: Socket, far: Socket, first_ns: int, payload_type: int) -> SocketOwner:
        place = self._sides.place(far[0])
        # Not whole: nobody knows whether what was first seen of a stream is its beginning.
        pair = f"{ours[0]} {ours[1]} {far[0]} {far[1]}"  # stands for the From tag: no other call has it
        leg = Leg("", pair, "incoming", far[0], place[0], first_ns, 0, place, whole=False)
        leg.connector = place[1] or self._sides.sole
        if place[0] != "customer":
            leg.carrier = self._sides.carrier(far[0])
        call = Call()
        call.flags.add(UNSIGNALLED)
        call.adopt(leg)
        static = STATIC_TYPES.get(payload_type)
        kind = "video" if static is not None and static.kind == KIND_VIDEO else "audio"
        return _owner_of(leg, ours, kind)


def _owner_of(leg: Leg, ours: Socket, kind: str) -> SocketOwner:
    """The owner that an SDP would have given: an m-line without codecs of its own."""
    return SocketOwner(leg, ours, MediaDescription(kind, 0, ("RTP/AVP", True, False, ()), Session()))
