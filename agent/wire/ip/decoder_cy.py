# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""The one frame decoder: it reads link layer, IP and UDP of a frame in place, without a copy.

    Payload    a buffer, and what a UDP payload is by its first bytes
    Layers     from the link, or from inside a tunnel, down to what IP carries
    Decoder    UDP, TCP and the tunnels; RTP as nearly every frame has it, in one pass

`Decoder` serves the compiled loop; `read()` wraps it for every frame that leaves the loop. Every length comes
from the IP and UDP headers, never from the bytes captured: frames may be snapped or padded.
"""

# ruff: noqa: F403, F405 -- the constants come whole, as the compiler takes them from the .pxd
from __future__ import annotations

from array import array
from collections.abc import Sequence

import cython

from agent.errors import Reason, WireError
from agent.wire.ip.encapsulations import EVERY, KINDS, Tunnel, numbered, numbered_ports, rules
from agent.wire.ip.layers_cy import Layers
from agent.wire.ip.packet_cy import Packet, address, halves

if not cython.compiled:  # decoder_cy.pxd holds them for the compiler
    from agent import uncompiled
    from agent.wire.ip.layers_cy import *
    from agent.wire.ip.payload_cy import *

    ESP, NAT_T, MAX_DEPTH, RULE, L2TPV3_MOST = uncompiled.constants(
        __name__, "ESP NAT_T MAX_DEPTH RULE L2TPV3_MOST"
    )

# Kinds of frame, by the names that plain Python uses.
KIND_NOT_IP, KIND_UDP, KIND_FRAGMENT, KIND_TCP = NOT_IP, UDP, FRAGMENT, TCP
KIND_OTHER_IP, KIND_SCTP = OTHER_IP, SCTP
REASONS = {
    BAD_LINK_TYPE: Reason.LINK_TYPE,
    SHORT_LINK: Reason.LINK_TRUNCATED,
    SHORT_IP: Reason.IP_TRUNCATED,
    BAD_IP: Reason.IP_MALFORMED,
    SHORT_UDP: Reason.UDP_TRUNCATED,
    BAD_UDP: Reason.UDP_MALFORMED,
    BAD_TCP: Reason.TCP_MALFORMED,
    -8: Reason.RTP_MALFORMED,
    OWN_SOURCE: Reason.OWN_SOURCE,
}
GRE_TYPES = numbered("gre_types")
PROTOCOLS = numbered("protocols", 256)


class Decoder(Layers):
    """Reads one frame after another of the buffer last given to `attach`.

    After a frame these are set: `src_hi`..`dst_port`, `ip_version`, `path` for anything IP; `payload_*` for
    UDP, TCP and fragments (`payload_offset` counts from the start of the buffer, `payload_length` is the
    length on the wire, `payload_captured` the bytes of it that are present); `identification`,
    `fragment_offset`, `more_fragments` and `protocol` for fragments; `tcp_seq`, `tcp_flags` for TCP.

    `path` tells one way through the host from another: interface, packet type, VLAN tags and tunnel. `tunnel`
    is the number of the outermost tunnel's row in `encapsulations` (0: none), `vni` its identifier (-1: it
    has none), `depth` the number of tunnels that were opened.

    Of a frame that is too short (SHORT_*) `ip_version` is 0 where its innermost addresses were not reached.
    `protocol` of one over IPv6 is 0 where it was not.
    """

    def __init__(self, tunnels: Sequence[Tunnel] | None = None, own: Sequence[str] = ()) -> None:
        """Opens `tunnels` and no others; None: every tunnel. `own`: as `Layers`."""
        super().__init__(own)
        self.tunnel = self.port = 0
        self.vni = -1
        self.opens_all = tunnels is None
        believed = EVERY if tunnels is None else tuple(tunnels)
        self.gre_types, self.protocols = GRE_TYPES, PROTOCOLS
        self.ports = numbered_ports(believed)
        self.source_ports = numbered_ports(believed, source=True)
        self.rules = memoryview(array("Q", rules(believed)))
        self.opened = memoryview(array("q", bytes(8 * len(KINDS))))

    def tunnels(self) -> dict[str, int]:
        """Frames from tunnels so far, by the kind of the outermost."""
        return {kind: int(self.opened[number]) for number, kind in enumerate(KINDS) if self.opened[number]}

    def decode(self, offset: cython.longlong, captured: cython.longlong, origin: cython.longlong) -> int:
        """The kind of the frame at `offset`; negative: the key of `REASONS` that says why it is rejected."""
        kind: int = self.frame(offset, captured, origin)
        return kind

    def plain(
        self, offset: cython.longlong, captured: cython.longlong, origin: cython.longlong
    ) -> cython.int:
        """1: RTP in UDP in IPv4 without options directly behind Ethernet, as nearly every frame is.

        It finds the same as `frame` and `classify`, by one check and one pass. 0: ask these two.
        """
        if captured < 54 or origin >> 32 != 1:
            return 0
        octets: Octets = octets_of(self, offset, 54)
        total: cython.longlong = load16(octets, 16)
        length: cython.longlong = load16(octets, 38)
        second: cython.longlong = octets[43]
        if (
            load32(octets, 12) >> 8 != 0x080045
            or octets[23] != 17
            or load16(octets, 20) & 0x3FFF  # a fragment
            or octets[42] & 0xC8 != 0x80  # 8 CSRCs and more: where VXLAN with reserved bits has its flag
            or (second >= 192 and second <= 223)  # RTCP
            or length < 20
            or length > total - 20
        ):
            return 0
        if (
            (self.own_bits >> (octets[29] & 63)) & 1  # no other test for nearly all sources
            and (origin >> 16) & 0xFF <= RECEIVED
            and self.is_own(0, V4_MAPPED | load32(octets, 26))
        ):
            return 0
        self.path = (origin & 0x7FFF) << 48 | ((origin >> 16) & 0xFF) << 24
        self.tunnel = 0
        self.ip_version = 4
        self.protocol = 17
        self.identification = load16(octets, 18)
        self.src_hi = 0
        self.dst_hi = 0
        self.src_lo = V4_MAPPED | load32(octets, 26)
        self.dst_lo = V4_MAPPED | load32(octets, 30)
        self.src_port = load16(octets, 34)
        self.dst_port = load16(octets, 36)
        self.payload_offset = offset + 42
        self.payload_length = length - 8
        self.payload_captured = min(length - 8, captured - 42)
        self.rtp_header = 12 + ((octets[42] & 15) << 2)
        self.rtp_second = second
        self.rtp_seq = load16(octets, 44)
        self.rtp_ts = load32(octets, 46)
        self.rtp_ssrc = load32(octets, 50)
        return 1

    def frame(
        self, offset: cython.longlong, captured: cython.longlong, origin: cython.longlong
    ) -> cython.int:
        self.at = offset
        self.end = offset + captured
        self.layers = 0
        self.depth = 0
        self.tunnel = 0
        self.vni = -1
        self.ip_version = 0
        # interface << 48 | interface index of SLL2 << 32 | packet type << 24 | outer tag << 12 | inner tag
        self.path = (origin & 0x7FFF) << 48 | ((origin >> 16) & 0xFF) << 24
        return self.link(origin >> 32)

    def transport(self) -> cython.int:
        at: cython.longlong = self.payload_offset
        length: cython.longlong
        header: Octets
        if self.protocol == 17:
            if self.payload_length < 8:
                return BAD_UDP
            if at + 8 > self.end:
                return self.short_udp(at)
            header = octets_of(self, at, 8)
            length = load16(header, 4)
            if length == 0:  # RFC 2675 4
                length = self.payload_length
            if length < 8 or length > self.payload_length:
                return BAD_UDP
            self.src_port = load16(header, 0)
            self.dst_port = load16(header, 2)
            self.payload_offset = at + 8
            self.payload_length = length - 8
            self.payload_captured = min(length - 8, self.end - at - 8)
            number: cython.longlong = self.ports[self.dst_port]
            self.port = self.dst_port
            if number == 0:
                number = self.source_ports[self.src_port]
                self.port = self.src_port
            return self.datagram(number) if number else UDP
        if self.protocol == 6:
            if self.payload_length < 20:
                return BAD_TCP
            if at + 20 > self.end:
                return SHORT_IP
            header = octets_of(self, at, 20)
            length = (header[12] >> 4) << 2
            if length < 20 or length > self.payload_length:
                return BAD_TCP
            self.src_port = load16(header, 0)
            self.dst_port = load16(header, 2)
            self.tcp_seq = load32(header, 4)
            self.tcp_flags = header[13]
            self.payload_offset = at + length
            self.payload_length -= length
            self.payload_captured = max(0, min(self.payload_length, self.end - self.payload_offset))
            return TCP
        self.port = 0
        if self.protocol == 47:
            return self.generic()
        if self.protocol == 132:
            self.fragment()
            return SCTP
        if self.protocols[self.protocol & 0xFF]:
            return self.in_ip()
        return OTHER_IP

    def short_udp(self, at: cython.longlong) -> cython.int:
        """A UDP header that was cut. Without its ports nobody knows whether it begins a tunnel."""
        if at + 4 > self.end or self.begins_tunnel(self.be16(at), self.be16(at + 2)):
            self.ip_version = 0
        return SHORT_UDP

    def begins_tunnel(self, source: cython.int, destination: cython.int) -> cython.bint:
        """Whether a believed tunnel is known by one of these UDP ports."""
        return self.ports[destination] != 0 or self.source_ports[source] != 0

    def enter(self, number: cython.longlong, vni: cython.longlong) -> cython.bint:
        """Whether the tunnel may be opened: it is not too deep, and believed. Then it is counted."""
        if self.depth >= MAX_DEPTH or not (self.opens_all or self.believes(number, vni)):
            return False
        if not self.depth:
            self.tunnel = number
            self.vni = vni
            self.opened[number] += 1
        self.depth += 1
        self.ip_version = 0
        # A frame that two mirrors copy comes by two paths.
        self.path ^= (vni * 32 + number) & 0xFFFFFF
        return True

    def opens(self, packet: Packet, number: cython.longlong) -> cython.bint:
        """Whether the messages that `packet` carries may be read, by the rules of its sender and port."""
        self.depth = packet.depth
        self.port = packet.dst_port
        self.src_hi, self.src_lo = halves(packet.src)
        return self.enter(number, -1)

    def believes(self, number: cython.longlong, vni: cython.longlong) -> cython.bint:
        """Whether a rule has this kind, port, identifier and outer source."""
        at: cython.longlong = 0
        end: cython.longlong = len(self.rules)
        named: cython.ulonglong = vni + 1
        kind: cython.ulonglong = number
        port: cython.ulonglong = self.port
        while at < end:
            if (
                self.rules[at] == kind
                and self.rules[at + 1] == port
                and (self.rules[at + 2] == 0 or self.rules[at + 2] == named)
                and self.src_hi & self.rules[at + 5] == self.rules[at + 3]
                and self.src_lo & self.rules[at + 6] == self.rules[at + 4]
            ):
                return True
            at += RULE
        return False

    def again(self) -> cython.int:
        """Notes that the frame just decoded will be decoded once more, and counts then."""
        if self.tunnel:
            self.opened[self.tunnel] -= 1
        return 0

    def in_ip(self) -> cython.int:
        """IP in IP (RFC 2003, 2473, 4213), Ethernet in IP (RFC 3378 3), L2TPv3 (RFC 3931 4.1.1)."""
        if self.depth >= MAX_DEPTH:
            return BAD_IP
        number: cython.longlong = self.protocols[self.protocol]
        self.end = min(self.end, self.payload_offset + self.payload_length)
        self.at = self.payload_offset
        vni: cython.longlong = -1
        if number == L2TPV3:
            if self.at + 4 > self.end:
                return SHORT_IP
            vni = self.be32(self.at)
            if vni == 0:  # a control message
                return OTHER_IP
        if not self.enter(number, vni):
            return OTHER_IP
        if number == L2TPV3:
            self.at += 4
            return self.bridged(L2TPV3_MOST)
        if number == ETHERIP:
            self.at += 2
            return self.link(1)
        return self.network()

    def generic(self) -> cython.int:
        """GRE (RFC 2784, 2890): flags, type of the inner packet; checksum, key, number where flagged."""
        self.end = min(self.end, self.payload_offset + self.payload_length)
        self.at = self.payload_offset
        if self.at + 4 > self.end:
            return SHORT_IP
        flags: cython.longlong = self.be16(self.at)
        inner: cython.longlong = self.be16(self.at + 2)
        number: cython.longlong = self.gre_types[inner]
        if flags & 7 == 1 and number == PPTP:
            return self.pptp(flags)
        if number == 0 or flags & 0x4007:  # source routing, or not version 0
            return OTHER_IP
        key: cython.longlong = self.at + 4 + ((flags >> 13) & 4)
        self.at = key + ((flags >> 11) & 4) + ((flags >> 10) & 4)
        if self.at > self.end:
            return SHORT_IP
        if number == ERSPAN3:
            return self.erspan3()
        vni: cython.longlong = self.be32(key) if flags & 0x2000 else -1
        if number == NVGRE and vni >= 0:
            vni >>= 8
        if number == ERSPAN and flags & 0x1000:  # type II; type I has no number and no header
            if self.at + 8 > self.end:
                return SHORT_IP
            vni = self.be16(self.at + 2) & 0x3FF
            self.at += 8
        if not self.enter(number, vni):
            return OTHER_IP
        if number == PLAIN_GRE:
            self.ether_type = inner
            return self.ethernet()
        return self.link(1)

    def erspan3(self) -> cython.int:
        """ERSPAN type III: 12 bytes with session and frame type, 8 more where the last bit says so."""
        if self.at + 12 > self.end:
            return SHORT_IP
        session: cython.longlong = self.be16(self.at + 2) & 0x3FF
        flags: cython.longlong = self.be16(self.at + 10)
        self.at += 12 + ((flags & 1) << 3)
        if not self.enter(ERSPAN3, session):
            return OTHER_IP
        return self.network() if (flags >> 10) & 31 == 2 else self.link(1)

    def pptp(self, flags: cython.longlong) -> cython.int:
        """RFC 2637 4.1: GRE version 1, length and call in the key's place; PPP inside, or an ACK alone."""
        at: cython.longlong = self.at + 8
        if not flags & 0x2000:
            return OTHER_IP
        if at > self.end:
            return SHORT_IP
        length: cython.longlong = self.be16(self.at + 4)
        call: cython.longlong = self.be16(self.at + 6)
        at += ((flags >> 10) & 4) + ((flags >> 5) & 4)
        if length == 0 or not self.enter(PPTP, call):
            return OTHER_IP
        self.at = at
        self.end = min(self.end, at + length)
        return self.ppp()

    def datagram(self, number: cython.longlong) -> cython.int:
        """A UDP datagram on a tunnel's port; UDP where it is not that tunnel's, or not believed.

        SHORT_UDP where the capture cut the tunnel's header.
        """
        if self.payload_captured < 8:
            return self.too_short()
        self.at = self.payload_offset
        self.end = self.payload_offset + self.payload_captured
        if number == VXLAN:
            return self.vxlan()
        if number == GENEVE:
            return self.geneve()
        if number == GTPU:
            return self.gtpu()
        if number == L2TP:
            return self.l2tp()
        if number == VXLANGPE:
            return self.vxlan_gpe()
        if number == TZSP:
            return self.tzsp()
        if number == MPLSUDP and self.enter(MPLSUDP, -1):
            return self.mpls()
        return UDP

    def too_short(self) -> cython.int:
        """The kind of a datagram on a tunnel's port that is too short for the tunnel's header."""
        if self.payload_captured == self.payload_length:
            return UDP
        self.ip_version = 0
        return SHORT_UDP

    def vxlan(self) -> cython.int:
        """RFC 7348 5: the I flag, the network identifier; other bits are "ignored on receipt"."""
        if self.payload_length < 22 or not self.view[self.at] & 8:
            return UDP
        if not self.enter(VXLAN, self.be32(self.at + 4) >> 8):
            return UDP
        self.at += 8
        return self.link(1)

    def vxlan_gpe(self) -> cython.int:
        """VXLAN with the P flag: the last byte before the network identifier says what is inside."""
        first: cython.ulonglong = self.be32(self.at)
        inner: cython.ulonglong = first & 0xFF
        if not first & 0x04000000 or inner < 1 or inner > 5:
            return UDP
        if not self.enter(VXLANGPE, self.be32(self.at + 4) >> 8):
            return UDP
        self.at += 8
        if inner == 4:
            return self.nsh()
        if inner == 5:
            return self.mpls()
        return self.link(1) if inner == 3 else self.network()

    def tzsp(self) -> cython.int:
        """Version 1, a received or sent packet of Ethernet; tags up to the end's, each with its length."""
        at: cython.longlong = self.at + 4
        if self.be16(self.at) >> 1 != 0x80 or self.be16(self.at + 2) != 1:
            return UDP
        tag: cython.longlong = -1
        while tag != 1:
            self.layers += 1
            if self.layers > MAX_LAYERS:
                return UDP
            if at + 2 > self.end:
                return self.too_short()
            tag = self.view[at]
            at += 1 if tag < 2 else 2 + self.view[at + 1]  # padding and the end have no length
        if not self.enter(TZSP, -1):
            return UDP
        self.at = at
        return self.link(1)

    def geneve(self) -> cython.int:
        """RFC 8926 3.4: version 0, options of 4 bytes each, an EtherType, the network identifier."""
        first: cython.longlong = self.be16(self.at)
        size: cython.longlong = 8 + ((first >> 8) << 2)
        if first >> 14 or first & 0x80:  # a control packet
            return UDP
        if self.at + size > self.end:
            return self.too_short()
        inner: cython.longlong = self.be16(self.at + 2)
        if not self.enter(GENEVE, self.be32(self.at + 4) >> 8):
            return UDP
        self.at += size
        if inner == 0x6558:
            return self.link(1)
        self.ether_type = inner
        return self.ethernet()

    def gtpu(self) -> cython.int:
        """TS 29.281 5.1: version 1, a G-PDU; 4 more bytes where a flag is set, then extension headers."""
        first: cython.longlong = self.be16(self.at)
        at: cython.longlong = self.at + 8
        if first & 0xF0FF != 0x30FF:
            return UDP
        following: cython.longlong = 0
        if first & 0x700:
            if at + 4 > self.end:
                return self.too_short()
            following = self.view[at + 3] if first & 0x400 else 0
            at += 4
        size: cython.longlong
        while following:
            self.layers += 1
            if self.layers > MAX_LAYERS:
                return UDP
            if at >= self.end:
                return self.too_short()
            size = self.view[at] << 2
            if size == 0:
                return UDP
            if at + size > self.end:
                return self.too_short()
            at += size
            following = self.view[at - 1]
        if not self.enter(GTPU, self.be32(self.at + 4)):
            return UDP
        self.at = at
        return self.network()

    def l2tp(self) -> cython.int:
        """RFC 2661 3.1: a data message of version 2; length, numbers and an offset where flagged; PPP.
        RFC 3931 4.1.2: one of version 3 has a session of 32 bits, and Ethernet.
        """
        flags: cython.longlong = self.be16(self.at)
        if flags & 0x800F == 3 and self.enter(L2TP, self.be32(self.at + 4)):
            self.at += 8
            return self.bridged(L2TPV3_MOST)
        if flags & 0x800F != 2:
            return UDP
        session: cython.longlong = self.at + 4 + ((flags >> 13) & 2)
        at: cython.longlong = session + 2 + ((flags >> 9) & 4)
        if flags & 0x200:
            if at + 2 > self.end:
                return self.too_short()
            at += 2 + self.be16(at)
        if at + 2 > self.end:
            return self.too_short()
        if not self.enter(L2TP, self.be16(session)):
            return UDP
        self.at = at
        return self.ppp()

    def resume(self, packet: Packet, length: cython.longlong) -> cython.int:
        """Goes on where the fragments of `packet` were read, at their datagram's `length` bytes."""
        self.at = self.layers = 0
        self.end = length
        self.depth = packet.depth
        self.tunnel = packet.tunnel
        self.vni = packet.vni
        self.path = packet.path
        self.identification = packet.identification
        self.ip_version = 6 if ":" in packet.src else 4
        self.src_hi, self.src_lo = halves(packet.src)
        self.dst_hi, self.dst_lo = halves(packet.dst)
        return self.extensions(packet.protocol, 0, length)

    def glance(self, at: cython.longlong, end: cython.longlong) -> cython.int:
        """A stream's key into `near_*`, were there an RTP packet at `at` behind the headers of the frame just
        decoded, without options; 1 where the bytes are there. A guess, for prefetching."""
        if at + 12 > end or at < 62:
            return 0
        addresses: Octets
        if self.ip_version == 4:
            addresses = octets_of(self, at - 16, 28)
            self.near_src_hi = 0
            self.near_src_lo = V4_MAPPED | load32(addresses, 0)
            self.near_dst_hi = 0
            self.near_dst_lo = V4_MAPPED | load32(addresses, 4)
        else:
            addresses = octets_of(self, at - 40, 52)
            self.near_src_hi = load64(addresses, 0)
            self.near_src_lo = load64(addresses, 8)
            self.near_dst_hi = load64(addresses, 16)
            self.near_dst_lo = load64(addresses, 24)
        self.near_sockets = self.be32(at + 8) << 32 | self.be32(at - 8)
        return 1


def packet(
    data: bytes | bytearray | memoryview, offset: int, captured: int, stamp_ns: int, origin: int
) -> Packet:
    """Decodes the frame of `captured` bytes at `data[offset:]`.

    Raises:
        WireError: the frame is no readable link layer, IP, UDP or TCP.
    """
    decoder = Decoder()
    decoder.attach(data)
    return read(decoder, offset, captured, stamp_ns, origin)


def read(
    decoder: Decoder,
    offset: cython.longlong,
    captured: cython.longlong,
    stamp_ns: cython.longlong,
    origin: cython.longlong,
) -> Packet:
    """As `packet`, of the buffer that `decoder` is attached to. Raises WireError."""
    kind: cython.int = decoder.frame(offset, captured, origin)
    return _packet(decoder, kind, stamp_ns)


def rejoined(decoder: Decoder, fragment: Packet, whole: bytes) -> Packet:
    """Decodes the IP payload `whole`, put together from `fragment` and its siblings, as one packet.

    Every protocol is decoded: UDP, TCP, and tunnels, from which fragments may come again, never deeper than
    `MAX_DEPTH`. `decoder` releases its buffer. Raises WireError.
    """
    decoder.attach(whole)
    try:
        return _packet(decoder, decoder.resume(fragment, len(whole)), fragment.stamp_ns)
    finally:
        decoder.attach(b"")


def _packet(decoder: Decoder, kind: cython.int, stamp_ns: cython.longlong) -> Packet:
    """A copy of the frame at `decoder`, as a packet of its own. Raises WireError."""
    if kind < 0:
        raise WireError(REASONS[kind])
    packet: Packet = Packet()
    packet.kind = kind
    packet.stamp_ns = stamp_ns
    packet.path = decoder.path
    packet.tunnel = decoder.tunnel
    packet.vni = decoder.vni
    packet.depth = decoder.depth
    if kind == NOT_IP:
        return packet
    packet.src = address(decoder.src_hi, decoder.src_lo)
    packet.dst = address(decoder.dst_hi, decoder.dst_lo)
    packet.protocol = decoder.protocol
    if kind == OTHER_IP:
        return packet
    packet.src_port = decoder.src_port
    packet.dst_port = decoder.dst_port
    packet.payload = bytes_of(decoder, decoder.payload_offset, decoder.payload_captured)
    packet.length = decoder.payload_length
    packet.identification = decoder.identification
    if kind == FRAGMENT:
        packet.fragment_offset = decoder.fragment_offset
        packet.more_fragments = decoder.more_fragments != 0
    elif kind == TCP:
        packet.seq = decoder.tcp_seq
        packet.flags = decoder.tcp_flags
    return packet
