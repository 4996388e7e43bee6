"""A store of many calls, and how long its reader takes: `python -m benchmarks.call_index [CALLS] [FOLDER]`.

Calls are written by the index's own code, 5,000 a minute, as the daemon would: most clean, one in fifty with
loss, one in a hundred failed. Prints bytes a call, what a minute's writing takes, and the slowest of each
question.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from agent.model.units import MINUTE_NS
from agent.store import Store
from agent.store.call_query import CallQuery
from agent.store.database import used_bytes
from agent.store.overview import By
from agent.store.reader import StoreReader
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import ConnectorMinute, Summary

T0 = 1_790_000_040 * 1_000_000_000
A_MINUTE = 5_000
CONNECTORS = [f"vc{number:02}abcdefghijklmnopqr" for number in range(20)]


def minute(number: int, count: int, chance: random.Random) -> Summary:
    """One minute in which `count` calls began and ended."""
    start_ns = T0 + number * MINUTE_NS
    calls, media = [], []
    for place in range(count):
        begun_ns = start_ns + place * MINUTE_NS // count
        failed, lossy = chance.random() < 0.01, chance.random() < 0.02
        call_id = f"{chance.getrandbits(64):016x}@192.0.2.{place % 250}"
        row: dict[str, Any] = {
            "call_id": call_id,
            "call_ids": [call_id, f"{call_id}_b2b-1"],
            "voice_connector_id": chance.choice(CONNECTORS),
            "direction": "inbound" if place % 3 else "outbound",
            "from_sip_user": f"+4420{chance.randrange(10**8):08}",
            "to_sip_user": f"+1206{chance.randrange(10**7):07}",
            "invite_ns": begun_ns,
            "answer_ns": None if failed else begun_ns + 2_000_000_000,
            "end_ns": begun_ns + 30_000_000_000,
            "status": 486 if failed else 200,
            "outcome": "failed" if failed else "answered",
            "end_reason": None if failed else "bye",
            "ended_by": "customer",
            "customer_peer": f"10.1.{place % 20}.10",
            "remote_peer": f"198.51.100.{place % 8}",
            "setup_ms": 2_000.0,
            "ring_ms": 300.0,
            "carrier": f"carrier-{place % 4}",
            "flags": ["one_way_audio"] if chance.random() < 0.001 else [],
        }
        calls.append(row)
        if not failed:
            media.append(record(row, (start_ns + MINUTE_NS) // 1_000_000, lossy, chance))
    values = {"InboundCallAttempts": count, "OutboundCallAttempts": 0}
    connectors = [ConnectorMinute(name, "us-east-1", dict(values), {}) for name in CONNECTORS]
    return Summary(start_ns, 0, True, connectors, media, calls, [])


def record(call: dict[str, Any], end_ms: int, lossy: bool, chance: random.Random) -> dict[str, Any]:
    """A call's only minute."""
    names = ("call_id", "call_ids", "voice_connector_id", "from_sip_user", "to_sip_user", "flags")
    row = {name: call[name] for name in names} | {"event_timestamp": end_ms, "vc_lost": 0}
    row["mos_directions"] = {}
    for way in DIRECTIONS:
        lost = chance.randrange(150) if lossy and way == "vc2cust" else 0
        row |= {f"{way}_rtp_packets": 1_400, f"{way}_packets_lost": lost, f"{way}_jitter": 800.0}
        row["mos_directions"][way] = round(4.36 - lost / 80, 3)
    return row


def questions(count: int) -> Iterator[tuple[str, CallQuery]]:
    """One of each kind: rare, common, and both together."""
    until_ns = T0 + count // A_MINUTE * MINUTE_NS
    yield "newest", CallQuery()
    yield "last 7 digits", CallQuery(number="1234567")
    yield "last 4 digits", CallQuery(number="0110")
    yield "last 2 digits", CallQuery(number="10")
    yield "address", CallQuery(address="198.51.100.3")
    yield "connector", CallQuery(connector=CONNECTORS[3])
    yield "carrier and direction", CallQuery(carrier="carrier-2", direction="outbound")
    yield "status 486", CallQuery(status=486)
    yield "failed", CallQuery(outcome="failed")
    yield "flag", CallQuery(flags=("one_way_audio",))
    yield "flag and connector", CallQuery(flags=("one_way_audio",), connector=CONNECTORS[3])
    yield "worse than 3.5", CallQuery(worse_than=3.5)
    yield "worse than 2.6, connector", CallQuery(worse_than=2.6, connector=CONNECTORS[3])
    yield "worst first", CallQuery(sort="mos")
    yield "most loss first, an hour", CallQuery(sort="loss", since_ns=until_ns - 60 * MINUTE_NS)
    yield "an hour", CallQuery(since_ns=T0 + 60 * MINUTE_NS, until_ns=T0 + 120 * MINUTE_NS)
    yield "failed, ended by remote (none)", CallQuery(outcome="answered", ended_by="remote")
    yield "number that nobody has", CallQuery(number="99999999999")


def slowest_ms(work: Callable[[], object], times: int = 5) -> float:
    """The slowest of some runs, the first included."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return max(taken) * 1e3


def main(count: int = 1_000_000, folder: str | None = None) -> None:
    """Fill, then ask."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(folder or made, "sbcwatch.sqlite")
        begun = time.perf_counter()
        if not path.exists():
            fill(path, count)
        print(f"{count} calls: {time.perf_counter() - begun:.0f} s")
        reader = StoreReader(path)
        with reader._database.read() as connection:
            print(f"{used_bytes(connection) / count:.0f} bytes a call, records included")
        for name, query in questions(count):
            found = reader.search(query)
            print(f"{slowest_ms(partial(reader.search, query)):8.1f} ms  {len(found.calls):3} {name}")
        page = reader.search(CallQuery(number="0110"))
        known = page.calls[0]
        print(
            f"{slowest_ms(lambda: reader.search(CallQuery(call_id=known.call_ids[1]))):8.1f} ms      Call-ID"
        )
        print(f"{slowest_ms(lambda: reader.call(known.id)):8.1f} ms      one call whole")
        until_ns = reader.newest_ns() or 0
        sorts: tuple[By, ...] = ("connector", "carrier")
        for by in sorts:
            taken = slowest_ms(partial(reader.overview, until_ns - 180 * MINUTE_NS, until_ns, by))
            print(f"{taken:8.1f} ms      overview of 3 h by {by}")
        after = reader.search(CallQuery(limit=500))
        pages = 0
        begun = time.perf_counter()
        while after.next and pages < 100:
            after = reader.search(CallQuery(limit=500, after=after.next))
            pages += 1
        print(
            f"{(time.perf_counter() - begun) * 1e3 / max(1, pages):8.1f} ms      a page of 500, page {pages}"
        )


def fill(path: Path, count: int) -> None:
    """Minutes of calls into a new store."""
    chance = random.Random(7)
    store = Store(path, max_bytes=1 << 34)
    slowest = 0.0
    for number in range(max(1, count // A_MINUTE)):
        summary = minute(number, min(count, A_MINUTE), chance)
        begun = time.perf_counter()
        store.commit(summary)
        slowest = max(slowest, time.perf_counter() - begun)
    print(f"slowest commit of {A_MINUTE} calls and their records: {slowest:.2f} s")
    store.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, sys.argv[2] if len(sys.argv) > 2 else None)
