"""Records of the bundled captures, all of them, and further ones as other calls would have made them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from tests.kit.replayed import scenario, sidecars

MINUTES_OF_A_CALL = 3
_OF_THE_CALL = (
    "transaction_id",
    "call_id",
    "call_ids",
    "start_ts",
    "carrier",
    "from_sip_user",
    "to_sip_user",
)


@cache
def bundled() -> dict[str, list[Any]]:
    """By kind, shuffled: SIP as the store has it, `metrics` as ConnectorMinute."""
    found: dict[str, list[Any]] = {"media": [], "calls": [], "sip": [], "metrics": []}
    for name in sidecars():
        heard = scenario(name)
        found["media"] += heard.media
        found["calls"] += heard.calls
        found["sip"] += heard.sip
        found["metrics"] += [one for summary in heard.summaries for one in summary.connectors]
    for rows in found.values():
        random.Random(1).shuffle(rows)
    return found


def of_other_calls(
    kind: str, number: int, draw: random.Random, start_ns: int, carriers: Sequence[str | None] = (None,)
) -> Iterator[dict[str, Any]]:
    """`number` records like the bundled ones from `start_ns` on: ids, users, times and counts are drawn.

    A media record is one of three minutes of a call.
    """
    templates = bundled()[kind]
    call: dict[str, Any] = {}
    for n in range(number):
        record = dict(templates[n % len(templates)])
        minute = n % MINUTES_OF_A_CALL if kind == "media" else 0
        if minute == 0:
            call = _call(draw, start_ns, carriers)
        _draw_figures(record, draw)
        old = record["call_id"]
        record |= {name: call[name] for name in _OF_THE_CALL if name in record}
        if kind == "media":
            record["event_timestamp"] = start_ns // 10**6 + 60_000 * (minute + 1)
            record["record_id"] = str(UUID(int=draw.getrandbits(128)))
        for name, value in record.items():
            if name.endswith("_ns") and value:
                record[name] = start_ns + draw.randrange(60 * 10**9)
        if kind == "sip":
            record["sip_message"] = record["sip_message"].replace(old, call["call_id"])
            record["event_timestamp"] = record["stamp_ns"] // 10**6
        yield record


def _call(draw: random.Random, start_ns: int, carriers: Sequence[str | None]) -> dict[str, Any]:
    ids = [f"{draw.getrandbits(64):016x}" for _ in range(2)]
    return {
        "transaction_id": str(UUID(int=draw.getrandbits(128))),
        "call_id": ids[0],
        "call_ids": ids,
        "start_ts": start_ns // 10**6 + draw.randrange(60_000),
        "carrier": draw.choice(carriers),
        "from_sip_user": f"+44{draw.randrange(10**10):010}",
        "to_sip_user": f"+1{draw.randrange(10**10):010}",
    }


def _draw_figures(record: dict[str, Any], draw: random.Random) -> None:
    for name, value in record.items():
        if name in ("event_timestamp", "part", "status") or not value:
            continue
        if type(value) is int:
            record[name] = value + draw.randrange(100)
        elif type(value) is float:
            record[name] = round(value * draw.random(), 1)
