"""Copies: one packet shown twice is one, two packets of the same bytes are two (DESIGN 4)."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.transport.copies_cy import MAX_ALIKE, MAX_COPIES, Copies
from agent.wire.frame import LINK_ETHERNET, origin
from agent.wire.ip.decoder_cy import packet
from agent.wire.ip.packet_cy import Packet
from tests.kit.packets import ethernet, udp

MS = 1_000_000


def seen(
    payload: bytes = b"SIP/2.0 180 Ringing",
    at_ns: int = 0,
    *,
    identification: int = 0,
    interface: int = 0,
    port: int = 5060,
    vlan: int = 0,
) -> Packet:
    tag = struct.pack(">HH", 0x8100, vlan) if vlan else b""
    data = ethernet(udp(("192.0.2.1", port), ("192.0.2.2", 5060), payload, identification), tags=tag)
    return packet(data, 0, len(data), at_ns, origin(LINK_ETHERNET, interface))


def seen6(at_ns: int, interface: int = 0) -> Packet:
    data = ethernet(udp(("2001:db8::1", 5060), ("2001:db8::2", 5060), b"SIP/2.0 180 Ringing"))
    return packet(data, 0, len(data), at_ns, origin(LINK_ETHERNET, interface))


def copies(*packets: Packet, is_sip: bool = True, single_span: bool = False) -> list[bool]:
    known = Copies(single_span)
    return [known.is_copy(each, is_sip) for each in packets]


@pytest.mark.parametrize("interface", [0, 1])
@pytest.mark.parametrize("is_sip", [True, False])
def test_same_identification_is_a_copy_whatever_the_path(interface: int, is_sip: bool) -> None:
    first = seen(identification=7)
    again = seen(identification=7, at_ns=20 * MS, interface=interface)
    assert copies(first, again, is_sip=is_sip) == [False, True]


@pytest.mark.parametrize("interface", [0, 1])
@pytest.mark.parametrize("is_sip", [True, False])
@pytest.mark.parametrize("single_span", [True, False])
def test_other_identification_is_another_packet(interface: int, is_sip: bool, single_span: bool) -> None:
    first = seen(identification=7)
    again = seen(identification=8, at_ns=300_000, interface=interface)
    assert copies(first, again, is_sip=is_sip, single_span=single_span) == [False, False]


def test_copies_of_two_alike_packets_are_told_in_any_order() -> None:
    one, two = seen(identification=7), seen(identification=8, at_ns=MS)
    assert copies(one, two, seen(identification=7, at_ns=2 * MS), seen(identification=8, at_ns=3 * MS)) == [
        False, False, True, True,
    ]  # fmt: skip


def test_same_identification_after_20_ms_is_another_packet() -> None:
    assert copies(seen(identification=7), seen(identification=7, at_ns=20 * MS + 1)) == [False, False]


def test_without_identification_another_path_shows_a_copy() -> None:
    assert copies(seen(), seen(at_ns=20 * MS, interface=1)) == [False, True]
    assert copies(seen(), seen(at_ns=20 * MS, vlan=5)) == [False, True]
    assert copies(seen6(0), seen6(20 * MS, 1)) == [False, True]


def test_without_identification_the_same_path_shows_a_copy_of_sip_within_2_ms() -> None:
    assert copies(seen(), seen(at_ns=2 * MS)) == [False, True]
    assert copies(seen6(0), seen6(2 * MS)) == [False, True]
    assert copies(seen(), seen(at_ns=2 * MS + 1)) == [False, False]


def test_without_identification_the_same_path_shows_a_copy_of_rtcp_with_single_span_only() -> None:
    assert copies(seen(), seen(at_ns=MS), is_sip=False) == [False, False]
    assert copies(seen(), seen(at_ns=19 * MS), is_sip=False, single_span=True) == [False, True]


def test_other_ports_or_bytes_are_another_packet() -> None:
    assert copies(seen(identification=7), seen(identification=7, port=5061)) == [False, False]
    assert copies(seen(identification=7), seen(b"SIP/2.0 200 OK", identification=7)) == [False, False]


def test_packets_that_are_remembered_are_bounded_whatever_comes() -> None:
    known = Copies(False)
    for number in range(3 * MAX_COPIES):
        known.is_copy(seen(number.to_bytes(4, "big"), identification=1), True)
    assert len(known) <= 2 * MAX_COPIES
    assert known.is_copy(seen((3 * MAX_COPIES - 1).to_bytes(4, "big"), identification=1), True)


def test_alike_packets_that_are_remembered_are_bounded() -> None:
    known = Copies(False)
    for number in range(1, 10 * MAX_ALIKE):
        assert not known.is_copy(seen(identification=number), True)
    assert known.is_copy(seen(identification=10 * MAX_ALIKE - 1), True)
    assert not known.is_copy(seen(identification=1), True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2]),
            st.integers(0, 1),
            st.sampled_from([0, 1, MS, 2 * MS, 9 * MS, 20 * MS + 1]),
        ),
        max_size=14,
    ),
    st.booleans(),
    st.booleans(),
)
def test_rule_holds_for_any_sequence(
    steps: list[tuple[int, int, int]], is_sip: bool, single_span: bool
) -> None:
    known = Copies(single_span)
    kept: list[tuple[int, int, int]] = []
    now_ns = 0
    for identification, interface, later_ns in steps:
        now_ns += later_ns
        expected = any(
            now_ns - at_ns <= 20 * MS
            and identification == other
            and (identification or interface != path or (now_ns - at_ns <= 2 * MS if is_sip else single_span))
            for other, path, at_ns in kept
        )
        if not expected:
            kept.append((identification, interface, now_ns))
        given_packet = seen(at_ns=now_ns, identification=identification, interface=interface)
        assert known.is_copy(given_packet, is_sip) == expected
