"""The codec table against G.113's published planning values and RFC 3551's static types."""

from __future__ import annotations

from math import log2

import pytest

from agent.quality.codecs import codec, table
from agent.wire.rtp.payload_types import STATIC_TYPES

# G.113 Appendix I: Ie without loss.
PUBLISHED_IE = [
    ("PCMU", None, 0), ("PCMA", None, 0), ("G726-40", None, 2), ("G726-32", None, 7), ("G726-24", None, 25),
    ("G726-16", None, 50), ("G728", None, 7), ("G729", None, 11), ("G723", "6.3", 15), ("G723", "5.3", 19),
    ("GSM", None, 20), ("GSM-HR-08", None, 23), ("GSM-EFR", None, 5), ("EVRC", None, 6),
]  # fmt: skip
# G.113 Appendix I: Bpl with the codec's own concealment.
PUBLISHED_BPL = [("PCMU", 25.1), ("PCMA", 25.1), ("G729", 19.0), ("G723", 16.1), ("GSM-EFR", 10.0)]
# G.113 Table IV.1, AMR-WB by mode.
PUBLISHED_IE_WB = [41, 26, 13, 10, 7, 5, 3, 1, 8]


@pytest.mark.parametrize(("name", "mode", "ie"), PUBLISHED_IE)
def test_ie_of_published_codec_equals_g113(name: str, mode: str | None, ie: float) -> None:
    assert codec(name, mode=mode).ie == ie


@pytest.mark.parametrize(("name", "bpl"), PUBLISHED_BPL)
def test_bpl_of_published_codec_equals_g113(name: str, bpl: float) -> None:
    assert codec(name, mode="6.3" if name == "G723" else None).bpl == bpl
    assert not codec(name, mode="6.3" if name == "G723" else None).assumed


def test_g711_without_concealment_has_bpl_4_3() -> None:
    assert codec("PCMU").bpl_no_plc == codec("PCMA").bpl_no_plc == 4.3


@pytest.mark.parametrize(("mode", "ie_wb"), list(enumerate(PUBLISHED_IE_WB)))
def test_amr_wb_mode_has_ie_wb_of_g113_table_iv_1(mode: int, ie_wb: float) -> None:
    assert codec("AMR-WB", 16000, mode).ie_wb == ie_wb


def test_amr_wb_bpl_where_published_equals_g113_table_iv_4() -> None:
    assert [codec("AMR-WB", mode=m).bpl_wb for m in (2, 7, 8)] == [4.3, 4.6, 4.9]


def test_amr_narrowband_ie_follows_from_published_delay_bounds() -> None:
    """Greatest delay with R >= 70, without echo or loss: Ie is what Idd leaves of G.711's budget."""

    def idd(ta: float) -> float:
        x = log2(ta / 100)
        return 25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2)

    budget = idd(400)  # G.711
    published = {"G728": 322, "GSM": 210, "GSM-EFR": 342}
    for name, bound_ms in published.items():  # the method gives G.113's own values where it has them
        assert codec(name).ie == pytest.approx(budget - idd(bound_ms), abs=0.1)
    for mode, bound_ms in enumerate([197, 214, 239, 262, 280, 293, 332, 342]):
        assert codec("AMR", mode=mode).ie == pytest.approx(budget - idd(bound_ms), abs=0.55)


def test_every_row_whose_figures_are_not_published_says_so() -> None:
    published = {(name, mode or "") for name, mode, _ in PUBLISHED_IE} & {
        ("PCMU", ""), ("PCMA", ""), ("G729", ""), ("G723", "6.3"), ("GSM-EFR", "")
    }  # fmt: skip
    assert {(row.name, mode) for mode, row in table() if not row.assumed} == published


def test_unknown_name_falls_back_to_assumed_row_under_its_own_name() -> None:
    row = codec("X-MADE-UP", 8000)
    assert row.name == "X-MADE-UP"
    assert row.assumed
    assert (row.ie, row.bpl, row.ie_wb) == (5, 10.0, None)


def test_name_in_any_case_is_the_same_codec() -> None:
    assert codec("opus", 48000) == codec("OPUS", 48000)
    assert codec("pcmu").name == "PCMU"


def test_alias_of_annex_is_the_base_codec() -> None:
    assert codec("G729A").ie == 11
    assert codec("G721") == codec("G726-32")


def test_speex_by_clock_rate_is_narrowband_or_wideband() -> None:
    assert codec("speex", 8000).ie_wb is None
    assert codec("speex", 16000).ie_wb == 13
    assert codec("speex", 32000).clock_rate == 32000


def test_ilbc_without_mode_is_30_ms() -> None:
    assert codec("iLBC").packet_ms == 30
    assert codec("iLBC", 8000, 20).packet_ms == 20


def test_mode_not_stated_is_assumed() -> None:
    assert codec("AMR-WB", 16000).ie_wb == 13
    assert "mode not stated" in codec("AMR-WB", 16000).source


def test_mode_that_the_codec_lacks_counts_as_none() -> None:
    assert codec("AMR", 8000, 15) == codec("AMR", 8000)
    assert codec("PCMU", 8000, 3) == codec("PCMU", 8000)


def test_mode_as_float_text_or_int_is_the_same_mode() -> None:
    assert codec("G723", mode=5.3) == codec("G723", mode="5.3")
    assert codec("iLBC", mode=20.0) == codec("iLBC", mode=20)


def test_clock_rate_of_sdp_replaces_the_rows() -> None:
    assert codec("L16", 44100).clock_rate == 44100
    assert codec("L16", 44100).frame_ticks == 1
    assert codec("G722", 8000).sample_rate == 16000
    assert codec("PCMU", 0).clock_rate == 8000


def test_frame_ticks_of_common_codecs_are_whole() -> None:
    assert [codec(n).frame_ticks for n in ("PCMU", "G729", "GSM", "opus", "AMR-WB")] == [1, 80, 160, 960, 320]


# RFC 3551 table 4: encoding names, clock rates and channels; 9's rate is a historical error (4.5.2).
AUDIO = {
    0: "PCMU/8000/1", 3: "GSM/8000/1", 4: "G723/8000/1", 5: "DVI4/8000/1", 6: "DVI4/16000/1", 7: "LPC/8000/1",
    8: "PCMA/8000/1", 9: "G722/8000/1", 10: "L16/44100/2", 11: "L16/44100/1", 12: "QCELP/8000/1",
    13: "CN/8000/1", 14: "MPA/90000/1", 15: "G728/8000/1", 16: "DVI4/11025/1", 17: "DVI4/22050/1",
    18: "G729/8000/1",
}  # fmt: skip


def test_static_types_of_audio_equal_rfc_3551() -> None:
    types = {number: "/".join(map(str, row[:3])) for number, row in STATIC_TYPES.items() if number < 25}
    # The RFC reserves these two; gateways send G726-32, and comfort noise of before RFC 3389.
    assert types == AUDIO | {2: "G726-32/8000/1", 19: "CN/8000/1"}
    assert not {1, 20, 24, 27, 29, 30, 35, 72, 76, 96} & STATIC_TYPES.keys()
