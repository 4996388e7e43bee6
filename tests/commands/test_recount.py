"""The slow count from the RFC's text, against numbers worked by hand."""

from __future__ import annotations

import pytest

from agent.commands.verify.recount import RecountedPacket, jitter_us, sequence


def packets(numbers: list[int], *, stray_ms: float = 0.0, payload_type: int = 0) -> list[RecountedPacket]:
    """One packet every 20 ms; every second one comes `stray_ms` late."""
    return [
        RecountedPacket(
            round((20 * place + (place % 2) * stray_ms) * 1e6), number, 160 * place, payload_type, False, True
        )
        for place, number in enumerate(numbers)
    ]


@pytest.mark.parametrize(
    ("numbers", "lost", "duplicates"),
    [
        pytest.param([1, 2, 3, 4], 0, 0, id="none"),
        pytest.param([1, 2, 4, 5], 1, 0, id="gap"),
        pytest.param([1, 2, 4, 4, 5], 1, 1, id="a duplicate does not hide a gap"),
        pytest.param([1, 2, 4, 3, 5], 0, 0, id="swap"),
        pytest.param([65534, 65535, 1, 2], 1, 0, id="gap over the wrap"),
        pytest.param([1, 2, 3, 9000, 9001, 9003], 1, 0, id="restart, then a gap"),
        pytest.param([1, 2, 9000, 3, 4], 0, 0, id="a stray is nothing"),
        pytest.param([500, 501, 502, 7, 8, 9], 0, 0, id="numbers start over"),
    ],
)
def test_numbers_give_loss_and_duplicates(numbers: list[int], lost: int, duplicates: int) -> None:
    assert sequence(packets(numbers)) == (lost, duplicates, True)


def test_numbers_never_in_sequence_are_no_stream() -> None:
    assert not sequence(packets([5, 90, 33, 71])).accepted


def test_steady_packets_have_no_jitter() -> None:
    assert jitter_us(packets(list(range(10)))) == (0.0, 0.0)


def test_jitter_is_that_of_rfc_3550_a8() -> None:
    # |D| is 4 ms from each packet to the next: J = 4 ms (1 - (15/16)^n).
    told = jitter_us(packets(list(range(17)), stray_ms=4))
    assert told is not None
    steps = [4000 * (1 - (15 / 16) ** n) for n in range(1, 17)]
    assert told == pytest.approx((sum(steps) / 16, steps[-1]))


def test_jitter_passes_over_duplicates_and_events() -> None:
    plain = packets(list(range(10)), stray_ms=4)
    event = plain[4]._replace(timestamp=77, speech=False, stamp_ns=plain[4].stamp_ns + 9_000_000)
    assert jitter_us([*plain[:5], plain[4], event, *plain[5:]]) == jitter_us(plain)


def test_jitter_of_a_restart_starts_from_its_second_packet() -> None:
    first = packets(list(range(20)))
    moved = [p._replace(seq=p.seq + 9000, timestamp=p.timestamp + 999_999) for p in packets(list(range(20)))]
    again = [p._replace(stamp_ns=p.stamp_ns + 400_000_000) for p in moved]
    assert jitter_us(first + again) == (0.0, 0.0)


def test_marker_on_every_packet_begins_no_talk_spurt() -> None:
    plain = packets(list(range(17)), stray_ms=60)
    assert jitter_us([p._replace(marker=True) for p in plain]) == jitter_us(plain)


def test_packet_alone_of_a_dynamic_type_leaves_jitter_alone() -> None:
    plain = packets(list(range(10)), stray_ms=4)
    keepalive = plain[4]._replace(payload_type=126, stamp_ns=plain[4].stamp_ns + 9_000_000)
    assert jitter_us([*plain[:5], keepalive, *plain[5:]]) == jitter_us(plain)


def test_clock_that_no_codec_has_is_taken_as_it_shows_itself() -> None:
    by_ones = [p._replace(timestamp=p.timestamp // 160) for p in packets(list(range(10)))]
    assert jitter_us(by_ones) == (0.0, 0.0)


def test_two_packets_at_once_show_no_other_clock() -> None:
    """The stream is so short that the mean is 8 % off."""
    steady = packets(list(range(12)))
    last = steady[-1]
    late = [last._replace(stamp_ns=last.stamp_ns + 20_000_000, seq=n, timestamp=160 * n) for n in (12, 13)]
    found = jitter_us([*steady, *late])
    assert found is not None
    assert found[1] == pytest.approx(20_000 / 16)


def test_old_numbers_as_slow_as_at_first_are_a_restart() -> None:
    once = packets(list(range(40)))
    again = [p._replace(stamp_ns=p.stamp_ns + 900_000_000) for p in once]
    assert sequence([*once, *again]) == (0, 0, True)
    assert jitter_us([*once, *again]) == (0.0, 0.0)


def test_old_numbers_beside_new_ones_are_duplicates() -> None:
    once = packets(list(range(40)))
    again = [p._replace(stamp_ns=p.stamp_ns + 110_000_000) for p in once[:34]]
    both = sorted([*once, *again], key=lambda packet: packet.stamp_ns)
    assert sequence(both) == (0, 34, True)


def test_one_packet_tells_no_jitter() -> None:
    assert jitter_us(packets([1])) is None


def test_first_packet_after_a_pause_in_which_an_sdp_passed_is_a_reference() -> None:
    plain = packets(list(range(20)))
    late = [  # 4 s by the clock and a packet less by the stamps
        packet._replace(stamp_ns=packet.stamp_ns + 4_000_000_000, timestamp=packet.timestamp + 31_840)
        for packet in plain[10:]
    ]
    held = [*plain[:10], *late]
    assert jitter_us(held, [plain[9].stamp_ns + 1_000_000_000]) == (0.0, 0.0)
    for elsewhere in ([], [plain[3].stamp_ns], [late[5].stamp_ns]):
        told = jitter_us(held, elsewhere)
        assert told is not None
        assert told[1] > 1000


@pytest.mark.parametrize(
    ("ticks", "pause_ms", "lost"), [(0, 0, 0), (120_000, 15_000, 750), (120_000, 0, 750), (0, 15_000, 750)]
)
def test_numbers_for_which_nothing_had_room_were_left_out(ticks: int, pause_ms: int, lost: int) -> None:
    before = packets(list(range(100)))
    after = [
        packet._replace(
            stamp_ns=packet.stamp_ns + (2000 + pause_ms) * 1_000_000,
            seq=packet.seq + 850,
            timestamp=packet.timestamp + 100 * 160 + ticks,
        )
        for packet in packets(list(range(100)))
    ]
    assert sequence(before + after).lost == lost


def test_packets_of_a_picture_apart_show_no_other_clock() -> None:
    """Four packets a picture, of 40 ms, 3 ms apart: from the last to the next picture's first are 31 ms."""
    video = [
        RecountedPacket(
            (40 * picture + 3 * part) * 1_000_000, 4 * picture + part, 3600 * picture, 96, False, True
        )
        for picture in range(100)
        for part in range(4)
    ]
    assert jitter_us(video) == (0.0, 0.0)
