"""A reload or a clock step anywhere in a call: another engine of the process goes on, and nothing is lost."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable

import pytest

from agent.config.settings import CallSettings, Config, Quality
from agent.daemon import checkpoint
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import Samples
from agent.wire.frame import LINK_ETHERNET, STAMP, STRIDE, Batch, Frame, batch_of, origin
from tests.kit.halves import FRAMES, Kept, feed, pipeline_for
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


# Around each stream's first packets, and around every report: there something is under way.
PLACES = sorted(
    {*range(12, 32)}
    | {at + more for at, frame in enumerate(FRAMES[NAME]) if is_rtcp(frame) for more in (0, 1)}
)


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
    frames = FRAMES[NAME]
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


WHOLE = totals(None)


@pytest.mark.parametrize("shift_ns", [0, HOUR_NS, -HOUR_NS], ids=["reload", "an hour ahead", "an hour back"])
def test_move_anywhere_every_count_and_every_round_trip_is_there(shift_ns: int) -> None:
    for cut in PLACES:
        counts, samples = totals(cut, shift_ns)
        assert counts == WHOLE[0], cut
        # Jitter counts packets of parts in which one was known: a part that ends before a report knows none.
        least = {name: count for name, count in WHOLE[1].items() if not name.endswith("Jitter")}
        assert all(samples[name] >= count for name, count in least.items()), cut


def test_reload_with_another_jitter_buffer_takes_the_streams_by_a_snapshot() -> None:
    counts, _ = totals(2_000, config=Config(quality=Quality(jitter_buffer_ms=80.0)))
    assert counts == WHOLE[0]


def played(scene: Scene, cut_s: float, change: Callable[[Pipeline, Pipeline], None] | None) -> Counter[str]:
    """All counts of a scene, whose pipeline changes after `cut_s` seconds."""

    def fresh() -> Pipeline:
        return build(scene.config, vc=scene.vc, customers=scene.customers, key=b"key")

    pipeline, kept, counts = fresh(), Kept(), Counter[str]()
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
    for summary in kept.summaries:
        values = {**summary.connectors[0].values, **summary.connectors[0].seen, **summary.extras}
        counts.update({name: value for name, value in values.items() if isinstance(value, int) and value})
    return counts


def restart(before: Pipeline, after: Pipeline) -> None:
    image = checkpoint.packed(checkpoint.save(before.engine, before.intervals))
    checkpoint.restore(image, after.engine, after.intervals)


@pytest.mark.parametrize("change", [restart, checkpoint.move])
def test_rtcp_of_a_call_that_is_forgotten_counts_after_the_change(
    change: Callable[[Pipeline, Pipeline], None],
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


@pytest.mark.parametrize("change", [restart, checkpoint.move])
def test_rtcp_that_came_before_its_sdp_counts_after_the_change(
    change: Callable[[Pipeline, Pipeline], None],
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


def test_response_that_the_vc_never_asked_for_counts_no_more_after_a_reload() -> None:
    scene = Scene()
    scene.call(1)
    scene.sip(3, "203.0.113.66", VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="z", cseq="7 INVITE")
    scene.sip(5, CUST[0], VC_C, "OPTIONS sip:b SIP/2.0", call_id="o", cseq="1 OPTIONS")
    whole = played(scene, 2, None)
    assert whole["Sip2xxCodes"] == 2
    assert played(scene, 2, checkpoint.move) == whole
