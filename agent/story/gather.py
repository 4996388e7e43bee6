"""Calls from minutes: groups a replay's records as the store's reader does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from agent.model.units import MINUTE_NS
from agent.summary.records import (
    CallRecords,
    Summary,
    UnseenSpan,
    call_without_sip,
    is_unsignalled,
)
from agent.summary.unseen import missed_spans


def gather(summaries: Iterable[Summary], messages: Iterable[dict[str, Any]] = ()) -> list[CallRecords]:
    """Every call that has a `call` record, and media without SIP, in order of the start.

    `messages`: beside the summaries' own.
    """
    calls: list[CallRecords] = []
    by_id: dict[str, list[CallRecords]] = {}
    media: list[dict[str, Any]] = []
    sip = list(messages)
    gaps: list[UnseenSpan] = []
    missed: dict[str, list[UnseenSpan]] = {}  # by connector
    for summary in summaries:
        media += summary.media
        sip += summary.sip
        for minute in summary.connectors:
            missed.setdefault(minute.voice_connector_id, []).extend(missed_spans(summary.start_ns, minute))
        if summary.gap is not None:
            end_ns = summary.start_ns + MINUTE_NS
            gaps.append(UnseenSpan(summary.start_ns, end_ns, "capture", summary.gap))
        for call in summary.calls:
            records = CallRecords(call, [], [], [])
            calls.append(records)
            for call_id in call.get("call_ids") or ():
                by_id.setdefault(call_id, []).append(records)
    for record in media:
        if is_unsignalled(record):
            name = record["transaction_id"]
            if name not in by_id:
                by_id[name] = [CallRecords(call_without_sip(record), [], [], [])]
                calls += by_id[name]
            by_id[name][0].media.append(record)
            continue
        _give(by_id, record.get("call_ids") or (), record, int(record["event_timestamp"]) * 1_000_000)
    for message in sorted(sip, key=lambda row: row.get("stamp_ns") or row["event_timestamp"] * 1_000_000):
        _give(by_id, (message["call_id"],), message, int(message["event_timestamp"]) * 1_000_000)
    for records in calls:
        begun_ns, over_ns = records.call.get("invite_ns"), records.call.get("end_ns")
        records.unseen = [
            gap
            for gap in (*gaps, *missed.get(records.call["voice_connector_id"], ()))
            if (over_ns is None or gap.first_ns <= over_ns) and (begun_ns is None or gap.last_ns >= begun_ns)
        ]
    return sorted(calls, key=lambda records: records.call.get("invite_ns") or 0)


def _give(
    by_id: dict[str, list[CallRecords]], call_ids: Iterable[str], record: dict[str, Any], at_ns: int
) -> None:
    """Gives the record to the newest call with such a Call-ID that had begun by then."""
    for call_id in call_ids:
        known = by_id.get(call_id)
        if known:
            begun = [one for one in known if (one.call.get("invite_ns") or 0) <= at_ns]
            records = (begun or known)[-1]
            if "sip_message" in record:
                records.messages.append(record)
            elif record.get("voice_connector_id") == records.call.get("voice_connector_id"):
                records.media.append(record)
            return
