"""What must not matter: when it was, and how often the capture saw a frame."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.frame import Frame
from tests.kit.conversation import ALICE, BOB, VC, Conversation, Heard, sdp

MINUTE_NS = 60 * 10**9

calls = st.lists(
    st.tuples(
        st.sampled_from([(ALICE, BOB), (BOB, ALICE)]),
        st.integers(0, 50),  # INVITE, s
        st.sampled_from([200, 200, 200, 302, 407, 486, 487, 503]),
        st.integers(1, 100),  # until the BYE, s
        st.booleans(),  # retransmit
    ),
    min_size=1,
    max_size=5,
)
Script = list[tuple[tuple[str, str], int, int, int, bool]]


def play(script: Script, *, minutes: int = 0, copies: list[int] | None = None) -> tuple[Heard, int]:
    """The conversation, moved by whole minutes, with copies of frames up to 20 ms later; their number."""
    talk = Conversation()
    for number, (ends, start, status, length, again) in enumerate(script):
        begin = start + number * 0.1
        call = talk.proxied(*ends, call_id=f"c{number}", from_tag=f"t{number}", from_user=f"u{number}")
        call.invite(begin, sdp=sdp(ends[0], 4000 + number * 10))
        if again:
            call.incoming.invite(begin + 0.5, branch=call.incoming.invite_branch)
        if status == 487:
            call.cancel(begin + 1)
        call.respond(begin + 1.5, status, sdp=sdp(VC, 5000 + number * 10) if status == 200 else "")
        if status == 200:
            call.ack(begin + 1.6)
            talk.rtp(begin + 2, (ends[0], 4000 + number * 10), (VC, 5000 + number * 10), seconds=0.2)
            call.bye(begin + 2 + length)
    frames = []
    added = 0
    for order, (stamp_ns, _, frame) in enumerate(sorted(talk.frames, key=lambda row: row[:2])):
        stamp_ns += minutes * MINUTE_NS
        frames.append((stamp_ns, order, Frame(frame.data, stamp_ns, frame.origin, frame.wire_length)))
        late_ms = copies[order % len(copies)] if copies else 0
        if late_ms:
            # Another interface: through the same one RTP is sent twice, and not copied.
            seen = Frame(frame.data, stamp_ns + late_ms * 10**6, frame.origin + 1, frame.wire_length)
            frames.append((seen.stamp_ns, 100_000 + order, seen))
            added += 1
    talk.frames = frames
    return talk.play(until=180 + minutes * 60), added


def plain(heard: Heard, minutes: int = 0) -> list[Any]:
    """Everything published, times moved back, without the ids that a minute is hashed into."""
    moved = minutes * MINUTE_NS

    def back(row: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value - moved
            if key.endswith("_ns") and value is not None
            else value - moved // 10**6
            if key.endswith("_timestamp") or (key == "start_ts" and value is not None)
            else value
            for key, value in row.items()
            if key != "record_id"
        }

    return [
        (
            summary.start_ns - moved,
            [(row.voice_connector_id, row.values, row.extras) for row in summary.connectors],
            [back(row) for row in summary.media],
            [back(row) for row in summary.calls],
            summary.extras,
        )
        for summary in heard.summaries
    ]


@settings(max_examples=25, deadline=None)
@given(calls, st.integers(1, 10_000))
def test_shifting_all_times_by_whole_minutes_changes_only_times(script: Script, minutes: int) -> None:
    here, there = play(script)[0], play(script, minutes=minutes)[0]
    assert plain(there, minutes) == plain(here)


@settings(max_examples=25, deadline=None)
@given(calls, st.lists(st.sampled_from([0, 0, 1, 5, 19]), min_size=3, max_size=30))
def test_copies_within_20_ms_change_nothing_but_duplicate_frames(script: Script, copies: list[int]) -> None:
    once, (twice, added) = play(script)[0], play(script, copies=copies)
    assert plain(twice) == plain(once)
    engine = twice.pipeline.engine
    assert engine.duplicates() == added
