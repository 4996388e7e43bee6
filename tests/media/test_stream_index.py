"""Streams by id, by source and SSRC, and by socket: one, a few, a crowd."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import uncompiled
from agent.media import stream_index_cy
from agent.media.stream_index_cy import FEW, MANY
from agent.model import call_cy
from agent.model.sides import Socket

SBC: Socket = ("192.0.2.1", 40_000)
UNCOMPILED = uncompiled.sources("agent.media.stream_index_cy", "agent.model.call_cy")


def phone(number: int) -> Socket:
    return "198.51.100.9", 10_000 + number


def twin(index: Any, call: Any) -> SimpleNamespace:
    return SimpleNamespace(StreamIndex=index.StreamIndex, IdQueue=index.IdQueue, Stream=call.Stream)


@pytest.fixture(params=["compiled", "uncompiled"])
def module(request: pytest.FixtureRequest) -> Any:
    if request.param == "uncompiled":
        return twin(*UNCOMPILED)
    if str(stream_index_cy.__file__).endswith(".py"):
        pytest.skip("not compiled here")
    return twin(stream_index_cy, call_cy)


@pytest.mark.parametrize("count", [1, 2, FEW, FEW + 1, 20])
class TestStreamsOfOneSocket:
    def test_each_is_found_by_source_and_ssrc_and_none_by_the_socket_it_goes_to(
        self, module: Any, count: int
    ) -> None:
        table = module.StreamIndex()
        streams = [module.Stream(at, SBC, phone(at), 0x1000 + at, 0) for at in range(count)]
        for stream in streams:
            table.add(stream)
        for stream in streams:
            assert table.leaving(SBC, stream.ssrc) == [stream]
            assert table.leaving(stream.dst, stream.ssrc) == []
            assert table.at(stream.dst) == (stream,)
        assert set(table.at(SBC)) == set(streams) == set(table)
        assert table.leaving(SBC, 1) == []

    def test_same_ssrc_to_several_destinations_is_found_oldest_first(self, module: Any, count: int) -> None:
        table = module.StreamIndex()
        streams = [module.Stream(at, SBC, phone(at), 7, 0) for at in range(count)]
        for stream in streams:
            table.add(stream)
        assert table.leaving(SBC, 7) == streams
        table.pop(0)
        assert table.leaving(SBC, 7) == streams[1:]

    def test_nothing_is_left_when_all_are_gone(self, module: Any, count: int) -> None:
        table = module.StreamIndex()
        for at in range(count):
            table.add(module.Stream(at, SBC, phone(at), at, 0))
        for at in range(count):
            stream = table.pop(at)
            assert stream is not None
            assert table.leaving(SBC, at) == []
            assert table.at(stream.dst) == ()
        assert table.at(SBC) == ()
        assert len(table) == 0
        assert table.pop(0) is None

    def test_equal_sockets_become_one_object(self, module: Any, count: int) -> None:
        table = module.StreamIndex()
        for at in range(count):
            table.add(module.Stream(at, (SBC[0], int("40000")), phone(at), at, 0))
        assert len({id(stream.src) for stream in table}) == 1


def test_both_ways_between_two_sockets_are_found_at_each(module: Any) -> None:
    table = module.StreamIndex()
    there, back = module.Stream(0, SBC, phone(0), 1, 0), module.Stream(1, phone(0), SBC, 2, 0)
    table.add(there)
    table.add(back)
    assert table.at(SBC) == table.at(phone(0)) == (there, back)
    assert table.leaving(SBC, 1) == [there]
    assert table.leaving(SBC, 2) == []
    table.pop(0)
    assert table.at(SBC) == table.at(phone(0)) == (back,)


@pytest.mark.parametrize(("others", "crowd"), [(0, 0), (FEW, 0), (0, FEW), (1_000, 20), (20, 1_000)])
def test_streams_between_two_sockets_are_found_where_few_use_one_of_them(
    module: Any, others: int, crowd: int
) -> None:
    table = module.StreamIndex()
    pairs = [(phone(0), SBC)] * 2 + [(SBC, phone(0))]
    pairs += [(phone(0), phone(1 + number)) for number in range(others)]
    pairs += [(phone(1 + number), SBC) for number in range(crowd)]
    for number, (src, dst) in enumerate(pairs):
        table.add(module.Stream(number, src, dst, number, 0))
    assert sorted(stream.id for stream in table.between(phone(0), SBC)) == [0, 1]
    assert [stream.id for stream in table.between(SBC, phone(0))] == [2]
    assert table.between(phone(0), phone(9_999)) == []


def test_streams_between_two_sockets_of_many_are_asked_of_nobody(module: Any) -> None:
    table = module.StreamIndex()
    for number in range(MANY + 1):
        table.add(module.Stream(2 * number, phone(0), phone(1 + number), 1, 0))
        table.add(module.Stream(2 * number + 1, phone(1 + number), SBC, 1, 0))
    table.add(module.Stream(9_999, phone(0), SBC, 2, 0))
    assert table.between(phone(0), SBC) == []


@pytest.mark.parametrize("count", [1, FEW, 20])
def test_stream_that_sends_to_itself_is_there_once(module: Any, count: int) -> None:
    table = module.StreamIndex()
    for at in range(count):
        table.add(module.Stream(at, SBC, SBC, at, 0))
    assert len(table.at(SBC)) == count
    for at in range(count):
        assert len(table.leaving(SBC, at)) == 1
        table.pop(at)
    assert table.at(SBC) == ()


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=80))
def test_id_queue_is_a_dictionary_without_values(steps: list[tuple[bool, int]]) -> None:
    for index in (stream_index_cy, UNCOMPILED[0]):
        queue, model = index.IdQueue(), dict[int, None]()
        for adds, number in steps:
            if adds:
                queue.add(number)
                model[number] = None
            else:
                queue.discard(number)
                model.pop(number, None)
            assert (len(queue), queue.first()) == (len(model), next(iter(model), -1))
            assert [each in queue for each in range(14)] == [each in model for each in range(14)]
