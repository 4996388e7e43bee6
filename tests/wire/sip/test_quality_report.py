"""The far end's own figures: RFC 6035 reports, and the statistics headers as vendors publish them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire import sip
from agent.wire.sip import quality_report

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "sip"


def report(*lines: str) -> quality_report.QualityReport:
    found = quality_report.parse("\r\n".join(["VQSessionReport: CallTerm", *lines]).encode())
    assert found is not None
    return found


def test_session_report_of_a_phone_field_by_field():
    message = sip.parse((CORPUS / "torture-vqreport.sip").read_bytes())
    assert message.content_type == quality_report.CONTENT_TYPE
    found = quality_report.parse(message.body)
    assert found is not None
    assert (found.kind, found.final, found.call_id) == ("session", True, "b4d42387@pbx")
    assert found.dialog == ("b4d42387@pbx", "1094356377", "ugyisema34")
    assert found.local_addr == quality_report.ReportedSocket("192.0.2.10", 60696, 0x2769A169)
    assert found.remote_addr == quality_report.ReportedSocket("192.0.2.20", 50086, 0x87F33D64)
    local, remote = found.local, found.remote
    assert local is not None
    assert remote is not None
    assert (local.payload_type, local.codec, local.clock_rate) == (0, "PCMU", 8000)
    assert (local.loss_ratio, local.discard_ratio) == (0.025, 0.005)
    assert (local.round_trip_ms, local.end_system_ms, local.jitter_ms) == (34, 0, 1)
    assert (local.mos_lq, local.mos_cq, local.gmin) == (4.1, 3.9, 16)
    assert (local.buffer_nominal_ms, local.buffer_max_ms) == (39, 40)
    assert (local.start, local.stop) == ("2000-01-04T08:12:27Z", "2000-01-04T08:12:48Z")
    assert (remote.loss_ratio, remote.mos_lq, remote.r_cq, remote.codec) == (0, 4.1, None, "")


def test_report_kinds_and_the_alert_spelling_of_metrics():
    for text, kind, final in (
        (b"VQIntervalReport\r\nLocalMetrics:\r\n", "interval", False),
        (b"VQAlertReport: Type=NLR Severity=Critical Dir=local\r\nMetrics:\r\n", "alert", False),
        (b"\r\nVQSessionReport : CallTerm\nLocalMetrics:\n", "session", True),
    ):
        found = quality_report.parse(text)
        assert found is not None
        assert (found.kind, found.final, found.local) == (kind, final, quality_report.Metrics())


def test_metrics_without_heading_are_the_local_ones():
    assert report("QualityEst:MOSLQ=4.4 MOSCQ=4.3").local == quality_report.Metrics(mos_lq=4.4, mos_cq=4.3)


@pytest.mark.parametrize(
    "line",
    [
        "QualityEst:MOSLQ=127 MOSCQ=0.0",
        "PacketLoss:NLR=-1 JDR=101",
        "Delay:RTD= IAJ=x",
        "Signal:SL=127 NL=127",
        "x",
    ],
)
def test_values_that_say_unknown_are_none(line):
    assert report("LocalMetrics:", line).local == quality_report.Metrics()


def test_quoted_value_with_blanks_is_one_value():
    local = report('SessionDesc:PT=18 FMTP="a; NLR=9" PD=G729').local
    assert local is not None
    assert (local.payload_type, local.codec) == (18, "G729")


def test_call_id_is_taken_from_the_dialog_where_it_is_missing():
    assert report("DialogID:a@b;to-tag=1;from-tag=2").call_id == "a@b"


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"v=0\r\n", b"VQOther: x"])
def test_other_bodies_are_no_report(data):
    assert quality_report.parse(data) is None


def test_header_of_audiocodes():
    message = sip.parse((CORPUS / "torture-rtpstat.sip").read_bytes())
    assert quality_report.rtp_stat(message.header("X-RTP-Stat") or "") == quality_report.RtpStat(
        packets_sent=207,
        octets_sent=49680,
        packets_received=314,
        octets_received=50240,
        packets_lost=0,
        jitter=600,
        latency_ms=40,
    )


def test_header_of_cisco():
    assert quality_report.rtp_stat(
        "PS=300,OS=48000,PR=365,OR=58400,PL=2,JI=3,LA=70,DU=7"
    ) == quality_report.RtpStat(
        packets_sent=300,
        octets_sent=48000,
        packets_received=365,
        octets_received=58400,
        packets_lost=2,
        jitter=3,
        latency_ms=70,
        duration_s=7,
    )


def test_header_of_poly():
    stat = quality_report.rtp_stat(
        "PS=1234,OS=34560,PR=1236,OR=24720,JI=1,DU=1230,PL=0,EN=G711U,DE=G711U,MOS=4.0"
    )
    assert stat is not None
    assert (stat.encoder, stat.decoder, stat.mos, stat.jitter_in_ticks) == ("G711U", "G711U", 4.0, False)


def test_header_of_baresip_has_pairs_and_ticks():
    stat = quality_report.rtp_stat(
        "EX=BareSip;CS=0;CD=10;PR=498;PS=499;PL=1,3;PD=0,0;JI=9.6,0.5;IP=192.0.2.1:4000,192.0.2.2:5000;"
        "EN=PCMU/8000;DE=PCMA/8000"
    )
    assert stat == quality_report.RtpStat(
        packets_sent=499,
        packets_received=498,
        packets_lost=1,
        packets_lost_sent=3,
        packets_discarded=0,
        jitter=9.6,
        jitter_sent=0.5,
        jitter_in_ticks=True,
        duration_s=10,
        encoder="PCMU/8000",
        decoder="PCMA/8000",
    )


def test_header_with_long_names_has_microseconds_of_round_trip():
    stat = quality_report.rtp_stat(
        "MOS=3.8;Jitter=7;PacketLossPct=1;RTT=260682;RTPStat=RTP: 258452 bytes, 1509 packets"
    )
    assert stat == quality_report.RtpStat(mos=3.8, jitter=7, loss_ratio=0.01, round_trip_ms=260.682)


def test_header_of_avm_counts_in_thousands():
    stat = quality_report.rtp_stat("CS=0;PS=1050;ES=1056;OS=196k;PR=1048;ER=1056;OR=167680;PL=0,0;JI=11,1")
    assert stat is not None
    assert (stat.octets_sent, stat.octets_received, stat.jitter, stat.jitter_sent) == (196000, 167680, 11, 1)


@pytest.mark.parametrize("value", ["", "hello", "PS=x,PR=-1", ";;;,,,", "="])
def test_header_with_nothing_known_is_none(value):
    assert quality_report.rtp_stat(value) is None


@given(st.text(max_size=200), st.binary(max_size=200))
def test_any_text_gives_figures_or_none(text, data):
    quality_report.rtp_stat(text)
    quality_report.rtp_stat("PS=" + text)
    quality_report.parse(data)
    quality_report.parse(b"VQSessionReport\n" + data)
    quality_report.parse(
        ("VQSessionReport\nLocalAddr:IP=" + text + "\nQualityEst:MOSLQ=" + text).encode("utf-8", "replace")
    )


def test_report_of_64_kib_on_one_line_ends():
    assert report("QualityEst:" + "a" * 65_000, "PacketLoss:NLR=1").local == quality_report.Metrics(
        loss_ratio=0.01
    )
