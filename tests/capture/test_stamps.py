"""Frames without a stamp, and frames whose stamp is years away from the rest."""

from __future__ import annotations

from array import array
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.files.pcapfile import open_capture
from agent.capture.stamps import FEW, LAST_NS, NO_STAMP, StampCheck, fill_in, put_in_order
from agent.wire.frame import LINK_ETHERNET, STAMP, STRIDE
from tests.kit.capture_files import Packet, pcap
from tests.kit.packets import ethernet, udp
from tests.kit.replayed import PCAPS, sidecar, through

SECOND_NS = 10**9
T0 = 1_700_000_000 * SECOND_NS
YEARS_NS = 5 * 365 * 86_400 * SECOND_NS


def rows(*stamps: int) -> array[int]:
    index: array[int] = array("q")
    for place, stamp in enumerate(stamps):
        index.extend((place * 100, 60, 60, stamp, 1 << 32))
    return index


def stamps_of(index: array[int]) -> list[int]:
    return list(index[STAMP::STRIDE])


def kept(*batches: list[int]) -> list[int]:
    check = StampCheck()
    return [stamp for batch in batches for stamp in stamps_of(check.keep(rows(*sorted(batch))))]


def steady(count: int, start_ns: int = T0) -> list[int]:
    return [start_ns + place * SECOND_NS for place in range(count)]


def test_frame_stamped_0_before_all_others_is_a_stray() -> None:
    assert kept([0, *steady(50)]) == steady(50)


def test_frame_stamped_in_2106_behind_all_others_is_a_stray() -> None:
    assert kept([*steady(50), (2**32 - 1) * SECOND_NS]) == steady(50)


def test_stray_alone_in_a_later_batch_is_a_stray() -> None:
    assert kept(steady(50), [0], steady(5, T0 + 60 * SECOND_NS)) == steady(50) + steady(
        5, T0 + 60 * SECOND_NS
    )


def test_two_of_three_frames_outvote_the_third() -> None:
    assert kept([T0, T0 + 1, T0 + YEARS_NS]) == [T0, T0 + 1]


def test_capture_that_begins_at_0_stays_whole() -> None:
    assert kept(steady(50, 0)) == steady(50, 0)


def test_two_captures_years_apart_both_stay() -> None:
    both = steady(50) + steady(50, T0 + YEARS_NS)
    assert kept(both) == both


def test_clock_set_right_under_way_is_believed_after_a_few_frames() -> None:
    later = [[stamp] for stamp in steady(50)]
    assert kept(steady(50, 0), *later) == steady(50, 0) + steady(50)[FEW:]


def test_stamps_before_1970_and_beyond_2116_are_strays_however_many() -> None:
    assert kept([-2] * 50 + steady(3) + [LAST_NS + 1] * 50) == steady(3)


def test_frame_without_a_stamp_takes_that_of_the_one_before() -> None:
    index = rows(T0, NO_STAMP, T0 + 5)
    fill_in(index, None)
    assert stamps_of(index) == [T0, T0, T0 + 5]


def test_first_frame_without_a_stamp_takes_that_of_the_next() -> None:
    index = rows(NO_STAMP, NO_STAMP, T0)
    fill_in(index, None)
    assert stamps_of(index) == [T0, T0, T0]


def test_first_frame_of_a_batch_without_a_stamp_takes_that_of_the_batch_before() -> None:
    index = rows(NO_STAMP, T0 + 5)
    fill_in(index, T0)
    assert stamps_of(index) == [T0, T0 + 5]


def test_no_frame_has_a_stamp_all_are_of_one_moment() -> None:
    index = rows(NO_STAMP, NO_STAMP)
    fill_in(index, None)
    assert stamps_of(index) == [0, 0]


BACK_NS = 1_500_000_000
LOCAL, AWAY = "10.1.0.1", "10.2.0.2"


def captured(packets: list[tuple[int, int]], port: int = 4000, tags: bytes = b"") -> list[tuple[int, bytes]]:
    """(stamp, frame) of RTP with these numbers and stamps."""
    return [
        (
            stamp_ns,
            ethernet(
                udp((LOCAL, port), (AWAY, port), pack("!BBHII", 128, 0, number, 0, 9) + bytes(20)), tags=tags
            ),
        )
        for number, stamp_ns in packets
    ]


def put(frames: list[tuple[int, bytes]]) -> list[int]:
    """The stamps as the reader of a file puts them."""
    data, index = b"", array("q")
    for stamp_ns, frame in frames:
        index.extend((len(data), len(frame), len(frame), stamp_ns, LINK_ETHERNET << 32))
        data += frame
    return stamps_of(put_in_order(data, index))


def numbered(first: int, count: int, start_ns: int) -> list[tuple[int, int]]:
    return [((first + place) & 0xFFFF, start_ns + place * 20_000_000) for place in range(count)]


@pytest.mark.parametrize("tag", [b"", b"\x81\x00\x00\x07"], ids=["plain", "vlan"])
@pytest.mark.parametrize("first", [100, 65_500])
def test_clock_set_back_where_rtp_goes_on_leaves_the_order_of_the_file(first: int, tag: bytes) -> None:
    before = captured(numbered(first, 100, T0), tags=tag)
    behind = captured(numbered(first + 100, 100, T0 + 2_000_000_000 - BACK_NS), tags=tag)
    assert put(before + behind) == [stamp for stamp, _ in before + behind]


def test_clock_set_back_twice_leaves_the_order_of_the_file() -> None:
    packets = [each for turn in range(3) for each in numbered(100 * turn, 100, T0 + turn * 500_000_000)]
    assert put(captured(packets)) == [stamp_ns for _, stamp_ns in packets]


@pytest.mark.parametrize(
    ("first", "port"), [(200, 5000), (40, 4000), (20_000, 4000)], ids=["other sockets", "older", "far away"]
)
def test_captures_appended_to_each_other_are_put_in_order(first: int, port: int) -> None:
    both = captured(numbered(100, 100, T0)) + captured(numbered(first, 100, T0 + 10_000_000), port)
    assert put(both) == sorted(stamp for stamp, _ in both)


def test_queues_of_a_nic_that_meet_out_of_order_are_put_in_order() -> None:
    frames = captured(
        [(number, T0 + number * 20_000_000 - 400_000_000 * (number % 2)) for number in range(99)]
    )
    assert put(frames) == sorted(stamp for stamp, _ in frames)


def test_file_whose_clock_was_set_back_has_the_counts_of_the_call(tmp_path: Path) -> None:
    side = sidecar("loss-vc2cust")
    (name,) = (name for name in side["files"] if "customer" in name)
    path = tmp_path / "set-back.pcap"
    frames = [frame for batch, _ in open_capture(str(PCAPS / name)) for frame in batch.frames()]
    set_back_ns = frames[0].stamp_ns + 7 * SECOND_NS
    path.write_bytes(
        pcap([Packet(it.stamp_ns - BACK_NS * (it.stamp_ns > set_back_ns), it.data) for it in frames])
    )

    def counts(file: Path) -> list[dict[str, object]]:
        media = through([str(file)], vc=side["vc"], customers=side["customer_networks"]).media
        return [{key: row[key] for key in row if "packets" in key or key == "vc_lost"} for row in media]

    assert counts(path) == counts(PCAPS / name) != []


@given(st.lists(st.lists(st.integers(-5, (1 << 63) - 1), max_size=20), max_size=10))
def test_what_stays_is_in_order_and_a_possible_time(batches: list[list[int]]) -> None:
    check = StampCheck()
    for batch in batches:
        left = stamps_of(check.keep(rows(*sorted(batch))))
        assert left == sorted(left)
        assert all(0 <= stamp <= LAST_NS for stamp in left)
