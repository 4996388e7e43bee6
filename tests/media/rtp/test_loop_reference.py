"""The loop against the model that keeps every packet: any traffic gives the same figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from agent.media.rtp import loop_cy
from agent.wire.frame import Frame, batch_of, origin
from agent.wire.rtp import payload_types
from tests.kit.examples import examples
from tests.kit.loop_tap import MINUTE, MS, T0, UNCOMPILED, counts_of, ethernet, rtp, slots_of
from tests.kit.reference import Heard, Model, WrongClock

MODULES = [loop_cy, UNCOMPILED]
EVENT = 101
RATES = {0: 8000, 8: 8000, 96: 48000}


class Sender:
    """A source, a network and a tap, which `step` disturbs in one way or another."""

    def __init__(self, seq: int, ts: int, now_ns: int) -> None:
        self.seq, self.ts, self.now_ns = seq, ts, now_ns
        self.payload_type = 0
        self.heard: list[Heard] = []

    def send(
        self, ahead: int = 0, *, marker: bool = False, path: int = 0, after_ms: float = 20.0, kind: int = -1
    ) -> None:
        self.now_ns += round(after_ms * MS)
        ts = (self.ts + ahead * (RATES[self.payload_type] // 50)) & 0xFFFFFFFF
        payload_type = self.payload_type if kind < 0 else kind
        self.heard.append(Heard(self.now_ns, (self.seq + ahead) & 0xFFFF, ts, payload_type, marker, path))

    def move(self, count: int) -> None:
        self.seq = (self.seq + count) & 0xFFFF
        self.idle(count * 20)

    def idle(self, ms: int) -> None:
        self.ts = (self.ts + ms * RATES[self.payload_type] // 1000) & 0xFFFFFFFF

    def repeat(self, old: Heard, after_ns: int, path: int) -> None:
        self.now_ns += after_ns
        self.heard.append(Heard(self.now_ns, old.seq, old.ts, old.payload_type, old.marker, path))

    def step(self, what: str, much: int) -> None:
        if what == "run":
            for at in range(much):
                self.send(after_ms=20 + (at * 7919 % 13 - 6) / 3)
                self.move(1)
        elif what == "gap":
            self.move(much * much if much > 50 else much)
        elif what == "swap":
            self.send(1)
            self.send()
            self.move(2)
        elif what == "repeat" and self.heard:
            old = self.heard[-min(much, len(self.heard))]
            self.repeat(old, 21 * MS, old.path)
        elif what == "copy" and self.heard:
            self.repeat(self.heard[-1], much % 20 * MS, self.heard[-1].path ^ 1)
        elif what == "mirror":
            for _ in range(much % 8):
                self.send()
                self.send(path=1, after_ms=0.1)
                self.move(1)
        elif what == "jump":
            self.seq = (self.seq + much * 700) & 0xFFFF
        elif what == "stray":
            self.send(20000 + much)
        elif what == "back":
            self.send(-much)
        elif what == "pause":
            self.now_ns += much * 10 * MS
            self.idle(much * 10)
            self.send(marker=True)
            self.move(1)
        elif what == "silence":
            self.now_ns += much * 100 * MS
            self.idle(much * 100)
        elif what == "codec":
            self.payload_type = (0, 8, 96)[much % 3]
        elif what == "event":
            self.send(kind=EVENT)
            self.move(1)
        elif what == "late":
            self.send(after_ms=20 + much)
            self.move(1)


COMMON, RARE = ["run"] * 6, ["gap", "swap", "repeat", "copy", "jump", "stray", "back", "pause", "silence"]
STEPS = st.tuples(st.sampled_from([*COMMON, *RARE, "codec", "event", "late", "mirror"]), st.integers(1, 90))


@st.composite
def traffic(draw: st.DrawFn) -> list[Heard]:
    """What a tap may hear of one stream."""
    sender = Sender(
        draw(st.integers(0, 65535)),
        draw(st.sampled_from([0, 160_000, 0xFFFFFFFF - 3000])),
        T0 + draw(st.sampled_from([0, 59_500])) * MS,
    )
    for what, much in draw(st.lists(STEPS, min_size=1, max_size=25)):
        sender.step(what, much)
    return sender.heard


def frames(heard: list[Heard]) -> list[Frame]:
    result = []
    for packet in heard:
        payload = rtp(packet.seq, packet.ts, payload_type=packet.payload_type, marker=packet.marker)
        data = ethernet(payload, vlan=10 + packet.path)
        result.append(Frame(data, packet.stamp_ns, origin(1, 0), len(data)))
    return result


class Run:
    """A loop that walks `heard` and gives up its minutes as an engine would: at most two open."""

    def __init__(
        self,
        module: Any,
        batches: list[list[Frame]],
        losses: list[tuple[int, int]] | None = None,
        *,
        restart: bool = False,
        named: bool = False,
    ) -> None:
        self.loop = module.Loop()
        if named:
            self.loop.named.add("198.51.100.9", 30000)
        self.map = self.loop.payload_map(
            {kind: (rate, 1) for kind, rate in RATES.items()} | {EVENT: (8000, payload_types.KIND_EVENT)}
        )
        for loss in losses or ():
            self.loop.lose(*loss)
        self.minutes: dict[int, dict[str, float]] = {}
        self.stream = -1
        self.open = 0
        for one in batches:
            self.walk(one)
            if restart:
                saved = self.loop.save()
                self.loop = module.Loop()
                self.loop.restore(saved)
        self.loop.finish()
        self.close()
        self.close()

    def walk(self, one: list[Frame]) -> None:
        batch = batch_of(one)
        position = 0
        while position < len(batch):
            if not self.open:
                self.open = one[0].stamp_ns // MINUTE
                self.loop.closed_ns = self.open * MINUTE
            position = self.loop.walk(batch.data, batch.index, position, (self.open + 1) * MINUTE + 3000 * MS)
            if self.loop.stopped == loop_cy.STOP_STREAM:
                self.stream = self.loop.new_stream
                self.loop.set_map(self.stream, self.map)
            elif self.loop.stopped == loop_cy.STOP_DUE:
                self.loop.flush((self.open + 1) * MINUTE)
                self.close()

    def close(self) -> None:
        for its in self.loop.harvest_all(self.open * MINUTE):
            self.minutes[self.open] = counts_of(its)
            self.check_slots(its)
        self.open += 1
        self.loop.closed_ns = self.open * MINUTE

    @staticmethod
    def check_slots(its: Any) -> None:
        """The slots of a minute add up to its counters."""
        slots = slots_of(its)
        assert len(slots) == 6
        assert sum(slot.packets for slot in slots) == its.packets
        assert sum(slot.lost for slot in slots) == its.gaps
        assert sum(slot.late for slot in slots) == its.discarded
        largest = max((slot.jitter_us or 0 for slot in slots), default=0)
        assert largest == pytest.approx(its.jitter_max_us, abs=5.1)

    def total(self, name: str) -> float:
        return sum(counts[name] for counts in self.minutes.values())


@st.composite
def gaps(draw: st.DrawFn) -> list[tuple[int, int]]:
    starts = draw(st.lists(st.integers(0, 60_000), max_size=3))
    return [(T0 + start * MS, T0 + (start + 30) * MS) for start in sorted(starts)]


EXACT = (
    "timebase_changes",
    "packets",
    "bytes",
    "gaps",
    "unknown",
    "duplicates",
    "reordered",
    "discarded",
    "judged",
)
RUNS = ("loss_runs", "bursts", "burst_packets", "burst_lost", "gap_packets", "gap_lost")


@pytest.mark.parametrize("module", MODULES, ids=["loop", "uncompiled"])
class TestAgainstReference:
    @settings(max_examples=examples(150), deadline=None)
    @example(
        heard=[
            Heard(T0 + 59_518 * MS, 0, 0),
            Heard(T0 + 59_536 * MS, 3, 480),
            Heard(T0 + 63_054 * MS, 4, 28_640),
        ],
        losses=[],
        named=False,
    )  # the jitter of a candidate's minute is carried into the next one's slot
    @given(heard=traffic(), losses=gaps(), named=st.booleans())
    def test_any_traffic_gives_the_model_s_figures(
        self, module: Any, heard: list[Heard], losses: list[tuple[int, int]], named: bool
    ) -> None:
        model = Model(MINUTE, RATES, frozenset({EVENT}), losses=losses, named=named)
        try:
            for packet in heard:
                model.hear(packet)
        except WrongClock:  # timestamps that jump about by less than a second
            assume(False)
        run = Run(module, [frames(heard)], losses, named=named)
        assert run.loop.streams == model.accepted
        if not model.accepted:
            return
        assert run.loop.duplicate_frames == model.copies
        for back in (0, 1, 5, 63, 64, 65):
            assert model.sequence
            number = (model.sequence.top - back) & 0xFFFF
            expected, seen = model.counted(number), run.loop.counted(run.stream, number)
            assert (expected and expected[:3]) == (seen and seen[:3])
        model.finish()
        totals = model.totals()
        assert {name: run.total(name) for name in EXACT} == {name: totals[name] for name in EXACT}
        assert run.total("jitter_count") == totals["jitter_count"]
        assert run.total("jitter_sum_us") == pytest.approx(totals["jitter_sum_us"], rel=1e-9, abs=1e-6)
        bursts = model.bursts()
        assert {name: run.total(name) for name in RUNS} == {name: bursts[name] for name in RUNS}
        if model.accepted_ns >= (heard[0].stamp_ns // MINUTE + 1) * MINUTE + 3000 * MS:
            return  # what a candidate counted in a minute that closed meanwhile is in the next
        for minute, counts in model.minutes.items():
            for name in ("packets", "gaps", "duplicates"):
                assert run.minutes.get(minute, {}).get(name, 0) == counts[name], (minute, name)

    @settings(max_examples=examples(40), deadline=None)
    @given(heard=traffic(), minutes=st.integers(1, 100_000))
    def test_time_shifted_by_whole_minutes_changes_only_times(
        self, module: Any, heard: list[Heard], minutes: int
    ) -> None:
        shifted = [
            Frame(frame.data, frame.stamp_ns + minutes * MINUTE, frame.origin, frame.wire_length)
            for frame in frames(heard)
        ]
        one, other = Run(module, [frames(heard)], []), Run(module, [shifted], [])
        assert {minute + minutes: counts for minute, counts in one.minutes.items()} == other.minutes

    @settings(max_examples=examples(40), deadline=None)
    @example(
        heard=[
            Heard(T0 + 59_520 * MS, 20_001, 3_200_160),
            Heard(T0 + 60_000 * MS, 0, 3_680, marker=True),
            Heard(T0 + 60_018 * MS, 1, 3_840),
        ]
    )  # the first one counts a minute later
    @given(heard=traffic())
    def test_whole_batch_equals_one_frame_at_a_time(self, module: Any, heard: list[Heard]) -> None:
        whole, single = Run(module, [frames(heard)], []), Run(module, [[one] for one in frames(heard)], [])
        assert whole.minutes == single.minutes
        assert whole.loop.duplicate_frames == single.loop.duplicate_frames


class TestTwins:
    @settings(max_examples=examples(60), deadline=None)
    @given(heard=traffic(), losses=gaps())
    def test_compiled_and_uncompiled_agree_to_the_last_bit(
        self, heard: list[Heard], losses: list[tuple[int, int]]
    ) -> None:
        one, other = (Run(module, [frames(heard)], losses) for module in MODULES)
        assert one.minutes == other.minutes
        assert one.loop.save() == other.loop.save()

    @settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(heard=traffic(), data=st.data())
    def test_capture_split_anywhere_and_restored_changes_no_total(
        self, heard: list[Heard], data: st.DataObject
    ) -> None:
        cut = data.draw(st.integers(0, len(heard)))
        assume(Run(loop_cy, [frames(heard[:cut])]).loop.streams)  # candidates are not kept
        # A copy is not known as one across a restart: nobody restarts within 20 ms.
        assume(cut == len(heard) or heard[cut].stamp_ns - heard[cut - 1].stamp_ns > 20 * MS)
        halves = [frames(heard[:cut]), frames(heard[cut:])]
        whole, split = Run(loop_cy, halves), Run(loop_cy, halves, restart=True)
        assert whole.minutes == split.minutes
