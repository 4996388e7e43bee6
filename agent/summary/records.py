"""The rows of a minute, which the store keeps and the sinks deliver.

A `Summary` is one closed minute, or one part of it (restart, clock step, stop). Everything in it is plain
data, so that it can be committed, read back and sent by another process.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from agent.model.names import UNSIGNALLED
from agent.summary.identity import record_id_in_part

MAX_VALUES = 150  # CloudWatch's limit of `Values` in one datum


class Samples(msgspec.Struct, array_like=True):
    """A distribution of at most `MAX_VALUES` bins: `values[i]` was seen `counts[i]` times.

    Sum, average, least and greatest are exact: each value is the mean of its bin's samples, and the least
    and the greatest stand in bins of their own.
    """

    values: list[float]
    counts: list[float]

    @property
    def count(self) -> float:
        return math.fsum(self.counts)

    @property
    def sum(self) -> float:
        return math.fsum(value * count for value, count in zip(self.values, self.counts, strict=True))

    def summary(self) -> dict[str, float]:
        """`{"sum", "count", "min", "max"}`: the JSON form."""
        return {
            "sum": self.sum,
            "count": int(self.count),
            "min": min(self.values),
            "max": max(self.values),
        }


Value = int | Samples | None


class ConnectorMinute(msgspec.Struct):
    """The 43 metrics of one connector in one minute part; None means unknown and is never sent as 0."""

    voice_connector_id: str
    region: str
    values: dict[str, Value]
    coverage: dict[str, float | None]  # by media direction: packets of streams with known loss / packets
    extras: dict[str, Any] = {}  # further figures: RFC 6076, calls_active_unknown, legs_unjoined ...
    unknown_because: list[dict[str, Any]] = []  # what was not seen: cause, sight, direction, count
    complete: bool = False  # the part reaches the minute's end, so the host was alive there
    seen: dict[str, int] = {}  # counts that are None in `values`: as much of them as was seen
    carriers: dict[str, dict[str, Value]] = {}  # the catalog's CARRIER_METRICS by carrier, "": of none


class Summary(msgspec.Struct):
    """One minute part. `complete`: it reaches the minute's end, so it carries the gauges.

    `media`, `sip` and `calls` are rows with the field names that `replay --json` prints, ready for JSON by
    way of `timeline_cy.plain`. `gap`, where set, says why this minute (or a part of it) was not watched: then
    there are no datums.
    """

    start_ns: int  # minute start, UTC
    part: int
    complete: bool
    connectors: list[ConnectorMinute]
    media: Sequence[dict[str, Any]]  # of a close a `Rows`
    calls: list[dict[str, Any]]
    sip: list[dict[str, Any]]
    gap: str | None = None
    extras: dict[str, Any] = {}  # the host's: calls_active_unknown, legs_unjoined ...
    agent: dict[str, float] = {}  # the agent's own figures in this part, by `AGENT_METRICS` name
    live: list[
        dict[str, Any]
    ] = []  # `call` records of calls begun or answered here whose last record is of a later minute

    def become_part(self, part: int) -> None:
        """Say which part of its minute this is; whoever keeps it knows. To be called once."""
        self.part = part
        for row in self.media if part else ():
            row["part"] = part
            if (first := row.get("record_id")) is not None:
                row["record_id"] = record_id_in_part(first, part)


def is_unsignalled(record: dict[str, Any]) -> bool:
    """Whether a media record is of media that no SIP explains: it has no Call-ID, its sockets name it."""
    return not record.get("call_ids") and UNSIGNALLED in (record.get("flags") or ())


_OF_SIP = (
    "direction", "from_sip_user", "to_sip_user", "invite_ns", "answer_ns", "end_ns", "status", "end_reason",
    "ended_by", "setup_ms", "ring_ms",
)  # fmt: skip


def call_without_sip(record: dict[str, Any]) -> dict[str, Any]:
    """The `call` record of media that no SIP explains, as far as a media record of it tells."""
    same = ("voice_connector_id", "transaction_id", "carrier", "codec", "host", "flags")
    sockets = record.get("peer_media") or {}
    return (
        dict.fromkeys(_OF_SIP)
        | {name: record.get(name) for name in same}
        | {
            "call_id": "",
            "call_ids": [],
            "outcome": UNSIGNALLED,
            "customer_peer": _address(sockets.get("cust")),
            "remote_peer": _address(sockets.get("rem")),
        }
    )


def _address(socket: str | None) -> str | None:
    """Of `192.0.2.1:4000` or `[2001:db8::1]:4000`; a token stands as it is."""
    if socket is None or ":" not in socket:
        return socket
    return socket.rpartition(":")[0].strip("[]")


def expected(way: str, packets: int, lost: int) -> int:
    """Of how many packets `lost` are. Towards the vc a lost packet is not among those counted; away from it
    all of them left.
    """
    return packets + lost if way.endswith("2vc") else max(packets, lost)


KNOWN_SHARE = 0.5  # of a direction's packets; where fewer are known, none lost of them says nothing


def known_loss(record: dict[str, Any], way: str) -> tuple[int, int] | None:
    """Lost packets of a media record, and of how many. None where none is known.

    Of all where most is known: what left after the far end's last report is little. Else of the known ones.
    """
    packets, lost = record.get(f"{way}_rtp_packets") or 0, record.get(f"{way}_packets_lost")
    if lost is None or not (packets or lost):
        return None
    known = record.get(f"{way}_packets_known")  # older records have none
    if known is not None and known < packets * KNOWN_SHARE:
        packets = known
    return lost, expected(way, packets, lost)


def loss_share(lost: int | None, of: int, packets: int) -> float | None:
    """Lost / of; None where nothing is known, or none was lost of too few of the packets."""
    if lost is None or not of or (not lost and of < packets * KNOWN_SHARE):
        return None
    return lost / of


class UnseenSpan(msgspec.Struct, frozen=True):
    """Capture time (UTC ns) of which something was missed: `kind` of records or `capture`, and why."""

    first_ns: int
    last_ns: int
    kind: str
    why: str


class CallRecords(msgspec.Struct):
    """Everything known of one call, from the store or from a replayed file.

    `call`: its `call` record, as far as it goes while the call is up. `media`: its records by minute.
    `messages`: `sip` records of all its legs by time. `unseen`: what was missed while it ran. `closed_ns`:
    the end of the newest closed minute: later media is not in yet; None: all is in. `forgotten`: packets by
    direction that the store counted, and whose media records it keeps no more.
    """

    call: dict[str, Any]
    media: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    unseen: list[UnseenSpan] = []
    closed_ns: int | None = None
    forgotten: dict[str, int] = {}

    @property
    def has_no_sides(self) -> bool:
        """Whether RTP of the call was seen, and whose it was is unknown: a media record is of known sides."""
        has_record = bool(self.media or self.forgotten)
        return not has_record and bool(self.call.get("last_rtp_ns")) and self.call.get("direction") is None


Side = Literal["customer", "remote"]


def sides_with(records: CallRecords, flag: str) -> list[Side]:
    """The sides whose media has a flag; older records do not say."""
    sides = {
        side
        for record in records.media
        for side, flags in (record.get("side_flags") or {}).items()
        if flag in flags
    }
    return sorted(sides)
