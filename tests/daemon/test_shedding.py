"""What an overloaded host does without changes no number: calls, media and counts are an idle host's."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest

from agent.daemon.log import Log
from agent.daemon.overload import Load
from agent.daemon.service import Service
from agent.media.orphans import Orphans
from agent.summary.sip_log import SipLog
from agent.wire.frame import batch_of
from tests.kit.halves import CAPTURES, Kept, feed, frames_of, pipeline_for, whole
from tests.kit.scene import CUST, REM, VC2CUST, VC2REM, Scene

MESSAGE = b"INVITE sip:bob@b.example SIP/2.0\r\nCall-ID: 1\r\nAuthorization: x\r\n\r\nv=0\r\n"
A, B, ORPHAN = 0xAAAA, 0xBBBB, 0xCCCC


@pytest.mark.parametrize("name", CAPTURES)
def test_capture_under_the_highest_level_has_the_same_minutes_media_and_calls(name: str) -> None:
    pipeline, kept = pipeline_for(name), Kept()
    pipeline.shed(3)
    feed(pipeline, batch_of(frames_of(name)), kept)
    for event in pipeline.engine.finish():
        pipeline.intervals.record(event)
    kept.messages(pipeline.intervals.messages())
    for summary in pipeline.intervals.closed():
        kept.commit(summary)
    got, expected = kept.result(), whole(name)
    cut = sorted(row["sip_message"] for row in got.pop("sip"))
    assert cut == sorted(row["sip_message"].split("\n")[0] + "\n" for row in expected["sip"])
    assert got == {what: rows for what, rows in expected.items() if what != "sip"}


def early_media() -> Scene:
    scene = Scene()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 301))
    scene.rtp(0.2, REM, VC2REM, B, range(1, 301))
    scene.rtp(0.2, ("203.0.113.9", 9), ("10.0.0.1", 31_000), ORPHAN, range(1, 301))
    scene.call(2.0)
    return scene


def test_early_media_left_alone_under_load_counts_whole_once_its_sdp_comes() -> None:
    alone, loaded = early_media().play(), early_media().play(level=2)
    for name in ("cust2vc_rtp_packets", "rem2vc_rtp_packets", "cust2vc_packets_lost"):
        assert loaded.row[name] == alone.row[name]
    assert loaded.row["cust2vc_rtp_packets"] == 300


def test_orphan_under_load_makes_no_minute_and_before_it_does() -> None:
    assert ORPHAN in {stream.ssrc for stream in early_media().play(level=1).streams}
    assert {stream.ssrc for stream in early_media().play(level=2).streams} == {A, B}


def test_log_keeps_start_lines_and_failures_whole_at_first() -> None:
    log, texts = SipLog(), []
    for log.level in range(4):
        texts.append((log.text(MESSAGE, 0), log.text(MESSAGE, 486)))
    line = b"INVITE sip:bob@b.example SIP/2.0\r\n"
    assert texts == [(MESSAGE, MESSAGE), (line, MESSAGE), (line, line), (line, line)]
    assert log.bodies_left_out == 5


def test_stream_left_alone_is_found_by_either_socket_once_and_forgotten_with_its_row() -> None:
    alone = Orphans()
    sockets: list[Any] = [("a", 1), ("b", 2), ("c", 3)]
    alone.leave(7, sockets[0], sockets[1])
    alone.leave(8, sockets[2], sockets[1])
    alone.leave(9, sockets[2], sockets[0])
    alone.forget(9)
    assert alone.take([sockets[1], sockets[0]]) == [7, 8]
    assert alone.take(sockets) == []
    assert (len(alone), alone.shed) == (0, 3)


def test_each_level_is_in_the_journal_and_in_every_part_of_the_pipeline() -> None:
    out, load, pipeline = io.StringIO(), Load(), pipeline_for(CAPTURES[0])
    service: Any = SimpleNamespace(load=load, pipeline=pipeline, _log=Log(out, form="json"))
    found = []
    for load.level in (1, 2, 3, 0):
        Service._shed(service)
        engine = pipeline.engine
        found.append(
            (pipeline.intervals.sip_log.level, engine.media.streams.shedding, engine.rate_limit.strained)
        )
    assert found == [(1, False, False), (2, True, False), (3, True, True), (0, False, False)]
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["load_level"] for line in lines] == [1, 2, 3, 0]
    assert lines[2]["text"] == (
        "shedding SIP log bodies and orphan streams and SIP above its source's budget"
    )
    assert lines[3]["text"] == "shedding nothing"
