"""A fleet in one process: the records of 1,000 hosts into an archive and ClickHouse, and the bill.

    python -m benchmarks.fleet [--hosts 1000] [--minutes 1] [--calls 20] [--lost 0.33]

Each host makes a media record a call and minute, a call record for each third call, and eight SIP messages a
call that began. Its batches go through the sinks' own code: into a folder, and into chdb, ClickHouse's
engine in this process (left out where it is not installed). A share of all answers is lost, and those batches
are sent again. Floors, beyond which the exit status is 1: 30,000 records a CPU-second into objects, 20,000
into inserts, 120 bytes a media record on ClickHouse's disk, and no record twice.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.config.settings import Config
from agent.model.units import MINUTE_NS
from agent.provision.cost import estimate
from agent.sinks.archive import ArchiveSink, Folder
from agent.sinks.clickhouse import ClickHouse, ClickHouseSink
from agent.sinks.clickhouse_schema import schema
from agent.store.codec import pack
from agent.store.outbox import Draft, OutboxRow
from tests.kit.records import of_other_calls

START_NS = 1_795_996_440 * 10**9
CARRIERS = ("carrier-1", "carrier-2", "carrier-3", None)
PUTS_A_PREFIX = 3_500  # that S3 takes a second
ARCHIVE_FLOOR, INSERT_FLOOR, DISK_CEILING = 30_000, 20_000, 120
_SETTINGS = {
    "cloudwatch": {
        "enabled": True, "region": "us-east-1", "agent_metrics": True, "dimensions": ["Region", "Carrier"],
    },
    "archive": {"url": "s3://my-bucket/sbcwatch"},
    "clickhouse": {"url": "https://clickhouse.example:8443"},
}  # fmt: skip


@dataclass
class Figures:
    """What one engine was given and has."""

    records: int = 0
    batches: int = 0
    sent_again: int = 0
    cpu_s: float = 0.0  # of ours
    stored: Counter[str] = field(default_factory=Counter)

    @property
    def a_cpu_second(self) -> float:
        return self.records / self.cpu_s if self.cpu_s else 0.0


def rows_of(host: int, minutes: int, calls: int) -> list[OutboxRow]:
    """What one host's store holds of its minutes."""
    draw = random.Random(host)
    rows: list[OutboxRow] = []
    for minute in range(minutes):
        start_ns = START_NS + minute * MINUTE_NS
        numbers = {"media": calls, "calls": -(-calls // 3), "sip": 8 * -(-calls // 3)}
        for kind, number in numbers.items():
            records = list(of_other_calls(kind, number, draw, start_ns, CARRIERS))
            for record in records:
                connector = f"connector-{int(record['transaction_id'][:4], 16) % 100}"
                record |= {"host": f"sbc-{host:04}", "voice_connector_id": connector}
            body = pack(records)
            rows.append(OutboxRow(len(rows), "connector", start_ns, 0, kind, "", number, body))
    return rows


def send(
    sink: ArchiveSink | ClickHouseSink, drafts: list[Draft], made: Figures, draw: random.Random, lost: float
) -> None:
    """Every draft once, and once more where its answer is lost."""
    for draft in drafts:
        made.batches += 1
        for again in range(1 + (draw.random() < lost)):
            made.sent_again += again
            with suppress(FileExistsError):  # as 412 of S3: it is there
                sink.send(draft.target, draft.items)


def archived(fleet: Iterator[list[OutboxRow]], root: Path, lost: float) -> Figures:
    """Each host's rows as objects in a folder."""
    made, draw, shelf = Figures(), random.Random(1), Folder(root)
    for host, rows in enumerate(fleet):
        sink = ArchiveSink(shelf, host=f"sbc-{host:04}")
        began = time.thread_time()
        drafts = sink.encode(rows)
        made.cpu_s += time.thread_time() - began
        made.records += sum(row.records for row in rows)
        send(sink, drafts, made, draw, lost)
    for path in root.rglob("*.jsonl.gz"):
        made.stored[path.relative_to(root).parts[0]] += zlib.decompress(path.read_bytes(), 31).count(b"\n")
    return made


class InProcess(ClickHouse):
    """ClickHouse's engine without its server."""

    def __init__(self, session: Any) -> None:
        super().__init__("http://127.0.0.1:1", "sbcwatch")
        self.session = session

    def insert(self, table: str, token: str, gzipped: bytes) -> None:
        lines = zlib.decompress(gzipped, 31).decode()
        options = f"insert_deduplication_token='{token}', input_format_skip_unknown_fields=1"
        options += ", deduplicate_blocks_in_dependent_materialized_views=1"
        self.session.query(f"INSERT INTO sbcwatch.{table} SETTINGS {options} FORMAT JSONEachRow {lines}")

    def number(self, query: str) -> float:
        return float(self.session.query(query, "TSV").bytes().split()[0])


def inserted(fleet: Iterator[list[OutboxRow]], server: InProcess, hosts: int, lost: float) -> Figures:
    """Each host's rows as inserts; CPU is of what a host does, not of the engine."""
    made, draw = Figures(), random.Random(2)
    for statement in schema("sbcwatch", hosts, replicated=False):
        server.session.query(statement)
    for host, rows in enumerate(fleet):
        sink = ClickHouseSink(server, host=f"sbc-{host:04}")
        began = time.thread_time()
        drafts = sink.encode(rows)
        for draft in drafts:
            b64decode(draft.items[0]["gz"])
        made.cpu_s += time.thread_time() - began
        made.records += sum(row.records for row in rows)
        send(sink, drafts, made, draw, lost)
    for kind in ("media", "calls", "sip"):
        made.stored[f"kind={kind}"] = int(server.number(f"SELECT count() FROM sbcwatch.{kind}"))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--minutes", type=int, default=1)
    parser.add_argument("--calls", type=int, default=20, help="calls up on each host")
    parser.add_argument("--lost", type=float, default=1 / 3, help="share of answers that are lost")
    chosen = parser.parse_args()

    def fleet() -> Iterator[list[OutboxRow]]:
        return (rows_of(host, chosen.minutes, chosen.calls) for host in range(chosen.hosts))

    with tempfile.TemporaryDirectory() as folder:
        well = _archive(fleet(), Path(folder), chosen)
    well &= _clickhouse(fleet(), chosen)
    config = msgspec.convert(_SETTINGS, Config)
    config.cost.hosts, config.cost.expected_calls, config.cost.expected_cps = (
        chosen.hosts, chosen.calls, chosen.calls / 180,
    )  # fmt: skip
    print(estimate(config))
    return 0 if well else 1


def _archive(fleet: Iterator[list[OutboxRow]], root: Path, chosen: argparse.Namespace) -> bool:
    made = archived(fleet, root, chosen.lost)
    stored = sum(made.stored.values())
    puts = (made.batches + made.sent_again) / chosen.minutes / 60
    objects: Counter[Path] = Counter(path.parents[1] for path in root.rglob("*.jsonl.gz"))
    print(
        f"archive: {made.records:,} records in {made.batches:,} objects, {made.sent_again:,} sent again, "
        f"{stored - made.records:,} twice or lost\n"
        f"  {made.a_cpu_second:,.0f} records a CPU-second of a host; {puts:,.0f} PUTs a second of the "
        f"{PUTS_A_PREFIX:,} that S3 takes a prefix; {max(objects.values()) / chosen.minutes:,.0f} objects a "
        f"minute in a partition"
    )
    return stored == made.records and made.a_cpu_second >= ARCHIVE_FLOOR


def _clickhouse(fleet: Iterator[list[OutboxRow]], chosen: argparse.Namespace) -> bool:
    try:
        from chdb.session import Session
    except ImportError:
        print("ClickHouse: chdb is not installed")
        return True
    with tempfile.TemporaryDirectory() as folder:
        session: Any = Session(folder)  # type: ignore[no-untyped-call]
        server = InProcess(session)
        made = inserted(fleet, server, chosen.hosts, chosen.lost)
        stored = sum(made.stored.values())
        twice = server.number("SELECT sum(records) FROM sbcwatch.carrier_minute") - made.stored["kind=media"]
        parts = server.number(
            "SELECT count() FROM system.parts WHERE active AND database = 'sbcwatch' AND table = 'media'"
        )
        session.query("OPTIMIZE TABLE sbcwatch.media FINAL")
        size = server.number(
            "SELECT sum(data_compressed_bytes) / sum(rows) FROM system.parts "
            "WHERE active AND database = 'sbcwatch' AND table = 'media'"
        )
        print(
            f"ClickHouse: {made.records:,} records in {made.batches:,} inserts, "
            f"{made.sent_again:,} sent again, "
            f"{stored - made.records:,} twice or lost, {twice:+,.0f} in the roll-up\n"
            f"  {made.a_cpu_second:,.0f} records a CPU-second of a host; "
            f"{made.batches / chosen.minutes / 60:,.0f} inserts a second; "
            f"{parts:,.0f} parts before the merge; {size:.0f} bytes a media record"
        )
        session.close()
    return stored == made.records and not twice and made.a_cpu_second >= INSERT_FLOOR and size <= DISK_CEILING


if __name__ == "__main__":
    raise SystemExit(main())
