"""A reload or a clock step anywhere in a call: another engine of the process goes on, and nothing is lost."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from agent.config.settings import CallSettings, Config, Quality
from agent.daemon import checkpoint
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import Samples
from agent.wire.frame import LINK_ETHERNET, STAMP, STRIDE, Batch, Frame, batch_of, origin
from tests.kit.halves import Kept, feed, frames_of, pipeline_for
from tests.kit.replayed import sidecar
from tests.kit.scene import (
    CUST,
    PHONE,
    REM,
    REMOTE,
    VC2CUST,
    VC2REM,
    VC_C,
    VC_R,
    Scene,
    block,
    fax,
    ns,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

HOUR_NS = 3_600 * 10**9
NAME = "loss-vc2cust"


def is_rtcp(frame: Frame) -> bool:
    return len(frame.data) > 44 and frame.data[42] >> 6 == 2 and 192 <= frame.data[43] <= 223


def places() -> list[int]:
    """Around each stream's first packets, and around every report: there something is under way."""
    reports = [at for at, frame in enumerate(frames_of(NAME)) if is_rtcp(frame)]
    return sorted({*range(12, 32)} | {at + more for at in reports for more in (0, 1)})


def reloaded(pipeline: Pipeline, kept: Kept, shift_ns: int, config: Config) -> Pipeline:
    """As the daemon does it."""
    side = sidecar(NAME)
    pass_on(pipeline.engine.suspend(), pipeline.intervals, kept)
    fresh = build(config, vc=side["vc"], customers=side["customer_networks"], key=b"key")
    checkpoint.move(pipeline, fresh, shift_ns)
    return fresh


def moved(frames: list[Frame], shift_ns: int) -> Batch:
    batch = batch_of(frames)
    batch.index = array("q", batch.index)
    for at in range(STAMP, len(batch.index), STRIDE):
        batch.index[at] += shift_ns
    return batch


def totals(
    cut: int | None, shift_ns: int = 0, config: Config | None = None
) -> tuple[Counter[str], Counter[str]]:
    """Counts, and how many samples of each kind; `cut`: where the reload comes."""
    frames = frames_of(NAME)
    pipeline, kept = pipeline_for(NAME), Kept()
    if cut is not None:
        feed(pipeline, batch_of(frames[:cut]), kept)
        pipeline = reloaded(pipeline, kept, shift_ns, config or Config())
    feed(pipeline, moved(frames[cut or 0 :], shift_ns), kept)
    # A packet in probation when its part ends counts in the next minute.
    pass_on(pipeline.engine.advance(frames[-1].stamp_ns + shift_ns + 150 * 10**9), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    counts: Counter[str] = Counter()
    samples: Counter[str] = Counter()
    for summary in kept.summaries:
        for name, value in summary.connectors[0].values.items():
            if isinstance(value, Samples):
                samples[name] += int(value.summary()["count"])
            elif value is not None and not name.endswith("Active"):
                counts[name] += value
    return counts, samples


@cache
def whole() -> tuple[Counter[str], Counter[str]]:
    return totals(None)


@pytest.mark.parametrize("shift_ns", [0, HOUR_NS, -HOUR_NS], ids=["reload", "an hour ahead", "an hour back"])
def test_move_anywhere_every_count_and_every_round_trip_is_there(shift_ns: int) -> None:
    for cut in places():
        counts, samples = totals(cut, shift_ns)
        assert counts == whole()[0], cut
        # Jitter counts packets of parts in which one was known: a part that ends before a report knows none.
        least = {name: count for name, count in whole()[1].items() if not name.endswith("Jitter")}
        assert all(samples[name] >= count for name, count in least.items()), cut


def test_reload_with_another_jitter_buffer_takes_the_streams_by_a_snapshot() -> None:
    counts, _ = totals(2_000, config=Config(quality=Quality(jitter_buffer_ms=80.0)))
    assert counts == whole()[0]


Change = Callable[[Pipeline, Pipeline], None]


def kept_of(scene: Scene, cut_s: float, change: Change | None) -> Kept:
    """Everything that is published of a scene, whose pipeline changes after `cut_s` seconds."""

    def fresh() -> Pipeline:
        return build(scene.config, vc=scene.vc, customers=scene.customers, key=b"key")

    pipeline, kept = fresh(), Kept()
    frames = [
        Frame(data, stamp, origin(LINK_ETHERNET, 0), len(data)) for stamp, _, data in sorted(scene.frames)
    ]
    first = [frame for frame in frames if frame.stamp_ns < ns(cut_s)]
    feed(pipeline, batch_of(first), kept)
    if change is not None:
        before, pipeline = pipeline, fresh()
        change(before, pipeline)
    feed(pipeline, batch_of(frames[len(first) :]), kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    return kept


def played(scene: Scene, cut_s: float, change: Change | None) -> Counter[str]:
    """All counts of a scene, whose pipeline changes after `cut_s` seconds."""
    counts = Counter[str]()
    for summary in kept_of(scene, cut_s, change).summaries:
        values = {**summary.connectors[0].values, **summary.connectors[0].seen, **summary.extras}
        counts.update({name: value for name, value in values.items() if isinstance(value, int) and value})
    return counts


def records(scene: Scene, cut_s: float, change: Change | None) -> list[dict[str, Any]]:
    """All records of a scene, without what a restart may lose: round trips, and what follows from them."""
    result = kept_of(scene, cut_s, change).result()
    may_go = ("rtt_", "mos_", "r_", "worst")
    return [
        {name: value for name, value in row.items() if not name.startswith(may_go)}
        for row in (*result["media"], *result["calls"])
    ]


def restart(before: Pipeline, after: Pipeline) -> None:
    image = checkpoint.packed(checkpoint.save(before.engine, before.intervals))
    checkpoint.restore(image, after.engine, after.intervals)


CHANGES = pytest.mark.parametrize("change", [restart, checkpoint.move])
UPDATE = "UPDATE sip:c@b SIP/2.0"


@CHANGES
def test_rtcp_of_a_call_that_is_forgotten_counts_after_the_change(
    change: Change,
) -> None:
    """The call is over and forgotten, the minute of its reports is open."""
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, 1, range(20))
    scene.send(3, odd(VC2CUST), odd(CUST), sender_report(2, 7))
    scene.send(3.1, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(2)))
    scene.bye(6)
    for at in (45, 55):
        scene.sip(at, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id=f"o{at}", cseq="1 OPTIONS")
    whole = played(scene, 50, None)
    assert whole["CustomerToVcRtcpPackets"] == whole["VcToCustomerRtcpPackets"] == 1
    assert played(scene, 50, change) == whole


@CHANGES
def test_rtcp_that_came_before_its_sdp_counts_after_the_change(
    change: Change,
) -> None:
    scene = Scene()
    scene.send(0.5, odd(VC2CUST), odd(CUST), sender_report(2, 7))
    scene.send(0.6, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(2)))
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, 1, range(20))
    whole = played(scene, 0.8, None)
    assert whole["CustomerToVcRtcpPackets"] == whole["VcToCustomerRtcpPackets"] == 1
    assert played(scene, 0.8, change) == whole


def test_answer_from_a_third_address_counts_where_the_vc_takes_it_up_after_a_reload() -> None:
    third, ack = "198.51.100.99", "ACK sip:bob@b.example SIP/2.0"
    scene = Scene(Config(calls=CallSettings(count_at="outgoing")))
    scene.sip(1, CUST[0], VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", body=sdp(CUST))
    scene.sip(1.01, VC_R, REMOTE, "INVITE sip:bob@b.example SIP/2.0", call_id="b", body=sdp(VC2REM))
    scene.sip(1.5, third, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", body=sdp(REM))
    scene.sip(1.7, VC_R, third, ack, call_id="b", to_tag="r", cseq="1 ACK")
    scene.sip(3, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id="o", cseq="1 OPTIONS")
    whole = played(scene, 1.6, None)
    assert sum(whole[f"{way}CallsAnswered"] for way in ("Inbound", "Outbound")) == 1
    assert played(scene, 1.6, checkpoint.move) == whole


def test_socket_keeps_its_first_peer_over_a_reload() -> None:
    """One packet of a stranger is no stream there, as before."""
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, 1, range(20))
    scene.rtp(4, ("203.0.113.66", 4444), VC2CUST, 0x66, range(1))
    scene.bye(6)
    whole = played(scene, 3, None)
    assert "intruder_packets" not in whole
    assert played(scene, 3, checkpoint.move) == whole


def test_stream_that_is_judged_an_intruders_stays_one_over_a_reload() -> None:
    """Media before the answer has no evidence; the next close judges again, and no reload before it."""
    scene = Scene()
    invite = "INVITE sip:bob@b.example SIP/2.0"
    scene.sip(1, CUST[0], VC_C, invite, call_id="a", body=sdp(CUST))
    scene.rtp(2, CUST, VC2CUST, 1, range(3))
    scene.sip(3, VC_C, CUST[0], "SIP/2.0 200 OK", call_id="a", to_tag="c")
    scene.sip(5, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id="o", cseq="1 OPTIONS")
    whole = played(scene, 4, None)
    assert whole["intruder_packets"] == 3
    assert played(scene, 4, checkpoint.move) == whole


def test_late_packets_of_a_call_that_is_over_make_no_new_call_after_a_reload() -> None:
    scene = Scene()
    scene.call(1)
    for at in (2, 25):
        scene.rtp(at, CUST, VC2CUST, 1, range(at * 50, at * 50 + 50))
        scene.rtp(at, VC2CUST, CUST, 2, range(at * 50, at * 50 + 50))
    scene.bye(6)
    whole = played(scene, 50, None)
    assert whole["CustomerToVcRtpPackets"] == whole["VcToCustomerRtpPackets"] == 50
    assert played(scene, 50, checkpoint.move) == whole


@CHANGES
def test_response_that_the_vc_never_asked_for_counts_no_more_after_the_change(change: Change) -> None:
    scene = Scene()
    scene.call(1)
    scene.sip(3, "203.0.113.66", VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="z", cseq="7 INVITE")
    scene.sip(5, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id="o", cseq="1 OPTIONS")
    whole = played(scene, 2, None)
    assert whole["Sip2xxCodes"] == 2
    assert played(scene, 2, change) == whole


@CHANGES
def test_source_that_an_earlier_description_named_stays_named_after_the_change(change: Change) -> None:
    scene = Scene()
    scene.call(1)
    elsewhere = sdp(CUST).replace(f"IN IP4 {CUST[0]}", "IN IP6 ::1")
    scene.sip(2, CUST[0], VC_C, UPDATE, call_id="a", to_tag="c", cseq="3 UPDATE", body=elsewhere)
    scene.rtp(3, CUST, VC2CUST, 1, range(100))
    scene.rtp(3, VC2CUST, CUST, 2, range(100))
    whole = records(scene, 4, None)
    assert all("unexpected_source" not in row["flags"] for row in whole)
    assert records(scene, 4, change) == whole


@CHANGES
@pytest.mark.parametrize("at", [3, 5], ids=["while it runs", "when it is over"])
def test_media_before_a_move_to_other_ports_counts_after_the_change(change: Change, at: float) -> None:
    """Its sockets are named by an earlier description only."""
    scene = Scene()
    scene.call(1)
    cust, vc = (CUST[0], 4400), (VC_C, 5500)
    for src, dst, ssrc in ((CUST, VC2CUST, 1), (VC2CUST, CUST, 2)):
        scene.rtp(2, src, dst, ssrc, range(150))
    scene.again(2.5, sdp(cust), sdp(vc), away=sdp(VC2REM))
    for src, dst, ssrc in ((cust, vc, 1), (vc, cust, 2)):
        scene.rtp(3.5, src, dst, ssrc, range(200, 350))
    whole = played(scene, at, None)
    assert whole["CustomerToVcRtpPackets"] == whole["VcToCustomerRtpPackets"] == 300
    assert played(scene, at, change) == whole
    assert records(scene, at, change) == records(scene, at, None)


@CHANGES
def test_audio_before_a_fax_counts_after_the_change(change: Change) -> None:
    """Both ends say that its socket carries T.38 now."""
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, 1, range(100))
    scene.rtp(2, VC2CUST, CUST, 2, range(100))
    scene.again(5, fax(CUST), fax(VC2CUST), away=fax(VC2REM))
    whole = played(scene, 6, None)
    assert whole["CustomerToVcRtpPackets"] == whole["VcToCustomerRtpPackets"] == 100
    assert played(scene, 6, change) == whole
    assert records(scene, 6, change) == records(scene, 6, None)


@CHANGES
def test_dialog_met_midway_is_no_call_after_the_change_where_the_vc_asks_others(change: Change) -> None:
    """Anybody can send such a request; the vc is known to ask, and never asked its sender."""
    scene = Scene()
    scene.sip(1, VC_R, REMOTE, "ACK sip:bob@b.example SIP/2.0", call_id="b", to_tag="r", cseq="1 ACK")
    invite = "INVITE sip:bob@b.example SIP/2.0"
    scene.sip(4, CUST[0], VC_C, invite, call_id="a", to_tag="c", cseq="2 INVITE", body=sdp(CUST))
    whole = records(scene, 2, None)
    assert not whole
    assert records(scene, 2, change) == whole


@CHANGES
def test_rtcp_of_a_caller_counts_after_the_change_where_the_answer_was_not_captured(change: Change) -> None:
    """The vc reports to him, which says that it has taken him up."""
    scene = Scene()
    scene.sip(1, CUST[0], VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", body=sdp(CUST))
    scene.send(3, odd(VC2CUST), odd(CUST), sender_report(2, 7))
    scene.send(5, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(2)))
    whole = played(scene, 4, None)
    assert whole["CustomerToVcRtcpPackets"] == whole["VcToCustomerRtcpPackets"] == 1
    assert played(scene, 4, change) == whole


@CHANGES
def test_of_two_calls_that_name_a_socket_the_later_description_has_it_after_the_change(
    change: Change,
) -> None:
    """The order in which the calls came up is another."""
    scene = Scene()
    scene.call(1)
    scene.call(
        2, name="2", ours=(sdp((VC_C, 5500)), sdp((VC_R, 6600))), cust=(CUST[0], 4400), rem=(REM[0], 7700)
    )
    scene.sip(
        3,
        VC_C,
        CUST[0],
        UPDATE,
        call_id="a",
        to_tag="c",
        cseq="3 UPDATE",
        swapped=True,
        body=sdp((VC_C, 5500)),
    )
    scene.rtp(4, (CUST[0], 4400), (VC_C, 5500), 1, range(100))
    whole = records(scene, 5, None)
    assert records(scene, 5, change) == whole


def faxed(*, answered: bool) -> Scene:
    """Audio whose codec is the customer's to name, a fax offer, and more audio from another source."""
    scene = Scene()
    scene.call(1, customer=sdp(CUST, types="8 96", more=["a=rtpmap:96 opus/48000/2"]))
    scene.rtp(2, VC2CUST, CUST, 2, range(100), payload_type=96)
    scene.again(3, fax(CUST), fax(VC2CUST), away=fax(VC2REM), refused=not answered)
    scene.rtp(5, VC2CUST, CUST, 3, range(50))
    return scene


@pytest.mark.parametrize("answered", [True, False])
def test_codec_of_audio_stays_known_after_a_fax_offer(answered: bool) -> None:
    scene = faxed(answered=answered)
    scene.frames = [frame for frame in scene.frames if frame[0] < ns(4)]
    assert {row["codec"] for row in records(scene, 3.5, None)} == {"opus"}


@CHANGES
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("at", [4, 5.5, 7])
def test_audio_before_and_after_a_fax_is_the_same_after_the_change(
    change: Change, answered: bool, at: float
) -> None:
    """Only a stream that began before it is the call's, where the fax was accepted."""
    scene = faxed(answered=answered)
    whole = played(scene, at, None)
    assert ("orphan_packets" in whole) is answered
    assert played(scene, at, change) == whole
    assert records(scene, at, change) == records(scene, at, None)


@CHANGES
def test_message_of_two_legs_with_its_tags_is_the_same_ones_after_the_change(change: Change) -> None:
    """An answer with a broken From tag is a dialog of its own, which comes up before the call does."""
    invite, link = "INVITE sip:bob@b.example SIP/2.0", ["X-Call-ID: call"]
    scene = Scene()
    scene.sip(0.9, CUST[0], VC_C, invite, call_id="a", body=sdp(CUST), headers=link)
    scene.sip(1, VC_R, REMOTE, invite, call_id="b", body=sdp(VC2REM), headers=link)
    scene.sip(1.1, REMOTE, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", body=sdp(REM))
    stamp, interface, frame = scene.frames[-1]
    scene.frames[-1] = stamp, interface, frame.replace(b";tag=from-b", b";tag=zrom-b")
    scene.sip(2, VC_R, REMOTE, "ACK sip:bob@b.example SIP/2.0", call_id="b", to_tag="r", cseq="1 ACK")
    whole = records(scene, 1.5, None)
    assert records(scene, 1.5, change) == whole


@CHANGES
def test_call_in_a_queue_is_joined_by_nobody_after_the_change_where_it_may_be_bridged(change: Change) -> None:
    """An outgoing leg that joined nothing began before the answer: it may have been the one that answered."""
    invite, ok = "INVITE sip:bob@b.example SIP/2.0", "SIP/2.0 200 OK"
    scene = Scene()
    scene.sip(1, CUST[0], VC_C, invite, call_id="a", body=sdp(CUST))
    scene.sip(8, VC_R, REMOTE, invite, call_id="x", body=sdp(VC2REM))
    scene.frames[-1] = (*scene.frames[-1][:2], scene.frames[-1][2].replace(b"alice", b"carol"))
    scene.sip(9, VC_C, CUST[0], ok, call_id="a", to_tag="c", body=sdp(VC2CUST))
    scene.sip(30, VC_R, REMOTE, invite, call_id="b", body=sdp(VC2REM))
    whole = records(scene, 20, None)
    assert sorted(len(row["call_ids"]) for row in whole if "call_ids" in row) == [1, 1, 1]
    assert records(scene, 20, change) == whole


@CHANGES
def test_call_joins_no_recording_session_after_the_change(change: Change) -> None:
    invite = "INVITE sip:bob@b.example SIP/2.0"
    scene = Scene()
    scene.sip(1, CUST[0], VC_C, invite, call_id="a", body=sdp(CUST), headers=["Require: siprec"])
    scene.sip(2, VC_R, REMOTE, invite, call_id="b", body=sdp(VC2REM))
    scene.sip(3, REMOTE, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", body=sdp(REM))
    whole = records(scene, 1.5, None)
    assert ["b"] in [row.get("call_ids") for row in whole]
    assert records(scene, 1.5, change) == whole
