"""The `call` record of JSON output and the store."""

from __future__ import annotations

from typing import Any

from agent.model.call_cy import Call
from agent.model.sides import Connector
from agent.summary.catalog import DIRECTIONS, LATE_HISTOGRAM_MS, LOSS_RUNS
from agent.summary.identity import Identity


def histograms(call: Call, observer: str) -> dict[str, dict[str, list[int] | None]]:
    """Of the whole call, by direction: runs of lost packets, and late ones; None where not measured here."""
    totals = call.views()[0][0].ledger
    counted = totals.histograms or {}
    runs: dict[str, list[int] | None] = {}
    late: dict[str, list[int] | None] = {}
    for direction in DIRECTIONS:
        here = direction.endswith("2vc") == (observer == "vc") and totals.lost.get(direction) is not None
        found = counted.get(direction, ([0] * len(LOSS_RUNS), [0] * len(LATE_HISTOGRAM_MS)))
        runs[direction], late[direction] = found if here else (None, None)
    return {"loss_runs": runs, "late_histogram": late}


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
        "codec": None,
        "loss_runs": None,  # both at the close of the minute, when the media is summed
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
