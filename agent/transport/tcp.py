"""TCP segments to a stream of bytes in order, each direction by itself. A framing makes messages of them.

A cache over bytes that a stranger sends: caps in streams and bytes; the stream idle longest goes first and is
counted. Streams whose other direction carries data too (the vc answers) go last. Nothing raises. Time is the
frame's and comes as an argument. A segment costs one copy of its bytes and a search among the `AHEAD_MAX`
that wait.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from agent.model.shared_table import SharedTable
from agent.model.unseen import Cause
from agent.transport.messages import Found, Framing

SYN, RST = 0x02, 0x04  # TCP flags (RFC 9293 3.1)

StreamName = tuple[str, int, str, int]


class _Stream(Struct):
    initial: int  # the first sequence number
    next: int  # the next one expected
    last_ns: int
    framing: Framing
    ahead: dict[
        int, tuple[bytes, int]
    ] = {}  # segments beyond a hole, by number, with the count of bytes that the capture cut off
    ahead_bytes: int = 0
    nearest: int = 0  # the number in `ahead` that comes first
    hole_ns: int = 0  # when the hole was first seen
    has_data: bool = False


class TcpStreams:
    """Messages from TCP, by the framing that a stream's first bytes name.

    A stream may begin anywhere. A hole that is not filled within `hole_timeout_ns`, or before `AHEAD_MAX`
    segments wait behind it, was missed by the tap alone: no retransmission will come, and the framing is told
    of the gap. A FIN changes nothing: a retransmission after it must still be recognised as one.
    """

    # The attack: segments beyond a hole that never closes.
    AHEAD_MAX = 32
    AHEAD_BYTES = 128 << 10
    # A sequence number farther off than this belongs to another connection on the same ports.
    WINDOW = 1 << 20

    def __init__(
        self,
        max_streams: int = 4096,
        max_bytes: int = 16 << 20,
        timeout_ns: int = 3600_000_000_000,
        hole_timeout_ns: int = 1_000_000_000,
        framing: Callable[[bool], Framing] | None = None,
    ) -> None:
        """`framing` makes the framing of a new stream, by its first bytes if None. Its argument: the
        beginning was missed.
        """
        # The attack: connections opened and left, or messages begun and never ended.
        self._timeout_ns = timeout_ns
        self._hole_timeout_ns = hole_timeout_ns
        self._framing = framing or _by_opening
        # the stream idle longest comes first of its class
        self._table: SharedTable[StreamName, _Stream] = SharedTable(max_streams, max_bytes)
        self.steps = 0  # of all framings
        self.messages = 0
        self.retransmitted = 0  # segments with nothing new in them
        self.reordered = 0  # segments that came before their turn
        self.holes = 0  # given up
        self.expired = 0  # idle streams
        self.evicted = 0  # streams dropped for lack of room

    def __len__(self) -> int:
        return len(self._table)

    @property
    def held_bytes(self) -> int:
        return self._table.held_bytes

    def add(
        self,
        src: str,
        src_port: int,
        dst: str,
        dst_port: int,
        sequence: int,
        flags: int,
        payload: bytes,
        now_ns: int,
        missing: int = 0,
    ) -> list[Found]:
        """Takes a segment. Returns the messages that it completes, oldest first.

        `missing`: bytes that the capture cut off.
        """
        self.expire(now_ns)
        name = (src, src_port, dst, dst_port)
        stream = self._table.get(name)
        if flags & RST:
            if stream is not None:
                self._table.pop(name)
            return []
        if flags & SYN:  # SYN takes one number itself; its retransmission changes nothing
            sequence = (sequence + 1) & 0xFFFF_FFFF
            if stream is not None and stream.initial != sequence:
                self._table.pop(name)
                stream = None
        if stream is None:
            if not (payload or missing) and not flags & SYN:
                return []
            stream = _Stream(sequence, sequence, now_ns, self._framing(not flags & SYN))
            self._table.add(name, stream, is_peer=False)
        if (payload or missing) and not stream.has_data:
            self._meet(name, stream)
        self._table.renew(name)
        stream.last_ns = now_ns
        steps = stream.framing.steps
        found = self._receive(stream, sequence, payload, missing, now_ns)
        self.steps += stream.framing.steps - steps
        self.messages += len(found)
        self._table.size(name, stream.framing.held + stream.ahead_bytes)
        while (idlest := self._table.crowded()) is not None:
            self._table.pop(idlest)
            self.evicted += 1
        return found

    def expire(self, now_ns: int) -> int:
        """Drops streams idle for the timeout. Returns their number."""
        count = 0
        due = True
        while due:
            due = False
            for name, idlest in self._table.oldest():
                if now_ns - idlest.last_ns >= self._timeout_ns:
                    self._table.pop(name)
                    count += 1
                    due = True
        self.expired += count
        return count

    def _meet(self, name: StreamName, stream: _Stream) -> None:
        """Notes the first data of a direction. Where the other direction has data too, both are answered."""
        stream.has_data = True
        other = (name[2], name[3], name[0], name[1])
        reverse = self._table.get(other)
        if reverse is None or not reverse.has_data or reverse is stream:  # from a socket to itself: a forgery
            return
        self._table.promote(name)
        self._table.promote(other)

    def _receive(
        self, stream: _Stream, sequence: int, payload: bytes, missing: int, now_ns: int
    ) -> list[Found]:
        found: list[Found] = []
        if payload or missing:
            distance = _distance(sequence, stream.next)
            if abs(distance) > self.WINDOW:
                found += self._skip_to(stream, sequence, 0)
                distance = 0
            if distance > 0:
                self._keep_ahead(stream, sequence, payload, missing, now_ns)
            else:
                found += self._take(stream, payload, -distance, missing)
        if stream.ahead:
            found += self._fill(stream)
        if stream.ahead and (
            len(stream.ahead) > self.AHEAD_MAX
            or stream.ahead_bytes > self.AHEAD_BYTES
            or now_ns - stream.hole_ns >= self._hole_timeout_ns
        ):
            awaited = stream.next
            found += self._skip_to(stream, stream.nearest, _distance(stream.nearest, awaited))
            found += self._fill(stream)
            stream.hole_ns = now_ns
        return found

    def _take(self, stream: _Stream, payload: bytes, known: int, missing: int) -> list[Found]:
        """Passes on a segment whose first `known` bytes have been seen."""
        length = len(payload) + missing
        if known >= length:
            self.retransmitted += 1
            return []
        stream.next = (stream.next + length - known) & 0xFFFF_FFFF
        found = stream.framing.feed(payload[known:]) if known < len(payload) else []
        if missing:
            found += stream.framing.gap(min(missing, length - known), Cause.SNAP_LENGTH)
        return found

    def _keep_ahead(self, stream: _Stream, sequence: int, payload: bytes, missing: int, now_ns: int) -> None:
        if not stream.ahead:
            stream.hole_ns, stream.nearest = now_ns, sequence
        elif _distance(sequence, stream.nearest) < 0:
            stream.nearest = sequence
        held = stream.ahead.get(sequence, (b"", 0))[0]
        if len(payload) > len(held) or (missing and not held):
            stream.ahead[sequence] = (payload, missing)
            stream.ahead_bytes += len(payload) - len(held)
            self.reordered += 1
        else:
            self.retransmitted += 1

    def _fill(self, stream: _Stream) -> list[Found]:
        """Passes on waiting segments that are due now."""
        found: list[Found] = []
        while stream.ahead:
            distance = _distance(stream.nearest, stream.next)
            if distance > 0:
                break
            payload, missing = stream.ahead.pop(stream.nearest)
            stream.ahead_bytes -= len(payload)
            _find_nearest(stream)
            found += self._take(stream, payload, -distance, missing)
        return found

    def _skip_to(self, stream: _Stream, sequence: int, missing: int) -> list[Found]:
        """Goes on at `sequence`, `missing` bytes further on; 0: an unknown distance."""
        self.holes += 1
        stream.next = sequence
        for at in [at for at in stream.ahead if abs(_distance(at, sequence)) > self.WINDOW]:
            stream.ahead_bytes -= len(stream.ahead.pop(at)[0])
        _find_nearest(stream)
        return stream.framing.gap(missing, Cause.FRAMING)


def _by_opening(lost: bool) -> Framing:
    from agent.transport.framings import OpeningFraming  # 5 M instructions, of hosts with TCP only

    return OpeningFraming(lost)


def _find_nearest(stream: _Stream) -> None:
    """The waiting segment that is due first. Each search goes with one segment that leaves."""
    if stream.ahead:
        awaited = stream.next
        stream.nearest = min(stream.ahead, key=lambda at: _distance(at, awaited))


def _distance(sequence: int, awaited: int) -> int:
    """How far `sequence` lies after `awaited`, modulo 2^32, negative before it (RFC 9293 3.4)."""
    return ((sequence - awaited + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
