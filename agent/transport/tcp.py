"""Whole datagrams from IP fragments, whole SIP messages from TCP segments.

Both are caches over what a stranger sends: every table has a cap, evicts its oldest entry and counts it.
Nothing raises; what cannot be put together is counted and gone. Time is the frame's and comes as an argument.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Hashable

from msgspec import Struct, field

from agent.wire.sip import looks_like_sip

DATAGRAM_MAX = 65535
# Fragments of 8 bytes would make 8,192 pieces of one datagram; at the least IPv6 MTU 64 KiB are 53.
PIECES_MAX = 128
PIECE_COST = 100  # what an entry takes beside its bytes: tiny pieces must not cheat the byte cap

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(
    rb"^(?:content-length|l)[ \t]*:(?:[ \t]|\r?\n[ \t])*([0-9]{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_START_LINE = re.compile(
    rb"\n(?:SIP/[0-9]\.[0-9] [1-6][0-9]{2}[ \r]|[A-Za-z]+ [^\s:]\S* SIP/[0-9]\.[0-9]\r?\n)"
)

SYN, RST = 0x02, 0x04  # TCP flags (RFC 9293 3.1)


class _Datagram(Struct):
    first_ns: int
    offsets: list[int] = []  # sorted; pieces never overlap
    pieces: list[bytes] = []
    held: int = 0
    length: int | None = None  # known from the last fragment
    refused: bool = False  # overlap mismatch: kept empty so that late fragments do not start it anew


class Fragments:
    """Reassembly of IPv4 (RFC 791) and IPv6 (RFC 8200 4.5) fragments.

    A fragment that overlaps another with the same bytes is a duplicate; with other bytes it is an attack on
    whoever reads along (RFC 1858, RFC 5722), and the whole datagram is dropped.
    """

    def __init__(
        self, timeout_ns: int = 30_000_000_000, max_datagrams: int = 1024, max_bytes: int = 4 << 20
    ) -> None:
        # The attack: first fragments of datagrams that never end, each with a new identification.
        self._timeout_ns = timeout_ns
        self._max_datagrams = max_datagrams
        self._max_bytes = max_bytes
        self._table: OrderedDict[tuple[Hashable, int], _Datagram] = OrderedDict()  # oldest first
        self.held_bytes = 0
        self.completed = 0
        self.expired = 0  # datagrams whose other fragments never came
        self.evicted = 0  # datagrams dropped for lack of room
        self.mismatched = 0  # datagrams with contradicting overlaps
        self.malformed = 0  # fragments that cannot be part of a datagram

    def __len__(self) -> int:
        return len(self._table)

    def add(
        self, key: Hashable, identification: int, offset: int, more: bool, payload: bytes, now_ns: int
    ) -> bytes | None:
        """The whole datagram, if this fragment completes it.

        `key` is whatever makes the identification unique (addresses, protocol), `offset` counts bytes.
        """
        self.expire(now_ns)
        end = offset + len(payload)
        if not payload or end > DATAGRAM_MAX or offset % 8 or (more and len(payload) % 8):
            self.malformed += 1
            return None
        name = (key, identification)
        datagram = self._table.get(name)
        if datagram is None:
            if len(self._table) >= self._max_datagrams:
                self._evict()
            datagram = self._table[name] = _Datagram(now_ns)
        if datagram.refused:
            return None
        if not self._fits(datagram, offset, end, more, payload):
            self._refuse(datagram)
            return None
        if not more:
            datagram.length = end
        self._insert(datagram, offset, payload)
        if datagram.length is not None and datagram.held == datagram.length:
            self._forget(name)
            self.completed += 1
            return b"".join(datagram.pieces)
        while self.held_bytes > self._max_bytes:
            self._evict()
        return None

    def expire(self, now_ns: int) -> int:
        """Drop what has waited longer than the timeout; how many."""
        count = 0
        while self._table:
            name, oldest = next(iter(self._table.items()))
            if now_ns - oldest.first_ns < self._timeout_ns:
                break
            self._forget(name)
            self.expired += not oldest.refused
            count += 1
        return count

    def _fits(self, datagram: _Datagram, offset: int, end: int, more: bool, payload: bytes) -> bool:
        """Whether lengths and overlapping bytes agree with what is held, with room for another piece."""
        length = datagram.length
        if length is not None and (end > length or (not more and end != length)):
            return False
        if not more and datagram.offsets and datagram.offsets[-1] + len(datagram.pieces[-1]) > end:
            return False
        if len(datagram.pieces) >= PIECES_MAX:
            return False
        for held_at, piece in zip(datagram.offsets, datagram.pieces, strict=True):
            low, high = max(offset, held_at), min(end, held_at + len(piece))
            if low < high and payload[low - offset : high - offset] != piece[low - held_at : high - held_at]:
                return False
        return True

    def _insert(self, datagram: _Datagram, offset: int, payload: bytes) -> None:
        """Keep the bytes that are new, as pieces between those held."""
        end = offset + len(payload)
        gaps = []
        at = offset
        for held_at, piece in zip(datagram.offsets, datagram.pieces, strict=True):
            if held_at > at:
                gaps.append((at, min(held_at, end)))
            at = max(at, held_at + len(piece))
            if at >= end:
                break
        gaps.append((at, end))
        for low, high in gaps:
            if low < high:
                place = bisect_left(datagram.offsets, low)
                datagram.offsets.insert(place, low)
                datagram.pieces.insert(place, payload[low - offset : high - offset])
                datagram.held += high - low
                self.held_bytes += high - low + PIECE_COST

    def _refuse(self, datagram: _Datagram) -> None:
        self.mismatched += 1
        self._release(datagram)
        datagram.refused = True

    def _release(self, datagram: _Datagram) -> None:
        self.held_bytes -= datagram.held + PIECE_COST * len(datagram.pieces)
        datagram.offsets, datagram.pieces, datagram.held = [], [], 0

    def _forget(self, name: tuple[Hashable, int]) -> None:
        datagram = self._table.pop(name)
        pieces = datagram.pieces
        self._release(datagram)
        datagram.pieces = pieces

    def _evict(self) -> None:
        self._forget(next(iter(self._table)))
        self.evicted += 1


class _Stream(Struct):
    initial: int  # the first sequence number
    next: int  # the one awaited
    last_ns: int
    buffer: bytearray = field(default_factory=bytearray)  # in order, from a line start
    scanned: int = 0  # of the buffer, searched for the end of the headers
    need: int = 0  # length of the message at hand, once its headers are whole
    lost: bool = True  # where messages begin is a guess, until one was whole
    skipping: bool = False  # inside a line too long to be a start line
    ahead: dict[int, bytes] = {}  # segments beyond a hole, by sequence number
    ahead_bytes: int = 0
    hole_ns: int = 0  # when the hole was first seen


class TcpStreams:
    """SIP messages out of TCP, each direction by itself, framed by Content-Length (RFC 3261 18.3).

    A stream may begin anywhere: lines are skipped until one is a SIP start line. So it goes on after a hole
    that nobody fills within `hole_timeout_ns`, or before `AHEAD_MAX` segments wait behind it (the tap missed
    what the receiver got, so no retransmission will come); a message whose headers were whole is then handed
    out as far as it came. CRLF keepalives (RFC 5626 4.4.1) and the blank lines of 7.5 are skipped. A FIN
    changes nothing: a retransmission after it must still be known for one.
    """

    # The longest start line waited for; a stream of anything else is held no longer than this.
    LINE_MAX = 4096
    # The attack: segments beyond a hole that never closes.
    AHEAD_MAX = 32
    # Farther off than this a sequence number belongs to another connection on the same ports.
    WINDOW = 1 << 20

    def __init__(
        self,
        max_streams: int = 4096,
        max_bytes_each: int = 128 << 10,
        max_bytes: int = 16 << 20,
        timeout_ns: int = 3600_000_000_000,
        hole_timeout_ns: int = 1_000_000_000,
    ) -> None:
        # The attack: connections opened and left, or messages begun and never ended.
        self._max_streams = max_streams
        self._max_bytes_each = max_bytes_each
        self._max_bytes = max_bytes
        self._timeout_ns = timeout_ns
        self._hole_timeout_ns = hole_timeout_ns
        self._table: OrderedDict[tuple[Hashable, int, Hashable, int], _Stream] = OrderedDict()  # idle first
        self.held_bytes = 0
        self.messages = 0
        self.retransmitted = 0  # segments with nothing new in them
        self.reordered = 0  # segments that came before their turn
        self.holes = 0  # given up
        self.resyncs = 0  # lines skipped in search of a start line
        self.oversized = 0  # messages longer than a stream may hold
        self.expired = 0  # idle streams
        self.evicted = 0  # streams dropped for lack of room

    def __len__(self) -> int:
        return len(self._table)

    def add(
        self,
        src: Hashable,
        src_port: int,
        dst: Hashable,
        dst_port: int,
        sequence: int,
        flags: int,
        payload: bytes,
        now_ns: int,
    ) -> list[bytes]:
        """The messages that this segment completes, oldest first."""
        self.expire(now_ns)
        name = (src, src_port, dst, dst_port)
        stream = self._table.get(name)
        if flags & RST:
            if stream is not None:
                self._forget(name)
            return []
        if flags & SYN:  # it takes one number itself; its retransmission changes nothing
            sequence = (sequence + 1) & 0xFFFF_FFFF
            if stream is not None and stream.initial != sequence:
                self._forget(name)
                stream = None
        if stream is None:
            if not payload and not flags & SYN:
                return []
            if len(self._table) >= self._max_streams:
                self._evict()
            stream = self._table[name] = _Stream(sequence, sequence, now_ns, lost=not flags & SYN)
        self._table.move_to_end(name)
        stream.last_ns = now_ns
        before = len(stream.buffer) + stream.ahead_bytes
        messages = self._receive(stream, sequence, payload, now_ns)
        self.held_bytes += len(stream.buffer) + stream.ahead_bytes - before
        self.messages += len(messages)
        while self.held_bytes > self._max_bytes:
            self._evict()
        return messages

    def expire(self, now_ns: int) -> int:
        """Drop streams idle for the timeout; how many."""
        count = 0
        while self._table:
            name, idlest = next(iter(self._table.items()))
            if now_ns - idlest.last_ns < self._timeout_ns:
                break
            self._forget(name)
            count += 1
        self.expired += count
        return count

    def _receive(self, stream: _Stream, sequence: int, payload: bytes, now_ns: int) -> list[bytes]:
        messages: list[bytes] = []
        if payload:
            distance = _distance(sequence, stream.next)
            if abs(distance) > self.WINDOW:
                messages += self._skip_to(stream, sequence)
                distance = 0
            if distance > 0:
                self._keep_ahead(stream, sequence, payload, now_ns)
            else:
                self._take(stream, payload, -distance)
                messages += self._frame(stream)
        messages += self._fill(stream)
        if stream.ahead and (
            len(stream.ahead) > self.AHEAD_MAX
            or stream.ahead_bytes > self._max_bytes_each
            or now_ns - stream.hole_ns >= self._hole_timeout_ns
        ):
            awaited = stream.next
            messages += self._skip_to(stream, min(stream.ahead, key=lambda at: _distance(at, awaited)))
            messages += self._fill(stream)
            stream.hole_ns = now_ns
        return messages

    def _take(self, stream: _Stream, payload: bytes, known: int) -> None:
        """Append a segment of which the first `known` bytes have been seen."""
        if known >= len(payload):
            self.retransmitted += 1
            return
        stream.buffer += payload[known:]
        stream.next = (stream.next + len(payload) - known) & 0xFFFF_FFFF

    def _keep_ahead(self, stream: _Stream, sequence: int, payload: bytes, now_ns: int) -> None:
        if not stream.ahead:
            stream.hole_ns = now_ns
        held = stream.ahead.get(sequence, b"")
        if len(payload) > len(held):
            stream.ahead[sequence] = payload
            stream.ahead_bytes += len(payload) - len(held)
            self.reordered += 1
        else:
            self.retransmitted += 1

    def _fill(self, stream: _Stream) -> list[bytes]:
        """Append what was waiting and is due now."""
        messages: list[bytes] = []
        while stream.ahead:
            awaited = stream.next
            sequence = min(stream.ahead, key=lambda at: _distance(at, awaited))
            distance = _distance(sequence, awaited)
            if distance > 0:
                break
            payload = stream.ahead.pop(sequence)
            stream.ahead_bytes -= len(payload)
            self._take(stream, payload, -distance)
            messages += self._frame(stream)
        return messages

    def _skip_to(self, stream: _Stream, sequence: int) -> list[bytes]:
        """Go on at `sequence`; returns the message cut by the hole, if its headers are whole."""
        self.holes += 1
        cut = [bytes(stream.buffer)] if stream.need else []
        stream.buffer.clear()
        stream.scanned = stream.need = 0
        stream.skipping = False
        stream.lost = True
        stream.next = sequence
        for at in [at for at in stream.ahead if abs(_distance(at, sequence)) > self.WINDOW]:
            stream.ahead_bytes -= len(stream.ahead.pop(at))
        return cut

    def _frame(self, stream: _Stream) -> list[bytes]:
        """Cut whole messages off the buffer."""
        messages: list[bytes] = []
        buffer = stream.buffer
        while buffer:
            if not stream.need and not self._find_end(stream):
                break
            if len(buffer) < stream.need:
                break
            messages.append(bytes(buffer[: stream.need]))
            del buffer[: stream.need]
            stream.scanned = stream.need = 0
            stream.lost = False
        return messages

    def _find_end(self, stream: _Stream) -> bool:
        """Set `need` for the message at the buffer's start, once skipped to. False: more bytes needed."""
        buffer = stream.buffer
        while stream.scanned or self._find_start(stream):
            blank_line = _BLANK_LINE.search(buffer, max(stream.scanned - 3, 0))
            if blank_line is None:
                need = stream.scanned = len(buffer)
            else:
                need = blank_line.end() + _content_length(buffer, blank_line.start())
            restart = 0
            if need > self._max_bytes_each:
                self.oversized += 1
                restart = buffer.find(b"\n") + 1
            elif blank_line and stream.lost:
                # Begun in a body that quotes a start line (message/sipfrag): the last one counts.
                for again in _START_LINE.finditer(buffer, 0, blank_line.start()):
                    restart = again.start() + 1
            if not restart:
                stream.need = need if blank_line else 0
                return blank_line is not None
            del buffer[:restart]
            stream.scanned = 0
            stream.lost = True
            self.resyncs += 1
        return False

    def _find_start(self, stream: _Stream) -> bool:
        """Skip lines until the buffer starts with a start line; `scanned` is then its length."""
        buffer = stream.buffer
        while buffer:
            if not stream.skipping:
                del buffer[: len(buffer) - len(buffer.lstrip(b"\r\n"))]
            line_end = buffer.find(b"\n", 0, self.LINE_MAX)
            if line_end >= 0:
                if not stream.skipping and looks_like_sip(bytes(buffer[: line_end + 1])):
                    stream.scanned = line_end
                    return True
                del buffer[: line_end + 1]
                stream.skipping = False
                stream.lost = True
                self.resyncs += 1
            elif len(buffer) >= self.LINE_MAX:
                del buffer[: self.LINE_MAX]
                stream.skipping = True
            else:
                if stream.skipping:
                    buffer.clear()
                return False
        return False

    def _forget(self, name: tuple[Hashable, int, Hashable, int]) -> None:
        stream = self._table.pop(name)
        self.held_bytes -= len(stream.buffer) + stream.ahead_bytes

    def _evict(self) -> None:
        self._forget(next(iter(self._table)))
        self.evicted += 1


def _content_length(buffer: bytearray, head_end: int) -> int:
    """18.3: over a stream it must be there; without it (0) a body will be skipped line by line."""
    at = buffer.find(b"\nContent-Length: ", 0, head_end)
    if at >= 0:
        plain = buffer[at + 17 : at + 27].partition(b"\r\n")[0]
        if plain.isdigit():
            return int(plain)
    found = _CONTENT_LENGTH.search(buffer, 0, head_end)
    return int(found[1]) if found else 0


def _distance(sequence: int, awaited: int) -> int:
    """How far `sequence` lies after `awaited`, modulo 2^32, negative before it (RFC 9293 3.4)."""
    return ((sequence - awaited + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
