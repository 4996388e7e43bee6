"""The layout of a stream's row, for uncompiled code and for snapshots. stream_table_cy.pxd has it in C.

A row is eleven cache lines of 64 bytes, of which a packet touches four: the first two, one for its minute's
counters and one of its window. Accesses to its fields are not checked in C, so every index into `window` must
come from a mask. Where one packet may add more than 1 (numbers skipped) a counter of 32 bits stops at its
greatest value; where it adds 1, 32 bits are a minute of 71 million packets a second.
"""

from __future__ import annotations

from ctypes import (
    Structure,
    addressof,
    c_double,
    c_float,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    memset,
    sizeof,
)


class SlotRow(Structure):
    """A stream's 10 s (timeline_cy); a figure of 65535 is that or more."""

    _fields_ = (
        ("packets", c_uint16),
        ("lost", c_uint16),
        ("late", c_uint16),  # too late for the modelled jitter buffer
        ("jitter", c_uint16),  # the largest, in units of 10 us, and 1; 0: none was measured
        ("gap", c_uint16),  # the longest time without a packet, ms, and 1; 0: none between two packets
    )


class RareRow(Structure):
    """Counts that few streams have; a minute gets a row when it first needs one (`Table.rare_for`)."""

    _fields_ = (
        ("bursts", c_uint32),
        ("burst_packets", c_uint32),
        ("burst_lost", c_uint32),
        ("type_packets", c_uint32 * 4),  # by `types`; packets in none of these are of the newest type
        ("types", c_uint8 * 4),
        ("timebase_changes", c_uint16),
        ("runs", c_uint16 * 10),  # of losses in a row: of 1, of 2 ... of 10 or more
        ("delays", c_uint16 * 7),  # packets late by 50, 70, 90, 120, 150, 200, 300 ms or more
    )


class MinuteRow(Structure):
    """A stream's counts of one minute; see `stream_minute_cy.COUNTERS`."""

    _fields_ = (
        ("bytes", c_int64),
        ("jitter_sum_us", c_double),
        ("packets", c_uint32),
        ("judged", c_uint32),
        ("gap_packets", c_uint32),
        ("jitter_count", c_uint32),
        ("jitter_max_us", c_float),  # of the newest slot; below 0: none
        ("longest_ns", c_uint32),  # without a packet in the newest slot, no further than 2 s
        ("slot", c_uint32),  # the newest slot, in units of 10 s since 1970; 0: none yet
        # Fields that few packets touch.
        ("duplicates", c_uint32),
        ("slotted", c_uint32),  # packets that slots have
        ("lost", c_uint32),
        ("unknown", c_uint32),
        ("reordered", c_uint32),
        ("discarded", c_uint32),
        ("loss_runs", c_uint32),
        ("gap_lost", c_uint32),
        ("ssrc_gap", c_uint32),  # numbers that another SSRC of the same sockets stood in for
        ("jitter_peak_us", c_float),  # the largest of the slots before
        ("rare", c_uint32),  # the number of its `RareRow`; 0: nothing of that was counted
    )


class StreamRow(Structure):
    """The loop's state of a stream. Times are ns, delays us."""

    _fields_ = (
        ("src_hi", c_uint64),
        ("src_lo", c_uint64),
        ("dst_hi", c_uint64),
        ("dst_lo", c_uint64),
        ("sockets", c_uint64),  # SSRC << 32 | source port << 16 | destination port
        ("last_ns", c_int64),  # the newest packet
        ("top", c_int64),  # the highest number, extended (RFC 3550 A.1)
        ("state", c_uint8),  # FREE, CANDIDATE, ACCEPTED
        ("unjudged", c_uint8),  # how many of the newest numbers are still to be judged
        ("since", c_uint8),  # numbers received since the last one lost, no further than Gmin
        ("payload_type", c_uint8),  # the newest that is neither event nor comfort noise
        ("settled", c_uint8),  # `codec` is what the payload map has for `payload_type`
        ("referenced", c_uint8),  # 1: `ref_ns` and `ref_ts` are the reference of jitter; 2: until an event
        ("votes", c_uint8),  # for `step`
        ("late_run", c_uint8),  # packets in a row too late for the modelled jitter buffer
        # The second line.
        ("first_ns", c_int64),
        ("received", c_int64),  # in this epoch
        ("ref_ns", c_int64),
        ("jitter_us", c_double),  # RFC 3550 A.8's J
        ("excess_us", c_double),  # delay above the jitter buffer's baseline
        ("scale", c_double),  # us in a thousand-millionth of a tick: 1e-3 / clock rate
        ("ref_ts", c_uint32),
        ("codec", c_uint32),  # clock rate << 8 | kind; 0: unknown
        ("step", c_uint32),  # the timestamp's usual one from packet to packet; 0: unknown
        ("bad_seq", c_uint16),  # A.1's bad_seq
        ("stray", c_uint8),  # of loop_cy.pxd: NONE, STRAY: `bad_seq` is set ...
        ("anchored", c_uint8),  # `anchor_at` and `anchor_ts` are set
        # The third to the seventh: two minutes are open at once, and between them what few packets touch.
        ("even", MinuteRow),
        ("unknown", c_int64),  # numbers of this epoch that the capture may itself have missed
        ("cluster", c_uint32),  # numbers lost since the last gap (RFC 3611 4.7.2) ...
        ("cluster_received", c_uint32),  # ... and received between them
        ("run", c_uint32),  # numbers lost in a row up to the last one judged
        ("epoch", c_uint32),
        ("anchor_at", c_uint32),  # the reference from which the clock is held against time, units of 2**20 ns
        ("anchor_ts", c_uint32),
        ("guess", c_uint32),  # the clock rate that the span before showed, Hz; 0: none yet
        ("refuted", c_uint32),  # the payload map's clock rate << 8 | kind, with which the wire disagrees
        ("odd", MinuteRow),
        ("late_from", c_uint32),  # since when packets are late by `steady_us`, units of 2**20 ns
        ("steady_us", c_uint32),
        ("sibling", c_uint32),  # row + 1 of another SSRC between the same sockets
        ("bad_cell", c_uint32),  # of the packet before `bad_seq`
        ("queue", c_uint32),  # a candidate's place in the queue, modulo 2**32
        ("map", c_uint16),
        ("base", c_uint16),  # the first number of this epoch
        ("timeline", SlotRow * 8),
        # And four more.
        ("window", c_uint32 * 64),  # a cell for each of the newest numbers (loss_cy)
    )


def clear(record: Structure) -> None:
    memset(addressof(record), 0, sizeof(record))
