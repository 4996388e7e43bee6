# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, initializedcheck=False
# optimize: -O3
"""The layers of a frame, from the link to what IP carries. Every length comes from the IP headers."""

# ruff: noqa: F403, F405 -- the constants come whole, as the compiler takes them from the .pxd
from __future__ import annotations

from array import array
from collections.abc import Sequence

import cython

from agent.wire.ip.encapsulations import numbered
from agent.wire.ip.packet_cy import halves
from agent.wire.ip.payload_cy import Payload

if not cython.compiled:  # layers_cy.pxd holds them for the compiler
    from agent import uncompiled
    from agent.wire.ip.payload_cy import *

    NOT_IP, UDP, FRAGMENT, TCP, OTHER_IP, SCTP = uncompiled.constants(
        __name__, "NOT_IP UDP FRAGMENT TCP OTHER_IP SCTP"
    )
    BAD_LINK_TYPE, SHORT_LINK, SHORT_IP, BAD_IP, OWN_SOURCE = uncompiled.constants(
        __name__, "BAD_LINK_TYPE SHORT_LINK SHORT_IP BAD_IP OWN_SOURCE"
    )
    SHORT_UDP, BAD_UDP, BAD_TCP = uncompiled.constants(__name__, "SHORT_UDP BAD_UDP BAD_TCP")
    RECEIVED, MAX_LAYERS, V4_MAPPED = uncompiled.constants(__name__, "RECEIVED MAX_LAYERS V4_MAPPED")
    LONGEST, AUTHENTICATION = uncompiled.constants(__name__, "LONGEST AUTHENTICATION")
    VLAN, VNTAG, ETAG, CMD, NSH, MPLS, PPPOE = uncompiled.constants(
        __name__, "VLAN VNTAG ETAG CMD NSH MPLS PPPOE"
    )
    PLAIN_GRE, NVGRE, ERSPAN, ERSPAN3, PPTP = uncompiled.constants(
        __name__, "PLAIN_GRE NVGRE ERSPAN ERSPAN3 PPTP"
    )
    ETHERIP, L2TPV3, VXLAN, VXLANGPE, GENEVE, GTPU, L2TP = uncompiled.constants(
        __name__, "ETHERIP L2TPV3 VXLAN VXLANGPE GENEVE GTPU L2TP"
    )
    MPLSUDP, TZSP, HEP = uncompiled.constants(__name__, "MPLSUDP TZSP HEP")

ETHER_TYPES = numbered("ether_types")


class Layers(Payload):
    """Goes down from a link, or from a tunnel's inside, to what IP carries: that is `transport`'s.

    `at` is the place of the next header, `end` the end of what was captured.
    """

    def __init__(self, own: Sequence[str] = ()) -> None:
        """`own`: addresses of this host. A frame that it received from one of them is forged, and is refused
        (OWN_SOURCE). Inside a tunnel nothing is known about that.
        """
        super().__init__()
        numbers = [halves(each) for each in own]
        self.own = memoryview(array("Q", [half for each in numbers for half in each]))
        self.own_bits = 0  # a bit for the last six of each: most sources need no search
        for _, low in numbers:
            self.own_bits |= 1 << (low & 63)
        self.path = self.layers = self.depth = self.ether_type = self.at = self.end = 0
        self.ether_types = ETHER_TYPES

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
        """Reads what IP carries: `protocol`, at `payload_offset`."""
        raise NotImplementedError

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
