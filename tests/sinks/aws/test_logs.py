from __future__ import annotations

import json
from typing import Any

import pytest

from agent.errors import SinkError
from agent.model.units import MINUTE_NS
from agent.sinks.aws.logs import EVENT_OVERHEAD, MAX_EVENT_BYTES, MAX_REQUEST_BYTES, LogsSink
from agent.store import OutboxRow, Store
from agent.store.codec import pack, to_json
from tests.kit.minutes import T0, media_row, sip_row, summary
from tests.kit.sink_clock import Clock, delivery, run
from tests.kit.strict_aws import StrictAws

MEDIA = "/aws/ChimeVoiceConnectorLogs/vc1"
SIP = "/aws/ChimeVoiceConnectorSipMessages/vc1"


def row(records: list[dict[str, Any]], name: str = "vc1", number: int = 1) -> OutboxRow:
    return OutboxRow(number, name, T0, 0, "sip", "", len(records), pack(records))


def sip_sink(aws: StrictAws, **options: Any) -> LogsSink:
    return LogsSink(aws.client("logs"), "sip", host="sbc-1", **options)


def messages(aws: StrictAws, group: str) -> list[Any]:
    events = aws.client("logs").get_log_events(logGroupName=group, logStreamName="sbc-1")["events"]
    return [json.loads(event["message"]) for event in events]


def test_both_logs_arrive_in_groups_made_for_them(aws: StrictAws, store: Store, clock: Clock) -> None:
    minute = summary(media=3, sip=5)
    store.commit(minute)
    run(delivery(store, LogsSink(aws.client("logs"), "media", host="sbc-1", retention_days=14), clock), clock)
    run(delivery(store, sip_sink(aws, retention_days=None), clock), clock)
    assert messages(aws, MEDIA) == minute.media
    assert messages(aws, SIP) == minute.sip
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"]
    assert [(group["logGroupName"], group.get("retentionInDays")) for group in groups] == [
        (MEDIA, 14),
        (SIP, None),
    ]
    events = aws.client("logs").filter_log_events(logGroupName=MEDIA)["events"]
    assert {event["timestamp"] for event in events} == {(T0 + MINUTE_NS) // 1_000_000}


@pytest.mark.parametrize("timeline", [False, True])
def test_timeline_costs_money_and_is_sent_where_it_is_wanted(
    aws: StrictAws, store: Store, clock: Clock, timeline: bool
) -> None:
    minute = summary(media=1)
    minute.media[0]["cust2vc_timeline"] = [[500, 0, 0, 1310, 23]] * 6
    store.commit(minute)
    sink = LogsSink(aws.client("logs"), "media", host="sbc-1", timeline=timeline)
    run(delivery(store, sink, clock), clock)
    (sent,) = messages(aws, MEDIA)
    assert ("cust2vc_timeline" in sent) == timeline


def test_group_made_by_somebody_else_keeps_its_retention(aws: StrictAws, store: Store, clock: Clock) -> None:
    aws.client("logs").create_log_group(logGroupName=SIP)
    store.commit(summary(sip=1))
    run(delivery(store, sip_sink(aws), clock), clock)
    assert aws.logs.groups[SIP].retention_days is None
    assert len(messages(aws, SIP)) == 1


def test_missing_group_is_waited_for_when_told_not_to_create(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary(sip=1))
    loop = delivery(store, sip_sink(aws, create=False), clock)
    run(loop, clock)
    assert aws.logs.groups == {}
    client = aws.client("logs")
    client.create_log_group(logGroupName=SIP)  # by the stack; the stream of each host is the agent's
    clock.advance(600)
    run(loop, clock)
    assert len(messages(aws, SIP)) == 1
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 0


def test_retention_is_set_again_when_the_first_try_failed(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary(sip=1))
    loop = delivery(store, sip_sink(aws, retention_days=14), clock)
    aws.fail(code="ThrottlingException", operation="PutRetentionPolicy")
    run(loop, clock)
    assert aws.logs.groups[SIP].retention_days is None
    clock.advance(600)
    run(loop, clock)
    assert aws.logs.groups[SIP].retention_days == 14
    assert len(messages(aws, SIP)) == 1


def test_group_that_is_refused_starves_no_other(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary(sip=1, name="vc1"))
    store.commit(summary(1, sip=1, name="vc2"))
    loop = delivery(store, sip_sink(aws), clock)
    aws.fail(code="SomethingNew", status=400, operation="CreateLogGroup", times=1)
    run(loop, clock)
    assert [len(group.streams) for group in aws.logs.groups.values()] == [1]


def test_unassigned_is_never_sent(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary(media=2, sip=2, name="unassigned"))
    loop = delivery(store, sip_sink(aws), clock)
    run(loop, clock)
    assert aws.requests == []
    assert loop.counters(clock.now_ns)["depth"] == 0


def test_events_of_several_rows_go_by_time(aws: StrictAws) -> None:
    later, earlier = [sip_row(T0, 5), sip_row(T0, 9)], [sip_row(T0, 1), sip_row(T0, 7)]
    [draft] = sip_sink(aws).encode([row(later), row(earlier)])
    times = [item["timestamp"] for item in draft.items]
    assert times == sorted(times)


def test_10000_events_are_one_request_and_the_next_begins_another(aws: StrictAws) -> None:
    records = [{"event_timestamp": T0 // 1_000_000, "n": n} for n in range(10_001)]
    assert [len(d.items) for d in sip_sink(aws).encode([row(records[:10_000])])] == [10_000]
    assert [len(d.items) for d in sip_sink(aws).encode([row(records)])] == [10_000, 1]


def exact(size: int) -> dict[str, Any]:
    """A record whose JSON has exactly so many bytes."""
    record = {"event_timestamp": T0 // 1_000_000, "sip_message": ""}
    record["sip_message"] = "x" * (size - len(to_json(record)))
    assert len(to_json(record)) == size
    return record


def test_request_of_exactly_the_limit_is_one_and_a_byte_more_is_two(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    half = MAX_REQUEST_BYTES // 2 - EVENT_OVERHEAD
    sink = sip_sink(aws)
    [draft] = sink.encode([row([exact(half), exact(half)])])
    assert len(sink.encode([row([exact(half), exact(half + 1)])])) == 2
    sink.prepare(draft.target)
    sink.send(draft.target, draft.items)
    assert aws.logs.sizes == [(2, MAX_REQUEST_BYTES)]


def test_bytes_are_counted_in_utf8(aws: StrictAws) -> None:
    record = {"event_timestamp": T0 // 1_000_000, "sip_message": "é" * 300_000}
    assert len(sip_sink(aws).encode([row([record, record])])) == 2


@pytest.mark.parametrize("text", ["x", "é", "\r\n", '"'])
def test_event_over_a_megabyte_is_cut_to_fit_and_counted(aws: StrictAws, text: str) -> None:
    sink = sip_sink(aws)
    record = sip_row(T0, 1) | {"sip_message": text * 1_200_000}
    [draft] = sink.encode([row([record, sip_row(T0, 2)])])[:1]
    size = len(draft.items[0]["message"].encode())
    assert MAX_EVENT_BYTES - 100_000 < size <= MAX_EVENT_BYTES
    assert json.loads(draft.items[0]["message"])["call_id"] == record["call_id"]
    assert sink.counts["events_truncated"] == 1
    sink.prepare(draft.target)
    sink.send(draft.target, draft.items)


def test_event_of_exactly_the_limit_is_not_cut(aws: StrictAws) -> None:
    sink = sip_sink(aws)
    sink.encode([row([exact(MAX_EVENT_BYTES)])])
    assert sink.counts["events_truncated"] == 0


def test_events_more_than_24_hours_apart_are_two_requests(aws: StrictAws) -> None:
    day_ms = 86_400_000
    first = sip_row(T0, 0)
    assert len(sip_sink(aws).encode([row([first, sip_row(T0, day_ms)])])) == 1
    assert len(sip_sink(aws).encode([row([first, sip_row(T0, day_ms + 1)])])) == 2


def test_connector_ids_that_no_group_can_hold_are_made_fit(aws: StrictAws) -> None:
    [draft] = sip_sink(aws).encode([row([sip_row(T0, 1)], "vc 1:é")])
    assert draft.target == "/aws/ChimeVoiceConnectorSipMessages/vc_1__"


@pytest.mark.parametrize(
    "options",
    [{"retention_days": 10}, {"group_prefix": "a b"}, {"stream": "a:b"}, {"stream": "*"}, {"stream": ""}],
)
def test_settings_that_aws_refuses_are_refused_at_the_start(aws: StrictAws, options: Any) -> None:
    with pytest.raises(SinkError):
        sip_sink(aws, **options)


def test_window_is_the_lesser_of_14_days_and_retention(aws: StrictAws) -> None:
    assert sip_sink(aws, retention_days=3).limits.max_age_s == 3 * 86_400
    assert sip_sink(aws, retention_days=365).limits.max_age_s == 14 * 86_400
    assert sip_sink(aws, retention_days=None).limits.max_age_s == 14 * 86_400


def test_all_three_rejection_indexes_are_read(aws: StrictAws, store: Store, clock: Clock) -> None:
    sink = LogsSink(aws.client("logs"), "media", host="sbc-1", retention_days=None)
    sink.prepare(MEDIA)
    aws.logs.groups[MEDIA].retention_days = 7  # somebody shortened it; the sink does not know
    now_ms = clock.now_ns // 1_000_000
    day_ms, hour_ms = 86_400_000, 3_600_000
    ages_ms = [15 * day_ms, 8 * day_ms, 5 * hour_ms, 0, -3 * hour_ms]
    for ages in ([15 * day_ms, 8 * day_ms], [5 * hour_ms, 0], [-3 * hour_ms]):
        assert set(ages) <= set(ages_ms)
    items = [{"timestamp": now_ms - age, "message": str(age)} for age in ages_ms[2:]]
    assert sink.send(MEDIA, items) == {"tooNewLogEventStartIndex": 2}
    items = [{"timestamp": now_ms - age, "message": str(age)} for age in ages_ms[:2]]
    assert sink.send(MEDIA, items) == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2}
    # Through the loop: what expired is dropped with a gap record, what is too new is kept and tried again.
    minute = summary()
    minute.media = [
        media_row(T0, number) | {"event_timestamp": now_ms - age} for number, age in enumerate(ages_ms[1:])
    ]
    store.commit(minute)
    loop = delivery(store, sink, clock)
    run(loop, clock)
    counters = loop.counters(clock.now_ns)
    assert counters["dropped"] == 1
    assert counters["depth"] == 1
    assert [gap.why for gap in store.gaps(0, 2 * T0)] == ["older than the group's retention"]
    clock.advance(2 * 3_600)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["depth"] == 0
    assert len(aws.logs.groups[MEDIA].streams["sbc-1"]) == 2 + 3


def test_call_records_arrive_in_a_group_of_their_own_at_their_end(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    sink = LogsSink(aws.client("logs"), "calls", host="sbc-1")
    store.outbox.register({sink.name: sink.kinds})
    rows = [
        {"voice_connector_id": "vc1", "call_id": "over", "invite_ns": T0, "end_ns": T0 + 5 * 10**9},
        {"voice_connector_id": "vc1", "call_id": "failed", "invite_ns": T0, "end_ns": None},
    ]
    part = summary(0)
    part.calls = rows
    store.commit(part)
    run(delivery(store, sink, clock), clock)
    found = messages(aws, "/aws/ChimeVoiceConnectorCallRecords/vc1")
    assert {(one["call_id"], one["event_timestamp"]) for one in found} == {
        ("over", T0 // 10**6 + 5_000),
        ("failed", T0 // 10**6),
    }
