"""A proxy without its relay, a relay without its proxy: neither publishes a 0 for what passes elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.settings import CarrierSettings, Config, MediaSettings
from agent.sinks.aws.cloudwatch import datums
from agent.sinks.prometheus import Totals
from agent.store.codec import pack, unpack_connectors
from agent.summary.catalog import CALLS, CODES, MEDIA, METRICS
from tests.kit.conversation import ALICE, BEGIN_NS, BOB, VC, Conversation, Heard, sdp

OF_SIP = [metric for metric in METRICS if metric.needs in (CALLS, CODES)]
OF_MEDIA = [metric for metric in METRICS if metric.needs == MEDIA and metric.kind == "count"]
RELAY = "10.0.0.77"


def relayed(talk: Conversation, at: float, seconds: float = 10, port: int = 5000) -> None:
    """A call's RTP between customer, vc and remote end, and nothing of its SIP."""
    for ssrc, (src, dst) in enumerate(
        (
            ((ALICE, 4000), (VC, port)),
            ((VC, port), (ALICE, 4000)),
            ((BOB, 6000), (VC, port + 2)),
            ((VC, port + 2), (BOB, 6000)),
        ),
        port,
    ):
        talk.rtp(at, src, dst, seconds=seconds, ssrc=ssrc)


def relay_host(config: Config | None = None) -> Heard:
    """A minute with a call's media, and an idle one."""
    talk = Conversation(config)
    relayed(talk, 1)
    return talk.play(until=130)


def proxy_host(config: Config | None = None) -> Heard:
    """A minute with a call whose media is elsewhere, and an idle one."""
    talk = Conversation(config)
    leg = talk.leg(ALICE, VC)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    leg.ok(1, sdp=sdp(RELAY, 5000))
    leg.ack(1.1)
    leg.bye(30)
    return talk.play(until=130)


def zeros(heard: Heard, metrics: list[Any]) -> list[tuple[int, str]]:
    return [
        (number, metric.name)
        for number, summary in enumerate(heard.summaries)
        for row in summary.connectors
        for metric in metrics
        if row.values[metric.name] == 0
    ]


def test_relay_host_has_no_zero_of_sip_in_any_minute_and_says_why() -> None:
    heard = relay_host()
    assert len(heard.summaries) >= 2
    assert zeros(heard, OF_SIP) == []
    assert heard.total("CustomerToVcRtpPackets") == 500
    for summary in heard.summaries:
        assert {reason["cause"] for reason in summary.connectors[0].unknown_because} == {
            "signalling_elsewhere"
        }
        assert "calls_active_unknown" not in summary.extras
    lines = heard.pipeline.intervals.unseen.lines()
    assert len(lines) == 1
    assert "SIP" in lines[0]


def test_proxy_host_has_no_zero_of_media_in_any_minute() -> None:
    heard = proxy_host()
    assert zeros(heard, OF_MEDIA) == []
    assert heard.value("OutboundCallFailures", 1) == 0


def test_answer_just_before_the_close_leaves_the_first_minute_of_media_unknown() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(58, sdp=sdp(ALICE, 4000))
    leg.ok(59.5, sdp=sdp(VC, 5000))
    assert zeros(talk.play(until=63.5, finish=False), OF_MEDIA) == []


def test_media_that_counts_nowhere_leaves_sip_unknown_too() -> None:
    assert zeros(relay_host(Config(media=MediaSettings(unsignalled="null"))), OF_SIP) == []


def test_packets_one_way_to_the_vc_prove_no_call() -> None:
    talk = Conversation()
    talk.rtp(6, (BOB, 6000), (VC, 5000))
    assert talk.play(until=70).value("InboundCallAttempts") == 0


def test_media_with_no_vc_known_leaves_sip_codes_unknown() -> None:
    talk = Conversation(vc=(), customers=())
    relayed(talk, 1)
    assert zeros(talk.play(until=70), OF_SIP) == []


def test_one_sip_message_of_the_vc_gives_zeros_to_calls_met_midway() -> None:
    talk = Conversation()
    relayed(talk, 1)
    talk.sip(5, BOB, VC, _options("OPTIONS sip:vc SIP/2.0"))
    talk.sip(5.1, VC, BOB, _options("SIP/2.0 200 OK"))
    heard = talk.play(until=70)
    assert heard.value("OutboundCallAttempts") == 0


def test_scanner_without_an_answer_is_no_signalling_of_the_relay() -> None:
    talk = Conversation()
    relayed(talk, 1)
    talk.sip(5, BOB, VC, _options("OPTIONS sip:vc SIP/2.0"))
    assert zeros(talk.play(until=70), OF_SIP) == []


def test_call_that_begins_unseen_beside_seen_ones_leaves_no_zero_of_its_minute() -> None:
    talk = Conversation()
    talk.sip(5, BOB, VC, _options("OPTIONS sip:vc SIP/2.0"))
    talk.sip(5.1, VC, BOB, _options("SIP/2.0 200 OK"))
    relayed(talk, 190)
    heard = talk.play(until=320)
    by_minute = {minute for minute, _ in zeros(heard, OF_SIP)}
    assert 3 not in by_minute  # nobody saw how it began
    assert {1, 2, 4} <= by_minute  # nothing happened, and that was seen


def test_stranger_s_packets_leave_the_zeros_of_a_proxy_that_speaks() -> None:
    talk = Conversation()
    talk.sip(5, BOB, VC, _options("OPTIONS sip:vc SIP/2.0"))
    talk.sip(5.1, VC, BOB, _options("SIP/2.0 200 OK"))
    talk.rtp(6, (BOB, 6000), (VC, 5000))
    assert talk.play(until=70).value("InboundCallAttempts") == 0


@pytest.mark.parametrize(("host", "metrics"), [(relay_host, OF_SIP), (proxy_host, OF_MEDIA)])
def test_no_sink_publishes_a_zero(host: Any, metrics: list[Any]) -> None:
    heard = host(Config(carriers=[CarrierSettings("bobs", networks=("198.51.100.0/24",))]))
    names = {metric.name for metric in metrics}
    prometheus = {metric.prometheus for metric in metrics}
    live, closed = Totals(live=True), Totals()
    for totals in (live, closed):
        totals.begin(heard.pipeline.intervals.nothing())
    for summary in heard.summaries:
        stored = unpack_connectors(pack(summary.connectors))
        assert [name for row in stored for name in names if row.values[name] == 0] == []
        sent = datums(stored, BEGIN_NS, (("VoiceConnectorId",), ("Region",), ("Carrier",)))
        assert [d["MetricName"] for d in sent if d["MetricName"] in names and d.get("Value") == 0] == []
        assert "VoiceConnectorActiveCallCount" not in {d["MetricName"] for d in sent} or host is proxy_host
        live.add(summary)
        closed.add(summary)
    live.publish(*heard.pipeline.so_far())
    live.refresh = lambda: None  # type: ignore[method-assign]
    for totals in (live, closed):
        families = [*totals.families(), *totals.carriers.families()]
        shown = {
            family.name: [sample.value for sample in family.samples if sample.name.endswith(("_total", "ve"))]
            for family in families
        }
        for name in prometheus:
            assert 0 not in shown.get(name, ()), name
            assert 0 not in shown.get(name.replace("sbcwatch_", "sbcwatch_carrier_"), ()), name
    if host is relay_host:
        assert "sbcwatch_calls_active_unknown" not in shown


def test_open_minute_of_a_relay_shows_no_zero_of_sip() -> None:
    talk = Conversation()
    relayed(talk, 1, 20)
    heard = talk.play(finish=False)
    rows, unknown = heard.pipeline.so_far()
    assert [metric.name for metric in OF_SIP if rows[0].values.get(metric.name) == 0] == []
    assert rows[0].values["CustomerToVcRtpPackets"] == 1000
    assert unknown is None


def _options(first: str) -> str:
    return (
        f"{first}\r\nVia: SIP/2.0/UDP {BOB}:5060;branch=z9hG4bKo\r\nFrom: <sip:a@b>;tag=1\r\n"
        f"To: <sip:vc>{';tag=2' if first[0] == 'S' else ''}\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
