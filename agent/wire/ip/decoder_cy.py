# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""The one frame decoder: it reads link layer, IP and UDP of a frame in place, without a copy.

`Decoder` serves the compiled loop; `read()` wraps it for every frame that leaves the loop. Every length comes
from the IP and UDP headers, never from the bytes captured: frames may be snapped or padded. Addresses are 128
bits in two halves, IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import cython

from agent.errors import Reason, WireError
from agent.wire.ip.encapsulations import EVERY, KINDS, Tunnel, numbered, numbered_ports, rules

if not cython.compiled:  # decoder_cy.pxd holds them for the compiler
    from agent import uncompiled

    NOT_IP, UDP, FRAGMENT, TCP, OTHER_IP, SCTP = uncompiled.constants(
        __name__, "NOT_IP UDP FRAGMENT TCP OTHER_IP SCTP"
    )
    BAD_LINK_TYPE, SHORT_LINK, SHORT_IP, BAD_IP, SHORT_UDP, BAD_UDP, BAD_TCP = uncompiled.constants(
        __name__, "BAD_LINK_TYPE SHORT_LINK SHORT_IP BAD_IP SHORT_UDP BAD_UDP BAD_TCP"
    )
    OWN_SOURCE, RECEIVED, ESP, NAT_T = uncompiled.constants(__name__, "OWN_SOURCE RECEIVED ESP NAT_T")
    PAYLOAD_OTHER, PAYLOAD_RTP, PAYLOAD_RTCP, PAYLOAD_SIP = uncompiled.constants(
        __name__, "PAYLOAD_OTHER PAYLOAD_RTP PAYLOAD_RTCP PAYLOAD_SIP"
    )
    PAYLOAD_STUN, PAYLOAD_ZRTP, PAYLOAD_DTLS, PAYLOAD_SHORT, PAYLOAD_TURN = uncompiled.constants(
        __name__, "PAYLOAD_STUN PAYLOAD_ZRTP PAYLOAD_DTLS PAYLOAD_SHORT PAYLOAD_TURN"
    )
    METHOD_MAX, START_LINE_MAX = uncompiled.constants(__name__, "METHOD_MAX START_LINE_MAX")
    MAX_LAYERS, MAX_DEPTH, RULE, V4_MAPPED = uncompiled.constants(
        __name__, "MAX_LAYERS MAX_DEPTH RULE V4_MAPPED"
    )
    VLAN, VNTAG, ETAG, CMD, NSH, MPLS, PPPOE = uncompiled.constants(
        __name__, "VLAN VNTAG ETAG CMD NSH MPLS PPPOE"
    )
    PLAIN_GRE, NVGRE, ERSPAN, ERSPAN3, PPTP = uncompiled.constants(
        __name__, "PLAIN_GRE NVGRE ERSPAN ERSPAN3 PPTP"
    )
    ETHERIP, L2TPV3, VXLAN, VXLANGPE, GENEVE, GTPU, L2TP = uncompiled.constants(
        __name__, "ETHERIP L2TPV3 VXLAN VXLANGPE GENEVE GTPU L2TP"
    )
    LONGEST, AUTHENTICATION, L2TPV3_MOST = uncompiled.constants(
        __name__, "LONGEST AUTHENTICATION L2TPV3_MOST"
    )
    MPLSUDP, TZSP, HEP = uncompiled.constants(__name__, "MPLSUDP TZSP HEP")
    Octets = bytes | bytearray | memoryview

    def octets_of(decoder: Decoder, at: int, count: int) -> Octets:
        return decoder.view[at : at + count]

    def bytes_of(decoder: Decoder, at: int, count: int) -> bytes:
        return bytes(decoder.view[at : at + count])

    def load16(octets: Octets, at: int) -> int:
        return octets[at] << 8 | octets[at + 1]

    def load32(octets: Octets, at: int) -> int:
        return load16(octets, at) << 16 | load16(octets, at + 2)

    def load64(octets: Octets, at: int) -> int:
        return load32(octets, at) << 32 | load32(octets, at + 4)


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
ETHER_TYPES, GRE_TYPES = numbered("ether_types"), numbered("gre_types")
PROTOCOLS = numbered("protocols", 256)

MAX_TEXTS = 65_536  # addresses whose text is kept


class Decoder:
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
        """Opens `tunnels` and no others; None: every tunnel.

        `own`: addresses of this host. A frame that it received from one of them is forged, and is refused
        (OWN_SOURCE). Inside a tunnel nothing is known about that.
        """
        self.attach(b"")
        numbers = [halves(each) for each in own]
        self.own = memoryview(array("Q", [half for each in numbers for half in each]))
        self.own_bits = 0  # a bit for the last six of each: most sources need no search
        for _, low in numbers:
            self.own_bits |= 1 << (low & 63)
        self.path = self.layers = self.ether_type = self.at = self.end = 0
        self.tunnel = self.depth = self.port = 0
        self.vni = -1
        self.opens_all = tunnels is None
        believed = EVERY if tunnels is None else tuple(tunnels)
        self.ether_types, self.gre_types, self.protocols = ETHER_TYPES, GRE_TYPES, PROTOCOLS
        self.ports = numbered_ports(believed)
        self.source_ports = numbered_ports(believed, source=True)
        self.rules = memoryview(array("Q", rules(believed)))
        self.opened = memoryview(array("q", bytes(8 * len(KINDS))))

    def tunnels(self) -> dict[str, int]:
        """Frames from tunnels so far, by the kind of the outermost."""
        return {kind: int(self.opened[number]) for number, kind in enumerate(KINDS) if self.opened[number]}

    def attach(self, data: bytes | bytearray | memoryview) -> None:
        """Reads from `data` until the next `attach`; `b""` releases it."""
        self.view = data

    def decode(self, offset: cython.longlong, captured: cython.longlong, origin: cython.longlong) -> int:
        """The kind of the frame at `offset`; negative: the key of `REASONS` that says why it is rejected."""
        kind: int = self.frame(offset, captured, origin)
        return kind

    def payload_kind(self) -> int:
        """The kind of the UDP payload of the frame just decoded, one of PAYLOAD_*; for RTP sets `rtp_*`."""
        kind: int = self.classify()
        return kind

    # --- big-endian reads

    def be16(self, at: cython.ulonglong) -> cython.int:
        return load16(octets_of(self, at, 2), 0)

    def be32(self, at: cython.ulonglong) -> cython.ulonglong:
        return load32(octets_of(self, at, 4), 0)

    def be64(self, at: cython.ulonglong) -> cython.ulonglong:
        return load64(octets_of(self, at, 8), 0)

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

    # --- layers, outermost first

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

    def link(self, link_type: cython.longlong) -> cython.int:
        packet_type: cython.longlong  # 64 bits: shifted left it would overflow an int
        if link_type == 1:  # Ethernet
            if self.at + 14 > self.end:
                return SHORT_LINK
            self.ether_type = self.be16(self.at + 12)
            self.at += 14
            return self.ethernet()
        if link_type == 113:  # SLL: packet type, ARPHRD, address length, address (8), protocol
            if self.at + 16 > self.end:
                return SHORT_LINK
            packet_type = self.be16(self.at) & 0xFF
            self.path = self.path >> 32 << 32 | packet_type << 24
            self.ether_type = self.be16(self.at + 14)
            self.at += 16
            return self.ethernet()
        if link_type == 276:  # SLL2: protocol, reserved, interface index, ARPHRD, packet type, ...
            if self.at + 20 > self.end:
                return SHORT_LINK
            packet_type = self.view[self.at + 10]
            self.path = self.path >> 32 << 32 | packet_type << 24
            self.path |= (self.be32(self.at + 4) & 0xFFFF) << 32
            self.ether_type = self.be16(self.at)
            self.at += 20
            return self.ethernet()
        if link_type == 0 or link_type == 108:  # NULL, LOOP: an address family, host or network order
            if self.at + 4 > self.end:
                return SHORT_LINK
            self.at += 4
        elif link_type != 101 and link_type != 228 and link_type != 229:  # RAW, IPV4, IPV6
            return BAD_LINK_TYPE
        return self.network()

    def ethernet(self) -> cython.int:
        """Reads the layer behind an EtherType: IP at the end of any tags."""
        while True:
            if self.ether_type == 0x0800 or self.ether_type == 0x86DD:
                return self.network()
            self.layers += 1
            if self.layers > MAX_LAYERS:
                return BAD_IP
            number: cython.longlong = self.ether_types[self.ether_type]
            if number == VLAN:
                if self.at + 4 > self.end:
                    return SHORT_LINK
                tags: cython.longlong = (self.path << 12) & 0xFFF000
                self.path = (self.path & ~0xFFFFFF) | tags | (self.be16(self.at) & 0xFFF)
                self.ether_type = self.be16(self.at + 2)
                self.at += 4
            elif number == VNTAG:
                if self.at + 6 > self.end:
                    return SHORT_LINK
                self.ether_type = self.be16(self.at + 4)
                self.at += 6
            elif number in (ETAG, CMD):  # 6 bytes of either, then an EtherType
                if self.at + 8 > self.end:
                    return SHORT_LINK
                self.ether_type = self.be16(self.at + 6)
                self.at += 8
            elif number == NSH:
                return self.nsh()
            elif number == PPPOE:  # a session's 6 bytes, RFC 2516 4
                self.at += 6
                return self.ppp()
            elif number == MPLS:
                return self.mpls()
            elif self.ether_type <= LONGEST:
                return self.llc()
            else:
                return NOT_IP

    def llc(self) -> cython.int:
        """IEEE 802.3: a length in the EtherType's place, then LLC. With SNAP (RFC 1042) it has a type."""
        if self.at + 8 > self.end:
            return NOT_IP
        if self.be16(self.at) != 0xAAAA or self.be32(self.at + 2) != 0x03000000:
            return NOT_IP
        self.ether_type = self.be16(self.at + 6)
        self.at += 8
        return self.ethernet() if self.ether_type > LONGEST else NOT_IP

    def nsh(self) -> cython.int:
        """RFC 8300 2.2: its length in words of 4 bytes, and what follows it."""
        if self.at + 8 > self.end:
            return SHORT_LINK
        size: cython.longlong = (self.be16(self.at) & 0x3F) << 2
        following: cython.longlong = self.be16(self.at + 2) & 0xFF
        if size < 8:
            return NOT_IP
        if self.at + size > self.end:
            return SHORT_LINK
        self.at += size
        if following == 3:
            return self.link(1)
        return self.network() if following == 1 or following == 2 else NOT_IP

    def bridged(self, most: cython.longlong) -> cython.int:
        """A frame of Ethernet behind up to `most` bytes that only the tunnel's ends know: a control word
        (RFC 4448), a cookie and a sublayer (RFC 3931 4.1). It begins where the first known EtherType fits.
        """
        at: cython.longlong
        self.layers += 1
        if self.layers > MAX_LAYERS:
            return BAD_IP
        for at in range(self.at, self.at + most + 1, 4):
            if at + 14 > self.end:
                return SHORT_LINK
            kind: cython.longlong = self.be16(at + 12)
            if kind == 0x0800 or kind == 0x86DD or self.ether_types[kind]:
                self.at = at
                return self.link(1)
        return NOT_IP

    def mpls(self) -> cython.int:
        """RFC 3032 2.1: labels of 4 bytes, to the bottom of the stack; then IP, or Ethernet (RFC 4448)."""
        while True:
            if self.at + 4 > self.end:
                return SHORT_LINK
            self.at += 4
            if self.view[self.at - 2] & 1:
                break
            self.layers += 1
            if self.layers > MAX_LAYERS:
                return BAD_IP
        if self.at >= self.end:
            return SHORT_LINK
        version: cython.longlong = self.view[self.at] >> 4
        return self.network() if version == 4 or version == 6 else self.bridged(4)

    def ppp(self) -> cython.int:
        """RFC 1661 2 and 6.5, RFC 1662 3: address and control may be there, a protocol has 1 or 2 bytes."""
        if self.at + 2 > self.end:
            return SHORT_LINK
        if self.be16(self.at) == 0xFF03:
            self.at += 2
            if self.at + 2 > self.end:
                return SHORT_LINK
        protocol: cython.longlong = self.view[self.at]
        self.at += 1
        if not protocol & 1:
            protocol = protocol << 8 | self.view[self.at]
            self.at += 1
        return self.network() if protocol == 0x21 or protocol == 0x57 else NOT_IP

    def network(self) -> cython.int:
        if self.at >= self.end:
            return SHORT_IP
        version: cython.longlong = self.view[self.at] >> 4
        if version == 4:
            return self.ipv4()
        if version == 6:
            return self.ipv6()
        return BAD_IP

    def ipv4(self) -> cython.int:
        at: cython.longlong = self.at
        if at + 20 > self.end:
            return SHORT_IP
        ip: Octets = octets_of(self, at, 20)
        header: cython.longlong = (ip[0] & 15) << 2
        total: cython.longlong = load16(ip, 2)
        if total == 0:  # segmentation offload: the length did not fit
            total = self.end - at
        if header < 20 or total < header:
            return BAD_IP
        if at + header > self.end:
            return SHORT_IP
        self.ip_version = 4
        self.protocol = ip[9]
        self.src_hi = 0
        self.dst_hi = 0
        self.src_lo = V4_MAPPED | load32(ip, 12)
        self.dst_lo = V4_MAPPED | load32(ip, 16)
        self.payload_offset = at + header
        self.payload_length = total - header
        self.identification = load16(ip, 4)
        if self.is_forged():
            return OWN_SOURCE
        fragment: cython.longlong = load16(ip, 6)
        if fragment & 0x3FFF:
            self.fragment_offset = (fragment & 0x1FFF) << 3
            self.more_fragments = (fragment >> 13) & 1
            return self.fragment()
        if self.protocol == AUTHENTICATION:
            return self.extensions(
                self.protocol, self.payload_offset, self.payload_offset + self.payload_length
            )
        return self.transport()

    def ipv6(self) -> cython.int:
        at: cython.longlong = self.at
        if at + 40 > self.end:
            return SHORT_IP
        ip: Octets = octets_of(self, at, 40)
        length: cython.longlong = load16(ip, 4)
        following: cython.longlong = ip[6]
        self.ip_version = 6
        self.protocol = self.identification = 0
        self.src_hi = load64(ip, 8)
        self.src_lo = load64(ip, 16)
        self.dst_hi = load64(ip, 24)
        self.dst_lo = load64(ip, 32)
        if self.is_forged():
            return OWN_SOURCE
        at += 40
        if length == 0:  # a jumbogram (RFC 2675) or segmentation offload
            length = self.end - at
        return self.extensions(following, at, at + length)

    def is_forged(self) -> cython.bint:
        """Whether this host received the outermost packet from an address of its own: it was not sent here.

        A mirror's frames go to other hosts' MAC addresses (packet type OTHERHOST), and a loopback interface
        has a packet type of its own.
        """
        return bool(
            (self.own_bits >> (self.src_lo & 63)) & 1
            and self.depth == 0
            and (self.path >> 24) & 0xFF <= RECEIVED
            and self.is_own(self.src_hi, self.src_lo)
        )

    def is_own(self, high: cython.ulonglong, low: cython.ulonglong) -> cython.bint:
        at: cython.longlong
        for at in range(0, len(self.own), 2):
            if self.own[at + 1] == low and self.own[at] == high:
                return True
        return False

    def extensions(
        self, following: cython.longlong, at: cython.longlong, stop: cython.longlong
    ) -> cython.int:
        """From `at` to `stop`: IPv6 extension headers, then what they carry."""
        size: cython.longlong
        extension: Octets
        # RFC 8200 4.1: extension headers in any order, each naming the next.
        while following in (0, 43, 44, AUTHENTICATION, 60, 135, 139, 140):
            self.layers += 1
            if self.layers > MAX_LAYERS or at + 8 > stop:
                return BAD_IP
            if at + 8 > self.end:
                return SHORT_IP
            extension = octets_of(self, at, 8)
            if following == 44:
                fragment: cython.longlong = load16(extension, 2)
                self.identification = load32(extension, 4)
                self.protocol = extension[0]
                at += 8
                if fragment & 0xFFF9:  # not an atomic fragment (RFC 6946)
                    self.fragment_offset = fragment & 0xFFF8
                    self.more_fragments = fragment & 1
                    self.payload_offset = at
                    self.payload_length = stop - at
                    return self.fragment()
                following = self.protocol
                continue
            size = (extension[1] + 2) << 2 if following == AUTHENTICATION else (extension[1] + 1) << 3
            following = extension[0]
            at += size
        if at > stop:
            return BAD_IP
        self.protocol = following
        self.payload_offset = at
        self.payload_length = stop - at
        return self.transport()

    def fragment(self) -> cython.int:
        self.src_port = 0
        self.dst_port = 0
        self.payload_captured = max(0, min(self.payload_length, self.end - self.payload_offset))
        return FRAGMENT

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

    # --- tunnels. Each method reads its header, asks `enter`, and goes on with the inner packet.

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
        told: cython.longlong = self.be16(self.at + 10)
        self.at += 12 + ((told & 1) << 3)
        if not self.enter(ERSPAN3, session):
            return OTHER_IP
        return self.network() if (told >> 10) & 31 == 2 else self.link(1)

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
            return self.cut()
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

    def cut(self) -> cython.int:
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
                return self.cut()
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
            return self.cut()
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
                return self.cut()
            following = self.view[at + 3] if first & 0x400 else 0
            at += 4
        size: cython.longlong
        while following:
            self.layers += 1
            if self.layers > MAX_LAYERS:
                return UDP
            if at >= self.end:
                return self.cut()
            size = self.view[at] << 2
            if size == 0:
                return UDP
            if at + size > self.end:
                return self.cut()
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
                return self.cut()
            at += 2 + self.be16(at)
        if at + 2 > self.end:
            return self.cut()
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
        if self.is_start_line(at, at + min(left, START_LINE_MAX)):
            return PAYLOAD_SIP
        if is_cut and left < START_LINE_MAX and self.is_text(at, at + left):
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


@cython.no_gc
@cython.cclass
class Packet:
    """One decoded frame on its own, for the slow path.

    `payload` may be shorter than `length`, its length on the wire, where the capture snapped it. For a
    fragment and for SCTP it is the IP payload; for TCP the segment's data; empty for any other protocol but
    UDP.
    """

    def __init__(self) -> None:
        """Sets nothing: the caller fills in the fields."""
        self.kind: cython.int = NOT_IP
        self.src = ""
        self.src_port = 0
        self.dst = ""
        self.dst_port = 0
        self.payload = b""
        self.length = 0
        self.stamp_ns = 0
        self.path = 0
        self.protocol = 0
        self.identification = 0
        self.fragment_offset = 0
        self.more_fragments = False
        self.seq = 0
        self.flags = 0
        self.tunnel = 0  # as `Decoder` has these
        self.vni = -1
        self.depth = 0

    def __eq__(self, other: object) -> bool:
        """Whether it is the same bytes between the same sockets."""
        if not isinstance(other, Packet):
            return NotImplemented
        that: Packet = other
        if self.src_port != that.src_port or self.dst_port != that.dst_port:
            return False
        return self.payload == that.payload and self.src == that.src and self.dst == that.dst

    def __hash__(self) -> int:
        # The sender chooses all of it. Texts hash with a secret, and ports are multiplied into it, so that an
        # attacker cannot find pairs that collide.
        src: cython.ulonglong = hash(self.src)
        dst: cython.ulonglong = hash(self.dst)
        payload: cython.ulonglong = hash(self.payload)
        return payload ^ src * (2 * self.src_port + 1) ^ dst * (2 * self.dst_port + 1)


_dotted: dict[int, str] = {}  # IPv4 addresses by number


def address(high: cython.ulonglong, low: cython.ulonglong) -> str:
    """The canonical text of an address: dotted for IPv4 (and v4-mapped), RFC 5952 for IPv6."""
    if high or low >> 32 != 0xFFFF:
        return _rfc5952(high, low)
    text: str | None = _dotted.get(low)
    if text is None:
        if len(_dotted) >= MAX_TEXTS:  # addresses come from the wire
            _dotted.clear()
        text = f"{low >> 24 & 0xFF}.{low >> 16 & 0xFF}.{low >> 8 & 0xFF}.{low & 0xFF}"
        _dotted[low] = text
    return text


@lru_cache(maxsize=MAX_TEXTS)
def _rfc5952(high: int, low: int) -> str:
    import socket  # this import takes 6 ms of a start, and few hosts have IPv6

    return socket.inet_ntop(socket.AF_INET6, high.to_bytes(8, "big") + low.to_bytes(8, "big"))


def halves(text: str) -> tuple[int, int]:
    """`address` reversed."""
    import socket

    if ":" in text:
        packed = socket.inet_pton(socket.AF_INET6, text)
        return int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")
    return 0, 0xFFFF << 32 | int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")


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
