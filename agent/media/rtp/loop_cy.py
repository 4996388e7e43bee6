# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="no-any-return"
"""The RTP loop: a whole batch of frames in, per-stream counters out. All other frames are left to the caller.

docs/accuracy.md has the meaning of every figure. The rules that a packet passes, in order:

    copy        the same number again within 20 ms through another path: removed before all counting
    probation   on a socket that an SDP names the first packet counts; elsewhere a stream exists once two of
                its newest numbers are neighbours (RFC 3550 A.1), and all since the first of them count
    sequence    A.1's MAX_DROPOUT and MAX_MISORDER; two in a row out of range are a restart, never loss, and
                so are numbers of audio for which neither time nor the sender's clock had room
    loss        judged when a number leaves the window (loss_cy)
    jitter      RFC 3550 A.8 over the admitted packets; a new time base is a reference and no sample
    buffer      a packet later than the modelled jitter buffer allows is discarded (jitter_cy, both)
    clock       every clock rate is compared with the time that passes (clocks_cy)
"""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Any

import cython

from agent.media.rtp.jitter_cy import Jitter
from agent.media.rtp.named_sockets_cy import NamedSockets
from agent.media.rtp.snapshot_cy import restore, save
from agent.wire.ip.decoder_cy import REASONS, Decoder
from agent.wire.ip.encapsulations import Tunnel

if not cython.compiled:  # loop_cy.pxd has them, typed
    from agent import uncompiled
    from agent.media.rtp.clocks_cy import *
    from agent.media.rtp.loss_cy import *
    from agent.media.rtp.stream_row import MinuteRow, StreamRow
    from agent.media.rtp.stream_table_cy import *
    from agent.wire.frame import CAPTURED, OFFSET, ORIGIN, STAMP, STRIDE, WIRE
    from agent.wire.ip.decoder_cy import *

    END, DUE, SLOW, STREAM = uncompiled.constants(__name__, "END DUE SLOW STREAM")
    MAX_DROPOUT, MAX_MISORDER = uncompiled.constants(__name__, "MAX_DROPOUT MAX_MISORDER")
    MAX_PATHS, BAD_RTP, MAX_BEGUN = uncompiled.constants(__name__, "MAX_PATHS BAD_RTP MAX_BEGUN")
    LOOK_AHEAD, TOUCH_AHEAD, MANY_STREAMS = uncompiled.constants(
        __name__, "LOOK_AHEAD TOUCH_AHEAD MANY_STREAMS"
    )
    NONE, STRAY, REBASE, FIRST, RESUMED = uncompiled.constants(__name__, "NONE STRAY REBASE FIRST RESUMED")
    REPEATED, REPEATS, REPEATS_MASK = uncompiled.constants(__name__, "REPEATED REPEATS REPEATS_MASK")

__all__ = [
    "STOP_DUE",
    "STOP_END",
    "STOP_SLOW",
    "STOP_STREAM",
    "Loop",
]

# Why a walk stopped, for callers in Python.
STOP_END, STOP_DUE, STOP_SLOW, STOP_STREAM = range(4)

_MAP_ROW = struct.Struct("<BIB")  # payload type, clock rate, kind


class Loop(Jitter):
    """Counts every RTP stream of the frames it walks.

    After `walk`: `stopped` says why it returned, `new_stream` which stream was just accepted (STREAM).
    Counters over all frames: `ignored` (of no protocol that counts), `duplicate_frames` (copies),
    `late_frames`, `refused` streams, `evicted` candidates, `rejects()`. The caller sets `closed_ns`, the end
    of the newest closed minute.
    """

    def __init__(
        self,
        *,
        max_streams: int = 200_000,
        jitter_buffer_ms: float = 60.0,
        adaptive: bool = False,
        jitter_buffer_max_ms: float = 200.0,
        single_span: bool = False,
        minute_ns: int = 60_000_000_000,
        tunnels: Sequence[Tunnel] | None = None,
        own: Sequence[str] = (),
    ) -> None:
        """`tunnels`: the tunnels to open, and no others; None: every one. `own`: as for `Decoder`."""
        super().__init__(max_streams, minute_ns, jitter_buffer_ms, adaptive, jitter_buffer_max_ms)
        self.single_span = single_span
        self.decoder = Decoder(tunnels, own)
        self.held: bytes | bytearray | memoryview = b""  # what every walk may find open
        self.held_index: array[int] | memoryview | None = None
        self.open_index: Any = None  # the same, typed
        self.stopped = 0
        self.new_stream = self.position = -1
        self.ignored = self.late_frames = self.duplicate_frames = 0
        self.reasons = memoryview(bytearray(4096)).cast("q")
        self.paths = memoryview(bytearray(4096)).cast("q")
        self.known_paths = 0
        self.last_path = self.last_path_id = -1
        self.slot_from = self.slot_to = self.slot_now = self.odd_now = 0
        self.seen = memoryview(bytearray(4096)).cast("Q")
        self.headers = 0
        self.accepted = memoryview(bytearray(4096)).cast("q")
        self.n_accepted = self.kept = 0
        self.named = NamedSockets(2 * max_streams)

    def rebase(self, stream: int) -> None:
        """The stream's next packet begins a new count without loss: the stream is another call's now."""
        row: StreamRow = self.known(stream)
        row.stray = REBASE

    def resume(self, stream: int) -> None:
        """The stream's next packet begins a new count without loss, unless it has the next number."""
        row: StreamRow = self.known(stream)
        if not REBASE <= row.stray <= FIRST:
            row.stray = RESUMED

    def tunnels(self) -> dict[str, int]:
        """Frames from tunnels, by the kind of the outermost."""
        found: dict[str, int] = self.decoder.tunnels()
        return found

    def rejects(self) -> dict[str, int]:
        """Frames that do not parse, by `errors.Reason`."""
        return {
            str(reason): int(self.reasons[-number])
            for number, reason in REASONS.items()
            if self.reasons[-number]
        }

    # --- checkpoints

    def save(self) -> bytes:
        """The accepted streams with their open minutes, and the payload maps; see `restore`."""
        keys = {number: key for key, number in self.map_ids.items()}
        each = [keys.get(number, ()) for number in range(max(keys) + 1)]
        maps = [(number, rate, kind) for key in each for number, (rate, kind) in key]
        sizes = [len(key) for key in each]
        tables = struct.pack(f"<H{len(sizes)}H", len(sizes), *sizes)
        return save(self) + tables + b"".join(_MAP_ROW.pack(*row) for row in maps)

    def restore(self, data: bytes) -> None:
        """Goes on where the loop of `save` was; only for a loop that has walked nothing.

        Raises:
            ValueError: not a snapshot of this version and these settings.
        """
        at = restore(self, data)
        try:
            (count,) = struct.unpack_from("<H", data, at)
            sizes = struct.unpack_from(f"<{count}H", data, at + 2)
            at += 2 + 2 * count
            self.map_ids.clear()
            self.free_maps = [number for number, size in enumerate(sizes) if not size]
            for table, size in enumerate(sizes):
                if not size:
                    continue
                rows = [_MAP_ROW.unpack_from(data, at + place * _MAP_ROW.size) for place in range(size)]
                at += size * _MAP_ROW.size
                self.map_ids[tuple((number, (rate, kind)) for number, rate, kind in rows)] = table
                for number, rate, kind in rows:
                    self.maps[(table % MAX_MAPS) * TYPES + number] = max(1, min(rate, 0xFFFFFF)) << 8 | kind
        except struct.error as error:
            raise ValueError("snapshot too short") from error

    # --- the walk

    def hold(
        self, data: bytes | bytearray | memoryview, index: array[int] | memoryview | None = None
    ) -> None:
        """Keeps `data` and `index` open for every walk over them until the next `hold`; `b""` releases them.

        Each frame that is the caller's ends a walk: to open both anew would cost it 2,000 instructions.
        """
        self.decoder.attach(data)
        self.held, self.held_index = data, index
        self.open_index = index

    def walk(
        self,
        data: bytes | bytearray | memoryview,
        index: array[int] | memoryview,
        position: cython.longlong,
        until_ns: cython.longlong,
    ) -> cython.longlong:
        """Walk the frames of a batch from `position`: the position of the first one not consumed.

        `stopped` is then END (there is none), DUE (that frame's stamp is `until_ns` or later), SLOW (it is
        the caller's: SIP, RTCP, TCP, a fragment, cut headers; go on behind it) or STREAM (it makes
        `new_stream` a stream: set its payload map and go on at the same position).
        """
        if data is self.held and index is self.held_index:
            self.frames(self.open_index, position, until_ns)
            return self.position
        self.decoder.attach(data)
        try:
            self.frames(index, position, until_ns)
        finally:
            self.decoder.attach(self.held)
        return self.position

    def process(
        self,
        data: bytes | bytearray | memoryview,
        index: array[int] | memoryview,
        position: int,
        kept: int,
        until_ns: int,
    ) -> int:
        """`walk` for a thread that does not wait for the caller: RTP is finished, and no other frame stops
        it.

        The rows of the caller's frames are moved to the front of `index`, behind the `kept` ones that lie
        there already. Returns how many there are now. Accepted streams are `begun`, and count from their
        second packet on by the static types until their payload map is set. `stopped` is END, DUE as for
        `walk`, or STREAM: the list of begun streams is full, take them and go on.
        """
        self.decoder.attach(data)
        try:
            self.process_frames(index, position, kept, until_ns)
        finally:
            self.decoder.attach(b"")
        return int(self.kept)

    def begun(self) -> list[tuple[int, bool]]:
        """Streams that `process` accepted since the last call, and whether A.1 dropped nothing of each."""
        noted = [int(self.accepted[at]) for at in range(self.n_accepted)]
        self.n_accepted = 0
        return [(number >> 1, bool(number & 1)) for number in noted]

    def frames(
        self, index: cython.longlong[::1], position: cython.longlong, until_ns: cython.longlong
    ) -> cython.int:
        count: cython.longlong = len(index) // STRIDE
        ahead: cython.longlong
        self.stopped = END
        with cython.nogil:
            while position < count and self.stopped == END:
                if cython.compiled and self.live > MANY_STREAMS and position + LOOK_AHEAD < count:
                    ahead = STRIDE * (position + LOOK_AHEAD)
                    self.look(position + LOOK_AHEAD, index[ahead + OFFSET], index[ahead + CAPTURED])
                    self.touch(position + TOUCH_AHEAD)
                position += self.frame(
                    index[STRIDE * position + OFFSET],
                    index[STRIDE * position + CAPTURED],
                    index[STRIDE * position + WIRE],
                    index[STRIDE * position + STAMP],
                    index[STRIDE * position + ORIGIN],
                    until_ns,
                )
        self.position = position
        return 0

    def process_frames(
        self,
        index: cython.longlong[::1],
        position: cython.longlong,
        kept: cython.longlong,
        until_ns: cython.longlong,
    ) -> cython.int:
        count: cython.longlong = len(index) // STRIDE
        column: cython.longlong
        row: StreamRow
        self.stopped = END
        while position < count and self.n_accepted < MAX_BEGUN:
            self.frames(index, position, until_ns)
            position = self.position
            if self.stopped == SLOW:
                for column in range(STRIDE):
                    index[STRIDE * kept + column] = index[STRIDE * position + column]
                kept += 1
                position += 1
            elif self.stopped == STREAM:
                row = row_of(self, self.new_stream)
                self.accepted[self.n_accepted] = self.new_stream << 1 | (row.first_ns == row.last_ns)
                self.n_accepted += 1
            else:
                break
        self.position = position
        if self.stopped != DUE:
            self.stopped = STREAM if position < count else END
        self.kept = kept
        return 0

    # With many streams a packet's time is spent waiting for memory: three lines that each tell where the next
    # is. So the loop looks a dozen frames ahead for their slots, and half as far for the rows these name.

    def look(
        self, position: cython.longlong, offset: cython.longlong, captured: cython.longlong
    ) -> cython.int:
        if not self.decoder.glance(offset + self.headers, offset + captured):
            return 0
        hashed: cython.ulonglong = self.hash(
            self.decoder.near_src_hi,
            self.decoder.near_src_lo,
            self.decoder.near_dst_hi,
            self.decoder.near_dst_lo,
            self.decoder.near_sockets,
        )
        self.seen[position & 15] = hashed << 16 | self.decoder.be16(offset + self.headers + 2)
        if cython.compiled:
            prefetch(cython.address(self.slots[hashed & self.mask]))  # type: ignore[name-defined]
        return 0

    def touch(self, position: cython.longlong) -> cython.int:
        hashed: cython.ulonglong = self.seen[position & 15] >> 16
        entry: cython.ulonglong = self.slots[hashed & self.mask]
        if entry == 0 or entry >> 32 != hashed:
            return 0
        row: StreamRow = row_of(self, (entry & MASK32) - 1)
        seq: cython.ulonglong = self.seen[position & 15]
        if cython.compiled:
            prefetch(row)  # type: ignore[name-defined]
            prefetch(cython.address(row.first_ns))  # type: ignore[name-defined]
            prefetch(half(row, self.odd_now))  # type: ignore[name-defined]
            prefetch(cython.address(row.window[seq & (WINDOW - 1)]))  # type: ignore[name-defined]
        return 0

    def frame(
        self,
        offset: cython.longlong,
        captured: cython.longlong,
        wire: cython.longlong,
        stamp_ns: cython.longlong,
        origin: cython.longlong,
        until_ns: cython.longlong,
    ) -> cython.int:
        """1: the frame is consumed; 0: it is not, and `stopped` says why."""
        if stamp_ns >= until_ns:
            self.stopped = DUE
            return 0
        if stamp_ns > self.newest_ns:
            self.newest_ns = stamp_ns
        kind: cython.int = UDP
        plain: cython.int = self.decoder.plain(offset, captured, origin)
        if not plain:
            kind = self.decoder.frame(offset, captured, origin)
        if kind == UDP:
            kind = PAYLOAD_RTP if plain else self.decoder.classify()
            if kind == PAYLOAD_RTP or (kind == PAYLOAD_RTCP and self.is_named_rtp()):
                self.headers = self.decoder.payload_offset - offset
                if self.rtp(stamp_ns):
                    self.decoder.again()
                    self.stopped = STREAM
                    return 0
            elif kind in (PAYLOAD_SIP, PAYLOAD_RTCP, PAYLOAD_TURN) or (
                kind == PAYLOAD_SHORT and self.decoder.is_cut()
            ):
                self.stopped = SLOW
            elif kind == PAYLOAD_SHORT:
                self.reasons[BAD_RTP] += 1
            elif self.decoder.src_port == NAT_T or self.decoder.dst_port == NAT_T:
                self.stopped = SLOW
            else:
                self.ignored += 1
        elif (
            kind in (FRAGMENT, TCP, SCTP)
            or (kind in (SHORT_LINK, SHORT_IP, SHORT_UDP) and captured < wire)  # cut in its headers
            or (kind == OTHER_IP and self.decoder.protocol == ESP)
        ):
            self.stopped = SLOW
        elif kind < 0:
            self.reasons[-kind] += 1
        else:
            self.ignored += 1
        if self.stopped == SLOW:  # the caller's, late or not
            return 0
        if stamp_ns < self.closed_ns:
            self.late_frames += 1
        return 1

    def is_named_rtp(self) -> cython.int:
        """RFC 5761 4 keeps payload types 64 to 95 for RTCP. One that an SDP names all the same is RTP, where
        its marker bit makes it look like RTCP and it is no chain of RTCP packets.
        """
        if self.named.count == 0 or self.decoder.payload_captured < 12:
            return 0
        at: cython.longlong = self.decoder.payload_offset
        second: cython.longlong = self.decoder.be16(at) & 255
        if (
            not (
                self.named.declares(
                    self.decoder.dst_hi, self.decoder.dst_lo, self.decoder.dst_port, second & 127
                )
                or self.named.declares(
                    self.decoder.src_hi, self.decoder.src_lo, self.decoder.src_port, second & 127
                )
            )
            or self.is_rtcp_chain()
        ):
            return 0
        self.decoder.rtp_header = 12 + ((self.decoder.be16(at) >> 8 & 15) << 2)
        self.decoder.rtp_second = second
        self.decoder.rtp_seq = self.decoder.be16(at + 2)
        self.decoder.rtp_ts = self.decoder.be32(at + 4)
        self.decoder.rtp_ssrc = self.decoder.be32(at + 8)
        return 1

    def is_rtcp_chain(self) -> cython.int:
        """Whether each packet of a compound one (RFC 3550 6.1) ends where the next begins, and the last with
        the datagram. The part that the capture cut off is believed.
        """
        at: cython.longlong = self.decoder.payload_offset
        end: cython.longlong = at + self.decoder.payload_length
        captured_end: cython.longlong = at + self.decoder.payload_captured
        head: cython.longlong
        while at + 4 <= min(end, captured_end):
            head = self.decoder.be16(at)
            if head >> 14 != 2 or not 192 <= (head & 255) <= 223:
                return 0
            at += 4 * (self.decoder.be16(at + 2) + 1)
        return at == end or (at < end and at + 4 > captured_end and captured_end < end)

    def rtp(self, stamp_ns: cython.longlong) -> cython.int:
        """Counts the RTP packet at the decoder; 1: its stream is new, nothing is counted yet."""
        if self.decoder.payload_length < self.decoder.rtp_header:
            self.reasons[BAD_RTP] += 1
            return 0
        second: cython.longlong = self.decoder.rtp_second
        seq: cython.longlong = self.decoder.rtp_seq
        ts: cython.longlong = self.decoder.rtp_ts
        sockets: cython.ulonglong = self.decoder.rtp_ssrc
        sockets = sockets << 32 | self.decoder.src_port << 16 | self.decoder.dst_port
        number: cython.longlong = self.lookup(
            self.decoder.src_hi, self.decoder.src_lo, self.decoder.dst_hi, self.decoder.dst_lo, sockets
        )
        row: StreamRow
        if number < 0:
            number = self.insert(
                self.decoder.src_hi, self.decoder.src_lo, self.decoder.dst_hi, self.decoder.dst_lo, sockets
            )
            if number < 0:
                return 0
            row = row_of(self, number)
            row.first_ns = stamp_ns
            row.last_ns = stamp_ns
            row.since = GMIN
            row.stray = FIRST
            row.payload_type = second & 127
        row = row_of(self, number)
        if row.state != ACCEPTED:
            if self.is_stream(row, seq):
                row.state = ACCEPTED
                self.streams += 1
                self.new_stream = number
                return 1
            self.probe(row, seq, second)
        return self.count(row, stamp_ns, seq, ts, second)  # its one caller, so that it is inlined

    def is_stream(self, row: StreamRow, seq: cython.longlong) -> cython.int:
        """A candidate becomes a stream by a second number in sequence, or where an SDP names its socket."""
        if row.stray != FIRST and (self.has(row, seq - 1) or self.has(row, seq + 1)):
            return 1
        src: cython.ulonglong = self.named.peer_of(
            self.decoder.src_hi, self.decoder.src_lo, self.decoder.src_port
        )
        dst: cython.ulonglong = self.named.peer_of(
            self.decoder.dst_hi, self.decoder.dst_lo, self.decoder.dst_port
        )
        return self.named.admits(self.decoder.dst_hi, self.decoder.dst_lo, self.decoder.dst_port, src) or (
            self.named.admits(self.decoder.src_hi, self.decoder.src_lo, self.decoder.src_port, dst)
        )

    def has(self, row: StreamRow, seq: cython.longlong) -> cython.int:
        """Whether a number of the window was received."""
        return (row.top - seq) & 0xFFFF < WINDOW and row.window[seq & (WINDOW - 1)] & CELL_COUNT > 0

    def probe(self, row: StreamRow, seq: cython.longlong, second: cython.longlong) -> cython.int:
        """Counts a candidate's packet as a stream's. A number far from the others begins the count anew."""
        if row.stray != FIRST and (seq - row.top) & 0xFFFF >= WINDOW and (row.top - seq) & 0xFFFF >= WINDOW:
            self.forget(half(row, 0))
            self.forget(half(row, 1))
            row.since = GMIN
            row.cluster = 0
            row.run = 0
            row.unjudged = 0
            row.stray = FIRST
            row.payload_type = second & 127
            row.codec = 0
            row.settled = 0
            row.step = 0
            row.votes = 0
            row.jitter_us = 0.0
            row.anchored = 0
        return 0

    def forget(self, minute: MinuteRow) -> None:
        """Keeps only the packet count of everything before a candidate's first number."""
        packets: cython.uint = minute.packets
        duplicates: cython.uint = minute.duplicates
        size: cython.longlong = minute.bytes
        self.blank(minute)
        minute.packets = packets
        minute.duplicates = duplicates
        minute.bytes = size

    def count(
        self,
        row: StreamRow,
        stamp_ns: cython.longlong,
        seq: cython.longlong,
        ts: cython.longlong,
        second: cython.longlong,
    ) -> cython.int:
        """One packet of an accepted stream: RFC 3550 A.1 update_seq over the window."""
        delta: cython.longlong = (seq - row.top) & 0xFFFF
        follows: cython.bint = delta == 1
        usual: cython.bint = follows and row.stray == NONE
        at: cython.longlong = seq & (WINDOW - 1)
        if not usual and self.is_copy(row, stamp_ns, seq, delta):
            self.duplicate_frames += 1
            return 0
        last: cython.longlong = row.last_ns
        minute: MinuteRow = self.minute_now(row, stamp_ns)
        if minute.slot != self.slot_now:
            self.next_slot(row, minute)
        if stamp_ns - last > minute.longest_ns:
            self.pause(row, minute, last, stamp_ns)
        if stamp_ns > last:
            row.last_ns = stamp_ns
        minute.packets += 1
        minute.bytes += self.decoder.payload_length
        if usual and self.slide(row, minute, row.window[at]):
            row.received += 1
        elif not self.admitted(row, minute, stamp_ns, seq, delta, last):
            return 0
        late: cython.int = self.jitter(row, minute, stamp_ns, ts, second, follows)
        row.window[at] = self.tagged(row, stamp_ns) | 1 | (CELL_DISCARDED if late else 0)
        return 0

    # --- what few packets do: those that do not follow the one before

    def is_copy(
        self, row: StreamRow, stamp_ns: cython.longlong, seq: cython.longlong, delta: cython.longlong
    ) -> cython.int:
        """Whether a packet that does not simply follow is an earlier one, seen once more."""
        cell: cython.uint
        if delta == 0 or delta > 0x10000 - MAX_MISORDER:
            cell = row.window[seq & (WINDOW - 1)]
            return (
                (row.top - seq) & 0xFFFF < WINDOW
                and cell & CELL_COUNT > 0
                and self.copied(row, stamp_ns, cell)
            )
        # The packet out of range again, before the one that would make it a restart.
        return (
            row.stray == STRAY
            and seq == (row.bad_seq - 1) & 0xFFFF
            and self.copied(row, stamp_ns, row.bad_cell)
        )

    def admitted(
        self,
        row: StreamRow,
        minute: MinuteRow,
        stamp_ns: cython.longlong,
        seq: cython.longlong,
        delta: cython.longlong,
        last_ns: cython.longlong,
    ) -> cython.int:
        """1: the number is in sequence, its packet goes on to the jitter. `last_ns`: the packet before."""
        at: cython.longlong = seq & (WINDOW - 1)
        cell: cython.uint
        if row.stray == RESUMED:
            row.stray = NONE if delta == 1 else REBASE
            row.referenced = 0
            row.excess_us = 0.0
            row.anchored = 0
        if REBASE <= row.stray <= FIRST:
            if row.stray == REBASE:
                self.restart(row, minute, seq)
            else:
                self.start_sequence(row, seq)
                row.stray = NONE
                row.referenced = 0
                row.excess_us = 0.0
                row.late_run = 0
            row.received = 1
        elif delta == 0 or delta > 0x10000 - MAX_MISORDER:
            if self.goes_back(row, stamp_ns, seq):
                self.begin_again(row, minute, seq)
                return 1
            row.received += 1
            if (row.top - seq) & 0xFFFF >= WINDOW:  # forgotten: nothing but the count is left to do
                minute.reordered += 1
                return 0
            cell = row.window[at]
            if cell & CELL_COUNT:
                minute.duplicates += 1
                row.window[at] = self.again(row, stamp_ns, cell)
                return 0
            minute.reordered += 1
            if cell & CELL_UNKNOWN:
                row.unknown -= 1
        elif delta < MAX_DROPOUT:
            if delta > WINDOW and self.is_skip(row, stamp_ns, delta):
                self.restart(row, minute, seq)
            elif delta != 1 or not self.slide(row, minute, row.window[at]):
                self.advance(row, minute, row.top + delta, last_ns, stamp_ns)
            row.received += 1
            row.stray = NONE
        elif row.stray == STRAY and seq == row.bad_seq:
            # "Two sequential packets -- assume that the other side restarted without telling us"
            cell = row.bad_cell
            self.restart(row, minute, (seq - 1) & 0xFFFF)
            row.window[(seq - 1) & (WINDOW - 1)] = cell
            row.top += 1
            row.unjudged += 1
            row.received = 2
        else:
            row.stray = STRAY
            row.bad_seq = (seq + 1) & 0xFFFF
            row.bad_cell = self.tagged(row, stamp_ns) | 1
            return 0
        return 1

    def is_skip(self, row: StreamRow, stamp_ns: cython.longlong, delta: cython.longlong) -> cython.int:
        """Whether the sender of audio left `delta` numbers out: neither its clock nor time had room for them.

        A queue that drops its tail leaves no time either, and the timestamps of what it dropped pass.
        """
        step: cython.longlong = row.step
        if not step or not row.referenced or row.codec & 255 == VIDEO:
            return 0
        ticks: cython.longlong = (self.decoder.rtp_ts - row.ref_ts) & MASK32
        if ticks >= TS_HALF:
            ticks -= TS_WRAP
        off: cython.longlong = delta * step - ticks
        room_ns: cython.double = delta * self.packet_ns(row)
        return (off if off > 0 else -off) * 4 > delta * step and (stamp_ns - row.ref_ns) * 4.0 < room_ns

    def goes_back(self, row: StreamRow, stamp_ns: cython.longlong, seq: cython.longlong) -> cython.int:
        """Whether the last packets are old numbers once more, one after the other and as slowly as at first.

        A network that doubles packets sends the second ones beside new packets, or all at once.
        """
        if row.stray == STRAY or (
            (row.top - seq) & 0xFFFF < WINDOW and row.window[seq & (WINDOW - 1)] & CELL_COUNT == 0
        ):
            return 0
        arrival: cython.uint = self.arrival(row, stamp_ns)
        count: cython.uint = 1
        apart: cython.uint
        if row.stray == REPEATED and seq == row.bad_seq:
            apart = (arrival - (row.bad_cell >> ARRIVAL_AT)) & ARRIVAL_MASK
            if (apart << UNIT_SHIFT) * 2.0 >= self.packet_ns(row):
                count = (row.bad_cell & REPEATS_MASK) + 1
        row.stray = REPEATED
        row.bad_seq = (seq + 1) & 0xFFFF
        row.bad_cell = arrival << ARRIVAL_AT | count
        return count >= REPEATS

    def begin_again(self, row: StreamRow, minute: MinuteRow, seq: cython.longlong) -> None:
        """A restart some packets ago: `seq` is the last of REPEATS that were taken for old ones."""
        at: cython.longlong
        earlier: cython.longlong = REPEATS - 1
        twice: cython.longlong = min(earlier, minute.duplicates)
        cell: cython.uint = row.bad_cell >> ARRIVAL_AT << ARRIVAL_AT | 1
        minute.duplicates -= twice
        minute.reordered -= min(earlier - twice, minute.reordered)
        self.restart(row, minute, (seq - earlier) & 0xFFFF)
        for at in range(row.base, row.base + earlier):
            row.window[at & (WINDOW - 1)] = cell
        row.top += earlier
        row.unjudged = REPEATS
        row.received = REPEATS

    def slide(self, row: StreamRow, minute: MinuteRow, leaving: cython.uint) -> cython.int:
        """`advance` by one number in the usual case: what leaves was received, and so were 16 before it."""
        if row.unjudged < WINDOW:
            row.unjudged += 1
        elif leaving & CELL_COUNT == 0 or leaving & CELL_DISCARDED or row.since < GMIN:
            return 0
        else:
            minute.judged += 1
            minute.gap_packets += 1
        row.top += 1
        return 1

    def restart(self, row: StreamRow, minute: MinuteRow, base: cython.longlong) -> None:
        """A new count from `base` on: what is open is judged, nothing between old and new is lost."""
        self.judge_to(row, minute, row.top)
        self.start_sequence(row, base)
        row.epoch += 1
        row.stray = NONE
        row.referenced = 0
        row.excess_us = 0.0
        row.anchored = 0

    # --- copies, paths, minutes

    def tagged(self, row: StreamRow, stamp_ns: cython.longlong) -> cython.uint:
        return self.arrival(row, stamp_ns) << ARRIVAL_AT | self.tag() << TAG_AT

    def again(self, row: StreamRow, stamp_ns: cython.longlong, cell: cython.uint) -> cython.uint:
        """The cell after one more reception."""
        kept: cython.uint = cell & (CELL_COUNT | CELL_DISCARDED)
        if kept & CELL_COUNT < CELL_COUNT:
            kept += 1
        return self.tagged(row, stamp_ns) | kept

    def copied(self, row: StreamRow, stamp_ns: cython.longlong, cell: cython.uint) -> cython.int:
        """Whether this is the reception in `cell`, seen once more on its way through the host.

        The same IP identification is a copy on any path; another one is another packet. Without
        identification another path makes a copy, and the same path with `single_span` only.
        """
        if stamp_ns - row.last_ns > COPY_NS:
            return 0
        tag: cython.longlong = self.tag()
        before: cython.longlong = (cell >> TAG_AT) & TAG_MASK
        if tag & IDENTIFIED or before & IDENTIFIED:
            if tag != before:
                return 0
        elif tag == before and not self.single_span:
            return 0
        now: cython.longlong = self.arrival(row, stamp_ns)
        apart: cython.longlong = (now - (cell >> ARRIVAL_AT)) & ARRIVAL_MASK
        return apart <= COPY_UNITS or apart >= ARRIVAL_MASK + 1 - COPY_UNITS

    def tag(self) -> cython.int:
        """Tells receptions of one number apart: IP identification, ten bits of it; else the path."""
        identification: cython.longlong = self.decoder.identification
        if identification:
            return IDENTIFIED | (identification & (IDENTIFIED - 1))
        return self.path_id()

    def path_id(self) -> cython.int:
        """The decoder's path as a number of 0-255; the 256th and all further ones share 255."""
        path: cython.longlong = self.decoder.path
        if path == self.last_path:
            return self.last_path_id
        at: cython.longlong = 0
        while at < self.known_paths and self.paths[at] != path:
            at += 1
        if at == self.known_paths and at < MAX_PATHS:
            self.paths[at] = path
            self.known_paths += 1
        self.last_path = path
        self.last_path_id = at
        return at

    def minute_now(self, row: StreamRow, stamp_ns: cython.longlong) -> MinuteRow:
        """`minute_at`; most packets fall into the slot of the one before."""
        if stamp_ns < self.closed_ns:
            stamp_ns = self.closed_ns
        if stamp_ns < self.slot_from or stamp_ns >= self.slot_to:
            self.slot_now = stamp_ns // self.slot_ns
            self.slot_from = stamp_ns // self.slot_ns * self.slot_ns
            self.slot_to = self.slot_from + self.slot_ns
            self.odd_now = (stamp_ns // self.minute_ns) & 1
        return half(row, self.odd_now)

    # --- what few packets do: the first of a slot, and one that comes after the slot's longest pause

    def next_slot(self, row: StreamRow, minute: MinuteRow) -> None:
        if self.slot_now > minute.slot:
            self.enter(row, minute, self.slot_now)

    def pause(
        self, row: StreamRow, minute: MinuteRow, last_ns: cython.longlong, stamp_ns: cython.longlong
    ) -> cython.int:
        if stamp_ns - last_ns > SILENCE_NS and row.unjudged > 0:
            self.judge_to(row, self.minute_at(row, last_ns + SILENCE_NS), row.top)
        if self.losses > 0 and self.missed(last_ns, stamp_ns):
            pass  # it may be a pause of the stream or of the capture
        elif last_ns >= self.slot_from and minute.slot == self.slot_now:
            self.note_part(slot_of(row, self.slot_now), stamp_ns - last_ns)
        else:
            self.note_gap(row, last_ns, stamp_ns)
        # No further than the silence after which there is more to do.
        minute.longest_ns = max(minute.longest_ns, min(stamp_ns - max(last_ns, self.slot_from), SILENCE_NS))
        return 0
