from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.files.pcapfile import open_capture
from agent.capture.merge import merge
from agent.errors import CaptureError
from agent.wire.frame import EMPTY, Batch, CaptureDrop, Frame, batch_of, origin
from tests.kit.capture_files import SECOND, START_NS, Packet, pcap, steady
from tests.kit.examples import examples


class Listed:
    """A source of given batches; its clock is its newest stamp, or what is given beside an empty batch."""

    def __init__(self, batches: list[list[Frame] | int], fault: str = "") -> None:
        self._batches = batches
        self._fault = fault
        self.frames = self.bytes = 0
        self.drops: int | None = None
        self.closed = False

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        now_ns = 0
        for batch in self._batches:
            if isinstance(batch, int):
                now_ns = max(now_ns, batch)
                yield EMPTY, now_ns
            else:
                now_ns = max([now_ns] + [frame.stamp_ns for frame in batch])
                self.frames += len(batch)
                yield batch_of(batch), now_ns
        if self._fault:
            raise CaptureError(self._fault)

    def close(self) -> None:
        self.closed = True


def frame(stamp: int, name: str, interface: int = 0) -> Frame:
    return Frame(name.encode(), stamp, origin(1, interface), len(name) + 5)


def drained(sources: list[Listed], lateness_ns: int = 3 * SECOND) -> list[Frame]:
    frames: list[Frame] = []
    clock_ns = 0
    for batch, now_ns in merge(sources, lateness_ns):
        assert now_ns >= clock_ns
        clock_ns = now_ns
        frames += batch.frames()
    return frames


def names(frames: list[Frame]) -> str:
    return " ".join(each.data.decode() for each in frames)


def test_one_source_is_returned_as_it_is() -> None:
    source = Listed([])
    assert merge([source]) is source


def test_two_sources_interleave_by_time_and_ties_keep_argument_order() -> None:
    first = Listed([[frame(1, "a1"), frame(3, "a3")], [frame(3, "a3b"), frame(9, "a9")]])
    second = Listed([[frame(1, "b1"), frame(3, "b3"), frame(4, "b4")], [frame(9, "b9")]])
    assert names(drained([first, second])) == "a1 b1 a3 a3b b3 b4 a9 b9"


def test_interfaces_of_two_sources_are_told_apart() -> None:
    frames = drained([Listed([[frame(1, "a", 0), frame(5, "a", 2)]]), Listed([[frame(2, "b", 0)]])])
    assert len({each.origin & 0xFFFF for each in frames}) == 3
    assert {each.origin >> 16 for each in frames} == {origin(1, 0) >> 16}


def test_a_source_that_begins_where_another_ended_goes_on_with_its_interface() -> None:
    frames = drained(
        [Listed([[frame(6, "a2")]]), Listed([[frame(1, "a1"), frame(5, "a1")]]), Listed([[frame(2, "b")]])]
    )
    numbers = [each.origin & 0xFFFF for each in frames]
    assert names(frames) == "a1 b a1 a2"
    assert numbers[0] == numbers[2]
    assert numbers[1] != numbers[0]


def test_the_clock_is_the_least_of_the_newest_stamps() -> None:
    first = Listed([[frame(10, "a")], [frame(40, "a")]])
    second = Listed([[frame(20, "b")], [frame(30, "b")]])
    clocks = [now_ns for _, now_ns in merge([first, second], 1000)]
    assert clocks == [10, 20, 30, 40]


def test_an_idle_source_holds_the_clock_back_for_its_lateness_only() -> None:
    live = Listed([[frame(0, "a")], 50, 50, 50])
    other = Listed([[frame(second, f"b{second}")] for second in range(0, 301, 100)])
    merged = merge([live, other], 100)
    seen = [(names(list(batch.frames())), now_ns) for batch, now_ns in merged]
    assert " ".join(name for name, _ in seen if name) == "a b0 b100 b200 b300"
    assert max(now_ns for name, now_ns in seen if "b100" in name) <= 200


def test_losses_and_drops_of_all_sources_are_passed_on() -> None:
    class Losing(Listed):
        def __iter__(self) -> Iterator[tuple[Batch, int]]:
            for batch, now_ns in super().__iter__():
                yield Batch(batch.data, batch.index, [CaptureDrop(1, 2, 3)]), now_ns

    first, second = Losing([[frame(1, "a")]]), Losing([[frame(2, "b")], 5])
    first.drops = 3
    merged = merge([first, second])
    assert sum(len(batch.losses) for batch, _ in merged) == 3
    assert merged.drops == 3  # at least: the other cannot say
    first.drops = 0
    assert merged.drops is None
    second.drops = 0
    assert merged.drops == 0
    assert merged.frames == 2
    merged.close()
    assert first.closed
    assert second.closed


def test_a_fault_in_one_source_is_raised_when_the_others_have_ended() -> None:
    bad = Listed([[frame(1, "a")]], "first")
    worse = Listed([], "second")
    good = Listed([[frame(2, "b")], [frame(7, "c")]])
    frames: list[Frame] = []
    with pytest.raises(CaptureError, match=r"first|second"):  # noqa: PT012
        for batch, _ in merge([bad, worse, good]):
            frames += batch.frames()
    assert names(frames) == "a b c"


_RUN = st.lists(st.lists(st.integers(0, 30), max_size=6), max_size=6)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(_RUN, min_size=2, max_size=4))
def test_any_interleaving_is_the_sort_by_time(runs: list[list[list[int]]]) -> None:
    sources = []
    everything: list[Frame] = []
    for number, run in enumerate(runs):
        stamps = sorted(stamp for batch in run for stamp in batch)
        batches: list[list[Frame] | int] = []
        for batch in run:
            batches.append([frame(stamps.pop(0), f"{number}.{len(stamps)}") for _ in batch])
            everything += batches[-1]  # type: ignore[arg-type]
        sources.append(Listed(batches))
    expected = sorted(everything, key=lambda each: each.stamp_ns)
    found = drained(sources)
    assert [(f.stamp_ns, f.data, f.wire_length) for f in found] == [
        (f.stamp_ns, f.data, f.wire_length) for f in expected
    ]


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 400), st.booleans())
def test_a_capture_split_anywhere_merges_to_itself(
    tmp_path_factory: pytest.TempPathFactory, cut: int, swapped: bool
) -> None:
    where = tmp_path_factory.getbasetemp()
    packets = steady(400)
    parts = [packets[:cut], packets[cut:]]
    (where / "whole").write_bytes(pcap(packets))
    for number, part in enumerate(parts):
        (where / f"part{number}").write_bytes(pcap(part))
    order = [1, 0] if swapped else [0, 1]
    sources = [open_capture(str(where / f"part{number}")) for number in order]
    found = [each for batch, _ in merge(sources) for each in batch.frames()]
    expected = [each for batch, _ in open_capture(str(where / "whole")) for each in batch.frames()]
    assert found == expected  # interface numbers too


def test_three_files_merge_as_mergecap_merges_them(tmp_path: Path) -> None:
    if not shutil.which("mergecap"):
        pytest.skip("mergecap is not installed")
    chance = random.Random(2)
    paths = []
    for number in range(3):
        at = START_NS
        packets = []
        for size in range(14, 2000):
            at += chance.choice([0, 1000, 5000, 2_000_000])
            packets.append(Packet(at, bytes([number]) * (size % 300 + 14)))
        paths.append(str(tmp_path / f"{number}"))
        (tmp_path / f"{number}").write_bytes(pcap(packets))
    whole = str(tmp_path / "whole")
    subprocess.run(["mergecap", "-w", whole, *paths], check=True)
    ours = [each for batch, _ in merge([open_capture(path) for path in paths]) for each in batch.frames()]
    theirs = [each for batch, _ in open_capture(whole) for each in batch.frames()]
    assert [each.stamp_ns for each in ours] == [each.stamp_ns for each in theirs]
    # At equal stamps mergecap has an order of its own.
    assert sorted((each.stamp_ns, each.data) for each in ours) == sorted(
        (each.stamp_ns, each.data) for each in theirs
    )


def test_two_large_files_alternate(tmp_path: Path) -> None:
    packets = steady(60_000, size=200, gap_ns=1000)
    (tmp_path / "a").write_bytes(pcap(packets[::2]))
    (tmp_path / "b").write_bytes(pcap(packets[1::2]))
    merged = merge([open_capture(str(tmp_path / "a")), open_capture(str(tmp_path / "b"))])
    stamps = [each.stamp_ns for batch, _ in merged for each in batch.frames()]
    assert stamps == [START_NS + number * 1000 for number in range(60_000)]
    assert merged.frames == 60_000
    assert merged.bytes == 60_000 * 200
