# cython: language_level=3
"""The `call` record of JSON output and the store."""

from __future__ import annotations

from math import inf
from typing import Any

import cython

from agent.model.attempt_cy import Attempt
from agent.model.call_cy import Call, Dialog, Leg, LegMediaTotals
from agent.model.sides import Connector
from agent.summary.catalog import CALL_SCHEMA, DIRECTIONS, LATE_HISTOGRAM_MS, LOSS_RUNS
from agent.summary.identity import Identity
from agent.summary.records import expected

Row = dict[str, Any]
# Of whom and where a call was.
_OF_PEOPLE = (
    "from_sip_user", "from_country", "to_sip_user", "to_country", "diverted_from", "customer_peer",
    "remote_peer",
)  # fmt: skip
_WAYS = tuple(DIRECTIONS)
_PEERS = {"customer": "customer_peer", "remote": "remote_peer"}  # by the side of a leg


def media_of(call: Call, observer: str) -> dict[str, Any]:
    """The media fields of a call's record.

    `codec` as in a media record, `worst_direction`, and by direction runs of lost packets, and late ones;
    None where not measured here.
    """
    totals: LegMediaTotals = owner_totals(call)
    counted = totals.histograms or {}
    runs: dict[str, list[int] | None] = {}
    late: dict[str, list[int] | None] = {}
    for direction in DIRECTIONS:
        is_measured_here = (
            direction.endswith("2vc") == (observer == "vc") and totals.lost.get(direction) is not None
        )
        found = counted.get(direction, ([0] * len(LOSS_RUNS), [0] * len(LATE_HISTOGRAM_MS)))
        runs[direction], late[direction] = found if is_measured_here else (None, None)
    return {
        "codec": codec_of(call),
        "worst_direction": worst_direction(totals),
        "loss_runs": runs,
        "late_histogram": late,
    }


def codec_of(call: Call) -> str | None:
    """The codecs of its audio streams so far: one, or several joined by "/"."""
    heard: dict[str, Any] | None = owner_totals(call).heard
    names: list[str] = []
    if heard is not None:
        for way in _WAYS:
            codecs = heard.get(way)
            for name in codecs[0] if codecs is not None else ():
                if name not in names:
                    names.append(name)
    return joined(names)


def joined(names: list[str]) -> str | None:
    """Codecs in one text, in the order given, each once in whatever case; None where there are none."""
    if len(names) < 2:
        return names[0] if names else None
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(name.upper(), name)
    return "/".join(spelled.values())


def owner_totals(call: Call) -> LegMediaTotals:
    """The totals of a call's records for its first connector."""
    owner: Leg = call.owner()
    return owner.media_totals


def worst_direction(totals: LegMediaTotals) -> str | None:
    """The direction with the least mean MOS, then with the greatest share of loss; None where all are equal.

    Where no MOS is known loss decides alone. A direction with neither is not compared.
    """
    known: dict[str, tuple[float, float]] = {}  # the less, the worse
    for way, (_, scored, mos_sum, packets) in (totals.heard or {}).items():
        lost = totals.lost.get(way)
        of = expected(way, packets, lost or 0)
        if scored or lost is not None:
            known[way] = (round(mos_sum / scored, 3) if scored else inf, -(lost or 0) / of if of else 0.0)
    if not known:
        return None
    worst = min(known.values())
    ways = [way for way, figures in known.items() if figures == worst]
    return ways[0] if len(ways) == 1 else None


def call_row(call: Call, fallback: Connector, identity: Identity) -> Row:
    """A call's record. Nanoseconds, None where it did not happen.

    `setup_ms`: from the INVITE to the answer; `ring_ms`: to the first 101-199 or 2xx. `customer_peer`,
    `remote_peer`: addresses. `ended_by`: customer, remote or vc, where a BYE ended it.
    """
    lead: Leg = call.find_lead()
    counted: Leg = call.counted
    attempt: Attempt | None = counted.attempt
    whole: cython.bint = lead.whole
    begun_ns = attempt.started_ns if attempt is not None and whole else None
    connector: Connector = counted.connector or lead.connector or fallback
    call_ids, from_user, from_country, to_user, to_country, _ = identity.of_call(call)
    transaction_id: str = identity.transaction_id(call, connector)
    row: Row = {
        "call_id": call_ids[0],
        "call_ids": call_ids,
        "voice_connector_id": connector.id,
        "direction": call.accounts[0].direction if call.accounts else None,
        "from_sip_user": from_user,
        "to_sip_user": to_user,
        "invite_ns": lead.invite_ns if whole else None,
        "answer_ns": call.answer_ns if whole else None,
        "end_ns": call.end_ns,
        "status": attempt.status if attempt is not None else None,
        "outcome": call.outcome,
        "end_reason": call.end_reason,
        "flags": sorted(call.flags) if call.flags else [],
        "diverted_from": identity.user(lead.diverted[0]) if lead.diverted else None,
        "customer_peer": None,
        "remote_peer": None,
        "ended_by": None,
        "setup_ms": between_ms(begun_ns, call.answer_ns),
        "ring_ms": between_ms(begun_ns, call.ring_ns),
        "host": identity.host,
        "transaction_id": transaction_id,
        "key_id": identity.key_id,
        "last_rtp_ns": call.last_rtp_ns or None,
        "carrier": call.carrier() or None,
        "codec": codec_of(call),
        "worst_direction": None,  # these at the close of the minute, when the media is summed
        "loss_runs": None,
        "late_histogram": None,
        "page": identity.page(call_ids, transaction_id),
        "schema_version": CALL_SCHEMA,
        "aws_region": connector.region,
        "from_country": from_country,
        "to_country": to_country,
        "duration_seconds": duration_s(call) if whole else None,
    }
    put_ends(row, call)
    if not connector.log_media:
        row |= dict.fromkeys(_OF_PEOPLE)
        row["unlogged"] = True
    return row


def duration_s(call: Call) -> Any:
    """From the answer to the BYE, 0 where nobody answered; None where nobody saw the end or the answer."""
    if call.answer_ns is None:
        return 0.0 if call.outcome in ("failed", "cancelled", "redirected") else None
    if call.end_reason != "bye" or call.end_ns is None:
        return None
    return round(max(0, call.end_ns - call.answer_ns) / 1e9, 3)


def between_ms(since_ns: Any, until_ns: Any) -> Any:
    """Milliseconds, None where one of both never was."""
    return None if since_ns is None or until_ns is None else max(0, until_ns - since_ns) / 1e6


def put_ends(row: Row, call: Call) -> None:
    """The first peer of each side, and who ended the call: the side whose BYE reached the vc, else the vc.

    Between two customers the called one is the other's remote end.
    """
    leg: Leg
    caller: Leg | None = None
    called: Leg | None = None
    dialog: Dialog
    for leg in call.legs:
        if leg.side is None:
            continue
        if leg.side == "customer":
            if leg.way == "incoming":
                caller = caller or leg
            else:
                called = called or leg
        name = _PEERS.get(leg.side)
        if name is not None and row[name] is None:
            row[name] = leg.peer
        if call.end_reason != "bye":
            continue
        for dialog in leg.dialogs.values():
            if dialog.ended and dialog.bye_tag:
                from_caller: cython.bint = dialog.bye_tag == leg.from_tag
                if from_caller == (leg.way == "incoming"):
                    row["ended_by"] = leg.side
                elif row["ended_by"] is None:
                    row["ended_by"] = "vc"
    if caller is not None and called is not None and row["remote_peer"] is None:
        row["customer_peer"], row["remote_peer"] = caller.peer, called.peer
