"""Each link type besides the decoder's own: the packet in it is found, and any bytes end well."""

from __future__ import annotations

import struct
from array import array
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.files.link_types import READERS, unwrapped
from agent.capture.files.pcapfile import open_capture
from agent.errors import WireError
from agent.wire import frame
from agent.wire.ip.decoder_cy import KIND_UDP, packet
from tests.kit.packets import ethernet
from tests.kit.tunnelled import SIP, VOICE, VOICE6

ERF = struct.pack("<Q", 7)


def tlv(order: str, kind: int, value: bytes) -> bytes:
    head = struct.pack(order + "HH", 4 + len(value), kind)
    return head + value + bytes(-len(value) % 4)


def nflog(order: str) -> bytes:
    parts = [(1, bytes(4)), (4, bytes(4)), (10, b"prefix\0"), (9, VOICE)]
    return b"\2\0\0\0" + b"".join(tlv(order, kind, value) for kind, value in parts)


def erf(kind: int, body: bytes, extensions: bytes = b"") -> bytes:
    kind |= 0x80 if extensions else 0
    return ERF + bytes([kind, 4]) + bytes(6) + extensions + body


FRAMES = {
    "ppp": (9, b"\xff\3\0\x21" + VOICE),
    "ppp without address": (9, b"\0\x21" + VOICE),
    "ppp compressed": (9, b"\x57" + VOICE6),
    "ppp in hdlc": (50, b"\xff\3\0\x21" + VOICE),
    "cisco in hdlc": (50, b"\x0f\0\x08\0" + VOICE),
    "ppp over ethernet": (51, b"\x11\0\0\7\0\0\0\x21" + VOICE),
    "cisco hdlc": (104, b"\x8f\0\x86\xdd" + VOICE6),
    "ppp with direction": (204, b"\1\xff\3\0\x21" + VOICE),
    "ppi of ethernet": (192, struct.pack("<BBHI", 0, 0, 8, 1) + ethernet(VOICE)),
    "ppi with fields, of ppp": (192, struct.pack("<BBHI", 0, 0, 16, 9) + bytes(8) + b"\0\x21" + VOICE),
    "nflog, little endian": (239, nflog("<")),
    "nflog, big endian": (239, nflog(">")),
    "erf ethernet": (197, erf(2, b"\0\0" + ethernet(VOICE))),
    "erf ip": (197, erf(22, VOICE)),
    "erf hdlc, extensions": (197, erf(1, b"\x0f\0\x08\0" + VOICE, b"\x80" + bytes(7) + bytes(8))),
}


def found(link: int, data: bytes) -> list[bytes]:
    """The payloads of the rows that are left."""
    index = array("q", (3, len(data), len(data), 42, frame.origin(link, 5)))
    padded = b"\xee" * 3 + data
    payloads = []
    for row in frame.Batch(padded, unwrapped(padded, index)).frames():
        one = packet(row.data, 0, len(row.data), row.stamp_ns, row.origin)
        assert (row.stamp_ns, row.origin & 0xFFFF) == (42, 5)
        payloads.append(one.payload if one.kind == KIND_UDP else b"")
    return payloads


@pytest.mark.parametrize("name", FRAMES)
def test_packet_in_each_link_type_is_found(name: str) -> None:
    assert found(*FRAMES[name]) == [SIP]


def test_wireless_frames_in_the_clear_are_found() -> None:
    from scapy.layers.dot11 import Dot11, Dot11FCS, Dot11QoS, RadioTap
    from scapy.layers.inet import IP
    from scapy.layers.l2 import LLC, SNAP

    inside = LLC() / SNAP() / IP(VOICE)
    data = Dot11(type=2, subtype=0, FCfield=1) / inside
    with_quality = Dot11(type=2, subtype=8, FCfield=2) / Dot11QoS() / inside
    assert found(105, bytes(data)) == [SIP]
    assert found(127, bytes(RadioTap() / with_quality)) == [SIP]
    assert found(127, bytes(RadioTap(present="Flags", Flags="FCS") / Dot11FCS(bytes(data) + bytes(4)))) == [
        SIP
    ]
    assert found(105, bytes(Dot11(type=0, subtype=8))) == []  # a beacon


@pytest.mark.parametrize(
    ("link", "data"),
    [
        (9, b"\xff\3\xc0\x21\1\1\0\4"),
        (104, b"\x8f\0\x80\x35" + bytes(14)),
        (239, b"\2\0\0\0"),
        (197, erf(7, b"x" * 9)),
    ],
)
def test_frame_without_ip_leaves_no_row(link: int, data: bytes) -> None:
    assert found(link, data) == []


def test_file_of_such_a_link_type_is_read(tmp_path: Path) -> None:
    path = tmp_path / "nflog.pcap"
    records = [nflog("<"), b"\2\0\0\0", nflog("<")]
    content = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 239)
    for second, data in enumerate(records, 1_700_000_000):
        content += struct.pack("<IIII", second, 0, len(data), len(data)) + data
    path.write_bytes(content)
    source = open_capture(str(path))
    rows = [row for batch, _ in source for row in batch.frames()]
    assert [row.data[: len(VOICE)] for row in rows] == [VOICE, VOICE]
    assert source.frames == 3


@given(
    link=st.sampled_from([link for link in READERS if link not in (105, 119, 127, 163)]),
    data=st.binary(max_size=90),
)
def test_any_bytes_end_well(link: int, data: bytes) -> None:
    with suppress(WireError):
        assert len(found(link, data)) <= 1
