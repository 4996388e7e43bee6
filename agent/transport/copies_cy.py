# cython: language_level=3
"""Drops copies: one packet that the capture shows twice (DESIGN 4, Copy).

The same addresses, ports and payload within 20 ms:

    IP identification     path (interface, VLAN, packet type)     SIP                 other
    the same, not 0       any                                     copy                copy
    another               any                                     two packets         two packets
    none (0, IPv6)        another                                 copy                copy
    none (0, IPv6)        the same                                copy within 2 ms    copy with `single_span`

A packet sent again has another identification, however soon it comes: a response is repeated as often as its
request (RFC 3261 17.2.1).
"""

from __future__ import annotations

import cython

from agent.wire.ip.packet_cy import Packet

if not cython.compiled:  # copies_cy.pxd has these for the compiler
    from agent.uncompiled import constants

    (COPY_NS,) = constants("agent.wire.ip.packet_cy", "COPY_NS")
    (NEAR_NS,) = constants(__name__, "NEAR_NS")

MAX_COPIES = 8_192  # packets that pass within 20 ms at 400,000 a second
MAX_ALIKE = 16  # packets of the same bytes that are remembered, with different identifications


class Copies:
    """Remembers the packets of 20 ms in two tables used in turn, each bounded by `MAX_COPIES`.

    `peers`: for packets of peers. A flood of strangers shortens only its own memory; both are searched.
    """

    def __init__(self, single_span: bool) -> None:
        """`single_span`: a mirror that copies every packet twice through one interface."""
        self._single_span = single_span
        self.peers: Copies | None = None
        # Packets since `_since_ns`, at most 20 ms ago, and those of the 20 ms before. Equal ones, oldest
        # first.
        self._recent: dict[Packet, tuple[Packet, ...]] = {}
        self._before: dict[Packet, tuple[Packet, ...]] = {}
        self._since_ns = 0

    def __len__(self) -> int:
        return len(self._recent) + len(self._before) + (len(self.peers) if self.peers is not None else 0)

    def is_copy(self, packet: Packet, is_sip: bool, is_peer: bool = False) -> cython.bint:
        """Whether `packet` is a copy of an earlier one. If not, it is remembered.

        `is_peer`: the vc deals with its far end.
        """
        peers: Copies | None = self.peers
        if self._has(packet, is_sip) or (peers is not None and peers._has(packet, is_sip)):
            return True
        if peers is not None and is_peer:
            peers._remember(packet)
        else:
            self._remember(packet)
        return False

    def _has(self, packet: Packet, is_sip: cython.bint) -> cython.bint:
        seen: Packet
        # A table without entries is not asked: often peers alone speak.
        recent: tuple[Packet, ...] | None = self._recent.get(packet) if self._recent else None
        older: tuple[Packet, ...] | None = self._before.get(packet) if self._before else None
        if recent is not None:
            for seen in recent:
                if self._same(packet, seen, is_sip):
                    return True
        if older is not None:
            for seen in older:
                if self._same(packet, seen, is_sip):
                    return True
        return False

    def _remember(self, packet: Packet) -> None:
        full: cython.bint = len(self._recent) >= MAX_COPIES
        if full or not -COPY_NS <= packet.stamp_ns - self._since_ns <= COPY_NS:
            self._before, self._recent, self._since_ns = self._recent, {}, packet.stamp_ns
        first = (packet,)
        alike: tuple[Packet, ...] = self._recent.setdefault(packet, first)
        if alike is not first:
            self._recent[packet] = (*alike[1 - MAX_ALIKE :], packet)

    def _same(self, packet: Packet, seen: Packet, is_sip: cython.bint) -> cython.bint:
        """Whether these two packets, with the same bytes and sockets, are copies by the table above."""
        apart: cython.longlong = packet.stamp_ns - seen.stamp_ns
        if not -COPY_NS <= apart <= COPY_NS or packet.identification != seen.identification:
            return False
        if packet.identification or packet.path != seen.path:
            return True
        return -NEAR_NS <= apart <= NEAR_NS if is_sip else self._single_span
