"""The `call` record of JSON output and the store."""

from __future__ import annotations

from typing import Any

from agent.model.call_cy import Call
from agent.model.sides import Connector
from agent.summary.identity import Identity


def call_row(call: Call, fallback: Connector, identity: Identity) -> dict[str, Any]:
    """A call's record. Nanoseconds, None where it did not happen."""
    lead, counted = call.lead, call.counted
    attempt = counted.attempt
    direction = call.accounts[0].direction if call.accounts else None
    call_ids, from_user, _, to_user, _, _ = identity.of_call(call)
    return {
        "call_id": call_ids[0],
        "call_ids": call_ids,
        "voice_connector_id": (counted.connector or lead.connector or fallback).id,
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
    }
