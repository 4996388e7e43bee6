"""Capture threads before the engine: the numbers of one thread, and nothing lost where either waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from agent.capture.clock import Clock
from agent.commands import replay
from agent.config.settings import Config
from agent.daemon import host
from agent.daemon.capture_threads import CaptureThreads
from agent.errors import CaptureError
from agent.pipeline import Pipeline, build, pass_on
from agent.wire.frame import Batch, CaptureDrop, Frame, batch_of
from agent.wire.ip import decoder_cy
from tests.cases.field_calls import FAR, NEAR_C, NEAR_R, PHONE, VC_C, VC_R, Call
from tests.cases.packets import Stamped
from tests.kit import packets
from tests.kit.loop_tap import T0, WIRE, ethernet, rtp
from tests.kit.replayed import PCAPS, Keeper, scenario, sidecar

SLICE_NS = 20_000_000
MS = 1_000_000
SECOND = 1_000_000_000
WAIT_S = 20.0


class Hands:
    """A clock that stands where the frames are, and may be set."""

    def __init__(self, now_ns: int = T0) -> None:
        self.now_ns, self.set_ns = now_ns, 0

    def clock(self) -> Clock:
        return Clock(lambda: self.now_ns + self.set_ns, lambda: self.now_ns)


def when(number: int, event: threading.Event) -> Callable[[int], None]:
    """Sets the event before the batch of this number, and before each later one."""

    def before(given: int) -> None:
        if given >= number:
            event.set()

    return before


class Slices:
    """A live source that gives these batches; `before` is called with the number of each."""

    def __init__(
        self, slices: list[tuple[Batch, int]], before: Callable[[int], object] = lambda number: None
    ) -> None:
        self.slices, self.before = slices, before
        self.frames = self.bytes = 0
        self.drops: int | None = 0
        self.closed = False

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        for number, (batch, now_ns) in enumerate(self.slices):
            self.before(number)
            self.frames += len(batch)
            yield batch, now_ns

    def close(self) -> None:
        self.closed = True


def one(at_ns: int, payload: bytes, **addressing: Any) -> Frame:
    data = ethernet(payload, **addressing)
    return Frame(data, at_ns, WIRE, len(data))


def voice(numbers: range, start_ns: int = T0) -> list[Frame]:
    return [one(start_ns + number * 20 * MS, rtp(number)) for number in numbers]


def request(at_ns: int) -> Frame:
    text = (
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
        b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    return one(at_ns, text, src_port=5060, dst_port=5060)


def started(source: CaptureThreads, at_ns: int = T0) -> Pipeline:
    pipeline = build(Config(), vc=["198.51.100.9"], locks=source.locks)
    pipeline.engine.begin(at_ns)
    source.serve(pipeline.engine.workers)
    return pipeline


def packets_of(pipeline: Pipeline) -> int:
    """RTP packets counted in minutes that are still open."""
    return sum(its.packets for its in pipeline.engine.workers.harvest_all(T0))


# -- the numbers


def sliced(name: str, workers: int) -> tuple[list[Slices], int]:
    """A scenario's frames as so many capture threads would be given them, and its first stamp."""
    by_lane: list[dict[int, list[Frame]]] = [{} for _ in range(workers)]
    first_ns = last_ns = 0
    for batch, _ in replay.open_files([str(PCAPS / file) for file in sidecar(name)["files"]], Config()):
        for position, frame in enumerate(batch.frames()):
            offset, captured, _, stamp_ns, origin = batch.index[position * 5 : position * 5 + 5]
            packet = decoder_cy.packet(batch.data, offset, captured, stamp_ns, origin)
            worker = sum(packet.src.encode() + packet.dst.encode()) % workers  # the same both ways
            by_lane[worker].setdefault(frame.stamp_ns // SLICE_NS, []).append(frame)
            first_ns, last_ns = first_ns or frame.stamp_ns, frame.stamp_ns
    times = range(first_ns // SLICE_NS, last_ns // SLICE_NS + 1)
    return [
        Slices([(batch_of(slices.get(at, [])), (at + 1) * SLICE_NS - 1) for at in times])
        for slices in by_lane
    ], first_ns


def played(
    sources: list[Slices], first_ns: int, vc: list[str], customers: list[str]
) -> tuple[Pipeline, Keeper]:
    """Everything that the threads are given, to the end."""
    source = CaptureThreads(sources, Hands(first_ns).clock(), lead_ns=0)
    key, name = replay.host_key(), host.name()
    pipeline = build(Config(), vc=vc, customers=customers, key=key, host=name, locks=source.locks)
    kept = Keeper()
    pipeline.engine.begin(first_ns)
    source.serve(pipeline.engine.workers)
    for batch, now_ns in source:
        pass_on(pipeline.engine.feed(batch) + pipeline.engine.advance(now_ns), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    source.close()
    return pipeline, kept


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["loss-vc2cust", "transcoded-inbound", "hold-outbound", "ipv6-inbound", "twenty-inbound"]
)
def test_threads_give_the_numbers_of_one(name: str, workers: int) -> None:
    spec, expected = sidecar(name), scenario(name)
    pipeline, kept = played(*sliced(name, workers), spec["vc"], spec["customer_networks"])
    assert [s.start_ns for s in kept.summaries] == [s.start_ns for s in expected.summaries]
    for ours, its in zip(kept.summaries, expected.summaries, strict=True):
        assert [c.values for c in ours.connectors] == [c.values for c in its.connectors]
        assert ours.calls == its.calls
    assert len(kept.sip) == len(expected.sip)
    assert pipeline.engine.duplicates() == expected.capture["duplicate_frames"]


def in_fragments(frames: list[Stamped]) -> tuple[list[Frame], list[Frame]]:
    """The frames that are whole, and those with media of 1,600 bytes, which the kernel gives another ring."""
    whole, cut = [], []
    for ident, (stamp_ns, data) in enumerate(sorted(frames), 1):
        if data[42] >> 6 != 2:
            whole.append(Frame(data, stamp_ns, WIRE, len(data)))
            continue
        src, dst = str(ip_address(data[26:30])), str(ip_address(data[30:34]))
        ports = int.from_bytes(data[34:36], "big"), int.from_bytes(data[36:38], "big")
        for part in packets.fragments(
            src, dst, packets.UDP, packets.datagram(*ports, data[42:]), ident, 1480
        ):
            cut.append(Frame(packets.ethernet(part), stamp_ns, WIRE, len(part) + 14))
    return whole, cut


def test_media_only_in_fragments_is_unknown_and_says_so_never_a_zero() -> None:
    call = Call().begin()
    for src, dst in ((PHONE, NEAR_C), (NEAR_C, PHONE), (FAR, NEAR_R), (NEAR_R, FAR)):
        call.scene.rtp(range(100), at=3, src=src, dst=dst, size=1600)
    frames = call.end(6).scene.frames
    sources = [
        Slices([(batch_of([frame]), frame.stamp_ns) for frame in part]) for part in in_fragments(frames)
    ]
    _, kept = played(sources, frames[0][0], [VC_C, VC_R], ["192.0.2.0/24"])
    minute = kept.summaries[0].connectors[0]
    assert minute.values["OutboundCallsAnswered"] == 1
    for way in ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote"):
        assert minute.values[f"{way}RtpPackets"] is None
    assert "fragments" in {because["cause"] for because in minute.unknown_because}


# -- who waits for whom


def test_the_ring_is_read_while_the_engine_is_busy() -> None:
    read = threading.Event()
    slices = [(batch_of([frame]), frame.stamp_ns) for frame in voice(range(40))]
    ring = Slices(slices, when(39, read))
    source = CaptureThreads([ring], Hands().clock(), lead_ns=SECOND)
    pipeline = started(source)
    batches = iter(source)
    next(batches)
    assert read.wait(WAIT_S)  # the engine asks for nothing, and all of 0.8 s is read
    assert sum(1 for _ in batches) == 39
    assert packets_of(pipeline) == 40
    source.close()


def test_a_thread_leads_by_no_more_than_its_lead() -> None:
    given: list[int] = []
    slices = [(batch_of([frame]), frame.stamp_ns) for frame in voice(range(200))]
    source = CaptureThreads([Slices(slices, given.append)], Hands().clock(), lead_ns=SECOND)
    pipeline = started(source)
    for _, now_ns in source:
        assert slices[given[-1]][1] - now_ns <= SECOND + 20 * MS
    assert packets_of(pipeline) == 200


def test_a_long_batch_is_sifted_in_pieces_that_wait_for_the_engine() -> None:
    frames = voice(range(300))
    loss = CaptureDrop(T0 - 5, T0 - 1, 7)
    batch = batch_of(frames)
    batch.losses = [loss]
    source = CaptureThreads([Slices([(batch, T0 + 6 * SECOND)])], Hands().clock(), lead_ns=200 * MS)
    pipeline = started(source)
    times, losses = [], []
    for rest, now_ns in source:
        workers = pipeline.engine.workers
        assert all(workers.last_ns(stream) - now_ns <= 320 * MS for stream in workers.live_streams())
        times.append(now_ns)
        losses += rest.losses
    assert times == [T0 + at * MS for at in range(100, 5900, 120)] + [T0 + 6 * SECOND]
    assert losses == [loss]
    assert packets_of(pipeline) == 300


def test_what_is_no_rtp_is_handed_over_whole_and_in_order() -> None:
    frames = [request(T0), *voice(range(3), T0 + MS), request(T0 + 50 * MS)]
    loss = CaptureDrop(T0 - 5, T0 - 1, 7)
    first = batch_of(frames)
    first.losses = [loss]
    source = CaptureThreads([Slices([(first, T0 + 500 * MS)])], Hands().clock())
    pipeline = started(source)
    batches = list(source)
    assert [list(batch.frames()) for batch, _ in batches] == [[frames[0], frames[-1]]]
    assert [batch.losses for batch, _ in batches] == [[loss]]
    assert packets_of(pipeline) == 3


def test_frames_of_two_rings_come_by_capture_time() -> None:
    near = [(batch_of([request(T0 + at * MS)]), T0 + (at + 1) * MS) for at in (0, 20, 40)]
    far = [(batch_of([request(T0 + at * MS)]), T0 + (at + 1) * MS) for at in (10, 30, 50)]
    source = CaptureThreads([Slices(near), Slices(far)], Hands().clock())
    started(source)
    stamps = [frame.stamp_ns for batch, _ in source for frame in batch.frames()]
    assert stamps == [T0 + at * MS for at in (0, 10, 20, 30, 40, 50)]


def test_minutes_between_two_frames_of_a_batch_close_before_the_second_counts() -> None:
    late_ns = T0 + 400 * SECOND
    batch = batch_of([*voice(range(3)), *voice(range(3, 6), late_ns)])
    source = CaptureThreads([Slices([(batch, late_ns + SECOND)])], Hands().clock())
    pipeline = started(source)
    kept = Keeper()
    for rest, now_ns in source:
        pass_on(pipeline.engine.feed(rest) + pipeline.engine.advance(now_ns), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    assert kept.summaries[0].start_ns == T0
    assert pipeline.engine.late() == 0


def test_a_fault_of_a_ring_is_the_engines_once_all_before_it_is_had() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise CaptureError("the ring is gone")

    slices = [(batch_of([request(T0 + number * MS)]), T0 + number * MS) for number in range(3)]
    source = CaptureThreads([Slices(slices, fail)], Hands().clock())
    started(source)
    batches = iter(source)
    assert sum(len(next(batches)[0]) for _ in range(2)) == 2
    with pytest.raises(CaptureError, match="the ring is gone"):
        next(batches)


# -- standing still


def test_a_clock_that_was_set_is_told_between_the_frames_of_before_and_after() -> None:
    hands = Hands()

    def tick(number: int) -> None:
        hands.now_ns = T0 + number * 20 * MS
        if number == 5:
            hands.set_ns = -3600 * SECOND

    set_at = [
        (batch_of([one(T0 + n * 20 * MS - (3600 * SECOND if n >= 5 else 0), rtp(n))]), 0) for n in range(10)
    ]
    slices = [(batch, batch.index[3]) for batch, _ in set_at]
    source = CaptureThreads([Slices(slices, tick)], hands.clock())
    before = started(source)
    after = None
    for _, now_ns in source:
        if source.step is not None:
            assert source.step.after_ns - source.step.before_ns == -3600 * SECOND
            assert packets_of(before) == 5
            after = started(source, T0 - 3600 * SECOND)
        assert (after is None) == (now_ns > T0 - SECOND)
    assert after is not None
    counted = after.engine.workers.harvest_all(T0 - 3600 * SECOND)
    assert [its.packets for its in counted] == [5]


def test_standing_still_gives_all_that_was_handed_over_and_takes_no_more() -> None:
    read = threading.Event()
    slices = [(batch_of([request(T0 + number * MS)]), T0 + number * MS) for number in range(40)]
    source = CaptureThreads([Slices(slices, when(39, read))], Hands().clock())
    pipeline = started(source)
    batches = iter(source)
    next(batches)
    assert read.wait(WAIT_S)
    with source.still() as waiting:
        had = sum(len(batch) for batch, _ in waiting)
        source.serve(pipeline.engine.workers)
    had += sum(len(batch) for batch, _ in batches)
    assert had == 39
    source.close()


def test_stopping_ends_the_threads_and_closes_the_rings() -> None:
    asked = threading.Event()
    slices = [(batch_of([frame]), frame.stamp_ns) for frame in voice(range(500))]
    ring = Slices(slices, when(3, asked))
    source = CaptureThreads([ring], Hands().clock(), lead_ns=100 * MS)
    pipeline = started(source)
    next(iter(source))
    assert asked.wait(WAIT_S)
    source.close()
    assert ring.closed
    assert packets_of(pipeline) < 20
    assert not any(thread.name == "capture-0" and thread.is_alive() for thread in threading.enumerate())
