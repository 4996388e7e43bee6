"""Media records and SIP messages as CloudWatch Logs events, in the groups that Amazon uses.

The limits are PutLogEvents': 1,048,576 bytes a request counting 26 for each event, 10,000 events, an event of
at most 1 MB, by time, no two further apart than 24 hours.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from agent.errors import SinkError
from agent.sinks.aws.errors import verdict
from agent.sinks.verdict import MAX_AGE_S, MAX_AHEAD_S, PartlyTaken, SinkLimits, Verdict
from agent.store import UNASSIGNED, Draft, OutboxRow
from agent.store.codec import to_json, unpack
from agent.summary.catalog import ID_FIELDS, RETENTION_DAYS, SIP_FIELDS, TIMELINE_FIELDS, log_group

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

MAX_REQUEST_BYTES = 1_048_576
EVENT_OVERHEAD = 26
MAX_EVENT_BYTES = MAX_REQUEST_BYTES - EVENT_OVERHEAD
MAX_EVENTS = 10_000
MAX_SPAN_MS = 24 * 3_600_000
GROUP_PREFIX = {
    "media": "/aws/ChimeVoiceConnectorLogs/",
    "sip": "/aws/ChimeVoiceConnectorSipMessages/",
    "calls": "/aws/ChimeVoiceConnectorCallRecords/",
}
_SIP_LOGGED = (*SIP_FIELDS, *ID_FIELDS)
_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_STREAM = re.compile(r"[^:*]{1,512}")


class LogsSink:
    """One kind of record, `media`, `sip` or `calls`, into one group for each connector.

    Each kind has a sink with its own progress, so that a flood of SIP never holds back the media records.

    Raises: SinkError (names or a retention that CloudWatch Logs would refuse).
    """

    def __init__(
        self,
        client: CloudWatchLogsClient,
        kind: Literal["media", "sip", "calls"],
        *,
        host: str,
        group_prefix: str | None = None,
        stream: str = "{host}",
        create: bool = True,
        retention_days: int | None = 30,
        timeline: bool = False,
        group: Mapping[str, Any] | None = None,
    ) -> None:
        """`retention_days` None: the group never expires. Without `create` a missing group is waited for; its
        stream is made all the same. `timeline`: media records have their slots of 10 s, at a price. `group`:
        further parameters of CreateLogGroup (class, key, tags).
        """
        self.name = f"logs_{kind}"
        self.kinds = (kind,)
        self._client = client
        self._prefix = GROUP_PREFIX[kind] if group_prefix is None else group_prefix
        self._stream = stream.replace("{host}", host)
        self._create = create
        self._retention_days = retention_days
        self._group = dict(group or {})
        self._left_out = () if timeline else TIMELINE_FIELDS
        self.counts = {"events_truncated": 0}
        self._without_retention: set[str] = set()  # groups made here that still need their retention
        if retention_days is not None and retention_days not in RETENTION_DAYS:
            raise SinkError(
                f"CloudWatch Logs has no retention of {retention_days} days: take one of {RETENTION_DAYS}"
            )
        if not _GROUP.fullmatch(self._prefix + "x"):
            raise SinkError(f"{self._prefix!r} cannot begin a log group's name: use letters, digits, .-_/#")
        if not _STREAM.fullmatch(self._stream):
            raise SinkError(f"{self._stream!r} cannot name a log stream: 1 to 512 characters, no : and no *")

    @property
    def limits(self) -> SinkLimits:
        """Events no older than 14 days, nor than the group's retention."""
        kept_s = MAX_AGE_S if self._retention_days is None else self._retention_days * 86_400
        return SinkLimits(min(MAX_AGE_S, kept_s), MAX_AHEAD_S)

    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows as requests, each within every limit, events by time. `unassigned` never leaves the host."""
        events: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row.connector != UNASSIGNED:
                events.setdefault(row.connector, []).extend(map(self._event, unpack(row.body)))
        drafts: list[Draft] = []
        for connector, group in events.items():
            # Stable: messages of the same millisecond stay in the order of their capture.
            group.sort(key=lambda event: int(event["timestamp"]))
            target = log_group(self._prefix, connector)
            drafts += [Draft.of(items, connector, target, self.item_ns) for items in _batches(group)]
        return drafts

    @staticmethod
    def item_ns(item: dict[str, Any]) -> int:
        """The time of an event, UTC ns."""
        return int(item["timestamp"]) * 1_000_000

    def send(self, target: str, items: list[dict[str, Any]]) -> dict[str, int]:
        """One request; the indexes from `rejectedLogEventsInfo` where the answer has them.

        Raises: botocore's ClientError and BotoCoreError.
        """
        answer = self._client.put_log_events(
            logGroupName=target, logStreamName=self._stream, logEvents=cast(Any, items)
        )
        return {
            name: int(cast(int, index)) for name, index in answer.get("rejectedLogEventsInfo", {}).items()
        }

    def partly_taken(self, answer: dict[str, int], items: list[dict[str, Any]]) -> PartlyTaken | None:
        """HTTP 200 with `rejectedLogEventsInfo`: old ends are exclusive, the new start is inclusive."""
        if not answer:
            return None
        old = min(len(items), answer.get("tooOldLogEventEndIndex", 0))
        expired = min(len(items), answer.get("expiredLogEventEndIndex", 0))
        new = min(len(items), answer.get("tooNewLogEventStartIndex", len(items)))
        gone = max(old, expired)
        why = "older than 14 days" if old >= expired else "older than the group's retention"
        if not gone:
            why = "events ahead of AWS's clock by more than two hours"
        return PartlyTaken(gone, new, why, "tooNewLogEvent")

    def verdict(self, error: BaseException) -> Verdict:
        """The rule for AWS's code."""
        return verdict(error)

    def prepare(self, target: str) -> None:
        """Makes the stream, and with `create` the group with its retention, where they are missing.

        Raises: botocore's ClientError and BotoCoreError.
        """
        known = self._client.exceptions.ResourceAlreadyExistsException
        if self._create:
            with contextlib.suppress(known):
                self._client.create_log_group(logGroupName=target, **self._group)
                self._without_retention.add(target)
            if target in self._without_retention and self._retention_days is not None:
                self._client.put_retention_policy(
                    logGroupName=target, retentionInDays=cast(Any, self._retention_days)
                )
            self._without_retention.discard(target)
        with contextlib.suppress(known):
            self._client.create_log_stream(logGroupName=target, logStreamName=self._stream)

    def _event(self, record: dict[str, Any]) -> dict[str, Any]:
        if "sip_message" in record:
            record = {name: record[name] for name in _SIP_LOGGED if name in record}
        for name in self._left_out:
            record.pop(name, None)
        if "end_ns" in record:  # a call's record has the time of the call's end
            at_ns = next(
                (t for t in map(record.get, ("end_ns", "answer_ns", "invite_ns", "last_rtp_ns")) if t), 0
            )
            record = {"event_timestamp": at_ns // 1_000_000, **record}
        message = to_json(record)
        if len(message) > MAX_EVENT_BYTES:
            message = self._truncated(record)
        return {"timestamp": int(record["event_timestamp"]), "message": message.decode()}

    def _truncated(self, record: dict[str, Any]) -> bytes:
        """The record with its longest text cut until it fits: the head of a SIP message is better than
        nothing.
        """
        self.counts["events_truncated"] += 1
        record = dict(record)
        while True:
            message = to_json(record)
            if len(message) <= MAX_EVENT_BYTES:
                return message
            texts = {name: len(value) for name, value in record.items() if isinstance(value, str)}
            longest = max(texts, key=lambda name: texts[name], default="")
            if not texts.get(longest):
                return to_json({"event_timestamp": record["event_timestamp"], "truncated": True})
            # A character makes one to six bytes of JSON, so one cut may be too short: it repeats.
            excess = len(message) - MAX_EVENT_BYTES
            record[longest] = record[longest][: max(0, texts[longest] - max(1, excess // 6))]


def _batches(events: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    batches: list[list[dict[str, Any]]] = []
    held: list[dict[str, Any]] = []
    size = 0
    for event in events:
        event_size = len(event["message"].encode()) + EVENT_OVERHEAD
        if held and (
            len(held) == MAX_EVENTS
            or size + event_size > MAX_REQUEST_BYTES
            or event["timestamp"] - held[0]["timestamp"] > MAX_SPAN_MS
        ):
            batches.append(held)
            held, size = [], 0
        held.append(event)
        size += event_size
    if held:
        batches.append(held)
    return batches
