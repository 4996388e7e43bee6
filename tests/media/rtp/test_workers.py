"""Workers: several loops that the engine asks as one."""

from __future__ import annotations

import pytest

from agent.media.rtp.loop_cy import Loop
from agent.media.rtp.workers import Lock, RtpWorkers
from agent.model.stream_minute_cy import StreamMinute
from agent.wire.frame import Batch, CaptureDrop, Frame, batch_of
from tests.kit.loop_tap import MINUTE, MS, T0, WIRE, ethernet, rtp

LATER = T0 + 10 * MINUTE


def made() -> Loop:
    return Loop(max_streams=64)


def workers(count: int) -> RtpWorkers:
    some = RtpWorkers(made, [Lock() for _ in range(count)])
    some.closed_ns = T0
    return some


def voice(numbers: range, port: int = 40000, start_ns: int = T0) -> Batch:
    frames = []
    for number in numbers:
        data = ethernet(rtp(number), src_port=port)
        frames.append(Frame(data, start_ns + number * 20 * MS, WIRE, len(data)))
    return batch_of(frames)


def packets(harvest: list[StreamMinute]) -> dict[int, int]:
    return {its.id: its.packets for its in harvest}


def test_streams_of_every_lane_have_ids_of_their_own() -> None:
    three = workers(3)
    for worker in range(3):
        for port in (40000, 40002):
            three.process(worker, voice(range(4), port + 10 * worker))
    begun = dict(three.begun(LATER))
    assert len(begun) == 6
    assert all(begun.values())
    assert {three.key(stream)[1] for stream in begun} == {40000, 40002, 40010, 40012, 40020, 40022}
    assert packets(three.harvest_all(T0)) == dict.fromkeys(begun, 4)
    assert sorted(three.live_streams()) == sorted(begun)
    assert list(three.begun(LATER)) == []


def test_stream_whose_first_packet_does_not_lead_to_its_second_is_told() -> None:
    one = workers(1)
    frames = [*voice(range(1)).frames(), *voice(range(7, 10)).frames()]
    one.process(0, batch_of(frames))
    assert [clean for _, clean in one.begun(LATER)] == [False]


def test_stream_is_told_when_the_engine_has_come_to_its_first_packet() -> None:
    one = workers(1)
    one.process(0, voice(range(4), start_ns=T0 + 300 * MS))
    assert list(one.begun(T0 + 299 * MS)) == []
    assert len(list(one.begun(T0 + 300 * MS))) == 1


def test_what_one_asks_of_a_stream_is_asked_of_its_loop() -> None:
    two = workers(2)
    two.process(1, voice(range(10)))
    ((stream, _),) = two.begun(LATER)
    two.set_map(stream, two.payload_map({96: (48000, 1)}))
    assert two.first_ns(stream) == T0
    assert two.last_ns(stream) == T0 + 180 * MS
    assert two.payload_type(stream) == 0
    its = two.silent(stream, T0)
    assert (its.id, its.last_ns, its.payload_type) == (stream, T0 + 180 * MS, 0)
    assert (its.clock_rate, its.step, its.assumed, its.packets) == (8000, 160, False, 0)
    assert two.counted(stream, 9) == (0, 10, 10, 0)
    two.rebase(stream)
    two.process(1, voice(range(500, 502)))
    two.finish()
    (its,) = two.harvest_all(T0)
    assert (its.id, its.gaps) == (stream, 0)


def test_packet_put_together_counts_where_its_stream_is() -> None:
    two = workers(2)
    two.process(1, voice(range(4)))
    ((stream, _),) = two.begun(LATER)
    key = two.key(stream)
    assert two.take(voice(range(4, 5)), key)
    assert not two.take(voice(range(5, 6), 40010), (key[0], 40010, *key[2:]))
    assert packets(two.harvest_all(T0)) == {stream: 5}


def test_equal_payload_maps_have_one_number_in_all_lanes() -> None:
    two = workers(2)
    first = two.payload_map({96: (48000, 1)})
    assert two.payload_map({97: (16000, 1)}) != first
    assert two.payload_map({96: (48000, 1)}) == first


def test_a_loss_of_one_ring_is_no_loss_of_the_other_lane() -> None:
    two = workers(2)
    for worker in range(2):
        two.process(worker, voice(range(4), 40000 + worker))
        batch = voice(range(6, 80), 40000 + worker)
        if worker == 0:
            batch.losses = [CaptureDrop(T0 + 70 * MS, T0 + 110 * MS, 2)]
        two.process(worker, batch)
    two.finish()
    figures = {its.id % 2: (its.gaps, its.unknown) for its in two.harvest_all(T0)}
    assert figures == {0: (0, 2), 1: (2, 0)}


def test_close_gives_the_minute_once_and_late_frames_count_in_the_next() -> None:
    two = workers(2)
    two.process(0, voice(range(4)))
    assert sum(packets(two.close(T0, T0 + MINUTE)).values()) == 4
    two.process(0, voice(range(4, 6)))
    assert two.late_frames == 2
    assert packets(two.harvest_all(T0)) == {}
    assert sum(packets(two.harvest_all(T0 + MINUTE)).values()) == 2


def test_frame_beyond_the_open_minutes_waits_for_a_close() -> None:
    one = workers(1)
    batch = batch_of([*voice(range(3)).frames(), *voice(range(3, 5), start_ns=T0 + 2 * MINUTE).frames()])
    rest, position = one.process(0, batch)
    assert (len(rest), position) == (0, 3)
    one.close(T0, T0 + MINUTE)
    assert one.process(0, batch, position)[1] == 5


def test_more_streams_than_one_walk_notes_are_all_told() -> None:
    one = RtpWorkers(lambda: Loop(max_streams=2000), [Lock()])
    one.closed_ns = T0
    frames = [frame for port in range(10000, 11300) for frame in voice(range(2), port).frames()]
    one.process(0, batch_of(sorted(frames, key=lambda frame: frame.stamp_ns)))
    assert len(dict(one.begun(LATER))) == 1300
    assert sum(packets(one.harvest_all(T0)).values()) == 2600


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_streams_go_on_after_a_restart_with_more_or_fewer_lanes(before: int, after: int) -> None:
    old, new = workers(before), RtpWorkers(made, [Lock() for _ in range(after)])
    for worker in range(before):
        old.process(worker, voice(range(4), 40000 + worker))
    new.restore(old.save())
    for stream in old.live_streams():
        assert new.key(new.renumber(stream)) == old.key(stream)
    assert sorted(packets(new.harvest_all(T0)).values()) == [4] * before
    worker = min(before, after) - 1
    new.process(worker, voice(range(4, 9), 40000 + worker))
    assert list(new.begun(LATER)) == []  # it is the stream of before
    assert list(packets(new.harvest_all(T0)).values()) == [5]


def test_snapshot_cut_short_is_refused() -> None:
    data = workers(2).save()
    for size in (0, 3, len(data) - 1):
        with pytest.raises(ValueError, match="snapshot"):
            workers(2).restore(data[:size])
