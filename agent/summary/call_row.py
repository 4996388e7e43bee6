"""The `call` record of JSON output and the store."""

from __future__ import annotations

from math import inf
from typing import Any

from agent.model.call_cy import Call, LegMediaTotals
from agent.model.sides import Connector
from agent.summary.catalog import DIRECTIONS, LATE_HISTOGRAM_MS, LOSS_RUNS
from agent.summary.identity import Identity
from agent.summary.records import expected


def media_of(call: Call, observer: str) -> dict[str, Any]:
    """What a call's record says of all its media: `codec` as in a media record, `worst_direction`, and by
    direction runs of lost packets, and late ones; None where not measured here.
    """
    totals = call.views()[0][0].ledger
    counted = totals.histograms or {}
    runs: dict[str, list[int] | None] = {}
    late: dict[str, list[int] | None] = {}
    for direction in DIRECTIONS:
        here = direction.endswith("2vc") == (observer == "vc") and totals.lost.get(direction) is not None
        found = counted.get(direction, ([0] * len(LOSS_RUNS), [0] * len(LATE_HISTOGRAM_MS)))
        runs[direction], late[direction] = found if here else (None, None)
    return {
        "codec": codec_of(call),
        "worst_direction": worst_direction(totals),
        "loss_runs": runs,
        "late_histogram": late,
    }


def codec_of(call: Call) -> str | None:
    """What its audio streams are coded with so far: one, or several joined by "/"."""
    heard = call.views()[0][0].ledger.heard or {}
    names: dict[str, str] = {}
    for way in DIRECTIONS:
        for name in heard[way][0] if way in heard else ():
            names.setdefault(name.upper(), name)
    return "/".join(names.values()) or None


def worst_direction(totals: LegMediaTotals) -> str | None:
    """The direction with the least mean MOS, then with the greatest share of loss; None where all are alike.

    Where no MOS is known loss decides alone. A direction of which neither is known is not compared.
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


def call_row(call: Call, fallback: Connector, identity: Identity) -> dict[str, Any]:
    """A call's record. Nanoseconds, None where it did not happen.

    `setup_ms`: from the INVITE to the answer; `ring_ms`: to the first 101-199 or 2xx. `customer_peer`,
    `remote_peer`: addresses. `ended_by`: customer, remote or vc, where a BYE ended it.
    """
    lead, counted = call.lead, call.counted
    attempt = counted.attempt
    begun_ns = attempt.started_ns if attempt and lead.whole else None
    direction = call.accounts[0].direction if call.accounts else None
    connector = counted.connector or lead.connector or fallback
    call_ids, from_user, _, to_user, _, _ = identity.of_call(call)
    row = {
        "call_id": call_ids[0],
        "call_ids": call_ids,
        "voice_connector_id": connector.id,
        "direction": direction,
        "from_sip_user": from_user,
        "to_sip_user": to_user,
        "invite_ns": lead.invite_ns if lead.whole else None,
        "answer_ns": call.answer_ns if lead.whole else None,
        "end_ns": call.end_ns,
        "status": attempt.status if attempt else None,
        "outcome": call.outcome,
        "end_reason": call.end_reason,
        "flags": sorted(call.flags),
        "diverted_from": identity.user(lead.diverted[0]) if lead.diverted else None,
        **_ends(call),
        "setup_ms": _between_ms(begun_ns, call.answer_ns),
        "ring_ms": _between_ms(begun_ns, call.ring_ns),
        "host": identity.host,
        "transaction_id": identity.transaction_id(call, connector),
        "key_id": identity.key_id,
        "last_rtp_ns": call.last_rtp_ns or None,
        "carrier": call.carrier() or None,
        "codec": codec_of(call),
        "worst_direction": None,  # these at the close of the minute, when the media is summed
        "loss_runs": None,
        "late_histogram": None,
    }
    if not connector.log_media:
        row["unlogged"] = True  # the call index then leaves out who it was
    return row


def _between_ms(since_ns: int | None, until_ns: int | None) -> float | None:
    return None if since_ns is None or until_ns is None else max(0, until_ns - since_ns) / 1e6


def _ends(call: Call) -> dict[str, Any]:
    """The first peer of each side, and who ended the call: the side whose BYE reached the vc, else the vc."""
    found: dict[str, Any] = {"customer_peer": None, "remote_peer": None, "ended_by": None}
    for leg in call.legs:
        if leg.side in ("customer", "remote") and found[f"{leg.side}_peer"] is None:
            found[f"{leg.side}_peer"] = leg.peer
        if call.end_reason != "bye" or leg.side is None:
            continue
        for dialog in leg.dialogs.values():
            if dialog.ended and dialog.bye_tag:
                from_caller = dialog.bye_tag == leg.from_tag
                from_peer = from_caller == (leg.way == "incoming")
                found["ended_by"] = leg.side if from_peer else found["ended_by"] or "vc"
    return found
