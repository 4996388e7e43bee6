"""The verdict: a call's records as sentences that name the side at fault, and everything unknown.

No side is blamed without a measurement. A direction without a report is unknown, with the reason. Frames that
the capture missed are said with their doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from agent.model.units import SLOT_NS
from agent.story.diagnoses import Finding, findings
from agent.story.ladder import ladder
from agent.story.path import CallPath, DirectionPath, Network, PathSpan, path_of
from agent.story.words import FAR, NAMES, NOTABLE, clock, percent
from agent.summary.records import MINUTE_NS, UNSIGNALLED, CallRecords, expected

BAD_MOS = 3.6  # G.107: below it many users are dissatisfied
KNOWN_SHARE = 0.9  # of a direction's packets; below, the rest is said to be unknown
BRIDGED_NS = 2 * SLOT_NS  # two bad times this near each other are one
_BETWEEN = {
    "cust2vc": "between the customer and the vc",
    "vc2cust": "between the vc and the customer",
    "rem2vc": "between the remote side and the vc",
    "vc2rem": "between the vc and the remote side",
}
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
    found = {its.name: its for its in findings(records)}
    statements = [
        *_losses(path),
        *_silences(path, found),
        *_scores(path, found),
        *_outcome(records),
        *_open_minute(records),
        *_unknown(records, path, found),
        *_clean(path),
        *_inside(path),
    ]
    networks = [one.network for one in statements if one.kind == "bad" and one.network is not None]
    return CallVerdict(statements, list(dict.fromkeys(networks)))


def _losses(path: CallPath) -> Iterator[Statement]:
    """Each direction with loss, worst first; the vc's own loss among them."""
    for its in sorted(path.directions.values(), key=lambda its: -(its.loss or 0.0)):
        if its.loss is not None and its.loss >= NOTABLE:
            source = "as measured here"
            if its.source != "rtp":
                source = f"as {FAR[its.network]}'s own RTCP reports"
            words = f"{percent(its.loss)} of packets lost {_BETWEEN[its.direction]}"
            yield Statement("bad", f"{words}{_when(its)}, {source}", its.network, its.direction)
    if path.vc_lost:
        yield Statement("bad", f"{path.vc_lost} packets were lost inside the SBC", "vc")


def _when(its: DirectionPath) -> str:
    """The time of the loss: the bad times, and how bad they were where they are not the whole call."""
    spans = [span for span in its.spans if span.lost and _share(span) >= (its.loss or 0.0) / 4]
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
    packets, lost = sum(span.packets for span in spans), sum(span.lost or 0 for span in spans)
    if packets < its.packets * KNOWN_SHARE:
        words += f" ({percent(lost / expected(its.direction, packets, lost))} there)"
    return f", {words}"


def _share(span: PathSpan) -> float:
    lost = span.lost or 0
    return lost / max(1, span.packets, lost)


def _silences(path: CallPath, found: dict[str, Finding]) -> Iterator[Statement]:
    """Audio in one direction only, or in none."""
    if "one_way_audio" in found:
        yield Statement("bad", found["one_way_audio"].words, _silent(path))
    elif "dead_air" in found:
        yield Statement("bad", found["dead_air"].words)
    if "far_end_deaf" in found:
        yield Statement("bad", found["far_end_deaf"].words)


def _silent(path: CallPath) -> Network | None:
    """The side at fault for a silence: the one that sent nothing; the vc where both sent and one heard
    nothing.
    """
    ways = {way: its.packets for way, its in path.directions.items()}
    for network, came, left in (("customer", "cust2vc", "vc2cust"), ("remote", "rem2vc", "vc2rem")):
        if not ways[came] and ways[left]:
            return network  # type: ignore[return-value]
    if ways["cust2vc"] and ways["rem2vc"] and not (ways["vc2cust"] and ways["vc2rem"]):
        return "vc"
    return None


def _scores(path: CallPath, found: dict[str, Finding]) -> Iterator[Statement]:
    """Directions that sound bad although hardly any packet was lost."""
    for way, its in path.directions.items():
        if its.mos is not None and its.mos < BAD_MOS and (its.loss or 0.0) < NOTABLE:
            jitter = "" if its.jitter_us is None else f", jitter {its.jitter_us / 1000:.0f} ms"
            late = f", {its.discarded} packets too late" if its.discarded else ""
            words = f"the score {NAMES[way]} fell to {its.mos:.1f} without loss{jitter}{late}"
            yield Statement("bad", words, its.network, way)
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
    finals = [step for step in ladder(records) if step.method == "INVITE" and step.status >= 400]
    said = next((step for step in finals if step.to_vc and step.status == status), None)
    said = said or next((step for step in finals if step.to_vc), None)
    if status is None or not finals:
        words = "no response came to the INVITE" if status is None else f"the call failed with {status}"
        return Statement("bad", words)
    if said is None:
        return Statement("bad", f"the call failed: {finals[-1].label}, said by the SBC itself", "vc")
    network: Network | None = "customer" if said.side == "customer" else "remote" if said.side else None
    ours = said.status >= 500 or said.status == 408  # busy, unknown number and the like are no side's fault
    words = f"the call failed: {said.label}, from {FAR.get(said.side or '', 'one end')}"
    return Statement("bad" if ours and network else "note", words, network if ours else None)


def _unknown(records: CallRecords, path: CallPath, found: dict[str, Finding]) -> Iterator[Statement]:
    """Everything unknown, with the reason."""
    flags = {flag for record in records.media for flag in record.get("flags") or ()}
    for way, its in path.directions.items():
        if not its.packets or "far_end_deaf" in found:
            continue
        if its.lost is None:
            words = f"what was lost {NAMES[way]} is unknown: {_why(its, path, flags)}"
            yield Statement("unknown", words, None, way)
        elif its.expected < its.packets * KNOWN_SHARE:
            share = percent(1 - its.expected / its.packets)
            yield Statement("unknown", f"of {share} of the packets {NAMES[way]} nobody knows", None, way)
    if UNSIGNALLED in flags and not records.call.get("call_ids"):
        seen = next((FAR[its.network] for its in path.directions.values() if its.packets), "one end")
        words = (
            f"no SIP explains this media of {seen}: who called whom, and what its other leg had, is unknown"
        )
        yield Statement("unknown", words)
    if "capture_drops" in found:
        words = found["capture_drops"].words
        yield Statement("unknown", f"{words}: what is missing then counts as unknown and accuses nobody")


def _why(its: DirectionPath, path: CallPath, flags: set[str]) -> str:
    if its.unknown or "capture_loss" in flags:
        return "the capture missed frames of it"
    if its.direction.endswith("2vc"):
        return "it could not be measured here"
    back = "cust2vc" if its.network == "customer" else "rem2vc"
    if not path.directions[back].rtcp_packets:
        return f"{FAR[its.network]} sent no RTCP"
    if "rtcp_implausible" in flags:
        return f"the RTCP of {FAR[its.network]} claims what cannot be true"
    return f"the RTCP of {FAR[its.network]} is encrypted, or too little of it came"


def _clean(path: CallPath) -> Iterator[Statement]:
    """Sides, or single directions, whose figures are all known and without notable loss."""
    for side, far in FAR.items():
        ways = [its for its in path.directions.values() if its.network == side and its.packets]
        good = [its for its in ways if its.loss is not None and its.loss < NOTABLE]
        if not good:
            continue
        lost = sum(its.lost or 0 for its in good)
        share = percent(max(its.loss or 0.0 for its in good))
        verb = "is clean" if not lost else f"lost hardly anything ({share})"
        if len(good) == len(ways):
            yield Statement("good", f"{far} {verb}")
        elif all(its.loss is None or its.loss < NOTABLE for its in ways):
            one = good[0]
            yield Statement("good", f"the way {NAMES[one.direction]} {verb}", None, one.direction)


def _inside(path: CallPath) -> Iterator[Statement]:
    """The SBC's own part: packets in and packets out."""
    sides = {its.network for its in path.directions.values() if its.packets}
    if path.vc_lost == 0 and len(sides) == 2:
        yield Statement("good", "nothing was lost inside the SBC")
    elif len(sides) == 1 and path.vc_lost is not None:
        words = f"only the media of {FAR[next(iter(sides))]} was seen, so of the rest nothing is known"
        yield Statement("unknown", words)
