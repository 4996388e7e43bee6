"""RTCP compounds, one hand-made or captured datagram per case in `tests/fuzz/corpus/rtcp`, field by field."""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.errors import Reason, WireError
from agent.wire.rtp import rtcp, rtcp_xr
from tests.kit.examples import examples

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "rtcp"

BLOCK = rtcp.ReportBlock(0x22222222, 5, -2, 0x1FFFF, 80, 0xEEED8000, 0x18000)
SENDER = rtcp.SenderReport(0x11111111, 0xEEEEEEEE, 0x40000000, 160000, 500, 80000, [BLOCK])
RECEIVER = rtcp.ReceiverReport(
    0x33333333,
    [rtcp.ReportBlock(0x11111111, 10, 16, 70000, 9, 1, 2), rtcp.ReportBlock(0x44444444, 0, 0, 1, 2, 3, 4)],
)
CHUNKS = 2  # of the SDES in "sr-sdes"


def seed(name: str) -> bytes:
    return (CORPUS / f"{name}.bin").read_bytes()


def packet(first: int, kind: int, *words: int) -> bytes:
    return pack(f">BBH{len(words)}I", first, kind, len(words), *words)


def reason_of(data: bytes, **options: int) -> Reason:
    with pytest.raises(WireError) as raised:
        rtcp.parse(data, **options)
    return raised.value.reason


def test_sender_report_and_description_field_by_field():
    compound = rtcp.parse(seed("sr-sdes"))
    assert compound.reports == [SENDER]
    assert (compound.others, compound.rejects) == (CHUNKS, [])


def test_middle32_is_what_a_block_returns_as_lsr():
    # RFC 3550 6.4.1, figure 2: SR at n = 0xb44db705:20000000, lsr = 0xb7052000
    assert rtcp.middle32(0xB44DB705_20000000) == 0xB7052000
    assert replace(SENDER, ntp_sec=0xB44DB705, ntp_frac=0x20000000).middle32 == 0xB7052000


@pytest.mark.parametrize(
    ("lost", "expected"),
    [(0, 0), (0x7FFFFF, 8388607), (0x800000, -8388608), (0xFFFFFF, -1), (0x05FFFFFE, -2)],
)
def test_cumulative_lost_is_signed_24_bits(lost, expected):
    compound = rtcp.parse(packet(0x81, 201, 1, 2, lost, 0, 0, 0, 0))
    assert compound.reports[0].blocks[0].cumulative_lost == expected


def test_report_extension_is_ignored_and_the_next_packet_read():
    compound = rtcp.parse(seed("sr-extension-rr"))
    assert compound.reports[0].blocks == [rtcp.ReportBlock(0x22222222, 0, 7, 8, 9, 10, 11)]
    assert compound.reports[1] == RECEIVER


def test_receiver_report_without_blocks_is_a_report():
    assert rtcp.parse(seed("empty-rr")).reports == [rtcp.ReceiverReport(9, [])]


@pytest.mark.parametrize(("name", "others"), [("bye-app", CHUNKS + 2), ("feedback-reduced", 2)])
def test_packets_that_no_figure_needs_are_sound(name, others):
    compound = rtcp.parse(seed(name))
    assert (compound.others, compound.rejects) == (others, [])


def test_bye_first_in_the_compound_as_baresip_sends_it_is_sound():
    compound = rtcp.parse(seed("lab-203-56"))
    assert (compound.others, compound.rejects) == (2, [])


def test_unknown_type_is_skipped_by_its_length():
    compound = rtcp.parse(seed("unknown"))
    assert (compound.reports, compound.others, compound.rejects) == ([SENDER, RECEIVER], 1, [])


def test_padding_of_the_last_packet_is_no_content():
    compound = rtcp.parse(seed("padded"))
    assert (compound.others, compound.rejects) == (1, [])


@pytest.mark.parametrize("count", [0, 3, 5, 100])
def test_padding_that_cannot_be_is_content(count):
    report = packet(0xA1, 201, 1, 2, 3, 4, 5, 6, 0x700 | count)
    assert rtcp.parse(report).reports[0].blocks[0].dlsr == 0x700 | count


def test_padding_larger_than_its_packet_is_content():
    compound = rtcp.parse(b"\xa1\xcb\x00\x01\x00\x00\x00\x08")
    assert (compound.others, compound.rejects) == (1, [])


def test_padding_bit_in_front_of_other_packets_is_ignored():
    data = packet(0xA2, 203, 7, 8) + packet(0x80, 201, 8)
    compound = rtcp.parse(data)
    assert (compound.others, len(compound.reports), compound.rejects) == (1, 1, [])


def test_packet_of_a_header_alone_is_sound():
    compound = rtcp.parse(seed("sr-sdes") + b"\x80\xcb\x00\x00")
    assert (compound.others, compound.rejects) == (CHUNKS + 1, [])


@pytest.mark.parametrize(
    ("data", "others"),
    [
        (packet(0x82, 203, 7), 1),  # a BYE of two sources names one
        (packet(0x81, 203), 0),
        (packet(0x80, 204, 7), 0),
        (packet(0x81, 205, 7), 0),
        (packet(0x81, 206), 0),
    ],
)
def test_packet_shorter_than_its_type_needs_is_malformed(data, others):
    compound = rtcp.parse(seed("empty-rr") + data)
    assert (compound.others, compound.rejects) == (others, [Reason.RTCP_MALFORMED])


# One bad packet spoils no other


@pytest.mark.parametrize("name", ["bad-inside", "bad-count"])
def test_bad_packet_inside_is_skipped_by_its_length(name):
    compound = rtcp.parse(seed(name))
    assert (compound.reports, compound.others) == ([SENDER], CHUNKS)
    assert compound.rejects == [Reason.RTCP_MALFORMED]


def test_length_beyond_the_datagram_ends_the_walk_and_keeps_what_was_read():
    compound = rtcp.parse(seed("overshoot"))
    assert compound.reports == [SENDER]
    assert compound.rejects == [Reason.RTCP_TRUNCATED]


def test_bytes_after_the_last_packet_are_noted():
    assert rtcp.parse(seed("sr-sdes") + b"\x00").rejects == [Reason.RTCP_TRUNCATED]
    compound = rtcp.parse(seed("sr-sdes") + bytes(8))
    assert (compound.reports, compound.rejects) == ([SENDER], [Reason.RTCP_MALFORMED])


@pytest.mark.parametrize(
    "items",
    [
        b"\x01\x01a\x00",
        b"\x01\x02ab\x00\x00\x00\x00",
        b"\x02\x01x\x01\x01a\x00\x00",
        b"\x08\x05\x01prio\x01\x01z\x00\x00",
        b"\x01\x00\x00\x00",
        b"\x01\x01\xff\x00",
    ],
)
def test_sdes_chunk_with_its_items_is_sound(items):
    body = pack(">I", 5) + items
    compound = rtcp.parse(pack(">BBH", 0x81, 202, len(body) // 4) + body)
    assert (compound.others, compound.rejects) == (1, [])


@pytest.mark.parametrize("items", [b"\x01\x09abcdef", b"\x01\x01a\x01", b""])
def test_sdes_chunk_beyond_its_packet_is_bad_and_spoils_no_neighbour(items):
    body = pack(">I", 5) + items
    compound = rtcp.parse(packet(0x80, 201, 1) + pack(">BBH", 0x81, 202, len(body) // 4) + body)
    assert compound.reports == [rtcp.ReceiverReport(1, [])]
    assert (compound.others, compound.rejects) == (0, [Reason.RTCP_MALFORMED])


def test_first_sound_chunk_counts_when_the_second_is_not():
    body = pack(">I", 5) + b"\x01\x01a\x00" + pack(">I", 6) + b"\x01\xffoverrun"[:8]
    compound = rtcp.parse(pack(">BBH", 0x82, 202, len(body) // 4) + body)
    assert (compound.others, compound.rejects) == (1, [Reason.RTCP_MALFORMED])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.RTCP_TRUNCATED),
        (b"\x80\xc9\x00", Reason.RTCP_TRUNCATED),
        (b"\x80\xc9\x00\x01", Reason.RTCP_TRUNCATED),
        (b"\x80\xc8\x00\x06" + bytes(8), Reason.RTCP_TRUNCATED),
        (packet(0x40, 201, 1), Reason.RTCP_MALFORMED),
        (packet(0x80, 100, 1), Reason.RTCP_MALFORMED),
        (packet(0x81, 200, 1, 2, 3), Reason.RTCP_MALFORMED),
    ],
)
def test_datagram_of_which_nothing_can_be_read_is_rejected(data, reason):
    assert reason_of(data) is reason


def test_flood_of_empty_packets_is_bounded():
    compound = rtcp.parse(packet(0x80, 201, 1) * 5000)
    assert len(compound.reports) == rtcp.PACKETS_MAX
    assert compound.rejects == [Reason.RTCP_MALFORMED]


# Cut by the snap length


def test_cut_report_gives_the_blocks_that_are_whole():
    data = packet(0x82, 201, 0x33333333, *range(12))
    compound = rtcp.parse(data[:40], wire_length=len(data))
    assert [block.ssrc for block in compound.reports[0].blocks] == [0]
    assert compound.rejects == [Reason.RTCP_TRUNCATED]


def test_cut_inside_the_sender_information_gives_nothing():
    data = seed("sr-sdes")
    assert reason_of(data[:20], wire_length=len(data)) is Reason.RTCP_TRUNCATED
    assert rtcp.parse(data[:28], wire_length=len(data)).reports == [replace(SENDER, blocks=[])]


def test_cut_with_a_length_that_only_srtcp_has_is_encrypted():
    data = seed("srtcp")
    assert reason_of(data[:60], wire_length=len(data)) is Reason.RTCP_ENCRYPTED


def test_cut_where_the_walk_leads_nowhere_is_not_believed():
    data = seed("srtcp-gcm")
    assert reason_of(data[:70], wire_length=len(data)) is Reason.RTCP_MALFORMED


# SRTCP


@pytest.mark.parametrize("name", ["srtcp", "srtcp-32", "srtcp-gcm"])
def test_srtcp_is_never_read_as_rtcp(name):
    assert rtcp.looks_encrypted(seed(name))
    assert reason_of(seed(name)) is Reason.RTCP_ENCRYPTED


@pytest.mark.parametrize("mki", [b"\x01", b"\x00\x00\x00\x01"])
def test_srtcp_with_master_key_identifier_is_recognised(mki):
    data = seed("srtcp")
    assert reason_of(data[:-10] + mki + data[-10:]) is Reason.RTCP_ENCRYPTED


def test_srtcp_of_a_single_receiver_report_is_recognised():
    assert reason_of(packet(0x80, 201, 9) + b"\x80\x00\x00\x01" + bytes(range(10))) is Reason.RTCP_ENCRYPTED


def test_srtcp_authenticated_but_not_encrypted_is_read():
    assert rtcp.parse(seed("srtcp-auth-only")).reports == [SENDER]


def test_plain_rtcp_whose_last_bytes_look_like_a_trailer_is_read():
    report = packet(0x81, 201, 1, 2, 3, 4, 5, 0x80000001, 0x80000001)
    assert not rtcp.looks_encrypted(report)
    assert rtcp.parse(report).reports[0].blocks[0].dlsr == 0x80000001
    followed = packet(0x81, 201, 1, 2, 3, 4, 5, 6, 0x80000007) + bytes(4)
    assert not rtcp.looks_encrypted(followed)
    assert len(rtcp.parse(followed).reports) == 1
    lookalike = seed("bad-inside-trailer-lookalike")
    assert not rtcp.looks_encrypted(lookalike)
    assert rtcp.parse(lookalike).reports == [SENDER]


@given(st.binary(min_size=40, max_size=40), st.sampled_from([10, 4]), st.integers(0, 0xFFFFFF))
def test_srtcp_with_any_ciphertext_gives_no_report(cipher, tag, index):
    data = seed("sr-sdes")[:8] + (cipher * 3)[: len(seed("sr-sdes")) - 8]
    data += pack(">I", 0x80000000 | index) + bytes(range(tag))
    assert reason_of(data) is Reason.RTCP_ENCRYPTED


# Extended reports


def test_extended_report_block_by_block():
    compound = rtcp.parse(seed("xr"))
    assert compound.reports == [RECEIVER]
    assert compound.rejects == []
    (report,) = compound.rtcp_xr
    assert report.ssrc == 0x33333333
    reference, delay, voip = report.blocks  # behind the run lengths and statistics, which are passed over
    assert isinstance(reference, rtcp_xr.ReceiverReference)
    assert reference.middle32 == 0xEEEE8000
    assert delay == rtcp_xr.Delay(0x11111111, 0xEEED8000, 0x10000)
    assert isinstance(voip, rtcp_xr.VoipMetrics)
    assert (voip.loss_ratio, voip.discard_ratio) == (13 / 256, 26 / 256)
    assert (voip.round_trip_ms, voip.end_system_delay_ms) == (34, 60)
    assert (voip.r_factor, voip.mos_lq, voip.mos_cq) == (93, 4.4, 4.3)


@pytest.mark.parametrize("block", [0x01000001, 0x02000001, 0x04000001, 0x06000001, 0x07000001])
def test_block_too_short_for_its_type_spoils_no_neighbour(block):
    words = [7, block, 1, 0x05000003, 1, 2, 3]
    compound = rtcp.parse(packet(0x80, 207, *words))
    assert compound.rtcp_xr[0].blocks == [rtcp_xr.Delay(1, 2, 3)]
    assert compound.rejects == [Reason.RTCP_MALFORMED]


def test_block_longer_than_its_packet_ends_that_packet_only():
    data = packet(0x80, 207, 7, 0x05000003, 1, 2, 3, 0x05000009, 1) + packet(0x80, 201, 9)
    compound = rtcp.parse(data)
    assert compound.rtcp_xr[0].blocks == [rtcp_xr.Delay(1, 2, 3)]
    assert compound.reports == [rtcp.ReceiverReport(9, [])]


# Any bytes

PACKETS = st.builds(
    lambda first, kind, body, length: (
        pack(">BBH", first, kind, length if length is not None else len(body) // 4)
        + body[: len(body) // 4 * 4]
    ),
    st.integers(0, 255),
    st.integers(190, 225),
    st.binary(max_size=60),
    st.none() | st.integers(0, 30),
)


@given(st.lists(PACKETS | st.binary(max_size=9), max_size=6).map(b"".join), st.integers(0, 80))
@settings(max_examples=examples(500))
def test_any_bytes_are_a_compound_or_a_wire_error(data, cut):
    for options in ({}, {"wire_length": len(data) + 4}):
        try:
            compound = rtcp.parse(data[:cut] if options else data, **options)
        except WireError:
            continue
        for report in compound.reports:
            for block in report.blocks:
                assert -(1 << 23) <= block.cumulative_lost < 1 << 23


@given(st.lists(PACKETS, min_size=1, max_size=5))
def test_sound_reports_in_front_of_any_packet_are_kept(packets):
    head = seed("sr-sdes")
    data = head + b"".join(packets)
    if rtcp.looks_encrypted(data):
        assert reason_of(data) is Reason.RTCP_ENCRYPTED
        return
    compound = rtcp.parse(data)
    assert compound.reports[0] == SENDER
    assert compound.others >= CHUNKS
