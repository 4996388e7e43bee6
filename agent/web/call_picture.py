"""A call as its page and its report show it: the story's facts in the order and shape of the template.

Nothing is judged here: verdict, path, diagnoses and ladder come from agent/story.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from agent.model.names import UNSIGNALLED
from agent.model.units import SLOT_NS
from agent.story.conditions import silent_way
from agent.story.diagnoses import Finding, findings
from agent.story.ladder import LadderStep, ladder
from agent.story.path import WAYS_OF, CallPath, DirectionPath, path_of
from agent.story.verdict import CallVerdict, verdict
from agent.story.words import clock
from agent.summary.records import CallRecords
from agent.summary.redaction import Redaction
from agent.web.ladder_rows import MAX_STEPS, LadderRow, columns, ladder_rows
from agent.web.plots import Box, Plot, TimeAxis, TimeMark
from agent.web.rendering import ARROWS
from agent.web.rtcp_line import boxes_of, rtcp_minutes, rtcp_spans
from agent.web.time_line import (
    SpanRow,
    all_spans,
    axis_of,
    events_of,
    marks_of,
    plots_of,
    span_rows,
)

MAX_SPANS = 1_440  # rows of the table of figures
_SOURCES = {
    "rtp": "measured here",
    "rtcp": "as the {}'s own RTCP reports",
    "xr": "as the {}'s XR reports",
}


_NOTHING: dict[str, Any] = dict.fromkeys((
    "from_sip_user", "to_sip_user", "direction", "voice_connector_id", "carrier", "host", "invite_ns",
    "answer_ns", "end_ns", "status", "outcome", "end_reason", "ended_by", "setup_ms", "ring_ms", "codec",
    "transaction_id", "flags", "customer_peer", "remote_peer",
)) | {"call_ids": []}  # fmt: skip


class Lane(msgspec.Struct):
    """One direction of the path picture. `state`: good, bad, unknown, silent (one-way audio), or none."""

    key: str
    arrow: str
    state: str
    loss: float | None
    lost: int | None
    expected: int
    packets: int | None
    mos: float | None
    jitter_us: float | None
    source: str
    unknown: int
    discarded: int

    @property
    def words(self) -> str:
        return {
            "good": "clean",
            "bad": "losing",
            "unknown": "unknown",
            "none": "no media",
            "silent": "silent",
        }[self.state]


class CallPicture(msgspec.Struct):
    """Everything that the template shows of a call."""

    records: CallRecords
    verdict: CallVerdict
    path: CallPath
    lanes: dict[str, Lane]
    findings: list[Finding]
    unknowns: list[str]
    axis: TimeAxis
    plots: list[Plot]
    events: list[tuple[float, TimeMark]]
    reports: dict[str, list[Box]]
    report_words: list[str]
    ladder: list[LadderRow]
    ladder_left: str
    ladder_right: str
    steps_left_out: int
    rows: list[SpanRow]
    grain: str

    @property
    def call(self) -> dict[str, Any]:
        """The `call` record; None: an older version wrote none."""
        return _NOTHING | self.records.call

    @property
    def ends(self) -> tuple[str, str]:
        """Caller and callee; of media without SIP the far ends' addresses."""
        names = ("from_sip_user", "to_sip_user")
        if self.call["outcome"] == UNSIGNALLED:
            names = ("customer_peer", "remote_peer")
        one, other = (self.call[name] or "unknown" for name in names)
        return one, other

    @property
    def is_live(self) -> bool:
        return self.call.get("end_ns") is None and self.call.get("outcome") in ("answered", "pending")

    @property
    def is_growing(self) -> bool:
        """Whether more will be known soon: the call is up, or the minute of its end is open."""
        end_ns, closed_ns = self.call.get("end_ns"), self.records.closed_ns
        return self.is_live or (end_ns is not None and closed_ns is not None and end_ns >= closed_ns)

    @property
    def talk_ns(self) -> int | None:
        answered, over = self.call.get("answer_ns"), self.call.get("end_ns")
        return None if answered is None or over is None else over - answered

    @property
    def tone(self) -> str:
        """The verdict's colour, by its worst sentence: bad, unknown, good or (of notes alone) note."""
        kinds = {one.kind for one in self.verdict.statements}
        return next(
            (kind for kind in ("bad", "unknown", "good") if kind in kinds), "note" if kinds else "unknown"
        )


def call_picture(records: CallRecords, redaction: Redaction | None) -> CallPicture:
    """The view of a call. `redaction`: removed from a message before it is shown; None: shown as kept."""
    path = path_of(records)
    steps = ladder(records)
    axis = axis_of(records, path, steps)
    marks = marks_of(records, steps)
    left, right, first_left = columns(steps)
    rtcp = rtcp_spans(records)
    return CallPicture(
        records,
        verdict(records),
        path,
        {
            way: _lane(direction, records, is_silent=way == silent_way(records))
            for way, direction in path.directions.items()
        },
        findings(records),
        _unknowns(records, path, steps),
        axis,
        plots_of(records, path, axis, marks, rtcp),
        [(axis.x(mark.at_ns), mark) for mark in events_of(steps)],
        boxes_of(rtcp, axis),
        [span.words for span in rtcp_minutes(records)],
        ladder_rows(steps[:MAX_STEPS], redaction, first_left),
        left,
        right,
        max(0, len(steps) - MAX_STEPS),
        span_rows(path)[:MAX_SPANS],
        _grain(path),
    )


def _grain(path: CallPath) -> str:
    """The step of the time line, in words."""
    lengths = {one.end_ns - one.start_ns for one in all_spans(path)}
    return "10 s" if lengths and min(lengths) <= SLOT_NS else "a minute"


def _lane(direction: DirectionPath, records: CallRecords, *, is_silent: bool) -> Lane:
    """`is_silent`: the way that should have been heard, and was not."""
    if is_silent:
        state = "silent"
    elif (direction.direction in records.forgotten or records.has_no_sides) and not direction.packets:
        state = "unknown"
    elif not direction.packets and not direction.lost:
        state = "none"
    elif direction.loss is None:
        state = "unknown"
    else:
        state = "bad" if direction.is_losing else "good"
    who = direction.network
    source = _SOURCES.get(direction.source or "", "").format(
        "customer" if who == "customer" else "remote side"
    )
    return Lane(
        direction.direction,
        ARROWS[direction.direction],
        state,
        direction.loss,
        direction.lost,
        direction.expected,
        direction.packets or (None if state == "unknown" else 0),
        direction.mos,
        direction.jitter_us,
        source,
        direction.unknown,
        direction.discarded,
    )


# Unknown


def _unknowns(records: CallRecords, path: CallPath, steps: Sequence[LadderStep]) -> list[str]:
    """Everything unknown about the call, with the reason, a sentence each."""
    found = []
    for side, (to_vc, away) in WAYS_OF.items():
        incoming, sent = path.directions[to_vc], path.directions[away]
        if sent.packets and sent.lost is None:
            why = (
                f"the {side} sent {incoming.rtcp_packets} RTCP packets, and none of them tells"
                if incoming.rtcp_packets
                else f"the {side} sent no RTCP"
            )
            found.append(f"Loss {ARROWS[away]} is unknown: {why}.")
        if (incoming.packets or sent.packets) and path.rtt_us[side] is None:
            found.append(f"The round trip to the {side} is unknown: no report of it answers one of the vc's.")
        for one in (incoming, sent):
            if one.unknown:
                found.append(
                    f"{one.unknown} packets {ARROWS[one.direction]} may be lost, or missed by the capture "
                    "alone: they are no loss here."
                )
            if one.packets and one.mos is None:
                found.append(f"MOS {ARROWS[one.direction]} is unknown: its loss or its codec is.")
        if not incoming.packets and not sent.packets and records.media:
            found.append(f"No media of the {side} was seen.")
    if records.has_no_sides:
        found.append("Its media was seen, but no side is named, so none of it is of a direction.")
    elif not records.media and not records.forgotten:
        found.append("No media record of this call is kept (it had none, or they are too old).")
    for way, packets in records.forgotten.items():
        found.append(f"The records of {packets} packets {ARROWS[way]} are no longer kept.")
    if not steps:
        found.append("No SIP message of this call is kept (any more).")
    for span in records.unseen:
        found.append(
            f"Not seen, {clock(span.first_ns)} to {clock(span.last_ns)}: {span.kind}, {span.why}. "
            "What happened then is nobody's fault here."
        )
    return found


def title_of(view: CallPicture) -> str:
    """A call in one line."""
    return " \u2192 ".join(view.ends)
