"""Rules for what real equipment does: starts, turns of SSRCs, time bases, clocks and stalls."""

from __future__ import annotations

from typing import Any

import pytest

from agent.wire.rtp.payload_types import KIND_AUDIO, KIND_EVENT, KIND_REPAIR
from tests.kit.loop_tap import T0, Tap, rtp

NEAR, FAR = ("198.51.100.9", 30000), ("192.0.2.1", 40000)


@pytest.fixture
def named(tap: Tap) -> Tap:
    tap.loop.named.add(*NEAR)
    return tap


class TestNamedSocket:
    def test_first_packet_counts(self, named: Tap) -> None:
        named.run([7])
        assert named.finished()["packets"] == 1

    def test_source_that_an_sdp_names_needs_no_probation_either(self, tap: Tap) -> None:
        tap.loop.named.add(*FAR)
        tap.run([7])
        assert tap.loop.streams == 1

    def test_every_second_packet_lost(self, named: Tap) -> None:
        named.run(list(range(0, 1000, 2)), step_ms=40)
        counters = named.finished()
        assert (counters["packets"], counters["gaps"]) == (500, 499)

    def test_every_pair_swapped_is_no_loss(self, named: Tap) -> None:
        named.run([n ^ 1 for n in range(600)])
        counters = named.finished()
        assert (counters["packets"], counters["gaps"]) == (600, 0)

    @pytest.mark.parametrize("start", [0, 65_534])
    def test_what_was_overtaken_at_the_start_is_late_not_lost(self, tap: Tap, start: int) -> None:
        for socket in (None, NEAR):
            if socket:
                tap.loop.named.add(*socket)
            tap.run([(start + n) & 0xFFFF for n in (3, 0, 1, 2, 4, 5, 6)])
            counters = tap.finished()
            assert (counters["packets"], counters["gaps"]) == (7, 0)
            tap.loop.expire(T0 + 10**12)

    def test_candidate_s_losses_count_once_an_sdp_names_its_socket(self, tap: Tap) -> None:
        tap.run(list(range(0, 20, 2)), step_ms=40)
        assert tap.loop.streams == 0
        tap.loop.named.add(*NEAR)
        tap.run([20, 21], start_ms=400)
        counters = tap.finished()
        assert (counters["packets"], counters["gaps"]) == (12, 10)

    def test_socket_no_longer_named_is_probed(self, named: Tap) -> None:
        named.loop.named.discard(*NEAR)
        named.run([7])
        assert named.loop.streams == 0

    def test_flood_of_ssrcs_at_a_named_socket_is_probed_after_64(self, named: Tap) -> None:
        for ssrc in range(1000):
            named.send(ssrc, rtp(ssrc * 7, ssrc=ssrc))
        assert named.loop.streams == 64

    def test_many_sockets_come_and_go(self, tap: Tap) -> None:
        sockets = [(f"10.0.{n >> 8}.{n & 255}", 10_000 + n) for n in range(3000)]
        for host, port in sockets:
            tap.loop.named.add(host, port)
        for host, port in sockets[::2]:
            tap.loop.named.discard(host, port)
        assert [socket in tap.loop.named for socket in sockets] == [n % 2 == 1 for n in range(3000)]
        assert tap.loop.named.count == 1500
        tap.loop.named.clear()
        assert tap.loop.named.count == 0

    def test_host_name_names_nothing(self, tap: Tap) -> None:
        tap.loop.named.add("media.example", 30000)
        assert tap.loop.named.count == 0


class TestRtcpLikeTypes:
    """RFC 5761 4: payload types 64 to 95 with the marker bit look like RTCP."""

    @pytest.mark.parametrize("payload_type", [64, 72, 79, 95])
    def test_type_that_an_sdp_names_is_rtp(self, tap: Tap, payload_type: int) -> None:
        tap.loop.named.add(*NEAR, 1 << (payload_type - 64))
        for n in range(10):
            tap.send(n * 20, rtp(1000 + n, payload_type=payload_type, marker=True))
        assert (tap.slow, tap.finished()["packets"]) == (0, 10)

    def test_rtcp_stays_rtcp_there(self, tap: Tap) -> None:
        tap.loop.named.add(*NEAR, 1 << (200 & 127) - 64)
        tap.send(0, b"\x80\xc8\x00\x06" + bytes(24))
        assert (tap.slow, tap.loop.live) == (1, 0)

    @pytest.mark.parametrize("payload_type", [72, 73, 74, 75, 76])
    @pytest.mark.parametrize("start", [0, 1, 6, 20, 41])
    def test_low_number_that_would_fit_as_a_length_is_rtp(
        self, tap: Tap, payload_type: int, start: int
    ) -> None:
        """A source that begins at 0: its first packet has the marker."""
        tap.loop.named.add(*NEAR, 1 << (payload_type - 64))
        for n in range(10):
            tap.send(n * 20, rtp(start + n, payload_type=payload_type, marker=n == 0))
        assert (tap.slow, tap.finished()["packets"]) == (0, 10)

    def test_compound_packet_stays_rtcp_there(self, tap: Tap) -> None:
        tap.loop.named.add(*NEAR, 1 << (200 & 127) - 64)
        sdes = b"\x81\xca\x00\x02" + bytes(8)
        tap.send(0, b"\x80\xc8\x00\x06" + bytes(24) + sdes)
        tap.send(20, b"\x80\xc8\x00\x06" + bytes(24) + sdes + b"\x81\xcb\x00\x01" + bytes(4))
        assert (tap.slow, tap.loop.live) == (2, 0)

    def test_type_that_no_sdp_names_is_rtcp(self, named: Tap) -> None:
        named.send(0, rtp(1000, payload_type=72, marker=True))
        assert named.slow == 1


class TestTurns:
    """A, B, then A again on the same sockets."""

    def take(self, tap: Tap, ssrc: int, numbers: range, start_ms: float) -> int:
        for at, seq in enumerate(numbers):
            tap.send(start_ms + at * 20, rtp(seq, ssrc=ssrc))
        return tap.loop.find(*FAR, *NEAR, ssrc)

    def test_numbers_that_a_went_on_counting_are_ssrc_gap(self, tap: Tap) -> None:
        a = self.take(tap, 1, range(100), 0)
        b = self.take(tap, 2, range(5000, 5100), 2000)
        tap.loop.link([a, b])
        self.take(tap, 1, range(200, 300), 4000)
        tap.loop.finish()
        counters = tap.counters(stream=a)
        assert (counters["ssrc_gap"], counters["gaps"], counters["packets"]) == (100, 0, 200)
        assert tap.loop.counted(a, 299) == (0, 300, 200, 0)  # the far end misses them too

    def test_loss_after_the_turn_is_loss(self, tap: Tap) -> None:
        a = self.take(tap, 1, range(100), 0)
        tap.loop.link([a, self.take(tap, 2, range(5000, 5100), 2000)])
        self.take(tap, 1, range(200, 250), 4000)
        self.take(tap, 1, range(260, 300), 5200)
        tap.loop.finish()
        counters = tap.counters(stream=a)
        assert (counters["ssrc_gap"], counters["gaps"]) == (100, 10)

    def test_streams_side_by_side_hide_no_loss_of_each_other(self, tap: Tap) -> None:
        for n in range(300):
            if not 100 <= n < 150:
                tap.send(n * 20, rtp(n, ssrc=1))
            tap.send(n * 20 + 1, rtp(n, ssrc=2))
            if n == 50:
                a, b = (tap.loop.find(*FAR, *NEAR, ssrc) for ssrc in (1, 2))
                tap.loop.link([a, b])
        tap.loop.finish()
        counters = tap.counters(stream=a)
        assert (counters["ssrc_gap"], counters["gaps"]) == (0, 50)


class TestTimeBase:
    @pytest.mark.parametrize("jump", [16_000, -16_000, 1_000_000_000, -1_000_000_000])
    def test_step_off_by_more_than_a_second_is_a_reference(self, tap: Tap, jump: int) -> None:
        tap.run(list(range(50)))
        for n in range(50, 100):
            tap.send(n * 20, rtp(n, 160 * n + jump))
        counters = tap.finished()
        assert (counters["timebase_changes"], counters["jitter_max_us"], counters["discarded"]) == (1, 0.0, 0)
        assert counters["jitter_count"] == 98

    def test_marker_off_by_ten_packet_times_is_a_reference(self, tap: Tap) -> None:
        tap.run(list(range(50)))
        for n in range(50, 100):
            tap.send(n * 20, rtp(n, 160 * n + 1600, marker=n == 50))
        counters = tap.finished()
        assert (counters["timebase_changes"], counters["jitter_max_us"], counters["discarded"]) == (1, 0.0, 0)

    def test_clock_that_stood_for_two_seconds_discards_nothing(self, tap: Tap) -> None:
        tap.run(list(range(50)))
        tap.run(list(range(50, 150)), start_ms=3000)
        counters = tap.finished()
        assert (counters["timebase_changes"], counters["discarded"]) == (1, 0)

    @pytest.mark.parametrize("length", [1, 10, 50])
    def test_first_packet_after_digits_is_a_reference(self, tap: Tap, length: int) -> None:
        tap.map = tap.loop.payload_map({101: (8000, KIND_EVENT)})
        tap.run(list(range(50)))
        for n in range(length):
            tap.send((50 + n) * 20, rtp(50 + n, 50 * 160, payload_type=101))
        for n in range(50):  # the clock of the audio stood meanwhile
            tap.send((50 + length + n) * 20, rtp(50 + length + n, (50 + n) * 160))
        counters = tap.finished()
        assert (counters["jitter_max_us"], counters["discarded"]) == (0.0, 0)
        assert counters["jitter_count"] == 49 + 49

    def test_repair_packets_are_no_samples(self, tap: Tap) -> None:
        tap.map = tap.loop.payload_map({97: (90000, KIND_REPAIR)})
        for n in range(50):
            tap.send(n * 20 + n % 7 * 9, rtp(n, n * 31, payload_type=97))
        counters = tap.finished()
        assert (counters["packets"], counters["jitter_count"], counters["discarded"]) == (50, 0, 0)


class TestClock:
    @pytest.mark.parametrize(
        ("declared", "wire"), [(8000, 16000), (48000, 16000), (16000, 8000), (8000, 1000)]
    )
    def test_rate_off_by_half_or_more_is_the_wire_s(self, tap: Tap, declared: int, wire: int) -> None:
        tap.map = tap.loop.payload_map({96: (declared, KIND_AUDIO)})
        for n in range(500):
            tap.send(n * 20, rtp(n, n * wire // 50, payload_type=96))
        its = tap.loop.silent(tap.stream, T0)
        assert (its.clock_rate, its.clock_rate_mismatch, its.assumed) == (wire, True, False)
        counters = tap.finished()
        assert (counters["jitter_max_us"], counters["discarded"], counters["gaps"]) == (0.0, 0, 0)

    def test_stall_and_burst_are_no_other_clock(self, tap: Tap) -> None:
        tap.map = tap.loop.payload_map({96: (16000, KIND_AUDIO)})
        for n in range(500):
            late = max(0, 900 - (n % 100) * 20) if n % 100 < 45 else 0
            tap.send(n * 20 + late, rtp(n, n * 320, payload_type=96))
        assert not tap.loop.silent(tap.stream, T0).clock_rate_mismatch

    def test_ten_packets_are_too_few_to_infer_a_rate(self, tap: Tap) -> None:
        for n in range(10):
            tap.send(n * 2, rtp(n, n * 160, payload_type=99))
        assert tap.loop.silent(tap.stream, T0).clock_rate == 0

    def test_rate_is_inferred_in_spite_of_loss(self, tap: Tap) -> None:
        for n in range(300):
            if n % 5:
                tap.send(n * 20, rtp(n, n * 320, payload_type=99))
        its = tap.loop.silent(tap.stream, T0)
        assert (its.clock_rate, its.assumed) == (16000, True)


class TestTypes:
    def test_minute_keeps_its_packets_by_payload_type(self, tap: Tap) -> None:
        tap.map = tap.loop.payload_map({101: (8000, KIND_EVENT)})
        kinds = [0] * 200 + [101] * 9 + [0] * 20 + [18] * 50
        for n, kind in enumerate(kinds):
            tap.send(n * 20, rtp(n, payload_type=kind))
        its = tap.loop.harvest(tap.stream, T0)
        assert sorted(its.by_type) == [(0, 220), (18, 50), (101, 9)]

    def test_one_type_alone_is_not_listed(self, tap: Tap) -> None:
        tap.run(list(range(100)))
        assert tap.loop.harvest(tap.stream, T0).by_type == ()

    def test_fifth_type_is_of_the_further_ones(self, tap: Tap) -> None:
        for n in range(120):
            tap.send(n * 20, rtp(n, payload_type=(0, 3, 4, 8, 9, 18)[n // 20]))
        its = tap.loop.harvest(tap.stream, T0)
        assert sum(packets for _, packets in its.by_type) == 120
        assert dict(its.by_type)[255] == 40


def stalled(make: Any, count: int, stall_ms: int, *, adaptive: bool = False) -> float:
    """Discarded of 2500 packets, of which `count` times those of `stall_ms` come in one burst."""
    tap = make(adaptive=adaptive)
    burst = stall_ms // 20
    every = 2500 // count
    for n in range(2500):
        place = n % every - 20
        late = (burst - place) * 20 - 19 + place if 0 <= place < burst else 0
        tap.send(n * 20 + late, rtp(n))
    return float(tap.finished()["discarded"])


@pytest.mark.parametrize("adaptive", [False, True])
class TestStalls:
    def test_longer_stall_is_never_better(self, make: Any, adaptive: bool) -> None:
        found = [
            stalled(make, 5, ms, adaptive=adaptive) for ms in (60, 100, 150, 200, 400, 800, 960, 1400, 2000)
        ]
        assert found == sorted(found)

    def test_many_short_stalls_are_no_worse_than_few_long_ones(self, make: Any, adaptive: bool) -> None:
        assert stalled(make, 40, 140, adaptive=adaptive) <= stalled(make, 5, 2000, adaptive=adaptive)


class TestBaseline:
    def test_moves_after_a_second_of_steady_delay(self, tap: Tap) -> None:
        tap.run(list(range(100)))
        tap.run(list(range(100, 400)), start_ms=100 * 20 + 300)
        assert 48 <= tap.finished()["discarded"] <= 53

    @pytest.mark.parametrize("adaptive", [False, True])
    def test_slip_of_one_packet_time_discards_nothing(self, make: Any, adaptive: bool) -> None:
        """A sender that misses one tick of 20 ms stays so much later, and everybody hears all of it."""
        tap = make(adaptive=adaptive)
        tap.run(list(range(500)))
        for n in range(500, 1_000):
            tap.send(n * 20 + 20 + n % 5, rtp(n))
        assert tap.finished()["discarded"] == 0

    @pytest.mark.parametrize("adaptive", [False, True])
    def test_delay_that_swings_about_the_limit_is_steady(self, make: Any, adaptive: bool) -> None:
        """Some packets in time and some not: the baseline moves after a second all the same."""
        tap = make(adaptive=adaptive)
        tap.run(list(range(500)))
        for n in range(500, 2_000):
            tap.send(n * 20 + 58 + n % 5, rtp(n))
        assert 5 <= tap.finished()["discarded"] <= 53


class TestPayloadMaps:
    def test_maps_that_no_stream_has_are_given_up(self, tap: Tap) -> None:
        kept = tap.map = tap.loop.payload_map({96: (16000, KIND_AUDIO)})
        tap.run([1, 2])
        for n in range(10_000):
            assert tap.loop.payload_map({97: (1000 + n, KIND_AUDIO)}) != 0
        assert tap.loop.map_sweeps > 0
        assert tap.loop.payload_map({96: (16000, KIND_AUDIO)}) == kept

    def test_snapshot_keeps_the_numbers_of_maps(self, make: Any) -> None:
        before, after = make(), make()
        for n in range(4200):
            before.map = before.loop.payload_map({96: (8000 + n, KIND_AUDIO)})
        for n in range(5):
            before.send(n * 20, rtp(n, payload_type=96))
        after.loop.restore(before.loop.save())
        assert after.loop.payload_map({96: (8000 + 4199, KIND_AUDIO)}) == before.map
        for n in range(5, 8):
            for one in (before, after):
                one.send(n * 20, rtp(n, payload_type=96))
        after.stream = before.stream
        assert after.finished() == before.finished()
