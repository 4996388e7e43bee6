"""The RTP loop, rule by rule; every test runs compiled and uncompiled."""

from __future__ import annotations

import ctypes
import re
from array import array
from pathlib import Path
from typing import Any

import pytest

from agent.media.rtp import loop_cy, stream_row
from agent.wire.frame import OUTGOING, Frame, batch_of, origin
from agent.wire.rtp import payload_types
from tests.kit.loop_tap import FOREVER, MINUTE, MS, T0, WIRE, Tap, ethernet, rtp
from tests.kit.loop_traffic import Traffic, walk

C_TYPES: dict[str, Any] = {
    "unsigned char": ctypes.c_uint8,
    "unsigned short": ctypes.c_uint16,
    "unsigned int": ctypes.c_uint32,
    "unsigned long long": ctypes.c_uint64,
    "long long": ctypes.c_int64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "SlotFields": stream_row.SlotRow,
    "MinuteFields": stream_row.MinuteRow,
}


class TestStreams:
    def test_one_packet_alone_is_no_stream(self, tap: Tap) -> None:
        tap.run([7])
        assert tap.loop.streams == 0
        assert tap.loop.harvest_all(T0) == []

    def test_two_packets_in_sequence_are_a_stream_and_both_count(self, tap: Tap) -> None:
        tap.run([7, 8])
        assert tap.loop.streams == 1
        counters = tap.counters()
        assert (counters["packets"], counters["bytes"]) == (2, 2 * 172)
        assert tap.loop.first_ns(tap.stream) == T0
        assert tap.loop.last_ns(tap.stream) == T0 + 20 * MS

    def test_packets_out_of_sequence_are_no_stream_until_two_follow(self, tap: Tap) -> None:
        tap.run([100, 900, 40000, 40001])
        assert tap.counters()["packets"] == 4
        assert tap.loop.counted(tap.stream, 40001) == (0, 2, 2, 0)

    def test_new_stream_stops_the_walk_before_the_packet_counts(self, make: Any) -> None:
        loop = make().loop
        data = [ethernet(rtp(seq)) for seq in (1, 2, 3)]
        batch = batch_of([Frame(d, T0 + i * 20 * MS, WIRE, len(d)) for i, d in enumerate(data)])
        assert loop.walk(batch.data, batch.index, 0, FOREVER) == 1
        assert loop.stopped == loop_cy.STOP_STREAM
        assert loop.harvest(loop.new_stream, T0).packets == 1
        assert loop.walk(batch.data, batch.index, 1, FOREVER) == 3
        assert loop.stopped == loop_cy.STOP_END
        assert loop.harvest(loop.new_stream, T0).packets == 2

    def test_same_ssrc_between_other_sockets_is_another_stream(self, tap: Tap) -> None:
        for seq in range(5):
            tap.send(seq * 20, rtp(seq))
            tap.send(seq * 20 + 1, rtp(seq), dst_port=30002)
            tap.send(seq * 20 + 2, rtp(seq), src="192.0.2.2")
        assert tap.loop.streams == 3
        keys = {tap.loop.key(its.id) for its in tap.loop.harvest_all(T0)}
        assert keys == {
            ("192.0.2.1", 40000, "198.51.100.9", 30000, 0x1234),
            ("192.0.2.1", 40000, "198.51.100.9", 30002, 0x1234),
            ("192.0.2.2", 40000, "198.51.100.9", 30000, 0x1234),
        }

    def test_stream_is_found_by_its_key_only(self, tap: Tap) -> None:
        tap.run([1, 2])
        assert tap.loop.find("192.0.2.1", 40000, "198.51.100.9", 30000, 0x1234) == tap.stream
        assert tap.loop.find("192.0.2.1", 40000, "198.51.100.9", 30000, 0x1235) == -1

    def test_expired_stream_is_reported_once_harvested(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        later = T0 + 10 * MINUTE
        assert tap.loop.expire(later) == []  # its counters were not taken yet
        tap.counters()
        assert tap.loop.expire(later) == [tap.stream]
        with pytest.raises(IndexError):
            tap.loop.key(tap.stream)
        assert tap.loop.find("192.0.2.1", 40000, "198.51.100.9", 30000, 0x1234) == -1

    def test_table_full_of_streams_refuses_the_next(self, make: Any) -> None:
        tap = make(max_streams=3)
        for ssrc in range(5):
            tap.send(ssrc * 40, rtp(1, ssrc=ssrc))
            tap.send(ssrc * 40 + 20, rtp(2, ssrc=ssrc))
        assert tap.loop.streams == 3
        assert tap.loop.refused == 4

    def test_flood_of_ssrcs_takes_the_place_of_candidates_only(self, make: Any) -> None:
        tap = make(max_streams=50)
        tap.run([1, 2, 3])
        for ssrc in range(2000):
            tap.send(100 + ssrc, rtp(ssrc * 7, ssrc=0x10000 + ssrc))
        tap.send(4000, rtp(4))
        assert tap.loop.streams == 1
        assert tap.loop.live == 50
        assert tap.loop.evicted == 2000 - 49
        assert tap.loop.refused == 0
        assert tap.counters()["packets"] == 4


class TestLoss:
    def test_missing_number_is_lost_once_it_left_the_window(self, tap: Tap) -> None:
        tap.run([1, 2, 4, *range(5, 66)])
        assert tap.counters()["gaps"] == 0  # 3 is one of the newest 64 still
        tap.run([66, 67], start_ms=70 * 20)
        assert tap.counters()["gaps"] == 1

    def test_silence_of_two_seconds_judges_in_its_own_minute(self, tap: Tap) -> None:
        tap.run([1, 2, 4], start_ms=59_000)
        tap.send(3 * 60_000, rtp(5))
        assert tap.counters(1)["gaps"] == 1  # 59.04 + 2 s, in the minute after, the last not yet closed

    def test_flush_judges_only_streams_silent_for_two_seconds(self, tap: Tap) -> None:
        tap.run([1, 2, 4])
        tap.loop.flush(T0 + 2039 * MS)
        assert tap.counters()["gaps"] == 0
        tap.loop.flush(T0 + 2040 * MS)
        assert tap.counters()["gaps"] == 1

    def test_swapped_pair_is_no_loss(self, tap: Tap) -> None:
        tap.run([1, 2, 4, 3, 5])
        counters = tap.finished()
        assert (counters["gaps"], counters["reordered"], counters["packets"]) == (0, 1, 5)

    def test_duplicate_is_counted_and_hides_no_loss(self, tap: Tap) -> None:
        tap.run([1, 2, 2, 2, 5])
        counters = tap.finished()
        assert (counters["gaps"], counters["duplicates"], counters["packets"]) == (2, 2, 5)

    def test_sequence_wrap_is_no_loss(self, tap: Tap) -> None:
        tap.run([n & 0xFFFF for n in range(65500, 65700) if n != 65536])
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"], counters["judged"]) == (1, 199, 200)

    @pytest.mark.parametrize(("jump", "lost"), [(2999, 2998), (3000, 0)])
    def test_gap_below_max_dropout_is_loss_and_from_there_on_a_jump(
        self, tap: Tap, jump: int, lost: int
    ) -> None:
        tap.run([1, 2, 2 + jump, 3 + jump, 4 + jump])
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"]) == (lost, 5)

    def test_one_stray_number_moves_nothing(self, tap: Tap) -> None:
        tap.run([1, 2, 30000, 3, 4])
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"], counters["judged"]) == (0, 5, 4)

    def test_restart_is_no_loss_and_a_new_epoch(self, tap: Tap) -> None:
        tap.run([1, 2, 4, 30000, 30001, 30002])
        assert tap.loop.counted(tap.stream, 30002) == (1, 3, 3, 0)
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"], counters["judged"]) == (1, 6, 7)

    def test_rebase_makes_the_next_jump_no_loss(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        tap.loop.rebase(tap.stream)
        tap.run([500, 501], start_ms=500)
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"]) == (0, 5)

    @pytest.mark.parametrize(("numbers", "epoch"), [([4, 5], 0), ([5, 6], 1), ([500, 501], 1)])
    def test_resumed_stream_counts_on_where_it_has_the_next_number(
        self, tap: Tap, numbers: list[int], epoch: int
    ) -> None:
        tap.run([1, 2, 3])
        tap.loop.resume(tap.stream)
        tap.run(numbers, start_ms=4000)
        assert tap.loop.newest(tap.stream)[:3] == (numbers[-1], epoch, 2 if epoch else 5)
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"]) == (0, 5)

    def test_rebase_is_not_undone_by_resume(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        tap.loop.rebase(tap.stream)
        tap.loop.resume(tap.stream)
        tap.run([4, 5], start_ms=4000)
        assert tap.loop.newest(tap.stream)[1] == 1

    def test_gap_across_capture_loss_is_unknown(self, tap: Tap) -> None:
        tap.run([1, 2])
        tap.loop.lose(T0 + 30 * MS, T0 + 90 * MS)
        tap.run([6, 7, 9], start_ms=100)
        assert tap.loop.counted(tap.stream, 9) == (0, 9, 5, 3)
        counters = tap.finished()
        assert (counters["unknown"], counters["gaps"]) == (3, 1)

    def test_clock_set_in_a_capture_loss_leaves_the_gap_unknown(self, tap: Tap) -> None:
        tap.run([1, 2])
        tap.loop.lose(T0 + 30 * MS, T0 + 90 * MS)
        tap.counters()
        tap.loop.shift(MINUTE)
        tap.run([6, 7, 8], start_ms=60_100)
        tap.loop.finish()
        counters = tap.counters(1)
        assert (counters["unknown"], counters["gaps"], counters["jitter_max_us"]) == (3, 0, 0.0)

    def test_runs_and_bursts_follow_rfc_3611(self, tap: Tap) -> None:
        # Alone: 10. A burst: 40, 41 and 50 (8 received between). Everything else is gap.
        tap.run([n for n in range(1, 101) if n not in (10, 40, 41, 50)])
        counters = tap.finished()
        assert counters["loss_runs"] == 3
        assert (counters["bursts"], counters["burst_packets"], counters["burst_lost"]) == (1, 11, 3)
        assert (counters["gap_packets"], counters["gap_lost"]) == (89, 1)

    def test_counted_up_to_an_older_number_leaves_newer_packets_out(self, tap: Tap) -> None:
        tap.run([1, 2, 4, 4, 5, 6])
        assert tap.loop.counted(tap.stream, 4) == (0, 4, 4, 0)
        assert tap.loop.counted(tap.stream, 7) is None
        assert tap.loop.counted(tap.stream, 0) is None


class TestCopies:
    def test_same_number_through_another_vlan_is_one_packet(self, tap: Tap) -> None:
        for seq in range(5):
            tap.send(seq * 20, rtp(seq), vlan=10)
            tap.send(seq * 20 + 0.05, rtp(seq), vlan=20)
        counters = tap.finished()
        assert (counters["packets"], counters["duplicates"]) == (5, 0)
        assert tap.loop.duplicate_frames == 5

    def test_same_number_leaving_the_host_is_one_packet(self, tap: Tap) -> None:
        for seq in range(5):
            tap.send(seq * 20, rtp(seq), origin(1, 0, 0))
            tap.send(seq * 20 + 0.05, rtp(seq), origin(1, 0, OUTGOING))
        assert tap.finished()["packets"] == 5

    @pytest.mark.parametrize(("later_ms", "copies"), [(20.0, 1), (20.2, 0)])
    def test_copy_comes_within_20_ms(self, tap: Tap, later_ms: float, copies: int) -> None:
        tap.run([1, 2, 3])
        tap.send(40 + later_ms, rtp(3), vlan=20)
        assert tap.loop.duplicate_frames == copies
        assert tap.finished()["duplicates"] == 1 - copies

    def test_same_path_is_a_wire_duplicate(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        tap.send(41, rtp(3))
        assert tap.loop.duplicate_frames == 0
        assert tap.finished()["duplicates"] == 1

    def test_single_span_makes_the_same_path_a_copy_too(self, make: Any) -> None:
        tap = make(single_span=True)
        tap.run([1, 2, 3])
        tap.send(41, rtp(3))
        assert tap.loop.duplicate_frames == 1
        assert tap.finished()["packets"] == 3

    @pytest.mark.parametrize(
        ("second", "vlan", "copies"),
        [(7, None, 1), (7, 5, 1), (8, None, 0), (8, 5, 0), (0, 5, 0)],
        ids=["same", "same by another path", "other", "other by another path", "without"],
    )
    def test_identification_tells_a_copy_from_another_packet(
        self, tap: Tap, second: int, vlan: int | None, copies: int
    ) -> None:
        numbers = [ethernet(rtp(seq), identification=7 * seq) for seq in (1, 2)]
        again = ethernet(rtp(1), identification=second, vlan=vlan)
        tap.frames([Frame(one, T0 + at * MS, WIRE, len(one)) for at, one in enumerate([*numbers, again])])
        assert tap.loop.duplicate_frames == copies
        assert tap.finished()["duplicates"] == 1 - copies

    def test_copies_of_a_restart_are_one_restart(self, tap: Tap) -> None:
        for position, seq in enumerate([1, 2, 3, 30000, 30001, 30002]):
            tap.send(position * 20, rtp(seq), vlan=10)
            tap.send(position * 20 + 1, rtp(seq), vlan=20)
        assert tap.loop.counted(tap.stream, 30002) == (1, 3, 3, 0)
        assert tap.finished()["packets"] == 6
        assert tap.loop.duplicate_frames == 6


class TestJitter:
    def test_steady_stream_has_none(self, tap: Tap) -> None:
        tap.run(list(range(50)))
        counters = tap.counters()
        assert (counters["jitter_sum_us"], counters["jitter_count"]) == (0.0, 49)

    def test_one_late_packet_moves_j_by_a_sixteenth(self, tap: Tap) -> None:
        tap.run([1, 2])
        tap.send(48, rtp(3))  # 8 ms late: D is 64 ticks, J 64 / 16 = 4 ticks = 500 us
        counters = tap.counters()
        assert counters["jitter_sum_us"] == pytest.approx(500)
        assert counters["jitter_max_us"] == pytest.approx(500)
        assert counters["jitter_count"] == 2

    def test_events_comfort_noise_and_repeats_change_nothing(self, tap: Tap) -> None:
        tap.map = tap.loop.payload_map({101: (8000, payload_types.KIND_EVENT)})
        tap.run([1, 2])
        tap.send(55, rtp(3, 777, payload_type=101))
        tap.send(57, rtp(4, 99999, payload_type=13))
        tap.send(58, rtp(5, 2 * 160))
        tap.send(59, rtp(5, 2 * 160))
        tap.send(100, rtp(6))
        counters = tap.counters()
        # The first packet after an event is a reference, no sample; one of the timestamp before is neither.
        assert (counters["jitter_sum_us"], counters["jitter_count"]) == (0.0, 1)
        assert counters["packets"] == 7
        assert tap.loop.payload_type(tap.stream) == 0

    def test_marker_after_a_pause_is_the_reference_without_an_update(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        tap.send(540, rtp(4, marker=True))
        tap.send(560, rtp(5))
        counters = tap.counters()
        assert (counters["jitter_sum_us"], counters["jitter_count"]) == (0.0, 3)

    def test_marker_within_two_packet_times_updates(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        tap.send(80, rtp(4, marker=True))  # exactly two packet times after the third
        assert tap.counters()["jitter_max_us"] == pytest.approx(20_000 / 16)

    def test_codec_change_restarts(self, tap: Tap) -> None:
        tap.run([1, 2])
        tap.send(60, rtp(3))
        tap.send(90, rtp(4, payload_type=8))
        tap.send(110, rtp(5, payload_type=8))
        counters = tap.counters()
        assert counters["jitter_count"] == 3
        assert counters["jitter_max_us"] == pytest.approx(20_000 / 16)

    def test_clock_rate_comes_from_the_payload_map(self, tap: Tap) -> None:
        tap.map = tap.loop.payload_map({111: (48000, payload_types.KIND_AUDIO)})
        for n in range(10):
            tap.send(n * 20, rtp(n, n * 960, payload_type=111))
        its = tap.loop.silent(tap.stream, T0)
        assert (its.clock_rate, its.step, its.assumed) == (48000, 960, False)
        assert tap.counters()["jitter_max_us"] == 0.0

    @pytest.mark.parametrize("rate", [8000, 16000, 24000, 32000, 48000, 90000])
    def test_undeclared_clock_rate_is_inferred_and_assumed(self, tap: Tap, rate: int) -> None:
        for n in range(250):
            tap.send(n * 20, rtp(n, n * rate // 50, payload_type=99))
            if n == 99:  # 2 s are not over
                assert tap.loop.silent(tap.stream, T0).clock_rate == 0
                assert tap.loop.harvest(tap.stream, T0).jitter_count == 0
        its = tap.loop.silent(tap.stream, T0)
        assert (its.clock_rate, its.assumed) == (rate, True)
        counters = tap.counters()
        assert counters["jitter_max_us"] == 0.0
        assert counters["jitter_count"] > 10

    def test_timestamp_wrap_is_no_jitter(self, tap: Tap) -> None:
        for n in range(10):
            tap.send(n * 20, rtp(n, 0xFFFFFFFF - 500 + n * 160))
        assert tap.counters()["jitter_max_us"] == 0.0


class TestJitterBuffer:
    @pytest.mark.parametrize(("late_ms", "discarded"), [(59, 0), (61, 1)])
    def test_packet_later_than_the_buffer_is_discarded_not_lost(
        self, tap: Tap, late_ms: int, discarded: int
    ) -> None:
        tap.run([1, 2, 3])
        for seq in (4, 5, 6, 7, 8):  # those behind the late one wait for it
            tap.send(max(60 + late_ms, seq * 20 - 20), rtp(seq))
        counters = tap.finished()
        assert (counters["gaps"], counters["packets"]) == (0, 8)
        assert (counters["discarded"], counters["loss_runs"]) == (discarded, discarded)

    def test_adaptive_buffer_grows_with_jitter(self, make: Any) -> None:
        lost = {}
        for adaptive in (False, True):
            tap = make(adaptive=adaptive, jitter_buffer_ms=30.0)
            for seq in range(200):
                tap.send(seq * 20 + (38 if seq % 2 else 0), rtp(seq))
            lost[adaptive] = tap.finished()["discarded"]
        assert lost[False] == 100
        assert lost[True] < 10

    def test_slow_clock_drift_discards_nothing(self, tap: Tap) -> None:
        for seq in range(20_000):  # 200 ppm: 80 ms in 400 s
            tap.send(seq * 20.004, rtp(seq))
        tap.loop.finish()
        assert sum(tap.counters(minute)["discarded"] for minute in range(2)) == 0


class TestMinutes:
    def test_packet_counts_in_the_minute_of_its_stamp(self, tap: Tap) -> None:
        tap.run([1, 2, 3, 4], start_ms=59_950)
        assert tap.counters(0)["packets"] == 3
        assert tap.counters(1)["packets"] == 1

    def test_frame_of_a_closed_minute_counts_in_the_oldest_open_one(self, tap: Tap) -> None:
        tap.run([1, 2, 3], start_ms=60_000)
        tap.loop.closed_ns = T0 + MINUTE
        tap.send(59_990, rtp(4))
        assert tap.loop.late_frames == 1
        assert tap.counters(1)["packets"] == 4

    def test_candidate_across_a_closed_minute_counts_in_the_next(self, tap: Tap) -> None:
        tap.send(59_990, rtp(1))
        assert tap.loop.harvest_all(T0) == []
        tap.loop.closed_ns = T0 + MINUTE
        tap.send(60_010, rtp(2))
        assert tap.counters(1)["packets"] == 2

    def test_harvest_starts_at_zero_again(self, tap: Tap) -> None:
        tap.run([1, 2, 3])
        (its,) = tap.loop.harvest_all(T0)
        assert (its.id, its.stamp_ns, its.packets) == (tap.stream, T0, 3)
        assert tap.loop.harvest_all(T0) == []


class TestWalk:
    def test_frame_at_until_is_due_and_not_consumed(self, make: Any) -> None:
        loop = make().loop
        data = [ethernet(rtp(seq)) for seq in (1, 2)]
        batch = batch_of([Frame(d, T0 + i * 20 * MS, WIRE, len(d)) for i, d in enumerate(data)])
        assert loop.walk(batch.data, batch.index, 0, T0 + 20 * MS) == 1
        assert loop.stopped == loop_cy.STOP_DUE
        assert loop.newest_ns == T0

    @pytest.mark.parametrize(
        ("payload", "slow"),
        [
            (b"INVITE sip:a@b SIP/2.0\r\n", 1),
            (b"SIP/2.0 200 OK\r\n", 1),
            (b"\r\n\r\nBYE sip:a@b SIP/2.0\r\n", 1),
            (b"\x80\xc8\x00\x06" + bytes(24), 1),  # RTCP SR
            (b"\x81\xdf\x00\x06" + bytes(24), 1),  # RTCP packet type 223
            (b"\r\n\r\n", 0),
            (b"\x00\x01\x00\x00" + bytes(16), 0),  # STUN
            (b"\x16\xfe\xfd" + bytes(20), 0),  # DTLS
            (b"\x10\x00" + bytes(20), 0),  # ZRTP
            (b"jaK", 0),
        ],
    )
    def test_what_is_not_rtp_is_slow_or_ignored(self, tap: Tap, payload: bytes, slow: int) -> None:
        tap.send(0, payload)
        assert tap.slow == slow
        assert tap.loop.ignored == 1 - slow
        assert tap.loop.live == 0

    def test_truncated_rtp_is_rejected_with_its_reason(self, tap: Tap) -> None:
        tap.send(0, rtp(1)[:11])
        tap.frames([Frame(b"\0" * 10, T0, WIRE, 10)])
        assert tap.loop.rejects() == {"rtp_malformed": 1, "link_truncated": 1}

    def test_index_beyond_the_data_raises_and_reads_nothing(self, make: Any) -> None:
        loop = make().loop
        with pytest.raises(IndexError):
            loop.walk(bytes(20), array("q", [400, 60, 60, T0, WIRE]), 0, FOREVER)


class TestCheckpoint:
    def test_restored_loop_goes_on_as_if_nothing_happened(self, make: Any) -> None:
        numbers = [n for n in range(65400, 65700) if n % 17 and n % 29]
        whole, before, after = make(), make(), make()
        for tap in (whole, before, after):
            tap.map = tap.loop.payload_map(
                {96: (16000, payload_types.KIND_AUDIO), 0: (8000, payload_types.KIND_AUDIO)}
            )
        whole.run(numbers)
        before.run(numbers[:120])
        after.loop.restore(before.loop.save())
        after.stream = after.loop.find("192.0.2.1", 40000, "198.51.100.9", 30000, 0x1234)
        assert after.stream == before.stream
        after.run(numbers[120:], start_ms=120 * 20)
        assert after.loop.key(after.stream) == whole.loop.key(whole.stream)
        assert after.loop.counted(after.stream, 65699) == whole.loop.counted(whole.stream, 65699)
        assert after.finished() == whole.finished()

    def test_ids_survive_and_free_ones_are_reused(self, make: Any) -> None:
        before, after = make(), make()
        for ssrc in range(5):
            for seq in (1, 2):
                before.send(ssrc * 40 + seq * 20, rtp(seq, ssrc=ssrc))
        before.loop.expire(T0 + 100 * MS)  # ends them
        before.loop.harvest_all(T0)
        gone = before.loop.expire(T0 + 100 * MS)
        assert gone == [0, 1]
        kept = {stream: before.loop.key(stream) for stream in before.loop.live_streams()}
        after.loop.restore(before.loop.save())
        assert {stream: after.loop.key(stream) for stream in after.loop.live_streams()} == kept
        for ssrc in range(100, 100 + len(gone)):
            after.send(1000, rtp(1, ssrc=ssrc))
            after.send(1020, rtp(2, ssrc=ssrc))
        assert after.loop.used == before.loop.used

    def test_many_streams_are_all_found_again(self, make: Any) -> None:
        before, after = make(), make()
        for ssrc in range(1500):
            for seq in (1, 2):
                before.send(seq * 20, rtp(seq, ssrc=ssrc))
        after.loop.restore(before.loop.save())
        for stream in before.loop.live_streams():
            assert after.loop.find(*before.loop.key(stream)) == stream

    def test_damaged_snapshot_is_refused(self, make: Any) -> None:
        tap = make()
        tap.run([1, 2, 3])
        data = tap.loop.save()
        for broken in (b"", b"x" * 100, data[:40], data[:-3], b"SBCW\xff" + data[5:]):
            with pytest.raises(ValueError, match="snapshot"):
                make().loop.restore(broken)


class TestLayout:
    def test_row_has_the_same_fields_for_the_compiler_and_for_everyone(self) -> None:
        declared = Path(stream_row.__file__).with_name("stream_table_cy.pxd").read_text()
        for record, name, size in (
            (stream_row.SlotRow, "SlotFields", 10),
            (stream_row.RareRow, "RareFields", 68),
            (stream_row.MinuteRow, "MinuteFields", 88),
            (stream_row.StreamRow, "RowFields", 704),
        ):
            body = re.search(rf"cdef struct {name}:\n((?:    .*\n)+)", declared)
            assert body
            fields = re.findall(r"^    ([\w ]+) (\w+)(?:\[(\d+)\])?$", body[1], re.MULTILINE)
            assert len(fields) == len(record._fields_)
            for (kind, named, many), (expected, c_type) in zip(fields, record._fields_, strict=True):
                assert named == expected
                assert c_type == (C_TYPES[kind] * int(many) if many else C_TYPES[kind])
            assert ctypes.sizeof(record) == size

    def test_packet_touches_the_first_lines_one_of_its_minute_and_one_of_its_window(self) -> None:
        line = {
            name: getattr(stream_row.StreamRow, name).offset // 64
            for name, _ in stream_row.StreamRow._fields_
        }
        assert line["late_run"] == 0
        assert line["anchored"] == 1
        assert [getattr(stream_row.StreamRow, name).offset % 64 for name in ("even", "odd", "window")] == [
            0,
            0,
            0,
        ]
        assert stream_row.MinuteRow.slot.offset < 64

    def test_snapshot_takes_no_more_than_a_hundred_bytes_a_stream(self, make: Any) -> None:
        traffic, tap = Traffic(300, 24_000, loss=0.01), make()
        walk(tap.loop, traffic)
        assert tap.loop.streams == 300
        assert len(tap.loop.save()) < 300 * 100

    def test_four_thousand_streams_and_more_count_as_few_do(self, make: Any) -> None:
        tap = make(max_streams=6000)
        data = [ethernet(rtp(seq, ssrc=ssrc)) for seq in range(3) for ssrc in range(4200)]
        tap.frames([Frame(one, T0 + at * 1000, WIRE, len(one)) for at, one in enumerate(data)])
        harvested = tap.loop.harvest_all(T0)
        assert len(harvested) == 4200
        assert {its.packets for its in harvested} == {3}
