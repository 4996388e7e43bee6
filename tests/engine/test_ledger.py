"""What was not seen is told with its cause, and nothing that was sent is neither counted nor told."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import pytest

from agent.config.settings import Config, Limits
from agent.model.unseen import Cause
from agent.pipeline import build, pass_on
from agent.summary.records import Summary
from agent.summary.unseen import ADVICE, NOT_READ
from agent.wire.frame import LINK_ETHERNET, CaptureDrop, Frame, batch_of, origin
from tests.kit.scene import CUST, REM, REMOTE, VC2CUST, VC2REM, VC_R, Scene, ns, sdp, udp

STRANGER = "203.0.113.66"


class Kept:
    def __init__(self) -> None:
        self.summaries: list[Summary] = []

    def messages(self, rows: list[dict[str, Any]]) -> None:
        """The log is written elsewhere."""

    def commit(self, summary: Summary) -> None:
        self.summaries.append(summary)


def because(summaries: list[Summary]) -> Counter[str]:
    """Causes, with the frames of each."""
    found: Counter[str] = Counter()
    for summary in summaries:
        for row in summary.connectors[0].unknown_because:
            found[row["cause"]] += row["count"] or 0
    return found


def test_every_cause_has_words_and_somebody_who_emits_it() -> None:
    assert set(ADVICE) == set(Cause)
    assert set(Cause) >= NOT_READ


def invite(number: int) -> bytes:
    text = (
        f"INVITE sip:{number}@b.example SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{number}\r\n"
        f"From: <sip:a@a>;tag={number}\r\nTo: <sip:{number}@b.example>\r\nCall-ID: i{number}\r\n"
        "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    return udp((STRANGER, 5060), (VC_R, 5060), text.encode())


@pytest.mark.parametrize("count", [0, 500, 5_000])
def test_sip_above_a_sources_budget_is_counted_or_told(count: int) -> None:
    pipeline = build(Config(), vc=[VC_R], customers=["192.0.2.0/24"], key=b"k", live=True)
    kept = Kept()
    frames = [
        Frame(data, ns(1 + number / 1e4), origin(LINK_ETHERNET, 0), len(data))
        for number in range(count)
        for data in (invite(number),)
    ]
    for start in range(0, count, 64):
        pass_on(pipeline.engine.feed(batch_of(frames[start : start + 64])), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    values = [summary.connectors[0].values["InboundCallAttempts"] for summary in kept.summaries]
    attempts = sum(value for value in values if isinstance(value, int))
    told = because(kept.summaries)["shed"]
    assert attempts + told == count
    assert (told > 0) == (count > Limits().sip_budget)
    assert pipeline.intervals.unseen.counters().get("shed_frames", 0) == told


def test_calls_that_were_pushed_out_are_told() -> None:
    """Their attempts are counted; how they would have ended is not known."""
    config = Config(limits=Limits(max_calls=100, sip_budget=0))
    pipeline = build(config, vc=[VC_R], customers=["192.0.2.0/24"], key=b"k")
    kept = Kept()
    frames = []
    for number in range(1_000):
        data = invite(number)
        frames.append(Frame(data, ns(1 + number / 1e3), origin(LINK_ETHERNET, 0), len(data)))
    pass_on(pipeline.engine.feed(batch_of(frames)), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    assert kept.summaries[0].connectors[0].values["InboundCallAttempts"] == 1_000
    assert because(kept.summaries) == {"evicted": 0}
    lines = pipeline.intervals.unseen.lines()
    assert any("900 calls" in line for line in lines)


def stream(scene: Scene, kind: str, count: int) -> None:
    """`count` packets of strangers, besides the real call's."""
    for number in range(count):
        ssrc, seq, port, dst = 0x66, number, 4444, VC2REM
        if kind == "many ssrcs":
            ssrc, seq = 0x1000 + number // 2, number % 2
        elif kind == "many sources":
            port, seq = 1024 + number // 2, number % 2
        elif kind == "other port":
            dst = (VC_R, 9000)
        head = struct.pack(">BBHII", 0x80, 8, seq, number * 160, ssrc)
        scene.send(3 + number / 200, (STRANGER, port), dst, head + bytes(160))


@pytest.mark.parametrize("kind", ["one stream", "many ssrcs", "many sources", "other port"])
@pytest.mark.parametrize("count", [10, 400])
def test_every_rtp_packet_is_counted_or_told(kind: str, count: int) -> None:
    scene = Scene()
    scene.call(1)
    for src, dst, ssrc in ((CUST, VC2CUST, 1), (VC2CUST, CUST, 2), (REM, VC2REM, 2), (VC2REM, REM, 1)):
        scene.rtp(2, src, dst, ssrc, range(250))
    stream(scene, kind, count)
    scene.bye(8)
    (first, *_) = scene.play(until=180).summaries
    ways = ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
    values = {way: first.connectors[0].values[f"{way}RtpPackets"] for way in ways}
    told = first.extras.get("intruder_packets", 0) + first.extras.get("orphan_packets", 0)
    assert told == count
    # One stream of 400 that runs one way may be a call's whose SDP was not seen.
    unknown = kind == "other port"
    assert values == {way: None if unknown and way == "RemoteToVc" else 250 for way in ways}


@pytest.mark.parametrize("cause", [Cause.CAPTURE_DROPS, Cause.INTERFACE_DOWN])
def test_what_the_capture_dropped_is_told_and_no_failed_call(cause: Cause) -> None:
    """An INVITE whose answer may lie in the gap."""
    scene = Scene()
    how: dict[str, Any] = {"call_id": "a", "cseq": "1 INVITE"}
    scene.sip(1, CUST[0], VC2CUST[0], "INVITE sip:bob@b.example SIP/2.0", body=sdp(CUST), **how)
    scene.losses.append(CaptureDrop(ns(2), ns(3), 100 if cause is Cause.CAPTURE_DROPS else None))
    played = scene.play(until=180)
    assert because(played.summaries) == {cause: 100 if cause is Cause.CAPTURE_DROPS else 0}
    assert all(value in (0, None) for value in played.metric("OutboundCallFailures"))


def test_message_of_a_peer_above_its_bound_stops_what_rests_on_silence() -> None:
    pipeline = build(Config(), vc=[VC_R], customers=["192.0.2.0/24"], key=b"k")
    engine = pipeline.engine
    scene = Scene()
    how: dict[str, Any] = {"call_id": "b", "cseq": "1 INVITE"}
    scene.sip(1, VC_R, REMOTE, "INVITE sip:bob@b.example SIP/2.0", body=sdp(VC2REM), **how)
    stamp, interface, data = scene.frames[0]
    engine.feed(batch_of([Frame(data, stamp, origin(LINK_ETHERNET, interface), len(data))]))
    assert not engine.missed.spans
    engine.intake.counters["unseen_oversized"] += 1
    engine.feed(batch_of([Frame(data, stamp + 10**9, origin(LINK_ETHERNET, interface), len(data))]))
    assert engine.missed.spans == [(stamp + 10**9,) * 2]
