# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
"""The RTP loop: a whole batch of frames in, per-stream counters out; everything else is left to the caller.

What every figure means is in docs/accuracy.md; the rules that a packet meets, in order:

    copy        the same number again within 20 ms through another path: removed before all counting
    probation   a stream exists from two packets in sequence on (RFC 3550 A.1); both count
    sequence    A.1's MAX_DROPOUT and MAX_MISORDER; two in a row out of range are a restart, never loss
    loss        judged when a number leaves the window (loss_cy)
    jitter      RFC 3550 A.8 over the admitted packets
    buffer      a packet later than the modelled jitter buffer allows is discarded
"""
# ruff: noqa: F403, F405 -- the layout of a row comes whole, as the compiler takes it from the .pxd

from __future__ import annotations

import mmap
import struct
from array import array

from agent.tracking.loss_cy import Losses
from agent.tracking.snapshot_cy import restore, save
from agent.tracking.table_cy import COUNTERS
from agent.wire.packet_cy import REASONS, Decoder

try:
    import cython
except ModuleNotFoundError:
    from agent import uncompiled as cython

if not cython.compiled:  # loop_cy.pxd holds the same values for the compiler
    from agent.tracking.loss_cy import *
    from agent.tracking.table_cy import *
    from agent.wire.packet_cy import *

    END, DUE, SLOW, STREAM = range(4)
    OTHER_TYPE, AUDIO, EVENT, COMFORT, VIDEO, REDUNDANT = range(6)
    MAX_DROPOUT, MAX_MISORDER = 3000, 100  # RFC 3550 A.1
    TYPES, MAX_MAPS, MAX_PATHS, N_REASONS, BAD_RTP = 128, 4096, 255, 9, 8
    LOOK_AHEAD, TOUCH_AHEAD, MANY_STREAMS = 12, 6, 4096
    MAX_BEGUN = 512  # streams that one `sift` may accept
    TS_HALF, TS_WRAP = 1 << 31, 1 << 32
    INFER_PACKETS, INFER_SPAN_NS, MAX_VOTES = 10, 100_000_000, 4
    RESYNC = 10  # late packets in a row after which the jitter buffer starts anew

__all__ = [
    "COUNTERS",
    "KIND_AUDIO",
    "KIND_COMFORT",
    "KIND_EVENT",
    "KIND_OTHER",
    "KIND_REDUNDANT",
    "KIND_VIDEO",
    "STATIC_TYPES",
    "STOP_DUE",
    "STOP_END",
    "STOP_SLOW",
    "STOP_STREAM",
    "Loop",
]

# Why a walk stopped, and kinds of payload type, for callers in Python.
STOP_END, STOP_DUE, STOP_SLOW, STOP_STREAM = range(4)
KIND_OTHER, KIND_AUDIO, KIND_EVENT, KIND_COMFORT, KIND_VIDEO, KIND_REDUNDANT = range(6)

# RFC 3551 6: payload type -> (clock rate, kind). The rest of 0-127 is dynamic or unassigned.
STATIC_TYPES = {
    **dict.fromkeys((0, 3, 4, 5, 7, 8, 9, 12, 15, 18), (8000, 1)),
    6: (16000, 1),
    10: (44100, 1),
    11: (44100, 1),
    13: (8000, 3),
    14: (90000, 1),
    16: (11025, 1),
    17: (22050, 1),
    19: (8000, 3),  # comfort noise before RFC 3389 gave it 13
    **dict.fromkeys((25, 26, 28, 31, 32, 33, 34), (90000, 4)),
}

_MAP_ROW = struct.Struct("<BIB")  # payload type, clock rate, kind


class Loop(Losses):
    """Follows every RTP stream of the frames it walks.

    After `walk`: `stopped` says why it returned, `fresh` which stream was just accepted (STREAM). Counters
    over all frames: `ignored` (not for anyone), `duplicate_frames` (copies), `late_frames`, `refused`
    streams, `evicted` candidates, `rejects()`. The caller sets `closed_ns`, the end of the newest
    closed minute.
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
    ) -> None:
        super().__init__(max_streams, minute_ns)
        self.single_span = single_span
        self.adaptive = adaptive
        self.buffer_us = jitter_buffer_ms * 1000.0
        self.least_us = min(jitter_buffer_ms, jitter_buffer_max_ms) * 1000.0 / 3.0
        self.most_us = jitter_buffer_max_ms * 1000.0
        self.decoder = Decoder()
        self.stopped = 0
        self.fresh = self.position = -1
        self.ignored = self.late_frames = self.duplicate_frames = 0
        self.maps = memoryview(mmap.mmap(-1, 4096 * 128 * 8)).cast("q")
        self.map_ids: dict[tuple[tuple[int, tuple[int, int]], ...], int] = {}
        self.reasons = memoryview(mmap.mmap(-1, 4096)).cast("q")
        self.paths = memoryview(mmap.mmap(-1, 4096)).cast("q")
        self.known_paths = 0
        self.last_path = self.last_path_id = -1
        self.slot_from = self.slot_to = self.slot_here = 0
        self.seen = memoryview(mmap.mmap(-1, 4096)).cast("Q")
        self.headers = 0
        self.accepted = memoryview(mmap.mmap(-1, 4096)).cast("q")
        self.n_accepted = self.kept = 0
        self.payload_map({})

    # --- payload types

    def payload_map(self, rows: dict[int, tuple[int, int]]) -> int:
        """The id of a map payload type -> (clock rate in Hz, kind); types it leaves out are RFC 3551's.

        Beyond 4096 different maps the static one (0) is given: its dynamic types have their rate inferred.
        """
        merged = {number & 127: row for number, row in {**STATIC_TYPES, **rows}.items()}
        key = tuple(sorted(merged.items()))
        known = self.map_ids.get(key)
        if known is not None:
            return known
        number = len(self.map_ids)
        if number == MAX_MAPS:
            return 0
        self.map_ids[key] = number
        for payload_type, (rate, kind) in key:
            self.maps[number * TYPES + payload_type] = max(1, min(rate, 0xFFFFFF)) << 8 | kind
        return number

    def set_map(self, stream: int, map_id: int) -> None:
        """From its next packet on the stream's payload types mean what `map_id` says."""
        if not 0 <= map_id < len(self.map_ids):
            raise IndexError(f"no payload map {map_id}")
        self.rows[self.word(stream) + MAP] = map_id

    def rebase(self, stream: int) -> None:
        """The stream's next packet begins a new count without loss (after a re-INVITE, or a hold)."""
        self.rows[self.word(stream) + BAD] = -2

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
        maps = [(number, rate, kind) for key in self.map_ids for number, (rate, kind) in key]
        sizes = [len(key) for key in self.map_ids]
        tables = struct.pack(f"<H{len(sizes)}H", len(sizes), *sizes)
        return save(self) + tables + b"".join(_MAP_ROW.pack(*row) for row in maps)

    def restore(self, data: bytes) -> None:
        """Go on where the loop of `save` was; only into a loop that has walked nothing.

        Raises:
            ValueError: not a snapshot of this version and these settings.
        """
        at = restore(self, data)
        try:
            (count,) = struct.unpack_from("<H", data, at)
            sizes = struct.unpack_from(f"<{count}H", data, at + 2)
            at += 2 + 2 * count
            for size in sizes:
                rows = [_MAP_ROW.unpack_from(data, at + place * _MAP_ROW.size) for place in range(size)]
                at += size * _MAP_ROW.size
                self.payload_map({number: (rate, kind) for number, rate, kind in rows})
        except struct.error as error:
            raise ValueError("snapshot too short") from error

    # --- the walk

    def walk(
        self,
        data: bytes | bytearray | memoryview,
        index: array[int] | memoryview,
        position: int,
        until_ns: int,
    ) -> int:
        """Walk the frames of a batch from `position`: the position of the first one not consumed.

        `stopped` is then END (there is none), DUE (that frame's stamp is `until_ns` or later), SLOW (it is
        the caller's: SIP, RTCP, a fragment or TCP; go on behind it) or STREAM (it makes `fresh` a stream:
        set its payload map and go on at the same position).
        """
        self.decoder.attach(data)
        try:
            self.frames(index, position, until_ns)
        finally:
            self.decoder.attach(b"")
        return int(self.position)

    def sift(
        self,
        data: bytes | bytearray | memoryview,
        index: array[int] | memoryview,
        position: int,
        kept: int,
        until_ns: int,
    ) -> int:
        """`walk` for a thread that does not wait for the caller: RTP is finished, nothing else stops it.

        The rows of frames that are the caller's are moved to the front of `index`, behind the `kept` ones
        that lie there already; returns how many there are now. Streams that were accepted are `begun`, and
        count from their second packet on by the static types until their payload map is set. `stopped` is
        END, DUE as for `walk`, or STREAM: there are as many begun as fit, take them and go on.
        """
        self.decoder.attach(data)
        try:
            self.sieve(index, position, kept, until_ns)
        finally:
            self.decoder.attach(b"")
        return int(self.kept)

    def begun(self) -> list[tuple[int, bool]]:
        """Streams that `sift` accepted since the last call, and whether A.1 dropped nothing of each."""
        noted = [int(self.accepted[at]) for at in range(self.n_accepted)]
        self.n_accepted = 0
        return [(number >> 1, bool(number & 1)) for number in noted]

    def frames(
        self, index: cython.longlong[::1], position: cython.longlong, until_ns: cython.longlong
    ) -> cython.int:
        count: cython.longlong = len(index) // 5
        ahead: cython.longlong
        self.stopped = END
        with cython.nogil:
            while position < count and self.stopped == END:
                if cython.compiled and self.live > MANY_STREAMS and position + LOOK_AHEAD < count:
                    ahead = 5 * (position + LOOK_AHEAD)
                    self.look(position + LOOK_AHEAD, index[ahead], index[ahead + 1])
                    self.touch(position + TOUCH_AHEAD)
                position += self.frame(
                    index[5 * position],
                    index[5 * position + 1],
                    index[5 * position + 3],
                    index[5 * position + 4],
                    until_ns,
                )
        self.position = position
        return 0

    def sieve(
        self,
        index: cython.longlong[::1],
        position: cython.longlong,
        kept: cython.longlong,
        until_ns: cython.longlong,
    ) -> cython.int:
        count: cython.longlong = len(index) // 5
        column: cython.longlong
        word: cython.longlong
        self.stopped = END
        while position < count and self.n_accepted < MAX_BEGUN:
            self.frames(index, position, until_ns)
            position = self.position
            if self.stopped == SLOW:
                for column in range(5):
                    index[5 * kept + column] = index[5 * position + column]
                kept += 1
                position += 1
            elif self.stopped == STREAM:
                word = self.fresh * WORDS
                self.accepted[self.n_accepted] = self.fresh << 1 | (
                    self.rows[word + FIRST] == self.rows[word + LAST]
                )
                self.n_accepted += 1
            else:
                break
        self.position = position
        if position < count and self.stopped != DUE:
            self.stopped = STREAM
        elif self.stopped != DUE:
            self.stopped = END
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
        word: cython.longlong = ((entry & MASK32) - 1) * WORDS
        at: cython.longlong = 2 * word + WINDOW_AT + (self.seen[position & 15] & (WINDOW - 1))
        if cython.compiled:
            prefetch(cython.address(self.rows[word]))  # type: ignore[name-defined]
            prefetch(cython.address(self.rows[word + 8]))  # type: ignore[name-defined]
            prefetch(cython.address(self.rows[word + 16]))  # type: ignore[name-defined]
            prefetch(cython.address(self.rows[word + self.slot_here]))  # type: ignore[name-defined]
            prefetch(cython.address(self.cells[at]))  # type: ignore[name-defined]
        return 0

    def frame(
        self,
        offset: cython.longlong,
        captured: cython.longlong,
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
        kind: cython.int = self.decoder.frame(offset, captured, origin)
        if kind == UDP:
            kind = self.decoder.classify()
            if kind == PAYLOAD_RTP:
                self.headers = self.decoder.payload_offset - offset
                if self.rtp(stamp_ns):
                    self.stopped = STREAM
                    return 0
            elif kind in (PAYLOAD_SIP, PAYLOAD_RTCP):
                self.stopped = SLOW
            elif kind == PAYLOAD_SHORT:
                self.reasons[BAD_RTP] += 1
            else:
                self.ignored += 1
        elif kind in (FRAGMENT, TCP):
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

    def rtp(self, stamp_ns: cython.longlong) -> cython.int:
        """Count the RTP packet that the decoder stands on; 1: its stream is new, nothing counted yet."""
        if self.decoder.payload_length < self.decoder.rtp_header:
            self.reasons[BAD_RTP] += 1
            return 0
        second: cython.longlong = self.decoder.rtp_second
        seq: cython.longlong = self.decoder.rtp_seq
        ts: cython.longlong = self.decoder.rtp_ts
        sockets: cython.ulonglong = self.decoder.rtp_ssrc
        sockets = sockets << 32 | self.decoder.src_port << 16 | self.decoder.dst_port
        row: cython.longlong = self.lookup(
            self.decoder.src_hi, self.decoder.src_lo, self.decoder.dst_hi, self.decoder.dst_lo, sockets
        )
        word: cython.longlong
        if row < 0:
            row = self.insert(
                self.decoder.src_hi, self.decoder.src_lo, self.decoder.dst_hi, self.decoder.dst_lo, sockets
            )
            if row < 0:
                return 0
            word = row * WORDS
            self.rows[word + FIRST] = stamp_ns
            self.rows[word + LAST] = stamp_ns
            self.rows[word + BAD] = -1
            self.rows[word + REF_TS] = -1
            self.rows[word + SINCE] = GMIN
            return self.probe(word, stamp_ns, seq, ts, second & 127)
        word = row * WORDS
        if self.rows[word + STATE] == ACCEPTED:
            return self.count(word, stamp_ns, seq, ts, second)
        if (seq - self.rows[word + TOP]) & 0xFFFF == 1:
            self.rows[word + STATE] = ACCEPTED
            self.streams += 1
            self.fresh = row
            return 1
        return self.probe(word, stamp_ns, seq, ts, second & 127)

    def probe(
        self,
        word: cython.longlong,
        stamp_ns: cython.longlong,
        seq: cython.longlong,
        ts: cython.longlong,
        kind: cython.longlong,
    ) -> cython.int:
        """A candidate's packet that does not follow the one before: it may be the first of the next two."""
        slot: cython.longlong = word + self.slot_now(stamp_ns)
        at: cython.longlong = 2 * word + WINDOW_AT + (seq & (WINDOW - 1))
        if self.rows[word + TOP] == seq and self.cells[at] & CELL_COUNT:
            if self.copied(word, stamp_ns, self.cells[at]):
                self.duplicate_frames += 1
                return 0
            self.rows[slot + DUPLICATES] += 1
            self.cells[at] = self.again(word, stamp_ns, self.cells[at])
        else:
            self.start_sequence(word, seq)
            self.cells[at] = self.tagged(word, stamp_ns) | 1
            self.rows[word + TYPE] = kind
            self.rows[word + REF_NS] = stamp_ns
            self.rows[word + REF_TS] = ts
        self.rows[word + RECEIVED] += 1
        self.rows[slot + PACKETS] += 1
        self.rows[slot + BYTES] += self.decoder.payload_length
        if stamp_ns > self.rows[word + LAST]:
            self.rows[word + LAST] = stamp_ns
        return 0

    def count(
        self,
        word: cython.longlong,
        stamp_ns: cython.longlong,
        seq: cython.longlong,
        ts: cython.longlong,
        second: cython.longlong,
    ) -> cython.int:
        """One packet of an accepted stream: RFC 3550 A.1 update_seq over the window."""
        top: cython.longlong = self.rows[word + TOP]
        delta: cython.longlong = (seq - top) & 0xFFFF
        at: cython.longlong = 2 * word + WINDOW_AT + (seq & (WINDOW - 1))
        cell: cython.uint = 0
        late: cython.int = 0
        bad: cython.longlong = self.rows[word + BAD]
        if delta == 0 or delta > 0x10000 - MAX_MISORDER:
            if (top - seq) & 0xFFFF < WINDOW:
                cell = self.cells[at]
                if cell & CELL_COUNT and self.copied(word, stamp_ns, cell):
                    self.duplicate_frames += 1
                    return 0
        elif bad >= 0 and seq == (bad - 1) & 0xFFFF:
            # The packet out of range again, before the one that would make it a restart.
            cell = 1 | (self.rows[word + BAD_PATH] << PATH_AT)
            cell |= self.arrival(word, self.rows[word + BAD_NS])
            if self.copied(word, stamp_ns, cell):
                self.duplicate_frames += 1
                return 0
        last: cython.longlong = self.rows[word + LAST]
        if stamp_ns - last > SILENCE_NS and self.rows[word + JUDGED] < top:
            self.judge_to(word, self.slot_at(word // WORDS, last + SILENCE_NS), top)
        slot: cython.longlong = word + self.slot_now(stamp_ns)
        self.rows[slot + PACKETS] += 1
        self.rows[slot + BYTES] += self.decoder.payload_length
        if bad == -2:
            self.restart(word, slot, seq)
            cell = self.tagged(word, stamp_ns) | 1
            self.rows[word + RECEIVED] = 1
        elif delta == 0 or delta > 0x10000 - MAX_MISORDER:
            self.rows[word + RECEIVED] += 1
            if cell & CELL_COUNT:
                self.rows[slot + DUPLICATES] += 1
                self.cells[at] = self.again(word, stamp_ns, cell)
                if stamp_ns > last:
                    self.rows[word + LAST] = stamp_ns
                return 0
            self.rows[slot + REORDERED] += 1
            if (top - seq) & 0xFFFF >= WINDOW:  # forgotten: nothing but the count is left to do
                if stamp_ns > last:
                    self.rows[word + LAST] = stamp_ns
                return 0
            if cell & CELL_UNKNOWN:
                self.rows[word + UNKNOWN] -= 1
            cell = self.tagged(word, stamp_ns) | 1
        elif delta < MAX_DROPOUT:
            if delta == 1 and self.slide(word, slot, self.cells[at]):
                self.rows[word + TOP] = top + 1
            else:
                self.advance(word, slot, top + delta, stamp_ns)
            self.rows[word + RECEIVED] += 1
            self.rows[word + BAD] = -1
            cell = self.tagged(word, stamp_ns) | 1
        elif seq == bad:
            # "Two sequential packets -- assume that the other side restarted without telling us"
            self.restart(word, slot, (seq - 1) & 0xFFFF)
            self.cells[2 * word + WINDOW_AT + ((seq - 1) & (WINDOW - 1))] = (
                1 | (self.rows[word + BAD_PATH] << PATH_AT) | self.arrival(word, self.rows[word + BAD_NS])
            )
            self.rows[word + TOP] += 1
            self.rows[word + RECEIVED] = 2
            cell = self.tagged(word, stamp_ns) | 1
        else:
            self.rows[word + BAD] = (seq + 1) & 0xFFFF
            self.rows[word + BAD_NS] = stamp_ns
            self.rows[word + BAD_PATH] = self.path_id()
            if stamp_ns > last:
                self.rows[word + LAST] = stamp_ns
            return 0
        if stamp_ns > last:
            self.rows[word + LAST] = stamp_ns
        late = self.jitter(word, slot, stamp_ns, ts, second, delta == 1)
        self.cells[at] = cell | (CELL_DISCARDED if late else 0)
        return 0

    def slide(self, word: cython.longlong, slot: cython.longlong, leaving: cython.uint) -> cython.int:
        """`advance` by one number in the usual case: what leaves was received, and so were 16 before it."""
        if self.rows[word + JUDGED] > self.rows[word + TOP] - WINDOW:
            return 1  # the window is not full yet
        if leaving & CELL_COUNT == 0 or leaving & CELL_DISCARDED or self.rows[word + SINCE] < GMIN:
            return 0
        self.rows[word + JUDGED] += 1
        self.rows[slot + JUDGED_NUMBERS] += 1
        self.rows[slot + GAP_PACKETS] += 1
        return 1

    def restart(self, word: cython.longlong, slot: cython.longlong, base: cython.longlong) -> cython.int:
        """A new count from `base` on: what is open is judged, nothing between old and new is lost."""
        self.judge_to(word, slot, self.rows[word + TOP])
        self.start_sequence(word, base)
        self.rows[word + EPOCH] += 1
        self.rows[word + BAD] = -1
        self.rows[word + REF_TS] = -1
        self.reals[word + EXCESS] = 0.0
        return 0

    # --- copies, paths, minutes

    def arrival(self, word: cython.longlong, stamp_ns: cython.longlong) -> cython.uint:
        """A cell's arrival bits; counted from the stream's start, so that no clock's phase decides."""
        return (((stamp_ns - self.rows[word + FIRST]) >> UNIT_SHIFT) & ARRIVAL_MASK) << ARRIVAL_AT

    def tagged(self, word: cython.longlong, stamp_ns: cython.longlong) -> cython.uint:
        return self.arrival(word, stamp_ns) | self.path_id() << PATH_AT

    def again(self, word: cython.longlong, stamp_ns: cython.longlong, cell: cython.uint) -> cython.uint:
        """A cell after one more reception."""
        kept: cython.uint = cell & (CELL_COUNT | CELL_DISCARDED)
        if kept & CELL_COUNT < CELL_COUNT:
            kept += 1
        return self.tagged(word, stamp_ns) | kept

    def copied(self, word: cython.longlong, stamp_ns: cython.longlong, cell: cython.uint) -> cython.int:
        """Is this the reception in `cell` once more, seen at another point of its way through the host?"""
        if stamp_ns - self.rows[word + LAST] > COPY_NS:
            return 0
        if not self.single_span and (cell >> PATH_AT) & PATH_MASK == self.path_id():
            return 0
        apart: cython.longlong = (
            ((stamp_ns - self.rows[word + FIRST]) >> UNIT_SHIFT) - (cell >> ARRIVAL_AT)
        ) & ARRIVAL_MASK
        return apart <= COPY_UNITS or apart >= ARRIVAL_MASK + 1 - COPY_UNITS

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

    def slot_now(self, stamp_ns: cython.longlong) -> cython.longlong:
        """`slot_at`, relative to the row; most packets fall into the minute of the one before."""
        if stamp_ns < self.closed_ns:
            stamp_ns = self.closed_ns
        if stamp_ns < self.slot_from or stamp_ns >= self.slot_to:
            minute: cython.longlong = stamp_ns // self.minute_ns
            self.slot_from = minute * self.minute_ns
            self.slot_to = self.slot_from + self.minute_ns
            self.slot_here = SLOT + (minute & 1) * SLOT_STRIDE
        return self.slot_here

    # --- jitter and the jitter buffer

    def jitter(
        self,
        word: cython.longlong,
        slot: cython.longlong,
        stamp_ns: cython.longlong,
        ts: cython.longlong,
        second: cython.longlong,
        follows: cython.bint,
    ) -> cython.int:
        """RFC 3550 A.8 for one packet; 1: it comes too late for the jitter buffer."""
        payload_type: cython.longlong = second & 127
        codec: cython.longlong = self.maps[self.rows[word + MAP] * TYPES + payload_type]
        kind: cython.longlong = codec & 255
        if kind in (EVENT, COMFORT):
            return 0
        if kind == OTHER_TYPE:
            if payload_type != self.rows[word + TYPE] or self.rows[word + CODEC] & 255:
                self.rows[word + INFER_COUNT] = 0
                self.use_codec(word, 0, payload_type)
            if self.rows[word + CODEC] == 0:
                self.infer(word, stamp_ns, ts, follows)
                return 0
        elif codec != self.rows[word + CODEC] or payload_type != self.rows[word + TYPE]:
            self.use_codec(word, codec, payload_type)
        if self.rows[word + REF_TS] < 0:
            self.rows[word + REF_NS] = stamp_ns
            self.rows[word + REF_TS] = ts
            return 0
        step: cython.longlong = (ts - self.rows[word + REF_TS]) & MASK32
        if step == 0:
            return 0
        if step >= TS_HALF:
            step -= TS_WRAP
        elapsed: cython.double = stamp_ns - self.rows[word + REF_NS]
        ticks: cython.double = elapsed * self.reals[word + RATE] / 1e9
        self.rows[word + REF_NS] = stamp_ns
        self.rows[word + REF_TS] = ts
        usual: cython.double = self.rows[word + STEP]
        if second >= 128 and kind != VIDEO:
            if usual == 0.0:  # as if packets were of 20 ms
                usual = self.reals[word + RATE] / 50.0
            if ticks > 2.0 * usual:  # a talkspurt begins
                self.reals[word + EXCESS] = 0.0
                return 0
        if follows and step > 0:
            self.vote(word, step)
        to_us: cython.double = self.reals[word + US_PER_TICK]
        off: cython.double = ticks - step
        jitter: cython.double = self.reals[word + JITTER]
        late: cython.int = 0
        if kind != VIDEO:
            # The baseline rises by 500 us a second, so that it follows clocks that drift apart.
            excess: cython.double = self.reals[word + EXCESS] + off * to_us - elapsed * 5e-7
            if excess < 0.0:
                excess = 0.0
            self.reals[word + EXCESS] = excess
            allowed: cython.double = self.buffer_us
            if self.adaptive:
                allowed = 4.0 * jitter * to_us
                if allowed < self.least_us:
                    allowed = self.least_us
                if allowed > self.most_us:
                    allowed = self.most_us
            late = excess > allowed
            if not late:
                self.rows[word + LATE_RUN] = 0
            elif self.rows[word + LATE_RUN] < RESYNC - 1:
                self.rows[word + LATE_RUN] += 1
            else:
                # The path is longer now, for good: a receiver that plays nothing starts its buffer anew.
                self.rows[word + LATE_RUN] = 0
                self.reals[word + EXCESS] = 0.0
        if off < 0.0:
            off = -off
        jitter += (off - jitter) / 16.0
        self.reals[word + JITTER] = jitter
        jitter *= to_us
        self.reals[slot + JITTER_SUM] += jitter
        self.rows[slot + JITTER_COUNT] += 1
        if jitter > self.reals[slot + JITTER_MAX]:
            self.reals[slot + JITTER_MAX] = jitter
        return late

    def use_codec(
        self, word: cython.longlong, codec: cython.longlong, payload_type: cython.longlong
    ) -> cython.int:
        """From this packet on: another codec or clock rate restarts J, and the packet is its reference."""
        before: cython.longlong = self.rows[word + CODEC]
        same: cython.bint = payload_type == self.rows[word + TYPE]
        self.rows[word + TYPE] = payload_type
        if codec == 0 and before == 0:
            return 0
        self.rows[word + CODEC] = codec
        self.rows[word + ASSUMED] = 0
        rate: cython.double = codec >> 8
        if codec:
            self.reals[word + RATE] = rate
            self.reals[word + US_PER_TICK] = 1e6 / rate
        if before == 0 and same:  # the first packet of all stays the reference
            return 0
        # Redundant data (RFC 2198) and video's own types share their carrier's clock and timing.
        if codec >> 8 == before >> 8 and (
            codec & 255 == REDUNDANT or before & 255 == REDUNDANT or codec & before & 255 == VIDEO
        ):
            return 0
        self.reals[word + JITTER] = 0.0
        self.reals[word + EXCESS] = 0.0
        self.rows[word + REF_TS] = -1
        self.rows[word + STEP] = 0
        return 0

    def vote(self, word: cython.longlong, step: cython.longlong) -> cython.int:
        """The usual step is the one that most of the last few packets took."""
        votes: cython.longlong = self.rows[word + VOTES]
        if step == self.rows[word + STEP]:
            if votes < MAX_VOTES:
                self.rows[word + VOTES] = votes + 1
        elif votes > 1:
            self.rows[word + VOTES] = votes - 1
        else:
            self.rows[word + STEP] = step
            self.rows[word + VOTES] = 1
        return 0

    def infer(
        self, word: cython.longlong, stamp_ns: cython.longlong, ts: cython.longlong, follows: cython.bint
    ) -> cython.int:
        """A dynamic type nobody declared: the usual clock rate nearest to what ten packets in order show."""
        if self.rows[word + INFER_COUNT] == 0 or not follows:
            self.rows[word + INFER_NS] = stamp_ns
            self.rows[word + INFER_TS] = ts
            self.rows[word + INFER_COUNT] = 1
            return 0
        self.rows[word + INFER_COUNT] += 1
        elapsed: cython.longlong = stamp_ns - self.rows[word + INFER_NS]
        ticks: cython.longlong = (ts - self.rows[word + INFER_TS]) & MASK32
        if self.rows[word + INFER_COUNT] < INFER_PACKETS or elapsed < INFER_SPAN_NS:
            return 0
        self.rows[word + INFER_COUNT] = 0
        if ticks == 0 or ticks >= TS_HALF:
            return 0
        seen: cython.double = ticks
        seen = seen * 1e9 / elapsed
        rate: cython.longlong = 90000
        if seen < 11314.0:  # the bounds are geometric means of neighbours
            rate = 8000
        elif seen < 19596.0:
            rate = 16000
        elif seen < 27713.0:
            rate = 24000
        elif seen < 37566.0:
            rate = 32000
        elif seen < 46009.0:
            rate = 44100
        elif seen < 65727.0:
            rate = 48000
        self.use_codec(word, rate << 8, self.rows[word + TYPE])
        self.rows[word + ASSUMED] = 1
        self.reals[word + JITTER] = 0.0
        self.reals[word + EXCESS] = 0.0
        self.rows[word + REF_NS] = stamp_ns
        self.rows[word + REF_TS] = ts
        return 0
