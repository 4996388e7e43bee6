"""The verdict: a call's records as sentences that name the side at fault, and everything unknown.

No side is blamed without a measurement. A direction without a report is unknown, with the reason. Frames that
the capture missed are said with their doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from agent.model.names import UNSIGNALLED
from agent.model.units import MINUTE_NS, SLOT_NS
from agent.story.conditions import silent_network
from agent.story.diagnoses import Finding, findings
from agent.story.ladder import LadderStep, ladder
from agent.story.path import WAYS_OF, CallPath, DirectionPath, Network, PathSpan, path_of
from agent.story.words import FAR, NAMES, NOTABLE, clock, day, percent
from agent.summary.records import KNOWN_SHARE, CallRecords, expected, sides_with

BAD_MOS = 3.6  # G.107: below it many users are dissatisfied
WHOLE_SHARE = 0.9  # of a direction's packets; where the bad times have fewer, their own share is said
BRIDGED_NS = 2 * SLOT_NS  # two bad times this near each other are one
_BETWEEN = {
    "cust2vc": "between the customer and the vc",
    "vc2cust": "between the vc and the customer",
    "rem2vc": "between the remote side and the vc",
    "vc2rem": "between the vc and the remote side",
}
_MEDIA = re.compile(r"^m=(video|image) (?!0 )", re.MULTILINE)
AWAY = {away for _, away in WAYS_OF.values()}
Kind = Literal["bad", "good", "unknown", "note"]


class Statement(msgspec.Struct):
    """One sentence. `network`: the side at fault; `direction`: of media. None: of none."""

    kind: Kind
    words: str
    network: Network | None = None
    direction: str | None = None


class CallVerdict(msgspec.Struct):
    """`networks`: the sides at fault, the worst first."""

    statements: list[Statement]
    networks: list[Network]

    @property
    def text(self) -> str:
        """One paragraph: a sentence to begin with, the rest after semicolons."""
        words = "; ".join(one.words for one in self.statements) or "nothing is known of this call"
        return f"{words[0].upper()}{words[1:]}."


def verdict(records: CallRecords) -> CallVerdict:
    """The sentences of a call's records, the worst first."""
    path = path_of(records)
    found = {finding.name: finding for finding in findings(records)}
    described = _described(ladder(records))
    statements = [
        *_losses(path, with_video="video" in described),
        *_silences(records, found),
        *_scores(records, path, found),
        *_outcome(records),
        *_open_minute(records),
        *_unknown(records, path, found),
        *_not_judged(records, described),
        *(() if records.forgotten else (*_clean(path), *_inside(path))),
        *_days(records),
    ]
    networks = [one.network for one in statements if one.kind == "bad" and one.network is not None]
    return CallVerdict(statements, list(dict.fromkeys(networks)))


def _described(steps: list[LadderStep]) -> dict[str, LadderStep]:
    """The first answer (2xx to an INVITE) that takes each kind of media."""
    found: dict[str, LadderStep] = {}
    for step in steps:
        if step.method == "INVITE" and 200 <= step.status < 300:
            for kind in _MEDIA.findall(step.sdp):
                found.setdefault(kind, step)
    return found


def _losses(path: CallPath, *, with_video: bool) -> Iterator[Statement]:
    """Each direction with loss, worst first; the vc's own loss among them."""
    what = "packets (audio and video together)" if with_video else "packets"
    for direction in sorted(path.directions.values(), key=lambda direction: -(direction.loss or 0.0)):
        if direction.is_losing:
            source = "as measured here"
            if direction.source != "rtp":
                source = f"as {FAR[direction.network]}'s own RTCP reports"
            where = f"of {what} lost {_BETWEEN[direction.direction]}"
            words = f"{percent(direction.loss)} {where}{_when(direction)}, {source}"
            if direction.loss is not None and direction.loss < NOTABLE:
                there, times = _share_of(direction, direction.outages), _times(direction.outages)
                words = (
                    f"{percent(there)} {where}{times}, {source} ({percent(direction.loss)} of the whole call)"
                )
            yield Statement("bad", words, direction.network, direction.direction)
    if path.vc_lost:
        yield Statement("bad", f"{path.vc_lost} packets were lost inside the SBC", "vc")


def _when(direction: DirectionPath) -> str:
    """The time of the loss: the bad times, and how bad they were where they are not the whole call."""
    spans = [span for span in direction.spans if span.lost and _share(span) >= (direction.loss or 0.0) / 4]
    words = _times(spans)
    if (
        spans
        and "places" not in words
        and sum(span.packets for span in spans) < direction.packets * WHOLE_SHARE
    ):
        words += f" ({percent(_share_of(direction, spans))} there)"
    return words


def _times(spans: list[PathSpan]) -> str:
    """From when to when, neighbours as one."""
    times: list[list[PathSpan]] = []
    for span in spans:
        if times and span.start_ns - times[-1][-1].end_ns <= BRIDGED_NS:
            times[-1].append(span)
        else:
            times.append([span])
    if not times:
        return ""
    if len(times) > 3:
        return f", {clock(spans[0].start_ns)} to {clock(spans[-1].end_ns)} in {len(times)} places"
    words = " and ".join(f"{clock(some[0].start_ns)} to {clock(some[-1].end_ns)}" for some in times)
    return f", {words}"


def _share_of(direction: DirectionPath, spans: list[PathSpan]) -> float:
    packets, lost = sum(span.packets for span in spans), sum(span.lost or 0 for span in spans)
    return lost / expected(direction.direction, packets, lost)


def _share(span: PathSpan) -> float:
    lost = span.lost or 0
    return lost / max(1, span.packets, lost)


def _silences(records: CallRecords, found: dict[str, Finding]) -> Iterator[Statement]:
    """Audio in one direction only, or in none."""
    if "one_way_audio" in found:
        yield Statement("bad", found["one_way_audio"].words, silent_network(records))
    elif "dead_air" in found:
        yield Statement("bad", found["dead_air"].words)
    if "far_end_deaf" in found:
        deaf = sides_with(records, "far_end_deaf")
        yield Statement("bad", found["far_end_deaf"].words, deaf[0] if len(deaf) == 1 else None)


def _scores(records: CallRecords, path: CallPath, found: dict[str, Finding]) -> Iterator[Statement]:
    """Directions that sound bad although hardly any packet was lost."""
    for way, direction in path.directions.items():
        if direction.mos is not None and direction.mos < BAD_MOS and not direction.is_losing:
            jitter = "" if direction.jitter_us is None else f", jitter {direction.jitter_us / 1000:.0f} ms"
            late = f", {direction.discarded} packets too late" if direction.discarded else ""
            at = f" at {clock(direction.mos_ns)[:5]}" if len(records.media) > 1 else ""
            words = f"the score {NAMES[way]} fell to {direction.mos:.1f}{at} without loss{jitter}{late}"
            yield Statement("bad", words, direction.network, way)
    if "rtt_step" in found:
        yield Statement("note", found["rtt_step"].words)


def _outcome(records: CallRecords) -> Iterator[Statement]:
    """A call that was not answered: who refused it."""
    call = records.call
    outcome, status = call.get("outcome"), call.get("status")
    if outcome == "pending" and not call.get("answer_ns"):
        yield Statement("note", "the call has no outcome yet")
    elif outcome == "cancelled":
        yield Statement("note", "the caller gave up before an answer")
    elif outcome == "redirected":
        yield Statement("note", f"the call was redirected ({status}) and nobody followed")
    elif outcome == "failed":
        yield _failure(records, status)


def _open_minute(records: CallRecords) -> Iterator[Statement]:
    """The part of an answered call whose minute is still open."""
    call, closed_ns = records.call, records.closed_ns
    answer_ns, end_ns = call.get("answer_ns"), call.get("end_ns")
    if closed_ns is None or not answer_ns:
        return
    if end_ns is not None and end_ns >= closed_ns:
        yield Statement("note", f"the media of its last minute is told when that closes, {_closes(end_ns)}")
    elif end_ns is None and not records.media:
        words = f"the call is up, and its media is told when a minute closes, {_closes(answer_ns)}"
        if answer_ns < closed_ns:
            words = f"the call is up, and the store has no media of it up to {clock(closed_ns)}"
        yield Statement("note", words)


def _closes(stamp_ns: int) -> str:
    return f"at {clock((stamp_ns // MINUTE_NS + 1) * MINUTE_NS)}"


def _failure(records: CallRecords, status: int | None) -> Statement:
    steps = ladder(records)
    finals = [step for step in steps if step.method == "INVITE" and step.status >= 400]
    said = next((step for step in finals if step.to_vc and step.status == status), None)
    said = said or next((step for step in finals if step.to_vc), None)
    if said is not None:
        network: Network | None = "customer" if said.side == "customer" else "remote" if said.side else None
        words = f"the call failed: {said.label}, from {FAR.get(said.side or '', 'one end')}"
        ours = _is_fault(said.status)
        return Statement("bad" if ours and network else "note", words, network if ours else None)
    mute = _mute(records, steps)
    own = f"; the SBC itself then said {finals[-1].label}" if finals else ""
    if mute is not None:
        words = f"no response came from {FAR[mute.side or '']} ({mute.dst}) to the INVITE{own}"
        return Statement("bad", words, "customer" if mute.side == "customer" else "remote")
    if not finals:
        words = "no response came to the INVITE" if status is None else f"the call failed with {status}"
        return Statement("bad", words)
    ours = _is_fault(finals[-1].status)
    words = f"the call failed: {finals[-1].label}, said by the SBC itself"
    return Statement("bad" if ours else "note", words, "vc" if ours else None)


def _is_fault(status: int) -> bool:
    """Busy, unknown number and the like are no side's fault."""
    return status >= 500 or status == 408


def _mute(records: CallRecords, steps: list[LadderStep]) -> LadderStep | None:
    """The last INVITE that left the vc, where its receiver said nothing at all and nothing was missed."""
    if any(span.kind in ("capture", "sip") for span in records.unseen):
        return None
    left = [step for step in steps if step.method == "INVITE" and not step.status and step.to_vc is False]
    if not left or left[-1].side not in FAR:
        return None
    has_spoken = any(step.src == left[-1].dst and step.call_id == left[-1].call_id for step in steps)
    return None if has_spoken else left[-1]


def _unknown(records: CallRecords, path: CallPath, found: dict[str, Finding]) -> Iterator[Statement]:
    """Everything unknown, with the reason."""
    flags = {flag for record in records.media for flag in record.get("flags") or ()}
    deaf = sides_with(records, "far_end_deaf") if "far_end_deaf" in found else []
    mute = [direction for direction in path.directions.values() if _sent_no_rtcp(direction, path)]
    if len(mute) == 2 and not deaf and "capture_loss" not in flags:
        words = "what was lost on both ways out of the vc is unknown: neither end sent RTCP"
        yield Statement("unknown", words)
        explained = {direction.direction for direction in mute}
    else:
        explained = {
            direction.direction for direction in path.directions.values() if direction.network in deaf
        } & AWAY
    for way, direction in path.directions.items():
        if not direction.packets or way in explained:
            continue
        if direction.loss is None:
            words = f"what was lost {NAMES[way]} is unknown: {_why(direction, path, flags)}"
            yield Statement("unknown", words, None, way)
        elif direction.expected < direction.packets * KNOWN_SHARE:
            share = percent(1 - direction.expected / direction.packets)
            yield Statement("unknown", f"of {share} of the packets {NAMES[way]} nobody knows", None, way)
    if UNSIGNALLED in flags and not records.call.get("call_ids"):
        seen = next(
            (FAR[direction.network] for direction in path.directions.values() if direction.packets), "one end"
        )
        words = (
            f"no SIP explains this media of {seen}: who called whom, and what its other leg had, is unknown"
        )
        yield Statement("unknown", words)
    if "capture_drops" in found:
        words = found["capture_drops"].words
        yield Statement("unknown", f"{words}: what is missing then counts as unknown and accuses nobody")


def _not_judged(records: CallRecords, described: dict[str, LadderStep]) -> Iterator[Statement]:
    """Media that is no RTP, or that nobody saw."""
    call = records.call
    if "image" in described:
        at = clock(described["image"].stamp_ns)
        yield Statement("unknown", f"from {at} on it is a fax (T.38, not RTP), which nobody judges here")
    if records.forgotten and not records.media:
        words = "the records of its media are no longer kept: whose network it was, they cannot tell any more"
        yield Statement("unknown", words)
        return
    if records.forgotten:
        gone = sum(records.forgotten.values())
        kept = sum(record.get(f"{way}_rtp_packets") or 0 for record in records.media for way in NAMES)
        words = f"the records of {percent(gone / (gone + kept))} of its media are no longer kept"
        yield Statement("unknown", f"{words}: what was lost in it is not said here")
    over = call.get("end_ns") is not None and not any(_open_minute(records))
    if call.get("outcome") == "answered" and over and not records.media and not call.get("unlogged"):
        words = "the call was answered, and none of its media was seen: it went past this host, or never ran"
        if records.has_no_sides:
            words = (
                "the call was answered and its media was seen, but whose it was is unknown, for no side is"
                " named: name the SBC's addresses and the customers' networks"
            )
        yield Statement("unknown", words)


def _days(records: CallRecords) -> Iterator[Statement]:
    """A call that was up on two dates: its times of day are of the one or the other."""
    call = records.call
    minutes_ns = [int(record["event_timestamp"]) * 1_000_000 - 1 for record in records.media]
    begun_ns = call.get("invite_ns") or call.get("answer_ns")
    over_ns = call.get("end_ns") or max(minutes_ns, default=None)
    if begun_ns and over_ns and day(begun_ns) != day(over_ns):
        since, until = (f"{day(at_ns)} {clock(at_ns)}" for at_ns in (begun_ns, over_ns))
        yield Statement("note", f"the call went over midnight, from {since} to {until} UTC")


def _sent_no_rtcp(direction: DirectionPath, path: CallPath) -> bool:
    """Whether loss away from the vc is unknown because its far end never reported."""
    missed = direction.unknown or direction.expected
    return (
        bool(direction.packets)
        and not missed
        and direction.loss is None
        and _reports_of(direction, path) == 0
    )


def _reports_of(direction: DirectionPath, path: CallPath) -> int | None:
    """RTCP packets of the far end of a direction away from the vc; None for one towards it."""
    if direction.direction.endswith("2vc"):
        return None
    return path.directions[WAYS_OF[direction.network][0]].rtcp_packets


def _why(direction: DirectionPath, path: CallPath, flags: set[str]) -> str:
    if direction.expected:
        known = percent(direction.expected / direction.packets)
        return f"the reports of {FAR[direction.network]} tell of {known} of the packets alone"
    if direction.unknown or "capture_loss" in flags:
        return "the capture missed frames of it"
    reports = _reports_of(direction, path)
    if reports is None:
        return "it could not be measured here"
    if not reports:
        return f"{FAR[direction.network]} sent no RTCP"
    if "rtcp_implausible" in flags:
        return f"the RTCP of {FAR[direction.network]} claims what cannot be true"
    return f"the RTCP of {FAR[direction.network]} is encrypted, or too little of it came"


def _clean(path: CallPath) -> Iterator[Statement]:
    """Sides, or single directions, whose figures are all known and without notable loss."""
    for side, far in FAR.items():
        ways = [
            direction
            for direction in path.directions.values()
            if direction.network == side and direction.packets
        ]
        good = [direction for direction in ways if direction.loss is not None and not direction.is_losing]
        if not good:
            continue
        lost = sum(direction.lost or 0 for direction in good)
        share = percent(max(direction.loss or 0.0 for direction in good))
        verb = "is clean" if not lost else f"lost hardly anything ({share})"
        if len(good) == len(ways):
            yield Statement("good", f"{far} {verb}")
        elif not any(direction.is_losing for direction in ways):
            one = good[0]
            yield Statement("good", f"the way {NAMES[one.direction]} {verb}", None, one.direction)


def _inside(path: CallPath) -> Iterator[Statement]:
    """The SBC's own part: packets in and packets out."""
    sides = {direction.network for direction in path.directions.values() if direction.packets}
    if path.vc_lost == 0 and len(sides) == 2:
        yield Statement("good", "nothing was lost inside the SBC")
    elif len(sides) == 1 and path.vc_lost is not None:
        words = f"only the media of {FAR[next(iter(sides))]} was seen, so of the rest nothing is known"
        yield Statement("unknown", words)
