"""The frame decoder: each link layer, IP version and tunnel to the same packet, and any bytes to no crash."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import uncompiled
from agent.errors import Reason, WireError
from agent.wire import frame
from agent.wire.ip import decoder_cy, encapsulations, layers_cy
from agent.wire.ip.packet_cy import address, halves
from tests.kit.packets import datagram, ethernet, ip

SOURCE = uncompiled.sources("agent.wire.ip.decoder_cy")[0]
PAYLOAD = b"OPTIONS sip:a SIP/2.0\r\n"


@pytest.fixture(params=["compiled", "uncompiled"])
def wire(request: pytest.FixtureRequest) -> Any:
    if request.param == "compiled" and str(decoder_cy.__file__).endswith(".py"):
        pytest.skip("not compiled here")
    return decoder_cy if request.param == "compiled" else SOURCE


def udp(payload: bytes = PAYLOAD, length: int | None = None) -> bytes:
    return struct.pack(">HHHH", 5060, 5080, 8 + len(payload) if length is None else length, 0) + payload


def ipv4(
    body: bytes, protocol: int = 17, *, options: bytes = b"", fragment: int = 0, total: int | None = None
) -> bytes:
    return ip("192.0.2.1", "198.51.100.9", protocol, body, 77, fragment, options=options, total=total)


def ipv6(body: bytes, following: int = 17) -> bytes:
    return ip("2001:db8::1", "2001:db8::2", following, body)


def ether(body: bytes, ether_type: int = 0x0800) -> bytes:
    return ethernet(body, ether_type)


def read(wire: Any, data: bytes, link_type: int = 1, captured: int | None = None) -> Any:
    where = frame.origin(link_type, 3, frame.HOST)
    return wire.packet(data, 0, len(data) if captured is None else captured, 42, where)


def on_port(port: int, body: bytes, source: int = 9) -> bytes:
    """A packet of a tunnel over UDP."""
    return ether(ipv4(datagram(source, port, body)))


V4 = ipv4(udp())
V6 = ipv6(udp())
TAG = struct.pack(">HH", 100, 0x0800)
LAYERS: dict[str, tuple[int, bytes]] = {
    "ethernet": (1, ether(V4)),
    "ethernet with padding": (1, ether(V4) + bytes(30)),
    "vlan": (1, ether(TAG + V4, 0x8100)),
    "qinq": (1, ether(struct.pack(">HH", 7, 0x8100) + TAG + V4, 0x88A8)),
    "four tags": (1, ether(struct.pack(">HH", 7, 0x8100) * 3 + TAG + V4, 0x9100)),
    "mpls": (1, ether(bytes.fromhex("0001004000020140") + V4, 0x8847)),
    "pppoe": (1, ether(bytes(6) + b"\x00\x21" + V4, 0x8864)),
    "sll": (113, struct.pack(">HHH8sH", 4, 1, 6, bytes(8), 0x0800) + V4),
    "sll2": (276, struct.pack(">HHIHBB8s", 0x0800, 0, 9, 1, 4, 6, bytes(8)) + V4),
    "null": (0, struct.pack("<I", 2) + V4),
    "loop": (108, struct.pack(">I", 2) + V4),
    "raw": (101, V4),
    "ipv4": (228, V4),
    "ip options": (1, ether(ipv4(udp(), options=bytes([1] * 12)))),
    "segmentation offload": (1, ether(ipv4(udp(), total=0))),
    "ip in ip": (1, ether(ipv4(V4, 4))),
    "gre": (1, ether(ipv4(b"\0\0\x08\0" + V4, 47))),
    "gre with key and checksum": (1, ether(ipv4(b"\xa0\0\x08\0" + bytes(8) + V4, 47))),
    "gre ethernet": (1, ether(ipv4(b"\0\0\x65\x58" + ether(V4), 47))),
    "erspan i": (1, ether(ipv4(b"\0\0\x88\xbe" + ether(V4), 47))),
    "erspan ii": (1, ether(ipv4(b"\x10\0\x88\xbe" + bytes(12) + ether(V4), 47))),
    "4 in 6": (229, ipv6(V4, 4)),
    "vntag": (1, ether(bytes.fromhex("800203e80800") + V4, 0x8926)),
    "mpls multicast": (1, ether(bytes.fromhex("00020140") + V4, 0x8848)),
    "pppoe, one byte of protocol": (1, ether(bytes(6) + b"\x21" + V4, 0x8864)),
    "gre mpls": (1, ether(ipv4(b"\0\0\x88\x47" + bytes.fromhex("00020140") + V4, 47))),
    "nvgre": (1, ether(ipv4(b"\x20\0\x65\x58\0\x12\x34\x01" + ether(V4), 47))),
    "erspan iii": (1, ether(ipv4(b"\x10\0\x22\xeb" + bytes(16) + ether(V4), 47))),
    "erspan iii, platform": (
        1,
        ether(ipv4(b"\x10\0\x22\xeb" + bytes(15) + b"\x01" + bytes(8) + ether(V4), 47)),
    ),
    "erspan iii, ip": (1, ether(ipv4(b"\x10\0\x22\xeb" + bytes(14) + b"\x08\0" + V4, 47))),
    "erspan iii, vntag": (
        1,
        ether(ipv4(b"\x10\0\x22\xeb" + bytes(16) + ether(bytes(4) + b"\x08\0" + V4, 0x8926), 47)),
    ),
    "pptp": (1, ether(ipv4(b"\x20\x01\x88\x0b" + struct.pack(">HH", 2 + len(V4), 5) + b"\0\x21" + V4, 47))),
    "pptp, numbers": (
        1,
        ether(
            ipv4(
                b"\x30\x81\x88\x0b" + struct.pack(">HH", 4 + len(V4), 5) + bytes(8) + b"\xff\x03\0\x21" + V4,
                47,
            )
        ),
    ),
    "vxlan": (1, on_port(4789, b"\x08" + bytes(7) + ether(V4))),
    "vxlan, group policy": (1, on_port(4789, b"\x88\0\0\x07\0\0\x01\0" + ether(V4))),
    "vxlan, all reserved bits": (1, on_port(4789, b"\xff" * 8 + ether(V4))),
    "vxlan, tagged within": (1, on_port(4789, b"\x08" + bytes(7) + ether(TAG + V4, 0x8100))),
    "geneve": (1, on_port(6081, b"\0\0\x65\x58\0\0\x01\0" + ether(V4))),
    "geneve, options, ip": (1, on_port(6081, b"\x08\x40\x08\0\0\0\x01\0" + bytes(32) + V4)),
    "geneve of a load balancer, vxlan in it": (
        1,
        on_port(6081, b"\x08\0\x08\0" + bytes(36) + on_port(4789, b"\x08" + bytes(7) + ether(V4))[14:]),
    ),
    "gtp-u": (1, on_port(2152, b"\x30\xff" + struct.pack(">HI", len(V4), 7) + V4)),
    "gtp-u, number": (1, on_port(2152, b"\x32\xff" + bytes(6) + bytes(4) + V4)),
    "gtp-u, pdu session": (1, on_port(2152, b"\x34\xff" + bytes(6) + b"\0\0\0\x85\x01\x10\x09\0" + V4)),
    "l2tp": (1, on_port(1701, b"\0\x02\0\x01\0\x01\xff\x03\0\x21" + V4)),
    "l2tp back": (1, on_port(40000, b"\0\x02\0\x01\0\x01\0\x21" + V4, 1701)),
    "l2tp, everything": (
        1,
        on_port(1701, b"\x4a\x02" + bytes(10) + b"\0\x03\xee\xee\xee" + b"\0\x21" + V4),
    ),
    "four deep": (101, ipv4(ipv4(ipv4(ipv4(V4, 4), 4), 4), 4)),
    "6 between 4s": (101, ipv4(ipv6(V4, 4), 41)),
}
V6_LAYERS: dict[str, tuple[int, bytes]] = {
    "ethernet": (1, ether(V6, 0x86DD)),
    "ipv6": (229, V6),
    "hop by hop and destination options": (
        1,
        ether(ipv6(b"\x3c\0" + bytes(6) + b"\x11\0" + bytes(6) + udp(), 0), 0x86DD),
    ),
    "routing": (1, ether(ipv6(b"\x11\x02\0\0" + bytes(20) + udp(), 43), 0x86DD)),
    "authentication": (1, ether(ipv6(b"\x11\x04\0\0" + bytes(20) + udp(), 51), 0x86DD)),
    "atomic fragment": (1, ether(ipv6(b"\x11\0\0\0\0\0\0\5" + udp(), 44), 0x86DD)),
    "6 in 4": (1, ether(ipv4(V6, 41))),
}


class TestLayers:
    @pytest.mark.parametrize("name", LAYERS)
    def test_ipv4_in_any_layer_is_the_same_packet(self, wire: Any, name: str) -> None:
        link_type, data = LAYERS[name]
        packet = read(wire, data, link_type)
        assert packet.kind == wire.KIND_UDP
        assert (packet.src, packet.src_port) == ("192.0.2.1", 5060)
        assert (packet.dst, packet.dst_port) == ("198.51.100.9", 5080)
        assert (packet.payload, packet.length, packet.stamp_ns) == (PAYLOAD, len(PAYLOAD), 42)

    @pytest.mark.parametrize("name", V6_LAYERS)
    def test_ipv6_in_any_layer_is_the_same_packet(self, wire: Any, name: str) -> None:
        link_type, data = V6_LAYERS[name]
        packet = read(wire, data, link_type)
        assert packet.kind == wire.KIND_UDP
        assert (packet.src, packet.dst) == ("2001:db8::1", "2001:db8::2")
        assert (packet.payload, packet.length) == (PAYLOAD, len(PAYLOAD))

    def test_frame_within_a_larger_buffer_is_read_from_its_offset(self, wire: Any) -> None:
        data = b"\xff" * 13 + ether(V4) + b"\xff" * 9
        packet = wire.packet(memoryview(data), 13, len(ether(V4)), 1, frame.origin(1, 0))
        assert packet.payload == PAYLOAD

    def test_interface_packet_type_and_tags_make_the_path(self, wire: Any) -> None:
        def path(data: bytes, interface: int = 3, packet_type: int = 0, link: int = 1) -> int:
            where = frame.origin(link, interface, packet_type)
            return int(wire.packet(data, 0, len(data), 0, where).path)

        tagged, qinq = LAYERS["vlan"][1], LAYERS["qinq"][1]
        sll = LAYERS["sll"][1]
        seen = {
            path(ether(V4)),
            path(ether(V4), interface=4),
            path(ether(V4), packet_type=frame.OUTGOING),
            path(tagged),
            path(qinq),
            path(tagged[:14] + b"\0\x65" + tagged[16:]),
            path(sll, interface=6, link=113),
            path(b"\0\0" + sll[2:], interface=5, link=113),
        }
        assert len(seen) == 8
        assert all(0 <= one < 1 << 63 for one in seen)


class TestKinds:
    @pytest.mark.parametrize("ether_type", [0x0806, 0x88CC, 0x0026])
    def test_arp_lldp_and_802_3_are_not_ip(self, wire: Any, ether_type: int) -> None:
        assert read(wire, ether(bytes(46), ether_type)).kind == wire.KIND_NOT_IP

    def test_icmp_is_other_ip(self, wire: Any) -> None:
        packet = read(wire, ether(ipv4(bytes(8), 1)))
        assert (packet.kind, packet.protocol, packet.src) == (wire.KIND_OTHER_IP, 1, "192.0.2.1")

    def test_first_and_last_fragment_carry_what_reassembly_needs(self, wire: Any) -> None:
        first = read(wire, ether(ipv4(bytes(24), fragment=0x2000)))
        last = read(wire, ether(ipv4(bytes(9), fragment=3)))
        assert (first.kind, first.identification, first.fragment_offset) == (wire.KIND_FRAGMENT, 77, 0)
        assert (first.more_fragments, first.protocol, len(first.payload)) == (True, 17, 24)
        assert (last.more_fragments, last.fragment_offset, len(last.payload)) == (False, 24, 9)

    def test_ipv6_fragment_carries_what_reassembly_needs(self, wire: Any) -> None:
        packet = read(wire, ipv6(b"\x11\0\0\x09\xde\xad\xbe\xef" + bytes(16), 44), 229)
        assert (packet.kind, packet.identification, packet.fragment_offset) == (2, 0xDEADBEEF, 8)
        assert (packet.more_fragments, packet.protocol, len(packet.payload)) == (True, 17, 16)

    def test_tcp_segment_has_sequence_flags_and_data(self, wire: Any) -> None:
        segment = struct.pack(">HHIIBBHHH", 5060, 40000, 0xFFFFFFF0, 0, 0x60, 0x18, 0, 0, 0) + bytes(4)
        packet = read(wire, ether(ipv4(segment + b"SIP/2.0", 6)))
        assert (packet.kind, packet.src_port, packet.dst_port) == (wire.KIND_TCP, 5060, 40000)
        assert (packet.seq, packet.flags, packet.payload) == (0xFFFFFFF0, 0x18, b"SIP/2.0")


class TestLengths:
    def test_snapped_payload_keeps_its_length_on_the_wire(self, wire: Any) -> None:
        data = ether(V4)
        packet = read(wire, data[:50])
        assert (packet.length, packet.payload) == (len(PAYLOAD), PAYLOAD[:8])

    def test_udp_length_decides_not_the_ip_length(self, wire: Any) -> None:
        packet = read(wire, ether(ipv4(udp(PAYLOAD, 8 + 7))))
        assert (packet.length, packet.payload) == (7, PAYLOAD[:7])

    @pytest.mark.parametrize(
        ("data", "link_type", "reason"),
        [
            (b"", 1, Reason.LINK_TRUNCATED),
            (bytes(13), 1, Reason.LINK_TRUNCATED),
            (ether(b"\0", 0x8100), 1, Reason.LINK_TRUNCATED),
            (V4, 147, Reason.LINK_TYPE),
            (ether(V4[:19]), 1, Reason.IP_TRUNCATED),
            (ether(b"\x54" + V4[1:]), 1, Reason.IP_MALFORMED),
            (ether(b"\x44" + V4[1:]), 1, Reason.IP_MALFORMED),
            (ether(ipv4(udp(), total=19)), 1, Reason.IP_MALFORMED),
            (ether(V4[:24]), 1, Reason.UDP_TRUNCATED),
            (ether(ipv4(udp(PAYLOAD, 7))), 1, Reason.UDP_MALFORMED),
            (ether(ipv4(udp(PAYLOAD, 2000))), 1, Reason.UDP_MALFORMED),
            (ether(ipv4(bytes(20), 6)), 1, Reason.TCP_MALFORMED),
            (ether(ipv4(bytes(7))), 1, Reason.UDP_MALFORMED),
        ],
    )
    def test_bad_frame_raises_its_reason(
        self, wire: Any, data: bytes, link_type: int, reason: Reason
    ) -> None:
        with pytest.raises(WireError) as caught:
            read(wire, data, link_type)
        assert caught.value.reason == reason

    def test_tunnels_in_tunnels_end(self, wire: Any) -> None:
        data = V4
        for _ in range(20):
            data = ipv4(data, 4)
        with pytest.raises(WireError):
            read(wire, data, 101)


class TestPayload:
    @pytest.mark.parametrize(
        ("payload", "kind"),
        [
            (b"\x80\x00" + bytes(10), "PAYLOAD_RTP"),
            (b"\xbf\x7f" + bytes(10), "PAYLOAD_RTP"),
            (b"\x80\xbf" + bytes(10), "PAYLOAD_RTP"),
            (b"\x80\xe0" + bytes(10), "PAYLOAD_RTP"),
            (b"\x80\x00" + bytes(9), "PAYLOAD_SHORT"),
            (b"\x80\xc0", "PAYLOAD_RTCP"),
            (b"\xbf\xdf" + bytes(30), "PAYLOAD_RTCP"),
            (b"\x00\x01", "PAYLOAD_STUN"),
            (b"\x03\x01", "PAYLOAD_STUN"),
            (b"\x10\x00", "PAYLOAD_ZRTP"),
            (b"\x14\xfe", "PAYLOAD_DTLS"),
            (b"\x3f\xfe", "PAYLOAD_DTLS"),
            (b"\x40\x00\x00\x00", "PAYLOAD_OTHER"),
            (b"\xc0\x00" + bytes(12), "PAYLOAD_OTHER"),
            (b"\r\n\r\n", "PAYLOAD_OTHER"),
            (b"", "PAYLOAD_OTHER"),
            (b"SIPS/2.0", "PAYLOAD_OTHER"),
            (b"sip/2.0 200 OK", "PAYLOAD_SIP"),
            (b"Sip/2.0 200", "PAYLOAD_SIP"),
            (b"INVITE sip:a@b sip/2.0\r\n", "PAYLOAD_SIP"),
            (b"NOTIFY * HTTP/1.1\r\nX: SIP/2.0", "PAYLOAD_OTHER"),
            (b"GET /SIP/2.0 HTTP/1.1\r\n", "PAYLOAD_OTHER"),
            (b"A" * 65 + b" sip:a@b SIP/2.0", "PAYLOAD_OTHER"),
            *[
                (method + b" sip:a@b SIP/2.0", "PAYLOAD_SIP")
                for method in (
                    b"INVITE,ACK,BYE,CANCEL,OPTIONS,REGISTER,PRACK,SUBSCRIBE,NOTIFY,PUBLISH,INFO,REFER,MESSAGE,"
                    b"UPDATE,KDMQ,SERVICE,X-PING,foo.bar,VOICE!"
                ).split(b",")
            ],
        ],
    )
    def test_first_bytes_tell_what_a_payload_is(self, wire: Any, payload: bytes, kind: str) -> None:
        data = ether(ipv4(udp(payload)))
        decoder = wire.Decoder()
        decoder.attach(data)
        assert decoder.decode(0, len(data), frame.origin(1, 0)) == wire.KIND_UDP
        assert decoder.payload_kind() == getattr(SOURCE, kind)


def outcome(function: Callable[..., Any], *arguments: Any) -> object:
    try:
        packet = function(*arguments)
    except WireError as error:
        return error.reason
    return [getattr(packet, name) for name in PACKET_FIELDS]


PACKET_FIELDS = list(vars(SOURCE.Packet()))
START = st.sampled_from([data for _, data in [*LAYERS.values(), *V6_LAYERS.values()]])
LINKS = st.sampled_from([0, 1, 101, 108, 113, 147, 228, 229, 276])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(START))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


class TestAnyBytes:
    @given(data=st.binary(max_size=120) | damaged(), link_type=LINKS)
    def test_any_bytes_give_a_packet_or_a_wire_error_in_both_twins(self, data: bytes, link_type: int) -> None:
        where = frame.origin(link_type, 1)
        padded = b"\xee" * 5 + data + b"\xee" * 5
        results = [outcome(module.packet, padded, 5, len(data), 9, where) for module in (decoder_cy, SOURCE)]
        assert results[0] == results[1]
        assert results[0] == outcome(decoder_cy.packet, data, 0, len(data), 9, where)


class TestSame:
    @given(ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)), last=st.sampled_from([b"", b"x"]))
    def test_packets_are_equal_whose_sockets_and_bytes_are(self, ports: tuple[int, int], last: bytes) -> None:
        for module in (decoder_cy, SOURCE):
            plain, other = (
                module.packet(data, 0, len(data), stamp_ns, frame.origin(1, stamp_ns))
                for stamp_ns, data in (
                    (1, ether(ipv4(udp()))),
                    (2, ether(ipv4(struct.pack(">HH", *ports) + udp(PAYLOAD + last)[4:]))),
                )
            )
            assert (plain == other) == (ports == (5060, 5080) and not last)
            assert plain != other or hash(plain) == hash(other)
            assert plain == module.packet(ether(ipv4(udp())), 0, 99, 3, frame.origin(1, 0))
            assert plain != plain.payload


RTP = bytes.fromhex("8000012c00000a00deadbeef") + bytes(20)
FIELDS = (
    "src_hi", "src_lo", "dst_hi", "dst_lo", "src_port", "dst_port", "ip_version", "path", "protocol",
    "identification",
    "payload_offset", "payload_length", "payload_captured", "rtp_header", "rtp_second", "rtp_seq", "rtp_ts",
    "rtp_ssrc",
)  # fmt: skip


class TestPlain:
    def test_rtp_in_udp_in_ipv4_on_ethernet_is_plain(self, wire: Any) -> None:
        for data in (ether(ipv4(udp(RTP))), ether(ipv4(udp(RTP)))[:54], ether(ipv4(udp(RTP))) + bytes(6)):
            assert by_both(wire, data)[0]

    @given(
        change=st.lists(st.tuples(st.integers(0, 55), st.integers(0, 255)), max_size=3),
        cut=st.integers(0, 74),
    )
    def test_plain_finds_what_the_layers_find_whatever_the_bytes(
        self, change: list[tuple[int, int]], cut: int
    ) -> None:
        data = bytearray(ether(ipv4(udp(RTP))))
        for at, octet in change:
            data[at] = octet
        for module in (decoder_cy, SOURCE):
            plain, quick, kind, slow = by_both(module, bytes(data[:cut]))
            assert not plain or (kind == module.KIND_UDP and quick == slow)


def by_both(module: Any, data: bytes) -> tuple[int, list[int], int, list[int]]:
    """Whether it is plain and what that found; its kind and what the layers, one by one, found."""
    where = frame.origin(frame.LINK_ETHERNET, 3, frame.OUTGOING)
    quick, slow = module.Decoder(), module.Decoder()
    for decoder in (quick, slow):
        decoder.attach(b"\xee" * 5 + data)
    plain = quick.plain(5, len(data), where)
    kind = slow.decode(5, len(data), where)
    if plain:
        assert slow.payload_kind() == SOURCE.PAYLOAD_RTP
    found = [[getattr(decoder, name) for name in FIELDS] if plain else [] for decoder in (quick, slow)]
    return plain, found[0], kind, found[1]


def test_addresses_are_canonical_text_both_ways() -> None:
    for text in ("192.0.2.1", "::1", "2001:db8::1:0:0:1", "::", "255.255.255.255"):
        assert address(*halves(text)) == text
    assert address(*halves("::ffff:192.0.2.1")) == "192.0.2.1"


def test_numbers_of_the_rows_are_those_that_the_compiler_has() -> None:
    text = Path(layers_cy.__file__).with_name("layers_cy.pxd").read_text()
    block = text[text.index("# Rows of") : text.index("V4_MAPPED")]
    numbers = [int(value) for value in re.findall(r"^    \w+ = (\d+)$", block, re.MULTILINE)]
    assert numbers == list(range(1, len(encapsulations.KINDS)))
    assert uncompiled.constants(layers_cy.__name__, "VLAN L2TP") == (
        encapsulations.KINDS.index("vlan"),
        encapsulations.KINDS.index("l2tp"),
    )


OWN = ("192.0.2.1", "2001:db8::1", "192.0.2.65", "127.0.0.1")  # .65 and .1 differ in one bit of 64
VOICE = datagram(40000, 40002, b"\x80\x08" + bytes(170))
FORGED = {
    "rtp": ether(ipv4(VOICE)),
    "sip": ether(ipv4(udp())),
    "ipv6": ether(ipv6(VOICE), 0x86DD),
    "fragment": ether(ipv4(VOICE[:80], fragment=0x2000)),
    "tcp": ether(ipv4(struct.pack(">HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x18, 0, 0, 0), 6)),
    "sctp": ether(ipv4(bytes(40), 132)),
    "vlan": ether(struct.pack(">HH", 7, 0x0800) + ipv4(VOICE), 0x8100),
}


@pytest.mark.parametrize("name", FORGED)
def test_frame_received_from_an_own_address_is_refused(wire: Any, name: str) -> None:
    decoder = wire.Decoder((), OWN)
    decoder.attach(FORGED[name])
    for received in (frame.HOST, frame.BROADCAST, frame.MULTICAST):
        where = frame.origin(1, 0, received)
        assert not decoder.plain(0, len(FORGED[name]), where)
        assert wire.REASONS[decoder.decode(0, len(FORGED[name]), where)] is Reason.OWN_SOURCE
    for other in (frame.OUTGOING, frame.OTHERHOST, frame.LOOPBACK, frame.UNKNOWN_TYPE):
        assert decoder.decode(0, len(FORGED[name]), frame.origin(1, 0, other)) > 0
    strange = wire.Decoder((), ("192.0.2.65", "2001:db8::41"))  # the low six bits are alike
    strange.attach(FORGED[name])
    assert strange.decode(0, len(FORGED[name]), frame.origin(1, 0, frame.HOST)) > 0


def test_own_address_inside_a_tunnel_is_no_forgery(wire: Any) -> None:
    inside = ether(ip("203.0.113.1", "203.0.113.2", 4, ipv4(VOICE)))
    decoder = wire.Decoder(None, OWN)
    decoder.attach(inside)
    assert decoder.decode(0, len(inside), frame.origin(1, 0, frame.HOST)) == decoder_cy.KIND_UDP
