"""A checkpoint anywhere changes no total: what went before it, and what came after, add up to the whole."""

from __future__ import annotations

import copy
import pickle
import zlib
from array import array
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.daemon import checkpoint
from agent.media.rtp.loop_cy import Loop
from agent.pipeline import Pipeline, pass_on
from agent.wire.frame import STAMP, STRIDE, batch_of
from tests.kit.halves import CAPTURES, Kept, feed, frames_of, pipeline_for, whole
from tests.kit.replayed import sidecar


def waiting(pipeline: Pipeline) -> bool:
    """Whether the loop has a stream's first packet, and no second one."""
    assert isinstance(pipeline.engine.loop, Loop)
    return bool(pipeline.engine.loop.candidates)


def moved(pipeline: Pipeline, name: str, shift_ns: int = 0) -> Pipeline:
    """The same, saved and taken up by another."""
    image = checkpoint.packed(checkpoint.save(pipeline.engine, pipeline.intervals))
    fresh = pipeline_for(name)
    checkpoint.restore(image, fresh.engine, fresh.intervals, shift_ns=shift_ns)
    return fresh


@pytest.mark.parametrize("name", CAPTURES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_restored_anywhere_every_total_is_the_same(name: str, data: st.DataObject) -> None:
    frames = frames_of(name)
    cuts = data.draw(st.lists(st.integers(0, len(frames)), min_size=1, max_size=3).map(sorted))
    pipeline, kept = pipeline_for(name), Kept()
    fed = 0
    for cut in [*cuts, len(frames)]:
        while fed < len(frames) and (fed < cut or waiting(pipeline)):
            # A stream's first packet alone is not saved: its second would have to be in sequence with it.
            end = cut if fed < cut else fed + 1
            feed(pipeline, batch_of(frames[fed:end]), kept)
            fed = end
        if fed < len(frames):
            pipeline = moved(pipeline, name)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    got, expected = kept.result(), copy.deepcopy(whole(name))
    # A sender report that left before the restart meets no block after it: a round trip may be missing.
    for part in (got, expected):
        for row in part["media"]:
            for key in [key for key in row if key.startswith(("rtt_", "mos_", "r_", "worst"))]:
                row.pop(key)
        for _, _, values in part["minutes"]:
            for key in [key for key in values if key.startswith(("RTT", "MOS"))]:
                values.pop(key)
    assert got == expected


def test_media_without_signalling_goes_on_after_a_restart() -> None:
    name = "loss-vc2cust"
    frames = [frame for frame in frames_of(name) if b"SIP/2.0" not in bytes(frame.data)]
    results = []
    for cuts in ([], [len(frames) // 3, len(frames) // 2]):
        pipeline, kept, fed = pipeline_for(name), Kept(), 0
        for cut in [*cuts, len(frames)]:
            while fed < cut or (waiting(pipeline) and fed < len(frames)):
                feed(pipeline, batch_of(frames[fed : max(cut, fed + 1)]), kept)
                fed = max(cut, fed + 1)
            if cut < len(frames):
                pipeline = moved(pipeline, name)
        pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
        assert len(pipeline.engine.media.unsignalled) == 2
        results.append(kept.result())
    whole, parts = results
    assert {tuple(row["flags"]) for row in whole["media"]} >= {("unsignalled",)}
    assert len(whole["media"]) == len(parts["media"])
    for (_, _, values), (_, _, again) in zip(whole["minutes"], parts["minutes"], strict=True):
        assert values["CustomerToVcRtpPackets"] > 0
        for metric in values:
            if not metric.startswith(("RTT", "MOS")):
                assert (metric, again[metric]) == (metric, values[metric])


def test_checkpoint_saved_twice_without_news_is_the_same() -> None:
    pipeline, kept = pipeline_for("twenty-inbound"), Kept()
    feed(pipeline, batch_of(frames_of("twenty-inbound")[:4000]), kept)
    first = checkpoint.save(pipeline.engine, pipeline.intervals)
    assert checkpoint.save(pipeline.engine, pipeline.intervals) == first


def test_clock_set_an_hour_forward_calls_go_on_and_totals_stay() -> None:
    name, hour_ns = "loss-vc2cust", 3_600_000_000_000
    frames = frames_of(name)
    pipeline, kept = pipeline_for(name), Kept()
    feed(pipeline, batch_of(frames[:2000]), kept)
    pass_on(pipeline.engine.suspend(), pipeline.intervals, kept)
    pipeline = moved(pipeline, name, hour_ns)
    rest = batch_of(frames[2000:])
    rest.index = array("q", rest.index)
    for at in range(STAMP, len(rest.index), STRIDE):
        rest.index[at] += hour_ns
    feed(pipeline, rest, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    values: dict[str, int] = {}
    for summary in kept.summaries:
        for metric, value in summary.connectors[0].values.items():
            if isinstance(value, int):
                values[metric] = values.get(metric, 0) + value
    truth = sidecar(name)["truth"]
    assert values["InboundCallAttempts"] == values["InboundCallsAnswered"] == 1
    assert values["VcToCustomerPacketsLost"] == truth["rtp"]["vc2cust"]["dropped"]
    assert values["CustomerToVcRtpPackets"] == truth["rtp"]["cust2vc"]["packets"]
    assert values["CustomerToVcPacketsLost"] == 0


@pytest.mark.parametrize(
    "damaged",
    [b"", b"nonsense", zlib.compress(b"nonsense"), zlib.compress(pickle.dumps(("a", "tuple")))],
    ids=["empty", "garbage", "not a pickle", "another tuple"],
)
def test_damaged_checkpoint_is_unreadable_and_says_so(damaged: bytes) -> None:
    fresh = pipeline_for("loss-vc2cust")
    with pytest.raises(checkpoint.Unreadable):
        checkpoint.restore(damaged, fresh.engine, fresh.intervals)


def test_truncated_checkpoint_is_unreadable_at_every_length() -> None:
    pipeline, kept = pipeline_for("short-outbound"), Kept()
    feed(pipeline, batch_of(frames_of("short-outbound")[:100]), kept)
    image = checkpoint.save(pipeline.engine, pipeline.intervals)
    for length in range(0, len(image), 97):
        fresh = pipeline_for("short-outbound")
        with pytest.raises(checkpoint.Unreadable):
            checkpoint.restore(zlib.compress(image[:length]), fresh.engine, fresh.intervals)


def test_code_in_a_checkpoint_is_never_run() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("run",)

    fresh = pipeline_for("short-outbound")
    with pytest.raises(checkpoint.Unreadable, match="no place in a checkpoint"):
        checkpoint.restore(zlib.compress(pickle.dumps(Evil())), fresh.engine, fresh.intervals)


def test_another_versions_checkpoint_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = pipeline_for("short-outbound")
    image = checkpoint.packed(checkpoint.save(pipeline.engine, pipeline.intervals))
    monkeypatch.setattr(checkpoint, "STAMP", checkpoint.STAMP ^ 1)
    fresh = pipeline_for("short-outbound")
    with pytest.raises(checkpoint.Unreadable, match="another version"):
        checkpoint.restore(image, fresh.engine, fresh.intervals)


def test_streams_whose_minute_waits_for_its_close_are_taken_up() -> None:
    """A call that ends within the open minute has given out its streams' minutes already."""
    name, results = "short-outbound", []
    for interrupted in (False, True):
        pipeline, kept = pipeline_for(name), Kept()
        feed(pipeline, batch_of(frames_of(name)), kept)
        pass_on(pipeline.engine.advance(frames_of(name)[-1].stamp_ns + 10**10), pipeline.intervals, kept)
        if interrupted:
            pipeline = moved(pipeline, name)
        pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
        results.append(kept.result())
    assert results[0] == results[1]


def test_gauges_of_a_minute_that_waits_for_its_close_are_those_of_its_end() -> None:
    """Nineteen of the twenty calls hang up between the minute's end and its close."""
    name = "twenty-inbound"
    pipeline, kept = pipeline_for(name), Kept()
    feed(pipeline, batch_of(frames_of(name)[:18_742]), kept)
    pipeline = moved(pipeline, name)
    feed(pipeline, batch_of(frames_of(name)[18_742:]), kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    assert kept.result()["minutes"][0][2]["InboundCallsActive"] == 20
