"""Floods at 100,000 frames a second of capture time: bounded tables and memory, and real calls to the packet.

`python -m tests.kit.flooding invites 1000000` runs one at full size; here each is a tenth or less of that.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agent import uncompiled
from agent.assembly.rules import rules, tables
from agent.calls.counting_cy import CALL_BYTES
from agent.config.settings import Capture, Config, Limits
from agent.daemon import capture_threads, checkpoint, writer
from agent.model.units import SECOND_NS
from agent.pipeline import build, pass_on
from agent.summary.sip_log import MAX_WAITING, SipLog
from agent.transport.rate_limit_cy import CALM_S, MAX_SOURCES, RateLimit, Talker
from agent.wire.frame import Frame, batch_of
from agent.wire.sdp.session_cy import condensed_size, parse
from tests.kit import flooding, generate

ROOT = Path(__file__).parent.parent
OPTIONS = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\n"
MEMORY_MB, SMALL_MB = 512, 160
LOUD, QUIET = "203.0.113.9", "203.0.113.10"


@cache
def flooded(kind: str, count: int, live: bool = False) -> dict[str, Any]:
    """In a process of its own, whose resident memory is the flood's."""
    command = [sys.executable, "-m", "tests.kit.flooding", kind, str(count), *(["--live"] if live else [])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def assert_real_calls_are_exact(result: dict[str, Any]) -> None:
    alone = flooded("invites", 0)
    assert len(alone["calls"]) == 50
    for what in ("calls", "media", "values"):
        assert result[what] == alone[what]
    assert result["rss_mb"] < MEMORY_MB


@pytest.mark.slow
def test_invented_calls_push_each_other_out_and_no_real_one() -> None:
    result = flooded("invites", 30_000)
    most, _ = tables(Config())
    held = result["tables"]["calls"]
    assert most - 3 <= held <= most  # the real calls' SDPs take the room of a few calls
    assert result["counters"]["calls_evicted"] == 30_050 - held
    assert_real_calls_are_exact(result)


@pytest.mark.slow
def test_registers_leave_real_calls_exact() -> None:
    assert_real_calls_are_exact(flooded("registers", 30_000))


@pytest.mark.slow
def test_ssrcs_onto_a_real_calls_socket_leave_it_exact() -> None:
    result = flooded("ssrcs", 50_000)
    assert result["tables"]["streams"] <= 101
    assert_real_calls_are_exact(result)


@pytest.mark.slow
def test_invented_streams_are_bounded_and_leave_real_calls_exact() -> None:
    result = flooded("pairs", 50_000)
    assert result["tables"]["streams"] <= tables(Config())[1]
    assert_real_calls_are_exact(result)


@pytest.mark.slow
def test_segments_without_a_beginning_are_bounded_and_leave_real_calls_exact() -> None:
    result = flooded("segments", 20_000)
    assert result["tables"]["tcp_streams"] <= 4_096
    assert_real_calls_are_exact(result)


@pytest.mark.slow
def test_fragments_never_finished_are_bounded_and_leave_real_calls_exact() -> None:
    result = flooded("fragments", 20_000)
    assert result["tables"]["fragments"] <= 1_024
    assert_real_calls_are_exact(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"), [("big_sip", 1_500), ("big_sdp", 400), ("pairs", 50_000), ("invites", 8_000)]
)
def test_resident_memory_stays_below_a_small_bound(kind: str, count: int) -> None:
    command = [sys.executable, "-m", "tests.kit.flooding", kind, str(count), "--mb", str(SMALL_MB)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["rss_mb"] < SMALL_MB
    assert result["calls"] == flooded("invites", 0)["calls"]
    assert result["media"] == flooded("invites", 0)["media"]


@pytest.mark.slow
def test_call_with_a_fat_description_holds_no_more_than_it_is_weighed_at() -> None:
    """With its part of a checkpoint. `limits.max_calls` counts by the weight, so this bounds the memory."""
    draw, warm, count, kept = random.Random(1), 4, 60, flooding.Kept()
    pipeline = build(Config(), vc=[generate.VC], customers=["10.1.0.0/16"], key=b"k")
    frames = [flooding.big_sdp(number, draw) for number in range(warm + count)]

    def feed(part: list[bytes]) -> None:
        for number, data in enumerate(part):
            frame = Frame(data, flooding.BEGIN_NS + number, flooding.ORIGIN, len(data))
            pass_on(pipeline.engine.feed(batch_of([frame])), pipeline.intervals, kept)
        checkpoint.packed(checkpoint.save(pipeline.engine, pipeline.intervals))
        gc.collect()

    feed(frames[:warm])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    feed(frames[warm:])
    held = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    description = condensed_size(parse(frames[-1].split(b"\r\n\r\n", 1)[1]))
    times, a_socket = uncompiled.constants("agent.calls.table_cy", "TEXT_TIMES SOCKET_BYTES")
    assert description < 14_000
    assert held < times * description + a_socket * 64 + CALL_BYTES


@pytest.mark.slow
def test_live_flood_of_one_address_is_shed_and_named_and_real_calls_are_exact() -> None:
    result = flooded("registers", 30_000, live=True)
    shed, budget = result["counters"]["sip_shed"], Limits().sip_budget
    assert 30_000 - 3 * budget < shed < 30_000 - budget  # all of it within its first second
    assert result["talkers"] == [["203.0.113.9", 30_000, shed, "friendly-scanner"]]
    assert_real_calls_are_exact(result)


@pytest.mark.slow
def test_calls_that_begin_in_a_flood_of_their_trunks_name_are_exact() -> None:
    result, alone = flooded("trunks", 60_000, live=True), flooded("invites", 0)
    assert result["counters"]["sip_shed"] > 30_000
    assert len(result["calls"]) == 50
    for what in ("calls", "media"):
        assert result[what] == alone[what]
    assert result["values"]["OutboundCallsAnswered"] == 50  # attempts are the flood's, in their name
    assert result["rss_mb"] < MEMORY_MB


# -- limits and the budget by themselves


@pytest.mark.parametrize("memory_mb", [128, 256, 512, 4096])
def test_tables_are_lowered_to_what_fits_in_the_memory(memory_mb: int) -> None:
    calls, streams = tables(Config(limits=Limits(max_memory_mb=memory_mb)))
    assert calls <= Limits().max_calls
    assert streams <= Limits().max_streams
    assert calls * 9_216 + streams * 2_048 <= (memory_mb - 64) << 20


@pytest.mark.parametrize("ring_mb", [16, 64, 256])
def test_tables_of_a_live_capture_leave_room_for_the_rings_and_what_waits(ring_mb: int) -> None:
    calls, streams = tables(Config(capture=Capture(ring_mb=ring_mb)), live=True)
    waiting = capture_threads.ROOM + writer.MAX_WAITING
    assert (calls * 9_216 + streams * 2_048) + waiting + ((ring_mb + 64) << 20) <= MEMORY_MB << 20


def test_capture_files_are_parsed_whole() -> None:
    assert rules(Config()).sip_budget == 0
    assert rules(Config(), live=True).sip_budget == Limits().sip_budget


def call(number: int, second: int, budget: RateLimit, peer: str = LOUD) -> list[bool]:
    """Whether each of a call's four messages is taken."""
    data = b"INVITE sip:a SIP/2.0\r\nCall-ID: call-%d\r\n" % number
    return [budget.takes(peer, to_vc, data, second * SECOND_NS) for to_vc in (True, False) * 2]


def test_messages_within_the_budget_are_all_taken() -> None:
    budget = RateLimit(200)
    assert all(all(call(number, second, budget)) for second in range(3) for number in range(100))
    assert (budget.shed, budget.taken_shed()) == (0, 0)


@pytest.mark.parametrize("times", [1.5, 3, 20])
def test_source_above_its_budget_is_sampled_by_whole_calls(times: float) -> None:
    budget, count = RateLimit(1_000), int(500 * times)
    for second in range(2):  # the first second of a flood is cut where it passes the budget
        for number in range(count):
            call(number, second, budget)
    for second in (2, 3):
        kept = [call(number, second, budget) for number in range(count)]
        assert all(all(one) or not any(one) for one in kept)
        assert 500 / 3 < sum(all(one) for one in kept) <= 500
    assert budget.taken_shed() == budget.shed
    assert budget.taken_shed() == 0


def test_call_is_kept_or_not_for_as_long_as_its_source_is_as_loud() -> None:
    budget = RateLimit(1_000)
    kept = [{n for n in range(1_200) if any(call(n, second, budget))} for second in range(30)]
    assert all(each == kept[2] for each in kept[2:])


def test_compact_call_id_is_the_same_call() -> None:
    budget = RateLimit(100)
    names = (b"Call-ID: %d", b"i:%d", b"CALL-ID  :\t%d  ")
    messages = [b"OPTIONS sip:a SIP/2.0\r\n" + name + b"\r\nCSeq: 1 OPTIONS\r\n" for name in names]
    for second in range(2):
        for number in range(150):
            budget.takes(LOUD, True, messages[0] % number, second * SECOND_NS)
    taken = [[budget.takes(LOUD, True, form % n, 2 * SECOND_NS) for form in messages] for n in range(30)]
    assert all(all(one) or not any(one) for one in taken)
    assert any(all(one) for one in taken)


def test_first_second_of_a_flood_is_bounded_too() -> None:
    budget = RateLimit(1_000)
    taken = sum(sum(call(number, 0, budget)) for number in range(50_000))
    assert 2_000 < taken < 6_000
    taken = sum(sum(call(number, 1, budget)) for number in range(50_000))
    assert 500 < taken <= 2_000


def test_source_is_taken_whole_again_after_a_calm_minute_and_not_before() -> None:
    budget = RateLimit(100)
    for number in range(200):
        call(number, 0, budget)
    shed = []
    for second in range(1, CALM_S + 3):
        before = budget.shed
        for number in range(20):
            call(number, second, budget)
        shed.append(budget.shed - before)
    assert all(shed[: CALM_S - 1])
    assert not shed[-1]


def test_strained_host_cuts_sources_above_their_budget_to_a_quarter_and_no_others() -> None:
    budget = RateLimit(1_000)
    for second, budget.strained in enumerate((False, False, False, True, True)):
        loud = sum(all(call(number, second, budget)) for number in range(800))
        quiet = sum(all(call(number, second, budget, QUIET)) for number in range(400))
        assert quiet == 400
        if second == 2:
            assert 250 < loud <= 500
    assert 50 < loud <= 125


def test_one_sources_flood_takes_nothing_from_another() -> None:
    budget = RateLimit(3)
    for n in range(100):
        budget.takes(LOUD, True, OPTIONS, n)
    assert budget.takes(QUIET, True, OPTIONS, 100)


def test_strangers_together_are_sampled_like_one_source_and_known_peers_are_not() -> None:
    budget = RateLimit(100)
    budget.takes(QUIET, False, b"INVITE sip:a SIP/2.0\r\nCall-ID: out\r\nCSeq: 1 INVITE\r\n", 0)
    taken = 0
    for second in range(1, 4):
        for number in range(5_000):
            peer = f"203.0.{number >> 8}.{number & 255}"
            data = b"INVITE sip:a SIP/2.0\r\nCall-ID: %d-%d\r\n" % (second, number)
            taken += budget.takes(peer, True, data, second * SECOND_NS)
        assert all(all(call(number, second, budget, QUIET)) for number in range(40))
    assert 3 * 100 < taken < 4 * 4 * 100 + 12 * 100  # the first second is cut where it passes the budget
    assert budget.shed == 15_000 - taken


def test_answers_to_a_flood_are_counted_apart_from_it() -> None:
    budget = RateLimit(3)
    assert all(budget.takes(LOUD, to_vc, OPTIONS, 0) for to_vc in (True, False) for _ in range(3))
    assert not budget.takes(LOUD, False, OPTIONS, 0)


def test_invented_sources_push_out_the_one_silent_longest() -> None:
    budget = RateLimit(3)
    for n in range(MAX_SOURCES + 10):
        budget.takes(f"10.0.{n >> 8}.{n & 255}", True, OPTIONS, n * SECOND_NS)
    assert len(budget) == MAX_SOURCES
    assert budget.evicted == 10


@pytest.mark.parametrize(
    ("agent", "scanner"),
    [(b"friendly-scanner", "friendly-scanner"), (b"SIPVicious 0.3", "sipvicious"), (b"Asterisk PBX", None)],
)
def test_scanner_is_known_by_its_user_agent_below_any_budget(agent: bytes, scanner: str | None) -> None:
    budget = RateLimit(100)
    budget.takes(LOUD, True, OPTIONS + b"User-Agent: " + agent + b"\r\n", 0)
    assert budget.talkers() == ([Talker(LOUD, 1, 0, scanner)] if scanner else [])


def test_talkers_are_the_loudest_and_begin_again_each_minute() -> None:
    budget = RateLimit(2)
    for n in range(8):
        for _ in range(n):
            budget.takes(f"10.0.0.{n}", True, OPTIONS, 0)
    assert [talker.address for talker in budget.talkers()] == [f"10.0.0.{n}" for n in (7, 6, 5, 4, 3)]
    assert budget.talkers() == []


def test_log_beyond_its_rate_takes_failures_and_nothing_else() -> None:
    log = SipLog(10)
    assert [log.takes(status, 0, 0) for status in [0, 200] * 10 + [486] * 10] == [True] * 10 + [
        False
    ] * 10 + [True] * 10
    assert (log.unlogged, log.unlogged_failures) == (10, 0)
    assert not log.takes(486, 0, 0)
    assert log.takes(0, SECOND_NS, 0)


def test_messages_that_wait_for_a_connector_are_bounded_and_failures_last() -> None:
    log = SipLog()
    assert log.takes(0, 0, MAX_WAITING - 1)
    assert not log.takes(0, 0, MAX_WAITING)
    assert log.takes(503, 0, MAX_WAITING)
