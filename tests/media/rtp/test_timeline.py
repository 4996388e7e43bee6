"""The six slots of a stream's minute, runs of losses, late packets: `make` is the loop in both twins."""

from __future__ import annotations

from typing import Any

from tests.kit.loop_tap import MINUTE, MS, T0, Tap, rtp, slots_of

SECOND = 1000.0


def steady(tap: Tap, first: int, count: int, start_ms: float, left_out: frozenset[int] = frozenset()) -> None:
    """Packets every 20 ms from `start_ms` on, without these."""
    for at in range(count):
        if first + at not in left_out:
            tap.send(start_ms + at * 20, rtp(first + at))


class TestSlots:
    def test_each_slot_has_its_own_packets(self, tap: Tap) -> None:
        steady(tap, 1, 1250, 5 * SECOND)
        tap.loop.finish()
        slots = slots_of(tap.loop.harvest(tap.stream, T0))
        assert [slot.packets for slot in slots] == [250, 500, 500, 0, 0, 0]
        assert [slot.jitter_us for slot in slots] == [0, 0, 0, None, None, None]
        assert [slot.gap_ms for slot in slots] == [20, 20, 20, None, None, None]

    def test_loss_is_in_the_slot_in_which_the_packets_would_have_come(self, tap: Tap) -> None:
        # Judged 64 numbers later, which is in the next slot for the last of them.
        lost = frozenset({400, *range(975, 1000), 1000, 1001})  # at 8 s, 19.5 to 19.98, 20 and 20.02 s
        steady(tap, 0, 1200, 0, lost)
        tap.loop.finish()
        assert [slot.lost for slot in slots_of(tap.loop.harvest(tap.stream, T0))] == [1, 25, 2, 0, 0, 0]

    def test_an_outage_is_shared_by_the_slots_that_it_touches(self, tap: Tap) -> None:
        steady(tap, 0, 1100, 0)  # to 22 s
        steady(tap, 1750, 500, 35 * SECOND)
        tap.loop.finish()
        slots = slots_of(tap.loop.harvest(tap.stream, T0))
        assert [slot.lost for slot in slots] == [0, 0, 400, 250, 0, 0]
        assert [slot.packets for slot in slots] == [500, 500, 100, 250, 250, 0]
        assert [slot.gap_ms for slot in slots[:4]] == [20, 20, 8020, 5000]

    def test_loss_of_the_minute_before_is_in_the_first_slot_of_its_minute(self, make: Any) -> None:
        tap = make()
        lost = frozenset({2995, 2996})  # at 59.9 s, judged at 61.2 s
        steady(tap, 0, 3200, 0, lost)
        tap.loop.finish()
        before, after = (tap.loop.harvest(tap.stream, T0 + at * MINUTE) for at in (0, 1))
        assert [slot.lost for slot in slots_of(before)] == [0] * 6
        assert after.gaps == 2
        assert [slot.lost for slot in slots_of(after)] == [2, 0, 0, 0, 0, 0]

    def test_a_late_packet_is_in_the_slot_in_which_it_came(self, tap: Tap) -> None:
        for at in range(1000):
            tap.send(at * 20 + (150 if at == 600 else 0), rtp(at))
        tap.loop.finish()
        slots = slots_of(tap.loop.harvest(tap.stream, T0))
        assert [slot.late for slot in slots] == [0, 1, 0, 0, 0, 0]
        jitter_us = slots[1].jitter_us
        assert jitter_us is not None
        assert 9_000 < jitter_us < 20_000
        assert slots[0].jitter_us == 0

    def test_a_minute_that_waits_keeps_its_slots_while_the_next_one_begins(self, tap: Tap) -> None:
        steady(tap, 0, 3000 + 999, 0)  # to 79.98 s
        first = slots_of(tap.loop.harvest(tap.stream, T0))
        assert [slot.packets for slot in first] == [500] * 6
        tap.loop.finish()
        second = slots_of(tap.loop.harvest(tap.stream, T0 + MINUTE))
        assert [slot.packets for slot in second] == [500, 499, 0, 0, 0, 0]

    def test_a_close_overdue_by_more_leaves_the_oldest_slots_unknown(self, tap: Tap) -> None:
        steady(tap, 0, 3000 + 1600, 0)  # to 92 s
        assert [slot.packets for slot in slots_of(tap.loop.harvest(tap.stream, T0))] == [500] * 4
        tap.loop.finish()
        second = slots_of(tap.loop.harvest(tap.stream, T0 + MINUTE))
        assert [slot.packets for slot in second] == [500, 500, 500, 100, 0, 0]

    def test_what_was_harvested_is_not_told_again(self, tap: Tap) -> None:
        steady(tap, 0, 600, 0)
        tap.loop.harvest(tap.stream, T0)
        steady(tap, 600, 100, 12 * SECOND)
        tap.loop.finish()
        assert [slot.packets for slot in slots_of(tap.loop.harvest(tap.stream, T0))] == [0, 100, 0, 0, 0, 0]

    def test_a_gap_that_the_capture_missed_is_none_of_the_stream(self, tap: Tap) -> None:
        steady(tap, 0, 200, 0)
        tap.loop.lose(T0 + 4000 * MS, T0 + 6000 * MS)
        steady(tap, 300, 200, 6 * SECOND)
        tap.loop.finish()
        slot = slots_of(tap.loop.harvest(tap.stream, T0))[0]
        assert (slot.lost, slot.gap_ms) == (0, 20)

    def test_restart_changes_no_slot(self, make: Any) -> None:
        lost = frozenset({440, *range(480, 490), 499, 500})  # before, across and behind the restart
        whole, before, after = make(), make(), make()
        steady(whole, 0, 700, 0, lost)
        steady(before, 0, 495, 0, lost)
        after.loop.restore(before.loop.save())
        after.stream = before.stream
        steady(after, 495, 205, 9.9 * SECOND, lost)
        for tap in (whole, after):
            tap.loop.finish()
        slots = slots_of(whole.loop.harvest(whole.stream, T0))
        assert slots == slots_of(after.loop.harvest(after.stream, T0))
        assert [slot.lost for slot in slots[:2]] == [12, 1]

    def test_clock_that_is_refuted_leaves_no_late_packet_in_a_slot(self, make: Any) -> None:
        tap = make()
        tap.map = tap.loop.payload_map({0: (16000, 1)})
        steady(tap, 0, 700, 0)
        tap.loop.finish()
        minute = tap.loop.harvest(tap.stream, T0)
        assert minute.clock_rate == 8000
        assert sum(slot.late for slot in slots_of(minute)) == minute.discarded

    def test_a_jump_of_thousands_is_spread_over_its_slots(self, tap: Tap) -> None:
        steady(tap, 0, 10, 0)
        tap.send(50 * SECOND, rtp(2500))
        tap.loop.finish()
        assert [slot.lost for slot in slots_of(tap.loop.harvest(tap.stream, T0))] == [
            490,
            500,
            500,
            500,
            500,
            0,
        ]


class TestRuns:
    def test_runs_are_counted_by_their_length(self, tap: Tap) -> None:
        lost = frozenset({20, 30, 31, 40, *range(50, 59), *range(70, 80), *range(90, 115)})
        steady(tap, 0, 300, 0, lost)
        tap.loop.finish()
        minute = tap.loop.harvest(tap.stream, T0)
        assert minute.runs == (2, 1, 0, 0, 0, 0, 0, 0, 1, 2)
        assert minute.gaps == 2 + 2 + 9 + 10 + 25

    def test_a_jump_of_hundreds_is_one_run(self, tap: Tap) -> None:
        steady(tap, 0, 20, 0)
        steady(tap, 520, 100, 520 * 20.0)
        tap.loop.finish()
        assert tap.loop.harvest(tap.stream, T0).runs == (0,) * 9 + (1,)

    def test_a_late_packet_between_two_lost_ones_ends_the_run(self, tap: Tap) -> None:
        for at in range(300):
            if at not in (100, 102):
                tap.send(at * 20 + (100 if at == 101 else 0), rtp(at))
        tap.loop.finish()
        minute = tap.loop.harvest(tap.stream, T0)
        assert (minute.discarded, minute.runs[:2]) == (1, (2, 0))

    def test_what_was_overtaken_is_no_run(self, tap: Tap) -> None:
        tap.run([1, 2, 3, 5, 4, 6, 7])
        tap.loop.finish()
        assert tap.loop.harvest(tap.stream, T0).runs == ()


class TestDelays:
    def test_late_packets_are_counted_by_how_late_they_were(self, tap: Tap) -> None:
        late = {100: 49, 200: 51, 300: 71, 400: 91, 500: 121, 600: 151, 700: 201, 800: 301, 900: 900}
        for at in range(1000):
            tap.send(at * 20 + late.get(at, 0), rtp(at))
        tap.loop.finish()
        assert tap.loop.harvest(tap.stream, T0).delays == (1, 1, 1, 1, 1, 1, 2)

    def test_a_stall_of_more_than_a_second_is_late_by_300_ms_or_more(self, tap: Tap) -> None:
        steady(tap, 0, 300, 0)
        for at in range(300, 400):  # held back, then caught up with
            tap.send(max(at * 20, 8000 + (at - 300) * 2), rtp(at))
        tap.loop.finish()
        delays = tap.loop.harvest(tap.stream, T0).delays
        assert delays[6] > 90

    def test_a_clock_that_stood_is_no_late_packet(self, tap: Tap) -> None:
        steady(tap, 0, 300, 0)
        for at in range(300, 500):  # 3 s later, timestamps go on as if nothing had been
            tap.send(3000 + at * 20, rtp(at))
        tap.loop.finish()
        assert tap.loop.harvest(tap.stream, T0).delays == ()
