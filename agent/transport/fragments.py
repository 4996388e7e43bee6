"""Whole IP datagrams from fragments.

A cache over bytes that a stranger sends: the table has caps in entries and bytes, evicts its oldest entry, a
stranger's first (`SharedTable`), and counts it. Nothing raises. Time is the frame's and comes as an argument.
A fragment costs a search among the held pieces and a comparison of the bytes that it repeats, so the cost is
linear in bytes on the wire.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec import Struct

from agent.model.shared_table import SharedTable

DATAGRAM_MAX = 65535
# Fragments of 8 bytes would make 8,192 pieces of one datagram; at the least IPv6 MTU 64 KiB are 53.
PIECES_MAX = 128
PIECE_COST = 100  # memory of an entry beside its payload: tiny pieces must not get round the byte cap
TIMEOUT_NS = 2_000_000_000  # siblings pass a tap within milliseconds; this is less than a minute's lateness
MAX_LOST = 256  # reports that wait to be asked for

FragmentKey = tuple[str, str, int]  # source, destination, protocol


class LostDatagram(Struct, frozen=True):
    """A datagram that was given up. `start`: its first fragment's payload, b"" where that never came."""

    key: FragmentKey
    first_ns: int
    start: bytes


class _Datagram(Struct):
    first_ns: int
    offsets: list[int] = []  # sorted; pieces never overlap
    pieces: list[bytes] = []
    held: int = 0
    length: int | None = None  # known from the last fragment
    refused: bool = False  # contradicting overlap: kept empty, so that late fragments do not start it anew


class Fragments:
    """Reassembly of IPv4 (RFC 791) and IPv6 (RFC 8200 4.5) fragments.

    A fragment that overlaps another with the same bytes is a duplicate. One with other bytes is an attack on
    listeners (RFC 1858, RFC 5722), and the whole datagram is dropped.
    """

    def __init__(
        self, timeout_ns: int = TIMEOUT_NS, max_datagrams: int = 1024, max_bytes: int = 4 << 20
    ) -> None:
        # The attack: first fragments of datagrams that never end, each with a new identification.
        self._timeout_ns = timeout_ns
        self._table: SharedTable[tuple[FragmentKey, int], _Datagram] = SharedTable(max_datagrams, max_bytes)
        self.completed = 0
        self.expired = 0  # datagrams whose other fragments never came
        self.evicted = 0  # datagrams dropped for lack of room
        self.mismatched = 0  # datagrams with contradicting overlaps
        self.malformed = 0  # fragments that cannot be part of a datagram
        self._lost: list[LostDatagram] = []

    def __len__(self) -> int:
        return len(self._table)

    @property
    def held_bytes(self) -> int:
        return self._table.held_bytes

    def add(
        self,
        key: FragmentKey,
        identification: int,
        offset: int,
        more: bool,
        payload: bytes,
        now_ns: int,
        is_peer: bool = False,
    ) -> bytes | None:
        """Takes one fragment. Returns the whole datagram where the fragment completes it.

        `key` makes the identification unique (addresses, protocol); `offset` counts bytes. `is_peer`: the vc
        deals with the far end.
        """
        self.expire(now_ns)
        end = offset + len(payload)
        if not payload or end > DATAGRAM_MAX or offset % 8 or (more and len(payload) % 8):
            self.malformed += 1
            return None
        name = (key, identification)
        datagram = self._table.get(name)
        if datagram is None:
            datagram = _Datagram(now_ns)
            self._table.add(name, datagram, is_peer)
            self._make_room()
        if datagram.refused:
            return None
        if not self._fits(datagram, offset, end, more, payload):
            self._refuse(name, datagram)
            return None
        if not more:
            datagram.length = end
        self._insert(datagram, offset, payload)
        self._table.size(name, datagram.held + PIECE_COST * len(datagram.pieces))
        if datagram.length is not None and datagram.held == datagram.length:
            self._table.pop(name)
            self.completed += 1
            return b"".join(datagram.pieces)
        self._make_room()
        return None

    def leave_out(self, key: FragmentKey, identification: int, now_ns: int, is_peer: bool = False) -> None:
        """Notes a datagram that can never be whole: its other fragments begin no new one."""
        name = (key, identification)
        self._table.pop(name)
        self._table.add(name, _Datagram(now_ns, refused=True), is_peer)
        self._make_room()

    def expire(self, now_ns: int) -> int:
        """Drops the datagrams that waited longer than the timeout. Returns their number."""
        count = 0
        due = True
        while due:
            due = False
            for name, oldest in self._table.oldest():
                if now_ns - oldest.first_ns >= self._timeout_ns:
                    self._give_up(name)
                    self.expired += not oldest.refused
                    count += 1
                    due = True
        return count

    def lost(self) -> list[LostDatagram]:
        """Datagrams given up since the last call, at most `MAX_LOST`."""
        lost, self._lost = self._lost, []
        return lost

    def give_up_all(self) -> None:
        """Gives up every datagram: the capture is over."""
        for name in list(self._table):
            self._give_up(name)
            self.expired += 1

    def _fits(self, datagram: _Datagram, offset: int, end: int, more: bool, payload: bytes) -> bool:
        """Whether lengths and overlapping bytes agree with what is held, with room for another piece."""
        length = datagram.length
        if length is not None and (end > length or (not more and end != length)):
            return False
        if not more and datagram.offsets and datagram.offsets[-1] + len(datagram.pieces[-1]) > end:
            return False
        if len(datagram.pieces) >= PIECES_MAX:
            return False
        for place in _touched(datagram, offset, end):
            held_at, piece = datagram.offsets[place], datagram.pieces[place]
            low, high = max(offset, held_at), min(end, held_at + len(piece))
            if low < high and payload[low - offset : high - offset] != piece[low - held_at : high - held_at]:
                return False
        return True

    def _insert(self, datagram: _Datagram, offset: int, payload: bytes) -> None:
        """Keeps the new bytes, as pieces between those held."""
        end = offset + len(payload)
        gaps = []
        at = offset
        for place in _touched(datagram, offset, end):
            held_at = datagram.offsets[place]
            if held_at > at:
                gaps.append((at, held_at))
            at = max(at, held_at + len(datagram.pieces[place]))
        gaps.append((at, end))
        for low, high in gaps:
            if low < high:
                place = bisect_left(datagram.offsets, low)
                datagram.offsets.insert(place, low)
                datagram.pieces.insert(place, payload[low - offset : high - offset])
                datagram.held += high - low

    def _refuse(self, name: tuple[FragmentKey, int], datagram: _Datagram) -> None:
        self.mismatched += 1
        self._report(name, datagram)
        datagram.offsets, datagram.pieces, datagram.held = [], [], 0
        self._table.size(name, 0)
        datagram.refused = True

    def _report(self, name: tuple[FragmentKey, int], datagram: _Datagram) -> None:
        if len(self._lost) < MAX_LOST and not datagram.refused:
            start = datagram.pieces[0] if datagram.offsets and not datagram.offsets[0] else b""
            self._lost.append(LostDatagram(name[0], datagram.first_ns, start))

    def _give_up(self, name: tuple[FragmentKey, int]) -> None:
        datagram = self._table.pop(name)
        assert datagram is not None
        self._report(name, datagram)

    def _make_room(self) -> None:
        while (name := self._table.crowded()) is not None:
            self._give_up(name)
            self.evicted += 1


def _touched(datagram: _Datagram, offset: int, end: int) -> range:
    """Places of the pieces that may overlap `offset` to `end`."""
    first = bisect_right(datagram.offsets, offset) - 1
    return range(max(first, 0), bisect_left(datagram.offsets, end))
