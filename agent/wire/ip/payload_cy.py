# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""The payload of a UDP datagram, in place: what its first bytes say that it is."""

from __future__ import annotations

import cython

if not cython.compiled:  # payload_cy.pxd holds them for the compiler
    from agent import uncompiled

    PAYLOAD_OTHER, PAYLOAD_RTP, PAYLOAD_RTCP, PAYLOAD_SIP = uncompiled.constants(
        __name__, "PAYLOAD_OTHER PAYLOAD_RTP PAYLOAD_RTCP PAYLOAD_SIP"
    )
    PAYLOAD_STUN, PAYLOAD_ZRTP, PAYLOAD_DTLS, PAYLOAD_SHORT, PAYLOAD_TURN = uncompiled.constants(
        __name__, "PAYLOAD_STUN PAYLOAD_ZRTP PAYLOAD_DTLS PAYLOAD_SHORT PAYLOAD_TURN"
    )
    LOOKED_AT, METHOD_MAX = uncompiled.constants("agent.wire.sip.scan_cy", "LOOKED_AT METHOD_MAX")
    Octets = bytes | bytearray | memoryview

    def octets_of(payload: Payload, at: int, count: int) -> Octets:
        return payload.view[at : at + count]

    def bytes_of(payload: Payload, at: int, count: int) -> bytes:
        return bytes(payload.view[at : at + count])

    def load16(octets: Octets, at: int) -> int:
        return octets[at] << 8 | octets[at + 1]

    def load32(octets: Octets, at: int) -> int:
        return load16(octets, at) << 16 | load16(octets, at + 2)

    def load64(octets: Octets, at: int) -> int:
        return load32(octets, at) << 32 | load32(octets, at + 4)


class Payload:
    """A buffer, and the UDP payload in it.

    `payload_offset` counts from the start of the buffer, `payload_length` is the length on the wire,
    `payload_captured` the bytes of it that are present. `rtp_*` are the fields of an RTP header.
    """

    def __init__(self) -> None:
        self.attach(b"")
        self.payload_offset = self.payload_length = self.payload_captured = 0

    def attach(self, data: bytes | bytearray | memoryview) -> None:
        """Reads from `data` until the next `attach`; `b""` releases it."""
        self.view = data

    def payload_kind(self) -> int:
        """The kind of the UDP payload of the frame just decoded, one of PAYLOAD_*; for RTP sets `rtp_*`."""
        kind: int = self.classify()
        return kind

    def classify(self) -> cython.int:
        """The kind of the UDP payload, by its first bytes: RFC 7983 7, RFC 5761 4; never by port."""
        at: cython.longlong = self.payload_offset
        left: cython.longlong = self.payload_captured
        is_cut: cython.bint = left < self.payload_length
        if left < 2:
            return PAYLOAD_SHORT if is_cut else PAYLOAD_OTHER
        head: Octets = octets_of(self, at, min(left, 12))
        first: cython.longlong = head[0]
        if first >= 128:
            if first > 191:
                return PAYLOAD_OTHER
            second: cython.longlong = head[1]
            if second >= 192 and second <= 223:
                return PAYLOAD_RTCP
            if left < 12:
                return PAYLOAD_SHORT
            # RFC 3550 5.1: the header up to the CSRCs that the first byte counts.
            self.rtp_header = 12 + ((first & 15) << 2)
            self.rtp_second = second
            self.rtp_seq = load16(head, 2)
            self.rtp_ts = load32(head, 4)
            self.rtp_ssrc = load32(head, 8)
            return PAYLOAD_RTP
        if first <= 3:
            return PAYLOAD_STUN
        if first >= 16 and first <= 19:
            return PAYLOAD_ZRTP
        if first >= 20 and first <= 63:
            return PAYLOAD_DTLS
        if (  # RFC 8656 12.4: ChannelData of RTP
            first >= 64
            and first <= 79
            and left >= 8
            and self.be16(at + 2) + 4 == self.payload_length
            and self.view[at + 4] >> 6 == 2
        ):
            return PAYLOAD_TURN
        while left > 4 and (self.view[at] == 13 or self.view[at] == 10):  # RFC 3261 7.5: leading CRLF
            at += 1
            left -= 1
        if left >= 4 and self.be32(at) == 0x48455033:  # HEP3, which carries SIP
            return PAYLOAD_SIP
        if self.is_start_line(at, at + min(left, LOOKED_AT)):
            return PAYLOAD_SIP
        if is_cut and left < LOOKED_AT and self.is_text(at, at + left):
            return PAYLOAD_SHORT  # perhaps the begin of a start line
        return PAYLOAD_OTHER

    def is_cut(self) -> cython.bint:
        """Whether the capture has less of the UDP payload than the wire had."""
        return self.payload_captured < self.payload_length

    def is_text(self, at: cython.longlong, end: cython.longlong) -> cython.bint:
        """Whether these are printable characters of one line, of which the first is a letter."""
        if at >= end or not 65 <= self.view[at] & 0xDF <= 90:
            return False
        while at < end and 32 <= self.view[at] <= 126:
            at += 1
        return at == end

    def is_start_line(self, at: cython.longlong, end: cython.longlong) -> cython.bint:
        """Whether a SIP start line begins at `at`: a version, or a method, a blank and a version after it.

        RFC 3261 7.1, 25.1: any token is a method, and the version is in any case.
        """
        if self.is_version(at, end):
            return True
        start: cython.longlong = at
        while at < end and at - start < METHOD_MAX and 33 <= self.view[at] <= 126:
            at += 1
        if at == start or at >= end or self.view[at] != 32:
            return False
        while at < end and self.view[at] != 10:
            if self.view[at] == 32 and self.is_version(at + 1, end):
                return True
            at += 1
        return False

    def is_version(self, at: cython.longlong, end: cython.longlong) -> cython.bint:
        """Whether `SIP/` in any case is at `at`."""
        return end - at >= 4 and self.be32(at) | 0x20202000 == 0x7369702F

    # --- big-endian reads

    def be16(self, at: cython.ulonglong) -> cython.int:
        return load16(octets_of(self, at, 2), 0)

    def be32(self, at: cython.ulonglong) -> cython.ulonglong:
        return load32(octets_of(self, at, 4), 0)
