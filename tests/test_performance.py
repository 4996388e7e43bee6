"""A guard against getting slower: ratios to a calibrated loop in this process, never absolute times.

The yardstick is a loop of plain Python over integers and a dict, timed just before and after what it judges,
on the same core and under the same load. Bounds are some twice what was measured (docs/performance.md), so
that they fail when something is lost and not when a machine is another. Each figure is the best of several.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable

import pytest

from agent.capture.files.pcapfile import open_capture
from agent.capture.live import ring_cy
from agent.config.settings import Config
from agent.media.rtp.loop_cy import STOP_END, Loop
from agent.media.rtp.stream_row import StreamRow
from agent.pipeline import build, pass_on
from agent.summary.records import Summary
from agent.wire.frame import Batch
from tests.kit import generate
from tests.kit.loop_traffic import FOREVER, Traffic, walk

pytestmark = pytest.mark.skipif(not ring_cy.COMPILED, reason="uncompiled, the loop is slow and says so")
ROUNDS = 5


def yardstick() -> float:
    """CPU nanoseconds of one step of plain Python."""
    steps, seen = 200_000, {}
    began = time.process_time()
    for number in range(steps):
        seen[number & 1023] = number ^ 0x5A5A
    return (time.process_time() - began) * 1e9 / steps


def ratio(action: Callable[[], float]) -> float:
    """The least of `action`'s nanoseconds over the least of the yardstick's, taking turns."""
    gc.collect()
    ours, yard = [], []
    for _ in range(ROUNDS):
        yard.append(yardstick())
        ours.append(action())
    yard.append(yardstick())
    return min(ours) / min(yard)


class Nothing:
    """A keeper that keeps nothing."""

    def commit(self, summary: Summary) -> None: ...

    def messages(self, rows: list[dict[str, object]]) -> None: ...


def steady(streams: int, packets: int) -> Callable[[], float]:
    """Nanoseconds a packet of streams that are known already."""
    traffic, loop = Traffic(streams, packets), Loop(max_streams=max(200_000, streams))
    walk(loop, traffic)

    def once() -> float:
        traffic.lap()
        return walk(loop, traffic) * 1e9 / len(traffic)

    return once


def test_packet_in_the_loop_costs_no_more_than_a_few_steps_of_python() -> None:
    assert ratio(steady(1000, 50_000)) < 3.5


def test_packet_among_many_streams_costs_less_than_three_times_one_among_few() -> None:
    few, many = steady(500, 60_000), steady(20_000, 60_000)
    few_ns, many_ns = zip(*((few(), many()) for _ in range(ROUNDS)), strict=True)
    assert min(many_ns) < 3 * min(few_ns)


def test_packet_of_a_file_costs_no_more_than_a_few_steps_from_disk_to_counters(tmp_path) -> None:
    path = tmp_path / "calls.pcap"
    frames = generate.write(path, calls=20, seconds=100.0, loss=0.01)

    def once() -> float:
        loop = Loop()
        began = time.process_time()
        for batch, _ in open_capture(str(path)):
            position = 0
            while position < len(batch):
                position = loop.walk(batch.data, batch.index, position, FOREVER)
                position += loop.stopped == 2  # SIP: not the loop's
                if loop.stopped == STOP_END:
                    break
        return (time.process_time() - began) * 1e9 / frames

    assert ratio(once) < 3.5


def test_calls_of_a_file_cost_no_more_than_thousands_of_steps_each(tmp_path) -> None:
    """Everything that is Python: SIP, SDP, joining, streams, the minute's records."""
    path, calls = tmp_path / "calls.pcap", 300
    generate.write(path, calls, seconds=0.1, loss=0.0)

    def once() -> float:
        pipeline = build(Config(), vc=[generate.VC])
        keeper = Nothing()
        began = time.process_time()
        for batch, now_ns in open_capture(str(path)):
            events = pipeline.engine.feed(batch) + pipeline.engine.advance(now_ns)
            pass_on(events, pipeline.intervals, keeper)
        pass_on(pipeline.engine.finish(), pipeline.intervals, keeper)
        return (time.process_time() - began) * 1e9 / calls

    assert ratio(once) < 16_000


def test_stream_takes_no_more_than_its_row_and_its_object() -> None:
    """Python's own objects of a stream; the loop's row is 704 bytes by its layout, slots of 10 s included."""
    traffic = Traffic(5000, 15_000, 0.0)
    assert ctypes.sizeof(StreamRow) == 704
    pipeline = build(Config(), vc=["192.168.0.1"])
    gc.collect()
    before = sys.getallocatedblocks()
    pipeline.engine.feed(Batch(traffic.data, traffic.index))
    blocks = (sys.getallocatedblocks() - before) / 5000
    assert blocks < 6.5  # objects a stream, addresses, sockets and table entries included
