"""HEP3: addresses, ports and time from chunks; any bytes give a packet or WireError."""

from __future__ import annotations

import contextlib
from socket import AF_INET, AF_INET6, inet_pton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import WireError
from agent.wire.hep import HepPacket, hep_packet


def chunk(kind: int, value: bytes, vendor: int = 0) -> bytes:
    return vendor.to_bytes(2, "big") + kind.to_bytes(2, "big") + (6 + len(value)).to_bytes(2, "big") + value


def hep(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return b"HEP3" + (6 + len(body)).to_bytes(2, "big") + body


REST = (
    chunk(1, b"\x02"),
    chunk(2, b"\x06"),
    chunk(7, b"\x13\xc5"),
    chunk(8, b"\x13\xc4"),
    chunk(9, (1_700_000_040).to_bytes(4, "big")),
    chunk(10, (250).to_bytes(4, "big")),
    chunk(11, b"\x01"),
    chunk(12, b"\x00\x00\x07\xd1"),
    chunk(14, b"secret"),
    chunk(3, b"other vendor", vendor=3),
    chunk(15, b"OPTIONS"),
)
FOUR = (chunk(3, inet_pton(AF_INET, "192.0.2.1")), chunk(4, inet_pton(AF_INET, "198.51.100.1")))
SIX = (chunk(5, inet_pton(AF_INET6, "2001:db8::1")), chunk(6, inet_pton(AF_INET6, "::ffff:192.0.2.9")))


@pytest.mark.parametrize(
    ("addresses", "src", "dst"),
    [(FOUR, "192.0.2.1", "198.51.100.1"), (SIX, "2001:db8::1", "192.0.2.9")],
)
def test_packet_gives_its_chunks(addresses: tuple[bytes, ...], src: str, dst: str) -> None:
    stamp_ns = 1_700_000_040_000_250_000
    expected = HepPacket(src, 5061, dst, 5060, 6, stamp_ns, 1, 2001, b"OPTIONS")
    assert hep_packet(hep(*addresses, *REST)) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HEP2\x00\x06",
        b"HEP3\x00\x05",
        hep(*FOUR)[:-1],
        hep(*REST),
        hep(*FOUR, b"\0\0\0\x0f\0\x05"),
        hep(*FOUR, b"\0\0\0\x0f\0\x50"),
        hep(*FOUR, chunk(16, b"gzip")),
    ],
)
def test_packet_that_cannot_be_read_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        hep_packet(data)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda body: hep(*FOUR, body))))
def test_any_bytes_give_a_packet_or_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(hep_packet(data), HepPacket)
