"""Every row of the table: read, believed or not, damaged; pure and compiled alike."""

from __future__ import annotations

import struct
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import uncompiled
from agent.config.settings import TunnelSettings
from agent.errors import WireError
from agent.wire import frame
from agent.wire.ip import decoder_cy, encapsulations
from agent.wire.ip.encapsulations import ROWS, TUNNELS, Tunnel
from tests.kit import tunnelled
from tests.kit.packets import datagram, ethernet
from tests.kit.tunnelled import PEER, PEER6, SIP, STRANGER, STRANGER6, VOICE, frames, ip

SOURCE = uncompiled.sources("agent.wire.ip.decoder_cy")[0]
MODULES = (decoder_cy, SOURCE)
ORIGIN = frame.origin(frame.LINK_ETHERNET, 1)
KINDS = [row.kind for row in ROWS if not row.over_tcp]


def read(data: bytes, tunnels: tuple[Tunnel, ...] | None = None, module: Any = decoder_cy) -> Any:
    decoder = module.Decoder(tunnels)
    decoder.attach(data)
    return module.read(decoder, 0, len(data), 42, ORIGIN)


def opened(packet: Any) -> bool:
    return bool(packet.payload == SIP)


def test_settings_name_the_tunnels_of_the_table() -> None:
    kinds = get_args(get_args(get_type_hints(TunnelSettings, include_extras=True)["kind"])[0])
    assert list(kinds) == list(TUNNELS)


def test_no_two_rows_share_a_number() -> None:
    for field in ("ether_types", "protocols", "gre_types", "ports"):
        values = [value for row in ROWS for value in getattr(row, field)]
        assert len(values) == len(set(values))


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("kind", KINDS)
class TestRow:
    def test_packet_says_by_which_tunnel_it_came(self, kind: str, module: Any) -> None:
        for data in frames(kind):
            packet = read(data, None, module)
            assert opened(packet)
            assert encapsulations.KINDS[packet.tunnel] == (kind if kind in TUNNELS else "")
            assert packet.depth == (kind in TUNNELS)
            assert packet.vni == (7 if kind in TUNNELS and TUNNELS[kind].identifier else -1)

    def test_live_only_a_named_peers_tunnel_is_opened(self, kind: str, module: Any) -> None:
        framing = kind not in TUNNELS
        assert [opened(read(data, (), module)) for data in frames(kind)] == [framing] * len(frames(kind))
        if framing:
            return
        named = (Tunnel(kind, ("203.0.113.0/25", "2001:db8:1::/48")),)
        for source, trusted in ((PEER, True), (STRANGER, False), (PEER6, True), (STRANGER6, False)):
            assert opened(read(frames(kind, source)[0], named, module)) == trusted
        others = tuple(Tunnel(other) for other in TUNNELS if other != kind)
        assert not opened(read(frames(kind)[0], others, module))
        assert opened(read(frames(kind)[0], (Tunnel(kind),), module))

    def test_identifier_that_is_not_named_stays_shut(self, kind: str, module: Any) -> None:
        if kind in TUNNELS and TUNNELS[kind].identifier:
            assert opened(read(frames(kind)[0], (Tunnel(kind, vni=7),), module))
            assert not opened(read(frames(kind)[0], (Tunnel(kind, vni=8),), module))

    def test_frame_cut_anywhere_is_no_packet_or_a_shorter_one(self, kind: str, module: Any) -> None:
        for data in frames(kind):
            for end in range(len(data)):
                try:
                    packet = read(data[:end], None, module)
                except WireError:
                    continue
                assert SIP.startswith(packet.payload) or packet.depth == 0


@pytest.mark.parametrize("module", MODULES)
class TestWhere:
    def test_configured_port_is_that_tunnels_and_the_usual_one_is_not(self, module: Any) -> None:
        body = b"\x88\0\0\0\0\0\7\0" + ethernet(VOICE)
        for port in (4789, 8472):
            data = ethernet(ip(17, datagram(1, port, body)))
            assert opened(read(data, (Tunnel("vxlan", port=8472),), module)) == (port == 8472)

    def test_each_port_has_its_own_peers(self, module: Any) -> None:
        both = (Tunnel("vxlan", (PEER,)), Tunnel("vxlan", (STRANGER,), port=8472))
        body = b"\x08\0\0\0\0\0\7\0" + ethernet(VOICE)
        for port, source, right in ((4789, PEER, True), (8472, PEER, False), (8472, STRANGER, True)):
            assert opened(read(ethernet(ip(17, datagram(1, port, body), source)), both, module)) == right

    def test_tunnel_in_a_believed_tunnel_must_be_named_too(self, module: Any) -> None:
        inner = frames("vxlan", "10.0.0.9")[0]
        data = ethernet(ip(17, datagram(1, 6081, b"\0\0\x65\x58\0\0\1\0" + inner), PEER))
        assert opened(read(data, None, module))
        assert not opened(read(data, (Tunnel("geneve", (PEER,)),), module))
        assert opened(read(data, (Tunnel("geneve", (PEER,)), Tunnel("vxlan", ("10.0.0.9",))), module))

    def test_same_frame_by_two_mirrors_has_two_paths(self, module: Any) -> None:
        flags = b"\x08\0\0\0\0\0"
        paths = {
            read(
                ethernet(ip(17, datagram(1, 4789, flags + bytes([vni, 0]) + ethernet(VOICE)))), None, module
            ).path
            for vni in (1, 2)
        }
        assert len(paths | {read(ethernet(VOICE), None, module).path}) == 3

    def test_four_tunnels_are_opened_and_no_fifth(self, module: Any) -> None:
        data = VOICE
        for depth in range(1, 5):
            data = ip(17, datagram(1, 4789, tunnelled.FLAGGED + ethernet(data)))
            packet = read(ethernet(data), None, module)
            assert opened(packet)
            assert packet.depth == depth
        deeper = read(ethernet(ip(17, datagram(1, 4789, tunnelled.FLAGGED + ethernet(data)))), None, module)
        assert (deeper.dst_port, deeper.depth) == (4789, 4)

    def test_counts_name_the_outermost_kind(self, module: Any) -> None:
        decoder = module.Decoder()
        for kind in ("vxlan", "gre", "gre", "vlan"):
            data = frames(kind)[0]
            decoder.attach(data)
            decoder.decode(0, len(data), ORIGIN)
        assert decoder.tunnels() == {"vxlan": 1, "gre": 2}


def fragments(packet: bytes, size: int) -> list[bytes]:
    """An IPv4 packet in fragments of `size` bytes (a multiple of 8)."""
    body = packet[20:]
    return [
        packet[:2]
        + (20 + len(body[at : at + size])).to_bytes(2, "big")
        + packet[4:6]
        + (at >> 3 | (0x2000 if at + size < len(body) else 0)).to_bytes(2, "big")
        + packet[8:20]
        + body[at : at + size]
        for at in range(0, len(body), size)
    ]


@pytest.mark.parametrize("module", MODULES)
class TestRejoined:
    @pytest.mark.parametrize("kind", tunnelled.TUNNELLED)
    def test_fragments_of_the_outer_packet_are_read_as_it_would_be(self, kind: str, module: Any) -> None:
        outer = ip(*tunnelled.TUNNELLED[kind], PEER)
        first, *rest = [read(ethernet(part), None, module) for part in fragments(outer, 24)]
        assert first.more_fragments
        whole = first.payload + b"".join(part.payload for part in rest)
        packet = module.rejoined(module.Decoder(), first, whole)
        assert opened(packet)
        assert (packet.stamp_ns, encapsulations.KINDS[packet.tunnel]) == (42, kind)
        assert not opened(module.rejoined(module.Decoder((Tunnel(kind, (STRANGER,)),)), first, whole))
        assert opened(module.rejoined(module.Decoder((Tunnel(kind, (PEER,)),)), first, whole))

    def test_fragments_within_a_tunnel_keep_it_and_their_depth(self, module: Any) -> None:
        tunnels = [ethernet(ip(4, part, PEER)) for part in fragments(VOICE, 16)]
        parts = [read(data, None, module) for data in tunnels]
        packet = module.rejoined(module.Decoder(), parts[0], b"".join(part.payload for part in parts))
        assert opened(packet)
        assert (packet.depth, encapsulations.KINDS[packet.tunnel]) == (1, "ipip")

    def test_tcp_in_fragments_is_tcp(self, module: Any) -> None:
        segment = struct.pack(">HHIIBBHHH", 5060, 40000, 9, 0, 0x50, 0x18, 0, 0, 0) + SIP
        parts = [read(ethernet(part), None, module) for part in fragments(ip(6, segment), 24)]
        packet = module.rejoined(module.Decoder(), parts[0], b"".join(part.payload for part in parts))
        assert (packet.kind, packet.src_port, packet.seq, packet.payload) == (
            decoder_cy.KIND_TCP,
            5060,
            9,
            SIP,
        )

    def test_extension_headers_behind_an_ipv6_fragment_header_are_read(self, module: Any) -> None:
        options = b"\x11\0" + bytes(6) + datagram(5060, 5060, SIP)
        head = b"\x3c\0\0\1\0\0\0\7"
        first = read(ethernet(ip(44, head + options[:16], PEER6)), None, module)
        assert first.protocol == 60
        assert opened(module.rejoined(module.Decoder(), first, options))


ALL = [data for kind in KINDS for data in frames(kind)]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(ALL)))
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(12, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@st.composite
def noise_in(draw: st.DrawFn) -> bytes:
    """A row's outer headers as they should be, then any bytes."""
    data = draw(st.sampled_from(ALL))
    return data[: draw(st.integers(14, len(data)))] + draw(st.binary(max_size=80))


def outcome(module: Any, data: bytes, tunnels: tuple[Tunnel, ...] | None) -> object:
    try:
        packet = read(data, tunnels, module)
    except WireError as error:
        return error.reason
    return [getattr(packet, name) for name in vars(SOURCE.Packet())]


@given(
    data=damaged() | noise_in(),
    tunnels=st.none()
    | st.lists(st.sampled_from([Tunnel(kind, (PEER,)) for kind in TUNNELS]), max_size=3).map(tuple),
)
def test_any_bytes_are_the_same_to_both_and_no_loop(data: bytes, tunnels: tuple[Tunnel, ...] | None) -> None:
    assert outcome(decoder_cy, data, tunnels) == outcome(SOURCE, data, tunnels)


@given(protocol=st.integers(0, 255), whole=st.binary(max_size=120), depth=st.integers(0, 4))
def test_any_bytes_put_together_are_the_same_to_both(protocol: int, whole: bytes, depth: int) -> None:
    data = VOICE
    for _ in range(depth):
        data = ip(4, data)
    results: list[object] = []
    for module in MODULES:
        fragment = ip(protocol, bytes(8))
        fragment = fragment[:6] + b"\x20\0" + fragment[8:]
        for _ in range(depth):
            fragment = ip(4, fragment)
        first = read(ethernet(fragment), None, module)
        try:
            packet = module.rejoined(module.Decoder(), first, whole)
            results.append([getattr(packet, name) for name in vars(SOURCE.Packet())])
        except WireError as error:
            results.append(error.reason)
    assert results[0] == results[1]
