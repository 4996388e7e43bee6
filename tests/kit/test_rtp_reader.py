"""RTP headers, RED and telephone events."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Reason, WireError
from tests.kit import rtp_reader

FIXED = pack(">BBHII", 0x80, 0x80 | 8, 65535, 160, 0xDEADBEEF)


def test_plain_header_field_by_field():
    assert rtp_reader.parse(FIXED + bytes(160)) == rtp_reader.Header(
        2, False, False, 0, True, 8, 65535, 160, 0xDEADBEEF, payload_offset=12, payload_length=160
    )


def test_csrcs_extension_and_padding_are_no_payload():
    data = (
        b"\xb2"
        + FIXED[1:]
        + bytes(8)
        + pack(">HH", 0xBEDE, 1)
        + b"\x10\xff\x00\x00"
        + b"speech"
        + b"\x00\x00\x03"
    )
    header = rtp_reader.parse(data)
    assert (header.csrc_count, header.extension, header.padding) == (2, True, True)
    assert data[header.payload_offset : header.payload_offset + header.payload_length] == b"speech"


def test_packet_of_padding_alone_has_no_payload():
    assert rtp_reader.parse(b"\xa0" + FIXED[1:] + b"\x00\x02").payload_length == 0


@pytest.mark.parametrize("count", [0, 9])
def test_padding_count_that_cannot_be_is_payload(count):
    assert rtp_reader.parse(b"\xa0" + FIXED[1:] + b"abc" + bytes([count])).payload_length == 4


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FIXED[:11],
        b"@" + FIXED[1:],
        b"\x81" + FIXED[1:],
        b"\x90" + FIXED[1:],
        b"\x80\xc8" + FIXED[2:],
        b"\x90" + FIXED[1:] + b"\xbe\xde\x00\x02abcd",
    ],
)
def test_packet_that_is_no_rtp_is_malformed(data):
    with pytest.raises(WireError) as raised:
        rtp_reader.parse(data)
    assert raised.value.reason is Reason.RTP_MALFORMED


def test_red_blocks_oldest_first_the_primary_last():
    # RFC 2198 5: one redundant block and the primary encoding
    payload = pack(">I", 0x80000000 | 7 << 24 | 160 << 10 | 3) + b"\x05" + b"old" + b"newer"
    blocks = rtp_reader.red(payload)
    assert blocks == [rtp_reader.RedBlock(7, 160, 5, 3), rtp_reader.RedBlock(5, 0, 8, 5)]
    assert [payload[block.offset :][: block.length] for block in blocks] == [b"old", b"newer"]


def test_red_with_the_primary_alone():
    assert rtp_reader.red(b"\x00speech") == [rtp_reader.RedBlock(0, 0, 1, 6)]


@pytest.mark.parametrize(
    "payload", [b"", b"\x80", b"\x80\x00\x00\x05", b"\x80\x00\x00\x05\x00abc", b"\x80\x00\x00\x00" * 99]
)
def test_red_beyond_the_payload_is_malformed(payload):
    with pytest.raises(WireError):
        rtp_reader.red(payload)


def test_event_field_by_field():
    assert rtp_reader.event(b"\x0b\x8a\x03\x20") == rtp_reader.Event(11, True, 10, 800)
    with pytest.raises(WireError):
        rtp_reader.event(b"\x0b\x8a\x03")


@given(st.binary(max_size=80))
def test_any_bytes_give_a_payload_inside_or_a_wire_error(data):
    for read in (rtp_reader.parse, rtp_reader.red, rtp_reader.event):
        try:
            found = read(data)
        except WireError:
            continue
        if isinstance(found, rtp_reader.Header):
            assert 12 <= found.payload_offset <= found.payload_offset + found.payload_length <= len(data)
        elif isinstance(found, list):
            assert all(block.offset + block.length <= len(data) for block in found)
