"""A reload or a clock step anywhere in a call: another engine of the process goes on, and nothing is lost."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest

from agent.config.settings import Config, Quality
from agent.daemon import checkpoint
from agent.pipeline import Pipeline, build, pass_on
from agent.summary.records import Samples
from agent.wire.frame import STAMP, STRIDE, Batch, Frame, batch_of
from tests.kit.halves import FRAMES, Kept, feed, pipeline_for
from tests.kit.replayed import sidecar

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
