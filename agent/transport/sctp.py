"""SIP over SCTP (RFC 4168): each user message is a SIP message, so there is no framing by Content-Length.

A packet bundles chunks (RFC 9260 3.2). A message that does not fit one DATA chunk comes in several with
consecutive numbers, the first with the B bit, the last with the E bit (3.3.1). Each message is passed on once
it is whole, in any stream, ordered or not: a listener needs no order between streams.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct, field

from agent.errors import Reason, WireError
from agent.model.shared_table import SharedTable
from agent.model.unseen import Cause
from agent.transport.messages import MESSAGE_MAX, Found
from agent.wire.sip import looks_like_sip

COMMON_HEADER, CHUNK_HEADER, DATA_HEADER = 12, 4, 16  # bytes; RFC 9260 3.1, 3.2, 3.3.1
DATA, INIT, INIT_ACK, ABORT = 0, 1, 2, 6
END, BEGIN = 1, 2  # flags of a DATA chunk
TSN_WINDOW = 1024  # numbers of one direction that are remembered, for retransmissions
PARTS_MAX = 256  # chunks of unfinished messages of one direction
PART_COST = 100  # memory of a part beside its payload

PathName = tuple[str, int, str, int]


class _Path(Struct):
    last_ns: int
    newest: int = -1  # the highest number seen
    seen: int = 0  # a bit for each of the numbers up to `newest`
    parts: OrderedDict[int, tuple[int, bytes]] = field(
        default_factory=OrderedDict
    )  # flags and bytes by number
    # of neighbouring parts: the last number by the first, and the other way round
    runs: dict[int, int] = field(default_factory=dict)
    held: int = 0
    is_sip: bool = False


class SctpPaths:
    """Messages from the DATA chunks between two sockets, each direction by itself."""

    def __init__(
        self, max_paths: int = 1024, max_bytes: int = 4 << 20, timeout_ns: int = 3600_000_000_000
    ) -> None:
        # The attack: first chunks of messages that never end, between ever new sockets.
        self._timeout_ns = timeout_ns
        # the one idle longest comes first of its class
        self._table: SharedTable[PathName, _Path] = SharedTable(max_paths, max_bytes)
        self.retransmitted = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._table)

    @property
    def held_bytes(self) -> int:
        return self._table.held_bytes

    def add(
        self, src: str, dst: str, data: bytes, missing: int, now_ns: int, is_peer: bool = False
    ) -> tuple[int, int, list[Found]]:
        """Source port, destination port, and the messages that this packet completes.

        `data` is the IP payload from the common header on, `missing` bytes of it were cut off. `is_peer`: the
        vc deals with the far end.

        Raises:
            WireError: the packet or a chunk is shorter than its own lengths say.
        """
        if len(data) < COMMON_HEADER:
            raise WireError(Reason.SCTP_MALFORMED)
        ports = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        name = (src, ports[0], dst, ports[1])
        found: list[Found] = []
        at = COMMON_HEADER
        while at + CHUNK_HEADER <= len(data):
            kind, flags = data[at], data[at + 1]
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if length < CHUNK_HEADER or at + length > len(data) + missing:
                raise WireError(Reason.SCTP_MALFORMED)
            if kind == DATA and length > DATA_HEADER and at + DATA_HEADER <= len(data):
                chunk = data[at + DATA_HEADER : at + length]
                number = int.from_bytes(data[at + 4 : at + 8], "big")
                cut = length - DATA_HEADER - len(chunk)
                path = self._path(name, now_ns, is_peer)
                self._data(path, number, flags, chunk, cut, found)
                self._table.size(name, path.held)
            elif kind == DATA and missing:
                found.append(Found(b"", Cause.SNAP_LENGTH, is_sip=False))
            elif kind in (INIT, INIT_ACK, ABORT):
                self._table.pop(name)
            at += (length + 3) & ~3
        if len(data) < at + CHUNK_HEADER <= len(data) + missing:
            found.append(Found(b"", Cause.SNAP_LENGTH, is_sip=False))
        self._make_room(now_ns)
        return *ports, found

    def _path(self, name: PathName, now_ns: int, is_peer: bool) -> _Path:
        path = self._table.get(name)
        if path is None:
            path = _Path(now_ns)
            self._table.add(name, path, is_peer)
        elif is_peer:
            self._table.promote(name)
        self._table.renew(name)
        path.last_ns = now_ns
        return path

    def _data(self, path: _Path, number: int, flags: int, chunk: bytes, cut: int, found: list[Found]) -> None:
        if _is_repeated(path, number) or number in path.parts:
            self.retransmitted += 1
            return
        if cut:
            is_sip = bool(flags & BEGIN) and looks_like_sip(chunk)
            found.append(Found(chunk if is_sip else b"", Cause.SNAP_LENGTH, is_sip or path.is_sip))
        elif flags & BEGIN and flags & END:
            self._whole(path, chunk, found)
        else:
            path.parts[number] = flags, chunk
            path.held += len(chunk) + PART_COST
            self._join(path, number, found)
            while len(path.parts) > PARTS_MAX or path.held > MESSAGE_MAX:
                self._give_up(path, next(iter(path.parts)), found)

    def _join(self, path: _Path, number: int, found: list[Found]) -> None:
        """Passes on the message that the part `number` completes.

        The cost does not depend on the waiting parts.
        """
        parts, runs, first, last = path.parts, path.runs, number, number
        flags = parts[number][0]
        if not flags & BEGIN and (before := (number - 1) & 0xFFFF_FFFF) in runs and _ends(parts, before):
            first = runs.pop(before)
        if not flags & END and (after := (number + 1) & 0xFFFF_FFFF) in runs and _begins(parts, after):
            last = runs.pop(after)
        runs[first], runs[last] = last, first
        if parts[first][0] & BEGIN and parts[last][0] & END:
            chunks = self._take_out(path, first, last)
            self._whole(path, b"".join(chunks), found)

    def _take_out(self, path: _Path, first: int, last: int) -> list[bytes]:
        path.runs.pop(first)
        path.runs.pop(last, None)
        count = ((last - first) & 0xFFFF_FFFF) + 1
        chunks = [path.parts.pop((first + step) & 0xFFFF_FFFF)[1] for step in range(count)]
        path.held -= sum(map(len, chunks)) + PART_COST * count
        return chunks

    def _whole(self, path: _Path, message: bytes, found: list[Found]) -> None:
        if looks_like_sip(message):
            path.is_sip = True
            found.append(Found(message))

    def _give_up(self, path: _Path, number: int, found: list[Found]) -> None:
        """Drops the message of the part `number` with its other parts: it will not become whole."""
        parts, first, last = path.parts, number, number
        while not parts[first][0] & BEGIN and _ends(parts, (first - 1) & 0xFFFF_FFFF):
            first = (first - 1) & 0xFFFF_FFFF
        while not parts[last][0] & END and _begins(parts, (last + 1) & 0xFFFF_FFFF):
            last = (last + 1) & 0xFFFF_FFFF
        flags = parts[first][0]
        start = self._take_out(path, first, last)[0]
        if path.is_sip or (flags & BEGIN and looks_like_sip(start)):
            found.append(Found(b"", Cause.FRAGMENTS))

    def _make_room(self, now_ns: int) -> None:
        over = [
            name for name, path in self._table.oldest() if now_ns - path.last_ns >= self._timeout_ns
        ]  # one of each class a packet is enough
        for name in over:
            self._table.pop(name)
        while (full := self._table.crowded()) is not None:
            self._table.pop(full)
            over.append(full)
        self.evicted += len(over)


def _ends(parts: OrderedDict[int, tuple[int, bytes]], number: int) -> bool:
    """Whether the part `number` is there and another follows it."""
    return number in parts and not parts[number][0] & END


def _begins(parts: OrderedDict[int, tuple[int, bytes]], number: int) -> bool:
    """Whether the part `number` is there and follows another."""
    return number in parts and not parts[number][0] & BEGIN


def _is_repeated(path: _Path, number: int) -> bool:
    """Whether a chunk came before. It is marked as come."""
    step = ((number - path.newest + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
    if path.newest < 0 or abs(step) >= TSN_WINDOW:  # the first, or another association
        path.newest, path.seen = number, 1
        return False
    if step > 0:
        path.newest = number
        path.seen = (path.seen << step | 1) & (1 << TSN_WINDOW) - 1
        return False
    bit = 1 << -step
    repeated = bool(path.seen & bit)
    path.seen |= bit
    return repeated
