# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=False
# optimize: -O3
# mypy: disable-error-code="valid-type"
"""RTP and RTCP out of a batch by their sockets, cut behind the RTP header; called only for evidence.

A port is looked up in a table of bytes first, so a packet of no wanted socket costs its decoding
and no object.
"""
# ruff: noqa: F403, F405 -- the constants come whole, as the compiler takes them from the .pxd

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import cython

from agent.wire.ip.decoder_cy import Decoder
from agent.wire.ip.encapsulations import Tunnel
from agent.wire.ip.packet_cy import address, halves

if not cython.compiled:  # picker_cy.pxd has these for the compiler
    from agent.uncompiled import constants
    from agent.wire.ip.decoder_cy import *

    (PORT_NUMBERS,) = constants(__name__, "PORT_NUMBERS")

__all__ = ["MediaPacket", "Picker"]

Socket = tuple[str, int]


class MediaPacket(NamedTuple):
    """A frame whose inner packet is RTP or RTCP. `octets` begin at the link layer."""

    stamp_ns: int
    origin: int
    wire_length: int
    octets: bytes  # RTP: up to the end of its header, or whole where that was asked for; RTCP: whole
    src: Socket
    dst: Socket
    payload_at: int  # where RTP or RTCP begins in `octets`
    ssrc: int  # of RTP; 0: RTCP
    sequence: int  # of RTP; -1: RTCP
    is_whole: bool  # kept with its payload


class Picker:
    """Use it from one thread at a time."""

    def __init__(self, tunnels: Sequence[Tunnel] | None = None) -> None:
        """`tunnels`: the tunnels to open; None: every one."""
        self.decoder = Decoder(tunnels)
        self.sockets: dict[tuple[int, int, int], bool] = {}
        self.ports = bytearray(PORT_NUMBERS)

    def want(self, sockets: dict[Socket, bool]) -> None:
        """Picks packets of these sockets only; True: with the payload.

        A host that is no address is skipped.
        """
        self.sockets = {}
        ports = bytearray(PORT_NUMBERS)
        for (host, port), whole in sockets.items():
            try:
                high, low = halves(host)
            except OSError:
                continue
            self.sockets[high, low, port] = whole
            ports[port] = 1
        self.ports = ports

    def pick(self, data: bytes | bytearray | memoryview, index: cython.longlong[::1]) -> list[MediaPacket]:
        """The packets from or to a wanted socket, in their order."""
        decoder: Decoder = self.decoder
        found: list[MediaPacket] = []
        kind: cython.int
        whole: cython.int
        at: cython.Py_ssize_t
        end: cython.longlong
        decoder.attach(data)
        try:
            for at in range(0, len(index), 5):
                kind = self.find(index[at], index[at + 1], index[at + 4])
                if kind == 0:
                    continue
                whole = self.asked()
                if whole < 0:
                    continue
                is_rtp = kind == PAYLOAD_RTP
                end = index[at] + index[at + 1]
                if is_rtp and not whole:
                    end = min(end, decoder.payload_offset + decoder.rtp_header)
                else:  # a trailer of the link layer has no use
                    end = min(end, decoder.payload_offset + decoder.payload_captured)
                found.append(
                    MediaPacket(
                        index[at + 3],
                        index[at + 4],
                        index[at + 2],
                        bytes(data[index[at] : end]),
                        (address(decoder.src_hi, decoder.src_lo), decoder.src_port),
                        (address(decoder.dst_hi, decoder.dst_lo), decoder.dst_port),
                        decoder.payload_offset - index[at],
                        decoder.rtp_ssrc if is_rtp else 0,
                        decoder.rtp_seq if is_rtp else -1,
                        bool(whole),
                    )
                )
        finally:
            decoder.attach(b"")
        return found

    def heads(
        self, data: bytes | bytearray | memoryview, index: cython.longlong[::1]
    ) -> tuple[bytes, array[int]]:
        """All RTP up to the end of its header, and RTCP whole: as the bytes and the index of a batch."""
        decoder: Decoder = self.decoder
        most: cython.longlong = 0
        at: cython.Py_ssize_t
        for at in range(0, len(index), 5):
            most += index[at + 1]
        kept = bytearray(most)
        rows = array("q", bytes(8 * len(index)))
        # Octet by octet into views: 190 ns a packet; slices and `extend` take 650 (benchmarks.evidence).
        octets: cython.uchar[::1] = kept
        row: cython.longlong[::1] = rows
        source: cython.const[cython.uchar][::1] = data
        filled: cython.Py_ssize_t = 0
        row_at: cython.Py_ssize_t = 0
        position: cython.Py_ssize_t
        kind: cython.int
        end: cython.longlong
        decoder.attach(data)
        try:
            for at in range(0, len(index), 5):
                kind = self.find(index[at], index[at + 1], index[at + 4])
                if kind == 0:
                    continue
                end = decoder.payload_captured
                if kind == PAYLOAD_RTP:
                    end = min(end, decoder.rtp_header)
                end += decoder.payload_offset
                row[row_at] = filled
                row[row_at + 1] = end - index[at]
                row[row_at + 2] = index[at + 2]
                row[row_at + 3] = index[at + 3]
                row[row_at + 4] = index[at + 4]
                row_at += 5
                for position in range(index[at], end):
                    octets[filled] = source[position]
                    filled += 1
        finally:
            decoder.attach(b"")
        return bytes(memoryview(kept)[:filled]), rows[:row_at]

    def find(self, offset: cython.longlong, captured: cython.longlong, origin: cython.longlong) -> cython.int:
        """The kind of a frame's payload: PAYLOAD_RTP, PAYLOAD_RTCP, or 0 for all else."""
        if self.decoder.plain(offset, captured, origin):
            return PAYLOAD_RTP
        if self.decoder.frame(offset, captured, origin) != UDP:
            return 0
        kind: cython.int = self.decoder.classify()
        return kind if kind in (PAYLOAD_RTP, PAYLOAD_RTCP) else 0

    def asked(self) -> cython.int:
        """Whether the packet just decoded is wanted: -1 no, 0 its header, 1 whole."""
        decoder: Decoder = self.decoder
        found: cython.int = -1
        if self.ports[decoder.src_port]:
            found = self.sockets.get((decoder.src_hi, decoder.src_lo, decoder.src_port), -1)
        if found < 1 and self.ports[decoder.dst_port]:
            found = max(found, self.sockets.get((decoder.dst_hi, decoder.dst_lo, decoder.dst_port), -1))
        return found
