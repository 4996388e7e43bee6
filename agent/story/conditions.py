"""Conditions of the diagnoses: each checks one call's records and returns words, or None.

Where frames were missed near the call, an unseen message or packet proves nothing: such conditions then
return None.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from agent.model.scanners import scanner_of
from agent.model.units import MINUTE_NS, SLOT_NS
from agent.story.ladder import LadderStep
from agent.story.path import NETWORK_OF, WAYS_OF, CallPath, Network
from agent.story.words import FAR, NAMES, clock, percent
from agent.summary.records import CallRecords, sides_with

LATE_SHARE = 0.01  # share of packets that are too late for the jitter buffer
RTT_STEP_US, RTT_FACTOR = 50_000.0, 2.0
AFTER_BYE_NS = 1_000_000_000  # packets already under way at the BYE are no fault
HEARD = 100  # packets of a way that is said to have been heard
BURST_RUN = 3  # packets lost in a row that concealment cannot hide
_ADDRESS = re.compile(r"^c=IN IP[46] ([0-9A-Fa-f.:]{2,45})", re.MULTILINE)
CONTACT_MAX = 512  # characters that are searched, for each may begin an address that never ends
_CONTACT_HOST = re.compile(r"sips?:(?:[^@>\s]*@)?\[?([0-9A-Fa-f.:]{7,45}?)\]?(?::\d+)?[;>\s?]")
_HELD = re.compile(r"^a=(sendonly|inactive)|^c=IN IP4 0\.0\.0\.0", re.MULTILINE)
_DTMF_INFO = ("application/dtmf", "application/vnd.nortelnetworks.digits")
_EVENTS = re.compile(r"^a=rtpmap:\d+ telephone-event/", re.MULTILINE | re.IGNORECASE)


class Evidence(msgspec.Struct):
    """The records that conditions check."""

    records: CallRecords
    path: CallPath
    steps: list[LadderStep]
    flags: set[str]

    @property
    def missed_sip(self) -> bool:
        """Whether messages may have been missed."""
        return any(span.kind in ("capture", "sip") for span in self.records.unseen) or not self.steps


def flag(name: str, words: str) -> Callable[[Evidence], str | None]:
    """A diagnosis that a flag of the media record decides; `{}` in `words` is whose media has it."""
    return lambda evidence: words.format(_sides(evidence, name)) if name in evidence.flags else None


def _sides(evidence: Evidence, name: str) -> str:
    """The sides whose media has a flag, in words."""
    return " and ".join(FAR[side] for side in sides_with(evidence.records, name)) or "one side"


def _of_flag(records: CallRecords, name: str) -> list[dict[str, Any]]:
    """The media records that have a flag."""
    return [record for record in records.media if name in (record.get("flags") or ())]


def _sum(minutes: list[dict[str, Any]], way: str) -> int:
    return sum(record.get(f"{way}_rtp_packets") or 0 for record in minutes)


def silent_way(records: CallRecords) -> str | None:
    """The direction that should have been heard where audio ran one way only: from the far end that sent
    nothing; else from the vc to the one that got nothing.
    """
    minutes = _of_flag(records, "one_way_audio")
    came = {side: _sum(minutes, to_vc) for side, (to_vc, _) in WAYS_OF.items()}
    left = {side: _sum(minutes, away) for side, (_, away) in WAYS_OF.items()}
    for side, (to_vc, _) in WAYS_OF.items():
        if left[side] >= HEARD and came[side] * 10 < left[side]:
            return to_vc
    for side, (_, away) in WAYS_OF.items():
        if came[side] >= HEARD and left[side] * 10 < HEARD:
            return away
    return None


def silent_network(records: CallRecords) -> Network | None:
    """The side at fault for `silent_way`: the vc where both far ends sent; None: nobody knows."""
    way = silent_way(records)
    if way is None or way.endswith("2vc"):
        return None if way is None else NETWORK_OF[way]
    minutes = _of_flag(records, "one_way_audio")
    return "vc" if all(_sum(minutes, to_vc) >= HEARD for to_vc, _ in WAYS_OF.values()) else None


def one_way(evidence: Evidence) -> str | None:
    """The direction, from the minutes that have the flag."""
    minutes = _of_flag(evidence.records, "one_way_audio")
    if not minutes:
        return None
    when = _minutes(minutes, evidence.records)
    network = silent_network(evidence.records)
    for side, (to_vc, away) in WAYS_OF.items():
        came, left = _sum(minutes, to_vc), _sum(minutes, away)
        if network == side:
            what = f"only {came} came" if came else "nothing came"
            return f"{what} from {FAR[side]}{when}, while {left} packets went to it"
        if network in (None, "vc") and came >= HEARD and left * 10 < came:
            other = _sum(minutes, WAYS_OF["remote" if side == "customer" else "customer"][0])
            sent = left or "nothing"
            if network == "vc":
                return f"the vc sent {sent} to {FAR[side]}{when}, though {other} packets came for it"
            return f"{FAR[side]} sent {came} packets{when}, and got {sent} back"
    return f"audio ran one way only{when}"


def _minutes(minutes: list[dict[str, Any]], records: CallRecords) -> str:
    """From when to when, where it is not all of the call's minutes."""
    if len(minutes) == len(records.media):
        return ""
    first_ns, last_ns = (int(record["event_timestamp"]) * 1_000_000 for record in (minutes[0], minutes[-1]))
    return f", {clock(first_ns - MINUTE_NS)} to {clock(last_ns)}"


def dead(evidence: Evidence) -> str | None:
    """A side without any packet, from its slots of 10 s."""
    minutes = _of_flag(evidence.records, "dead_air")
    if not minutes:
        return None
    sides = sides_with(evidence.records, "dead_air")
    call = evidence.records.call
    from_ns, to_ns = call.get("answer_ns") or 0, call.get("end_ns") or 1 << 62
    spans = [span for side in sides for record in minutes for span in _silent_slots(record, side)]
    silences = [(max(first, from_ns), min(last, to_ns)) for first, last in spans if first < to_ns]
    when = ""
    if silences:
        when = f", {clock(min(first for first, _ in silences))} to {clock(max(last for _, last in silences))}"
    return f"nothing at all came from {_sides(evidence, 'dead_air')} or went there{when}"


def _silent_slots(record: dict[str, Any], side: Network) -> Iterator[tuple[int, int]]:
    """From when to when: each watched slot without a packet of a side."""
    begin_ns = int(record["event_timestamp"]) * 1_000_000 - MINUTE_NS
    lines = [record.get(f"{way}_timeline") or [(0,)] * (MINUTE_NS // SLOT_NS) for way in WAYS_OF[side]]
    for number, slots in enumerate(zip(*lines, strict=True)):
        if all(slot is not None and not slot[0] for slot in slots):
            yield begin_ns + number * SLOT_NS, begin_ns + (number + 1) * SLOT_NS


def loss_of(ways: tuple[str, str]) -> Callable[[Evidence], str | None]:
    def condition(evidence: Evidence) -> str | None:
        said = [
            f"{percent(direction.loss)} lost {NAMES[way]}"
            for way in ways
            if (direction := evidence.path.directions[way]).is_losing
        ]
        return "; ".join(said) or None

    return condition


def inside(evidence: Evidence) -> str | None:
    lost = evidence.path.vc_lost
    return f"{lost} packets that came in did not leave again" if lost else None


def _runs(evidence: Evidence) -> Iterator[tuple[str, float]]:
    """Each direction that lost something here: its name, and the share of its losses in long runs."""
    for way, direction in evidence.path.directions.items():
        if not direction.is_losing:
            continue
        runs: Counter[int] = Counter()
        for record in evidence.records.media:
            for length, count in enumerate(record.get(f"{way}_loss_runs") or (), 1):
                runs[length] += count
        lost = sum(length * count for length, count in runs.items())
        if lost:
            yield way, sum(length * count for length, count in runs.items() if length >= BURST_RUN) / lost
        elif direction.source == "rtp":
            yield way, 1.0 if direction.burst_density is not None else 0.0


def burst(evidence: Evidence) -> str | None:
    ways = [NAMES[way] for way, share in _runs(evidence) if share >= 0.5]
    return f"packets were lost many in a row, {' and '.join(ways)}" if ways else None


def random(evidence: Evidence) -> str | None:
    ways = [NAMES[way] for way, share in _runs(evidence) if share < 0.5]
    return f"packets were lost one here, one there, {' and '.join(ways)}" if ways else None


def late(evidence: Evidence) -> str | None:
    said = [
        f"{percent(direction.discarded / direction.packets)} came too late {NAMES[way]}"
        for way, direction in evidence.path.directions.items()
        # Late packets that leave were late when they came in: only the way in is judged.
        if way.endswith("2vc")
        and direction.packets
        and direction.discarded / direction.packets >= LATE_SHARE
        and not direction.is_losing
    ]
    return f"{'; '.join(said)}, though hardly any was lost" if said else None


def rtt_step(evidence: Evidence) -> str | None:
    for side, short in (("customer", "cust"), ("remote", "rem")):
        before: float | None = None
        for record in evidence.records.media:
            rtt = record.get(f"rtt_btwn_vc_and_{short}")
            if rtt is None:
                continue
            if before is not None and rtt >= before * RTT_FACTOR and rtt - before >= RTT_STEP_US:
                at_ns = (record["event_timestamp"] - 60_000) * 1_000_000
                step = f"from {before / 1000:.0f} to {rtt / 1000:.0f} ms"
                return f"the round trip to {FAR[side]} went {step} at {clock(at_ns)}"
            before = rtt
    return None


def _is_private(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    shared = found.version == 4 and found in ipaddress.ip_network("100.64.0.0/10")
    return (found.is_private or shared) and not found.is_loopback and not found.is_unspecified


def nat(evidence: Evidence) -> str | None:
    """A private address that is not its sender's own: a NAT stands between, and the sender does not know."""
    for step in evidence.steps:
        if not step.to_vc or not step.src or _is_private(step.src):
            continue
        contact = _CONTACT_HOST.search(step.header("contact")[:CONTACT_MAX] + " ")
        for where, address in (
            ("SDP", _ADDRESS.search(step.sdp)),
            ("Contact", contact),
        ):
            if address and _is_private(address[1]):
                return (
                    f"the {where} of the {step.label} from {step.src} names the private address {address[1]}"
                )
    return None


def invites_repeated(evidence: Evidence) -> str | None:
    repeated = [
        step for step in evidence.steps if step.repeated and step.method == "INVITE" and not step.status
    ]
    if not repeated:
        return None
    ends = " and ".join(sorted({f"{step.src} to {step.dst}" for step in repeated}))
    return f"{len(repeated)} INVITE{'s were' if len(repeated) > 1 else ' was'} sent again, {ends}"


def missing_ack(evidence: Evidence) -> str | None:
    """A 2xx that was repeated, or a call that went on to its end, without an ACK of that INVITE."""
    if evidence.missed_sip:
        return None
    acked = {(step.call_id, step.cseq) for step in evidence.steps if step.method == "ACK"}
    for step in evidence.steps:
        answered = step.method == "INVITE" and 200 <= step.status < 300
        waited = step.repeated or evidence.records.call.get("end_ns")
        if answered and waited and (step.call_id, step.cseq) not in acked:
            return f"no ACK came for the {step.label} that {step.src or 'the callee'} sent"
    return None


def timer(evidence: Evidence) -> str | None:
    if evidence.records.call.get("end_reason") == "timer":
        return "the session timer (RFC 4028) ran out: nobody refreshed the session"
    for step in evidence.steps:
        if step.method == "BYE" and not step.status and "session timer" in step.header("reason").lower():
            return f"the BYE from {step.src or 'one end'} says that the session timer expired"
    return None


def hold(evidence: Evidence) -> str | None:
    for step in evidence.steps:
        held = _HELD.search(step.sdp) if step.method == "INVITE" and step.to_vc is not False else None
        if held:
            who = FAR.get(step.side or "", "one end")
            return f"{who} put the call on hold at {clock(step.stamp_ns)} ({held[1] or '0.0.0.0'})"
    return None


def transfer(evidence: Evidence) -> str | None:
    """A REFER (RFC 3515) that was accepted: from then on somebody else is on the line."""
    for step in evidence.steps:
        if step.method != "REFER" or step.status or step.to_vc is False:
            continue
        key = step.call_id, step.cseq, "REFER"
        took = any(
            (one.call_id, one.cseq, one.method) == key and 200 <= one.status < 300 for one in evidence.steps
        )
        if took:
            return f"{FAR.get(step.side or '', 'one end')} transferred the call at {clock(step.stamp_ns)}"
    return None


def dtmf(evidence: Evidence) -> str | None:
    info = [
        step
        for step in evidence.steps
        if step.method == "INFO"
        and not step.status
        and step.header("content_type").lower().startswith(_DTMF_INFO)
    ]
    answered = any(step.status == 200 and _EVENTS.search(step.sdp) for step in evidence.steps)
    if info and answered:
        return f"digits went by SIP INFO ({len(info)}) though telephone-event (RFC 4733) was agreed on"
    return None


def after_bye(evidence: Evidence) -> str | None:
    call = evidence.records.call
    last_ns, end_ns = call.get("last_rtp_ns"), call.get("end_ns")
    if call.get("end_reason") != "bye" or not last_ns or not end_ns or last_ns - end_ns < AFTER_BYE_NS:
        return None
    return f"RTP still ran {(last_ns - end_ns) / 1e9:.0f} s after the BYE"


def scanner(evidence: Evidence) -> str | None:
    for step in evidence.steps:
        agent = step.header("user_agent")
        if not step.status and step.to_vc is not False and scanner_of(agent):
            return f"the {step.label} from {step.src or 'evidence sender'} says that it is {agent[:40]}"
    return None


def deaf(evidence: Evidence) -> str | None:
    if "far_end_deaf" not in evidence.flags:
        return None
    return f"{_sides(evidence, 'far_end_deaf')} reports that nothing new reaches it, while packets leave"


def missed(evidence: Evidence) -> str | None:
    unknown = sum(direction.unknown for direction in evidence.path.directions.values())
    spans = [span for span in evidence.records.unseen if span.kind in ("capture", "media", "sip")]
    if unknown:
        return f"the capture itself missed frames near {unknown} packets of this call"
    if spans:
        return f"{spans[0].why}, {clock(spans[0].first_ns)} to {clock(spans[-1].last_ns)}"
    return None
