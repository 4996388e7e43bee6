"""JSON lines as `--json` prints them: `metrics`, `media`, `sip`, `call`, and last `capture`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agent.capture.source import Source
from agent.pipeline import Pipeline
from agent.summary.catalog import SIP_FIELDS
from agent.summary.printable import printable_json
from agent.summary.records import ConnectorMinute, Samples, Summary
from agent.summary.timeline_cy import plain

Row = dict[str, Any]


def metrics_row(summary: Summary, connector: ConnectorMinute) -> Row:
    """The `metrics` JSON line of one connector and minute part."""
    return {
        "type": "metrics",
        "timestamp": summary.start_ns // 1_000_000,
        "voice_connector_id": connector.voice_connector_id,
        "region": connector.region,
        "values": {
            name: value.summary() if isinstance(value, Samples) else value
            for name, value in connector.values.items()
        },
        "coverage": connector.coverage,
        "part": summary.part,
        "unknown_because": connector.unknown_because,
        "extras": connector.extras | summary.extras,
    }


def capture_row(source: Source, pipeline: Pipeline) -> Row:
    """The last JSON line: the totals of the reading."""
    engine = pipeline.engine
    return {
        "type": "capture",
        "frames": source.frames,
        "bytes": source.bytes,
        "rejects": {reason: count for reason, count in sorted(engine.rejected().items()) if count},
        "drops": source.drops,
        "tunnels": dict(sorted(engine.tunnels().items())),
        "late_frames": engine.late(),
        "duplicate_frames": engine.duplicates(),
    }


def print_json(row: object) -> None:
    """Prints `row` as one JSON line."""
    print(printable_json(msgspec.json.encode(row)).decode())


class JsonLines:
    """A keeper that prints JSON lines as minutes close."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._encode = msgspec.json.Encoder(enc_hook=plain).encode

    def line(self, row: Row, head: bytes = b"{") -> None:
        """Print `row`, with `head` in place of its opening brace: a record is given its type uncopied."""
        self._write(printable_json(b"".join((head, self._encode(row)[1:], b"\n"))))

    def messages(self, rows: list[Row]) -> None:
        for row in rows:
            self.line({name: row[name] for name in SIP_FIELDS}, b'{"type":"sip",')

    def commit(self, summary: Summary) -> None:
        for connector in summary.connectors:
            self.line(metrics_row(summary, connector))
        for row in summary.media:
            self.line(row, b'{"type":"media",')
        self.messages(summary.sip)
        for row in summary.calls:
            self.line(row, b'{"type":"call",')
