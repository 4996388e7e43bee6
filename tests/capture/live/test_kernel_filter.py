"""The filters, run by an interpreter of classic BPF and judged against libpcap's for the same words."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.live import kernel_filter as bpf
from agent.capture.live.kernel_filter import Instruction
from agent.errors import ConfigError
from agent.wire.ip.encapsulations import TUNNELS as TUNNELS_BY_KIND
from agent.wire.ip.encapsulations import Tunnel
from tests.kit import packets, tunnelled
from tests.kit.examples import examples
from tests.kit.packets import datagram, ip

WHOLE = bpf.WHOLE
RTP = bpf.RTP_BYTES
SIP_PORTS, MEDIA = [5060, 5080], (10000, 20000)


def run(
    program: list[Instruction], frame: bytes, ifindex: int = 3, hatype: int = 1, network: int = 14
) -> int:
    """Classic BPF (the 1993 paper, and Linux's ancillary loads). Out of the frame: 0."""
    a = x = 0
    at = 0

    def load(offset: int, size: int) -> int:
        offset &= 0xFFFFFFFF
        if offset == bpf.IFINDEX:
            return ifindex
        if offset == bpf.HATYPE:
            return hatype
        if offset >= bpf.NETWORK:
            offset += network - bpf.NETWORK
        if offset + size > len(frame):
            raise IndexError
        return int.from_bytes(frame[offset : offset + size], "big")

    try:
        while True:
            code, jt, jf, k = program[at]
            at += 1
            match code:
                case 0x20 | 0x28 | 0x30:
                    a = load(k, {0x20: 4, 0x28: 2, 0x30: 1}[code])
                case 0x40 | 0x48 | 0x50:
                    a = load(x + k, {0x40: 4, 0x48: 2, 0x50: 1}[code])
                case 0xB1:
                    x = (load(k, 1) & 15) * 4
                case 0x01:
                    x = k
                case 0x54:
                    a &= k
                case 0x05:
                    at += k
                case 0x15:
                    at += jt if a == k else jf
                case 0x25:
                    at += jt if a > k else jf
                case 0x35:
                    at += jt if a >= k else jf
                case 0x45:
                    at += jt if a & k else jf
                case 0x06:
                    return k
                case _:
                    raise AssertionError(f"instruction {code:#x}")
    except IndexError:
        return 0


def ipv4(protocol: int, body: bytes, options: bytes = b"", fragment: int = 0) -> bytes:
    return ip("10.0.0.1", "10.0.0.2", protocol, body, fragment=fragment, options=options)


def ipv6(protocol: int, body: bytes) -> bytes:
    return ip("2001:db8::1", "2001:db8::2", protocol, body)


def tcp(source: int, destination: int) -> bytes:
    return packets.tcp(("", source), ("", destination), 0, b"", 0x10)


def ethernet(packet: bytes, tags: int = 0) -> bytes:
    return packets.ethernet(
        packet, tags=[b"", b"\x81\x00\x00\x07", b"\x88\xa8\x00\x09\x81\x00\x00\x07"][tags]
    )


RTP_PACKET = b"\x80\x08" + bytes(170)
RTCP_PACKET = b"\x81\xc8" + bytes(50)
TUNNELS = [Tunnel("vxlan"), Tunnel("gre")]
PROGRAM = bpf.voice(sip_ports=SIP_PORTS, media_ports=MEDIA, tunnels=TUNNELS)

CASES = [
    (datagram(5060, 33000, b"SIP/2.0 200 OK"), WHOLE),
    (datagram(33000, 5080, b"INVITE"), WHOLE),
    (datagram(12000, 5060, RTP_PACKET), WHOLE),  # a phone's SIP from a port among our media's
    (datagram(12000, 40000, RTP_PACKET), RTP),
    (datagram(40000, 20000, RTP_PACKET), RTP),
    (datagram(40000, 9999, RTP_PACKET), 0),
    (datagram(20001, 40000, RTP_PACKET), 0),
    (datagram(12001, 40001, RTCP_PACKET), WHOLE),
    (datagram(12000, 40000, b"\x80\xdf" + bytes(20)), WHOLE),
    (datagram(12000, 40000, b"\x80\xe0" + bytes(20)), RTP),  # payload type 96 with the marker
    (datagram(12000, 40000, b"\x00\x01" + bytes(20)), WHOLE),  # STUN
    (datagram(5555, 4789, b"vxlan"), WHOLE),
    (datagram(4789, 5555, b"vxlan"), 0),
    (datagram(53, 53, b"dns"), 0),
]


@pytest.mark.parametrize("tags", [0, 1, 2])
@pytest.mark.parametrize(("body", "verdict"), CASES)
def test_udp_of_each_kind_gets_its_length(body: bytes, verdict: int, tags: int) -> None:
    assert run(PROGRAM, ethernet(ipv4(17, body), tags)) == verdict
    assert run(PROGRAM, ethernet(ipv4(17, body, options=bytes(8)), tags)) == verdict
    assert run(PROGRAM, ethernet(ipv6(17, body), tags)) == verdict


@pytest.mark.parametrize(("body", "verdict"), CASES)
def test_links_without_ethernet_are_filtered_from_the_network_header(body: bytes, verdict: int) -> None:
    assert run(PROGRAM, ipv4(17, body), hatype=0xFFFE, network=0) == verdict
    assert run(PROGRAM, b"\0\x21" + ipv6(17, body), hatype=512, network=2) == verdict
    assert run(PROGRAM, ethernet(ipv4(17, body)), hatype=772) == verdict


def test_tcp_counts_on_sip_ports_only() -> None:
    for wrap, tags in ((ipv4, 0), (ipv6, 1)):
        assert run(PROGRAM, ethernet(wrap(6, tcp(5060, 30000)), tags)) == WHOLE
        assert run(PROGRAM, ethernet(wrap(6, tcp(30000, 5080)), tags)) == WHOLE
        assert run(PROGRAM, ethernet(wrap(6, tcp(12000, 443)), tags)) == 0


def test_what_hides_behind_ipsec_and_llc_is_let_through() -> None:
    for wrap in (ipv4, ipv6):
        assert run(PROGRAM, ethernet(wrap(50, bytes(40)))) == bpf.ESP_BYTES
        assert run(PROGRAM, ethernet(wrap(51, bytes(40)), 1)) == WHOLE
    snap = b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(17, datagram(5060, 5060, b"x"))
    assert run(PROGRAM, packets.ethernet(snap, len(snap))) == WHOLE


def test_hep_counts_from_its_senders_on_their_port_over_udp_and_tcp() -> None:
    named = [Tunnel("hep", ("203.0.113.0/26",)), Tunnel("hep", ("2001:db8:1::/48",), port=9999)]
    program = bpf.voice(sip_ports=SIP_PORTS, media_ports=MEDIA, tunnels=named)
    for source, port, taken in (
        (tunnelled.PEER, 9060, True),
        (tunnelled.PEER, 9999, False),
        (tunnelled.STRANGER, 9060, False),
        (tunnelled.PEER6, 9999, True),
        (tunnelled.PEER6, 9060, False),
        (tunnelled.STRANGER6, 9999, False),
    ):
        for protocol, body in ((17, datagram(33000, port, b"HEP3")), (6, tcp(33000, port))):
            frame = packets.ethernet(tunnelled.ip(protocol, body, source))
            assert run(program, frame) == (WHOLE if taken else 0)


def test_fragments_extensions_and_tunnels_are_kept_whole() -> None:
    assert run(PROGRAM, ethernet(ipv4(17, b"x" * 64, fragment=0x2000))) == WHOLE
    assert run(PROGRAM, ethernet(ipv4(17, b"x" * 64, fragment=185))) == WHOLE
    assert run(PROGRAM, ethernet(ipv4(17, datagram(53, 53, b"x"), fragment=0x4000))) == 0  # don't fragment
    assert run(PROGRAM, ethernet(ipv6(44, b"x" * 64))) == WHOLE
    assert run(PROGRAM, ethernet(ipv4(47, b"\0\0\x08\0"))) == WHOLE
    assert run(PROGRAM, ethernet(ipv4(1, b"icmp echo"))) == 0
    assert run(PROGRAM, bytes(12) + b"\x08\x06" + bytes(28)) == 0


def test_without_a_media_range_any_udp_is_media() -> None:
    program = bpf.voice(sip_ports=[5060], media_ports=None)
    assert run(program, ethernet(ipv4(17, datagram(33000, 44000, RTP_PACKET)))) == RTP
    assert run(program, ethernet(ipv4(17, datagram(33000, 5060, b"OPTIONS")))) == WHOLE


def test_snap_length_cuts_everything() -> None:
    program = bpf.voice(sip_ports=[5060], media_ports=None, snap_length=100)
    assert run(program, ethernet(ipv4(17, datagram(1, 5060, b"OPTIONS")))) == 100
    assert run(bpf.cut(PROGRAM, 50), ethernet(ipv4(17, datagram(1, 5060, b"OPTIONS")))) == 50
    assert run(bpf.everything(77), b"any") == 77


def test_only_from_asks_for_the_interface_first() -> None:
    program = bpf.only_from(bpf.everything(), [3, 5, 9])
    assert [run(program, b"x", ifindex=number) for number in (3, 4, 5, 9)] == [WHOLE, 0, WHOLE, WHOLE]


def test_more_ports_than_a_program_holds_are_refused() -> None:
    bpf.voice(sip_ports=range(5060, 5100), media_ports=MEDIA)
    with pytest.raises(ValueError, match="too many ports"):
        bpf.voice(sip_ports=range(5060, 5360), media_ports=MEDIA)


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=120), st.sampled_from([1, 772, 512]))
def test_any_bytes_get_a_verdict(frame: bytes, hatype: int) -> None:
    assert run(PROGRAM, frame, hatype=hatype) in (0, bpf.ESP_BYTES, RTP, WHOLE)


_PORTS = st.sampled_from([53, 5060, 5080, 9999, 10000, 15000, 20000, 20001])


@pytest.fixture(scope="module")
def libpcap() -> list[Instruction]:
    """The same by tcpdump's compiler."""
    if not shutil.which("tcpdump"):
        pytest.skip("tcpdump is not installed")
    words = "(udp or tcp) and (port 5060 or port 5080) or udp portrange 10000-20000 or ip[6:2] & 0x3fff != 0"
    told = subprocess.run(
        ["tcpdump", "-dd", "-y", "EN10MB", words], capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"\{ (0x[0-9a-f]+), (\d+), (\d+), (0x[0-9a-f]+) \}", told)
    return [(int(code, 16), int(jt), int(jf), int(k, 16)) for code, jt, jf, k in found]


@settings(max_examples=examples(300), deadline=None)
@given(_PORTS, _PORTS, st.sampled_from([17, 6]), st.booleans(), st.sampled_from([0, 0x4000, 0x2000, 99]))
def test_the_filter_accepts_what_libpcap_accepts(
    libpcap: list[Instruction], source: int, destination: int, protocol: int, six: bool, fragment: int
) -> None:
    program = bpf.voice(sip_ports=SIP_PORTS, media_ports=MEDIA)
    body = datagram(source, destination, RTP_PACKET) if protocol == 17 else tcp(source, destination)
    frame = ethernet(ipv6(protocol, body) if six else ipv4(protocol, body, fragment=fragment))
    assert bool(run(program, frame)) == bool(run(libpcap, frame))


def test_a_user_expression_goes_through_libpcap() -> None:
    try:
        program = bpf.compile_expression("udp port 7777", snap_length=500)
    except ConfigError as error:
        pytest.skip(f"libpcap is not here: {error}")
    assert run(program, ethernet(ipv4(17, datagram(1, 7777, b"x")))) == 500
    assert run(program, ethernet(ipv4(17, datagram(1, 7776, b"x")))) == 0
    with pytest.raises(ConfigError, match="'no such words' does not compile"):
        bpf.compile_expression("no such words")


def test_expression_lets_the_rows_through_that_the_kernels_filter_does() -> None:
    """All but the GRE type, which it does not look at."""
    for kind in ("", *tunnelled.TUNNELLED):
        tunnels = [Tunnel(kind, ("203.0.113.0/26", "2001:db8:1::/48"))] if kind else []
        words = bpf.expression(sip_ports=[5060], media_ports=(40000, 40010), tunnels=tunnels)
        try:
            compiled = bpf.compile_expression(words)
        except ConfigError as error:
            pytest.skip(f"libpcap is not here: {error}")
        program = bpf.voice(sip_ports=[5060], media_ports=(40000, 40010), tunnels=tunnels)
        for other in (*tunnelled.FRAMED, *tunnelled.TUNNELLED):
            for source in (tunnelled.PEER, tunnelled.STRANGER, tunnelled.PEER6, tunnelled.STRANGER6):
                for data in tunnelled.frames(other, source):
                    ours, theirs = bool(run(program, data)), bool(run(compiled, data))
                    both_gre = all(
                        kind in TUNNELS_BY_KIND and TUNNELS_BY_KIND[kind].gre_types for kind in (kind, other)
                    )
                    assert ours == theirs or (both_gre and theirs), (kind, other, source)
