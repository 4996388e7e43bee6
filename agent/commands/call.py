"""`sbcwatch call ID`: one call, the verdict first, then the facts behind it."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path

from agent.commands.calls import left_out_by_time, named, opened, outcome, query_of
from agent.commands.json_lines import print_json
from agent.config.load import load
from agent.evidence.files import notes_of, path_of_note
from agent.store.call_query import CallQuery
from agent.store.reader import IndexedCall, StoredCall, StoreReader
from agent.story.diagnoses import findings
from agent.story.ladder import LadderStep, ladder
from agent.story.path import CallPath, DirectionPath, PathSpan, path_of
from agent.story.verdict import verdict
from agent.story.words import clock, day
from agent.summary.printable import printable
from agent.summary.records import CallRecords, expected

COLUMNS = 80
MAX_CALL_IDS = 6  # printed: a call that hunts may have dozens
NAMES = {
    "cust2vc": "customer -> vc",
    "vc2cust": "vc -> customer",
    "rem2vc": "remote -> vc",
    "vc2rem": "vc -> remote",
}
"""The four directions as a terminal without arrows shows them."""
_HEADS = ("direction", "packets", "lost", "share", "late", "jitter ms", "MOS", "told by")


def call_command(options: argparse.Namespace) -> int:
    """The newest call with this Call-ID or number. Exit status 1 where there is none."""
    reader = opened(options)
    try:
        query = query_of(options)
        stored = find(reader, query, options.id)
        hint = "" if stored else left_out_by_time(query, lambda query: named(reader, query, options.id))
    finally:
        reader.close()
    if stored is None:
        text = f"no call in the store has the Call-ID or number {options.id!a}{hint}"
        print(f"sbcwatch: {text}", file=sys.stderr)
        return 1
    if options.json:
        print_json(whole(stored))
    else:
        print("\n".join(call_lines(stored.records, stored.index)))
        for line in evidence_lines(options, stored.records):
            print(printable(line))
    return 0


def evidence_lines(options: argparse.Namespace, records: CallRecords) -> list[str]:
    """The files with the packets of the call, the newest first."""
    directory = Path(options.store or load(options.config).store.directory)
    return [
        f"evidence ({note.reason}): {path_of_note(directory, note)}"
        for note in notes_of(directory, records.call["call_ids"])
    ]


def find(reader: StoreReader, query: CallQuery, said: str) -> StoredCall | None:
    """The newest call of this name; a line on stderr where there are several."""
    page = named(reader, query, said)
    if not page.calls:
        return None
    if len(page.calls) > 1:
        more = f"{len(page.calls)}{' or more' if page.next else ''} calls meet that, this is the newest"
        print(f"sbcwatch: {more}: `sbcwatch calls --number` lists them", file=sys.stderr)
    return reader.call(page.calls[0].id)


def whole(stored: StoredCall) -> dict[str, object]:
    """A call as JSON: verdict, path, diagnoses, then its records."""
    records = stored.records
    return {
        "verdict": verdict(records),
        "text": verdict(records).text,
        "index": stored.index,
        "path": path_of(records),
        "diagnoses": findings(records),
        "records": records,
    }


def call_lines(records: CallRecords, index: IndexedCall | None = None) -> list[str]:
    """The call as text of at most 80 columns; an address or a Call-ID is never cut."""
    path = path_of(records)
    lines = textwrap.wrap(verdict(records).text, COLUMNS)
    lines += ["", *_head(records, index), "", *_directions(path, records), *_spans(path)]
    found = findings(records)
    if found:
        lines += ["", "Diagnoses"]
        for finding in found:
            lines += textwrap.wrap(
                f"{finding.name}: {finding.words}. {finding.advice}", COLUMNS, subsequent_indent="  "
            )
    steps = ladder(records)
    lines += ["", *(_ladder(steps) if steps else ["No SIP message of it is kept (any more)."])]
    for span in records.unseen:
        lines.append(f"not seen: {span.kind}, {clock(span.first_ns)} to {clock(span.last_ns)}: {span.why}")
    return [printable(line) for line in lines]


def _head(records: CallRecords, index: IndexedCall | None) -> list[str]:
    call = records.call
    begun, answered, over = call.get("invite_ns"), call.get("answer_ns"), call.get("end_ns")
    users = [call.get(name) or "-" for name in ("from_sip_user", "to_sip_user")]
    lines = [f"from {users[0]} to {users[1]}, {call.get('direction') or 'direction unknown'}"]
    first_ns = begun or answered or over
    if first_ns:
        lines[0] += f", {day(first_ns)}"
    times = f"INVITE {clock(begun)}" if begun else "INVITE not seen"
    went = outcome(index) if index else call["outcome"]
    times += f", answered {clock(answered)}" if answered else f", {went}"
    if over:
        by = f" by {call['ended_by']}" if call.get("ended_by") else ""
        times += f", ended {clock(over)} ({call.get('end_reason')}{by})"
    elif answered:
        times += ", no end seen yet"
    lines.append(times + " UTC")
    peers = [(label, call.get(f"{label}_peer")) for label in ("customer", "remote")]
    if any(peer for _, peer in peers):
        lines.append(", ".join(f"{label} {peer}" for label, peer in peers if peer))
    for name, label in (("voice_connector_id", "connector"), ("carrier", "carrier"), ("host", "host")):
        if call.get(name):
            lines.append(f"{label} {call[name]}")
    if not call["call_ids"]:
        lines.append(f"transaction {call.get('transaction_id')}")
    lines += [f"Call-ID {call_id}" for call_id in call["call_ids"][:MAX_CALL_IDS]]
    more = len(call["call_ids"]) - MAX_CALL_IDS
    return [*lines, f"and {more} more Call-IDs: --json has them"] if more > 0 else lines


def _directions(path: CallPath, records: CallRecords) -> list[str]:
    """A line a direction; where the figures are too long for one line, their source stands below them."""
    rows = [_HEADS]
    for way, direction in path.directions.items():
        source = {"rtp": "measured here", None: "-"}.get(
            direction.source, f"{direction.network}'s {(direction.source or '').upper()}"
        )
        jitter, mos = _or(direction.jitter_us, 1e-3, 2), _or(direction.mos, 1, 2)
        is_kept = direction.packets or way not in records.forgotten
        packets, late = (str(direction.packets), str(direction.discarded)) if is_kept else ("-", "-")
        rows.append((NAMES[way], packets, _or(direction.lost), _share(direction), late, jitter, mos, source))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *figures, source in rows:
        right = (figure.rjust(width) for figure, width in zip(figures, widths[1:-1], strict=True))
        lines.append("  ".join((name.ljust(widths[0]), *right)))
        if sum(widths) + 2 * len(widths) - 2 <= COLUMNS:
            lines[-1] += f"  {source}"
        elif source != _HEADS[-1]:
            lines.append(f"  {_HEADS[-1]} {source}")
    trips = [f"{side} {_or(rtt, 1e-3, 1)} ms" for side, rtt in path.rtt_us.items()]
    return [*lines, f"RTT {', '.join(trips)}; lost inside the SBC: {_or(path.vc_lost)}"]


def _spans(path: CallPath) -> list[str]:
    """The times in which a direction lost something, one a line."""
    lines = []
    for way, direction in path.directions.items():
        for span in direction.spans:
            if span.lost:
                lines.append(
                    f"{clock(span.start_ns)} to {clock(span.end_ns)}  {NAMES[way]}: {_of_span(way, span)}"
                )
    return ["", *lines] if lines else []


def _of_span(way: str, span: PathSpan) -> str:
    return f"{span.lost} lost of about {expected(way, span.packets, span.lost or 0)}"


def _ladder(steps: list[LadderStep]) -> list[str]:
    """Messages by time; the two columns are the customer's leg and the remote one."""
    lines = [f"{'time (UTC)':<13}{'customer':^22}vc{'remote':^22}"]
    for step in steps:
        at = f"{clock(step.stamp_ns)}.{step.stamp_ns // 1_000_000 % 1000:03d}"
        label = f"{step.label[:17]}{'*' if step.repeated else ''}"
        to_right = (step.side == "customer") == bool(step.to_vc)
        arrow = f"{'--' if to_right else '<-'} {label:^{18}}{'->' if to_right else '--'}"
        cells = ("", arrow) if step.side == "remote" else (arrow, "")
        if step.to_vc is None or step.side is None:
            cells = (f"{step.label[:40]} {step.src} > {step.dst}", "")
        lines.append(f"{at:<13}{cells[0]:<22}||{cells[1]}".rstrip())
    if any(step.repeated for step in steps):
        lines.append("* sent before, word by word")
    return lines


def _share(direction: DirectionPath) -> str:
    return "-" if direction.loss is None else f"{direction.loss * 100:.1f} %"


def _or(value: float | None, scale: float = 1, digits: int = 0) -> str:
    return "-" if value is None else f"{value * scale:.{digits}f}"
