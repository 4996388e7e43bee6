from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from agent.model.units import MINUTE_NS
from agent.sinks.aws.cloudwatch import CloudWatchSink
from agent.sinks.aws.errors import RULES
from agent.sinks.aws.logs import LogsSink
from agent.sinks.delivery import Delivery
from agent.sinks.verdict import BACKOFF, ErrorRule
from agent.store import Draft, Store
from agent.summary.records import ConnectorMinute
from tests.kit.minutes import SECOND_NS, T0, connector, summary
from tests.kit.sink_clock import Clock, delivery, run, run_for
from tests.kit.strict_aws import StrictAws

PUT = "PutMetricData"
PER_MINUTE = 2 * 36  # datums, the active calls of both directions among them; the eight samples are unknown


def cloudwatch(
    aws: StrictAws, store: Store, clock: Clock, read_timeout: float = 60.0, **options: Any
) -> Delivery:
    """`read_timeout` in seconds: short only where a server that hangs is what is tested."""
    client = aws.client("cloudwatch", read_timeout=read_timeout)
    return delivery(store, CloudWatchSink(client), clock, **options)


def knowing(*names: str, of: str = "vc1") -> ConnectorMinute:
    """A minute whose other metrics are unknown: no datum is sent of them."""
    unknown: dict[str, Any] = {name: None for name in connector().values if name not in names}
    return connector(of, **unknown)


FEW = ("InboundCallAttempts", "OutboundCallAttempts", "CustomerToVcRtpPackets", "RemoteToVcRtpPackets")


def stored(aws: StrictAws) -> int:
    return sum(len(points) for points in aws.metrics.points.values())


def attempts_sum(aws: StrictAws) -> float:
    key = ("ChimeVoiceConnector", "InboundCallAttempts", (("VoiceConnectorId", "vc1"),))
    return sum(value for point in aws.metrics.points[key] for value in point.values)


# What each fault does to a batch: (fault, whether AWS stored it the first time, counted maybe_duplicate).
FAULTS = [
    ("throttle", False, 0),
    ("expired_token", False, 0),
    ("denied", False, 0),
    ("skew", False, 0),
    ("500", False, 1),
    ("503", False, 1),
    ("reset", False, 1),
    ("hang", False, 1),
    ("lost", True, 1),
    ("reset_mid_response", True, 1),
]


@pytest.mark.parametrize(("fault", "taken", "duplicates"), FAULTS)
def test_fault_keeps_the_batch_whole_until_it_is_taken(
    aws: StrictAws, store: Store, clock: Clock, fault: str, taken: bool, duplicates: int
) -> None:
    store.commit(summary())
    loop = cloudwatch(aws, store, clock, read_timeout=0.3 if fault in ("hang", "lost") else 60.0)
    aws.fail(fault)
    assert loop.deliver_once(clock.now_ns) >= 0
    assert stored(aws) == (PER_MINUTE if taken else 0)
    assert loop.counters(clock.now_ns)["depth"] == 1
    clock.advance(400)
    run(loop, clock)
    counters = loop.counters(clock.now_ns)
    assert counters["depth"] == 0
    assert counters["maybe_duplicate"] == duplicates
    assert stored(aws) == PER_MINUTE * (2 if taken else 1)
    assert aws.metrics.sizes[0][0] == PER_MINUTE  # never bisected
    assert sum(loop.errors().values()) == 1


def test_slow_drip_is_only_slow(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary())
    aws.fail("drip")
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 0
    assert stored(aws) == PER_MINUTE


def test_nothing_listening_is_no_duplicate(aws: StrictAws, store: Store, clock: Clock) -> None:
    client = aws.client("cloudwatch")
    with StrictAws() as gone:
        dead = gone.client("cloudwatch")
    store.commit(summary())
    loop = delivery(store, CloudWatchSink(dead), clock)
    run(loop, clock)
    assert loop.errors() == {"EndpointConnectionError": 1}
    loop = delivery(store, CloudWatchSink(client), clock)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 0
    assert stored(aws) == PER_MINUTE


@pytest.mark.parametrize("code", sorted(code for code in RULES if RULES[code] is not ErrorRule.TAKEN))
@pytest.mark.parametrize("status", [400, 403, 500])
def test_code_decides_and_status_does_not(
    aws: StrictAws, store: Store, clock: Clock, code: str, status: int
) -> None:
    store.commit(summary(connectors=[knowing(*FEW)]))
    loop = cloudwatch(aws, store, clock, random=lambda: 0.5)
    aws.fail(code=code, status=status)
    delay = loop.deliver_once(clock.now_ns)
    rule = RULES[code]
    batches = loop.counters(clock.now_ns)["depth"]
    assert batches == (2 if rule is ErrorRule.BISECT else 1)
    if rule in (ErrorRule.BISECT, ErrorRule.MISSING):
        assert delay == 0
    clock.advance(BACKOFF[ErrorRule.CREDENTIALS].cap_s)
    run(loop, clock)
    assert stored(aws) == 2 * len(FEW)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 0


def test_unknown_code_keeps_the_batch_and_counts_the_possible_duplicate(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary())
    loop = cloudwatch(aws, store, clock)
    aws.fail(code="SomethingNew", status=500)
    loop.deliver_once(clock.now_ns)
    clock.advance(100)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 1
    assert stored(aws) == PER_MINUTE


def test_unnamed_refusal_is_no_duplicate_and_waits_in_its_own_lane(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary())
    loop = cloudwatch(aws, store, clock)
    aws.fail(code="SomethingNew", status=400)
    assert loop.deliver_once(clock.now_ns) == 0.0  # the sink goes on with other lanes at once
    clock.advance(600)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 0
    assert stored(aws) == PER_MINUTE


def test_one_bad_datum_is_quarantined_and_the_rest_sent(aws: StrictAws, store: Store, clock: Clock) -> None:
    bad = "vcé"  # CloudWatch takes ASCII dimension values only
    for minute in range(3):
        store.commit(summary(minute, connectors=[connector("vc1")]))
    store.commit(summary(3, connectors=[knowing("Throttles", of=bad)]))
    for minute in range(4, 7):
        store.commit(summary(minute, connectors=[connector("vc1")]))
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    counters = loop.counters(clock.now_ns)
    assert counters["quarantined"] == 1
    assert counters["depth"] == 0
    assert stored(aws) == 6 * PER_MINUTE + 1  # its region's datum was good
    [gap] = store.gaps(0, 2 * T0)
    assert gap.why == "refused by cloudwatch"
    assert gap.records == 1
    assert bad in gap.detail
    assert counters["requests"] < 2 * 10 + 2  # a search, not a sweep


def test_413_bisects_by_its_code(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary())
    aws.fail(code="RequestEntityTooLarge", status=413)
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    assert [count for count, _ in aws.metrics.sizes] == [PER_MINUTE // 2] * 2


def test_backoff_is_full_jitter_capped_and_ends_with_success(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary())
    draws = iter([0.0, 0.999, 0.5] + [0.999] * 20)
    loop = cloudwatch(aws, store, clock, random=lambda: next(draws))
    aws.fail("throttle", times=None)
    waits = []
    for _ in range(12):
        waits.append(loop.deliver_once(clock.now_ns))
        clock.advance(waits[-1] + 0.001)
    assert waits[:3] == pytest.approx([0.0, 1.998, 2.0])
    assert max(waits) == pytest.approx(0.999 * 60)
    aws.heal()
    run(loop, clock)
    store.commit(summary(1))
    aws.fail("throttle")
    assert loop.deliver_once(clock.now_ns) <= 1  # the count of attempts began anew


@pytest.mark.slow
def test_24_hours_without_cloudwatch_then_everything_exactly_once(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    loop = cloudwatch(aws, store, clock)
    counts = ("InboundCallAttempts", "OutboundCallAttempts", "Sip5xxCodes", "Throttles")
    known = [knowing(*counts)]  # few, for each minute is encoded again and again
    aws.fail("throttle", times=None)
    start = clock.now_ns // MINUTE_NS * MINUTE_NS
    for minute in range(24 * 60):
        if minute == 12 * 60:
            aws.heal()
            aws.fail("expired_token", times=None)
        store.commit(summary(minute, connectors=known, start_ns=start), b"c", now_ns=clock.now_ns)
        run_for(loop, clock, 60)
    assert stored(aws) == 0
    assert loop.counters(clock.now_ns)["oldest_age_seconds"] >= 86_340
    aws.heal()
    run_for(loop, clock, 1_200)
    counters = loop.counters(clock.now_ns)
    assert (counters["depth"], counters["dropped"], counters["maybe_duplicate"]) == (0, 0, 0)
    assert stored(aws) == 24 * 60 * 2 * len(counts)
    for points in aws.metrics.points.values():
        assert len({point.time_s for point in points}) == len(points) == 24 * 60
    assert attempts_sum(aws) == 24 * 60
    assert store.gaps(0, 2 * T0) == []


def test_newest_first_sends_the_last_minute_first(aws: StrictAws, store: Store, clock: Clock) -> None:
    for minute in range(60):
        store.commit(summary(minute))
    loop = cloudwatch(aws, store, clock, newest_first=True)
    loop.deliver_once(clock.now_ns)
    key = ("ChimeVoiceConnector", "Throttles", (("VoiceConnectorId", "vc1"),))
    assert max(point.time_s for point in aws.metrics.points[key]) == T0 / 1e9 + 59 * 60
    run(loop, clock)
    assert stored(aws) == 60 * PER_MINUTE


def test_minutes_older_than_the_window_are_dropped_with_a_gap_and_poison_nothing(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    for minute in (0, 1, 2, 3):
        store.commit(summary(minute))
    loop = cloudwatch(aws, store, clock)
    clock.now_ns = T0 + 14 * 86_400 * SECOND_NS + 90 * SECOND_NS
    run(loop, clock)
    counters = loop.counters(clock.now_ns)
    assert counters["dropped"] == 3 * PER_MINUTE  # minute 2 is within a minute of refusal
    assert counters["quarantined"] == 0
    assert stored(aws) == PER_MINUTE
    [gap] = store.gaps(0, 2 * clock.now_ns)
    assert (gap.why, gap.sink, gap.records) == ("too old for cloudwatch", "cloudwatch", 3 * PER_MINUTE)


def test_minutes_ahead_of_the_window_wait_until_they_are_not(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary(300))
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    assert aws.requests == []
    clock.now_ns = T0 + 300 * MINUTE_NS
    run(loop, clock)
    assert stored(aws) == PER_MINUTE


def test_kill_while_a_request_is_on_its_way_sends_it_again_unchanged_and_counts_it(
    aws: StrictAws, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "kill.sqlite"
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",)})
    store.commit(summary())
    aws.fail("lost")  # stored, and the process dies before the answer
    cloudwatch(aws, store, clock, read_timeout=0.3).deliver_once(clock.now_ns)
    store.close()
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",)})
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    assert loop.counters(clock.now_ns)["maybe_duplicate"] == 1
    assert attempts_sum(aws) == 2
    key = ("ChimeVoiceConnector", "InboundCallAttempts", (("VoiceConnectorId", "vc1"),))
    first, second = aws.metrics.points[key]
    assert first == second


def test_denied_group_holds_up_its_own_connector_only(aws: StrictAws, store: Store, clock: Clock) -> None:
    client = aws.client("logs")
    sink = LogsSink(client, "sip", host="sbc-1")
    store.commit(summary(0, sip=1, name="vc1"))
    store.commit(summary(1, sip=1, name="vc2"))
    loop = delivery(store, sink, clock, random=lambda: 0.999)
    aws.fail("denied", operation="PutLogEvents")
    run(loop, clock)
    assert list(aws.logs.groups) == ["/aws/ChimeVoiceConnectorSipMessages/vc2"]
    clock.advance(400)
    run(loop, clock)
    assert len(aws.logs.groups) == 2
    assert loop.counters(clock.now_ns)["depth"] == 0


def test_unreadable_row_is_quarantined_and_its_neighbours_sent(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    for minute in range(3):
        store.commit(summary(minute))
    with store._volume.disk.write() as connection:
        connection.execute("UPDATE rows SET body = x'00' WHERE minute_ns = ?", (T0 + MINUTE_NS,))
    loop = cloudwatch(aws, store, clock)
    run(loop, clock)
    assert stored(aws) == 2 * PER_MINUTE
    assert loop.counters(clock.now_ns)["quarantined"] == 1
    assert [gap.why for gap in store.gaps(0, 2 * T0)] == ["unreadable in the store"]


def test_damaged_batch_is_quarantined_and_its_neighbours_sent(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    loop = cloudwatch(aws, store, clock)
    aws.fail("throttle")
    store.commit(summary())
    loop.deliver_once(clock.now_ns)
    with store._volume.disk.write() as connection:
        assert connection.execute("UPDATE batches SET body = x'00'").rowcount == 1
    store.commit(summary(1))
    run_for(loop, clock, 300)
    assert stored(aws) == PER_MINUTE
    counters = loop.counters(clock.now_ns)
    assert (counters["depth"], counters["quarantined"]) == (0, PER_MINUTE)
    assert [gap.why for gap in store.gaps(0, 2 * T0)] == ["unreadable in the store"]


def test_store_that_cannot_mark_sends_nothing(
    aws: StrictAws, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.store.database import Unwritable

    store.commit(summary())
    loop = cloudwatch(aws, store, clock)

    def full(batch: object) -> bool:
        raise Unwritable("database or disk is full")

    monkeypatch.setattr(store.outbox, "mark_sent", full)
    assert loop.deliver_once(clock.now_ns) == 1.0
    assert aws.requests == []
    monkeypatch.undo()
    run(loop, clock)
    assert stored(aws) == PER_MINUTE


def test_batch_that_was_taken_before_is_done(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary(sip=1))
    sink = LogsSink(aws.client("logs"), "sip", host="sbc-1")
    loop = delivery(store, sink, clock)
    aws.fail(code="DataAlreadyAcceptedException")
    run(loop, clock)
    assert loop.counters(clock.now_ns)["depth"] == 0


def test_flush_delivers_everything_before_its_deadline(aws: StrictAws, store: Store, clock: Clock) -> None:
    for minute in range(30):
        store.commit(summary(minute))
    aws.fail("throttle", times=2)
    loop = cloudwatch(aws, store, clock)
    assert loop.flush(10, clock.now_ns, clock.advance)
    assert stored(aws) == 30 * PER_MINUTE


def test_flush_gives_up_at_its_deadline_and_keeps_the_rest(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    store.commit(summary())
    aws.fail("throttle", times=None)
    loop = cloudwatch(aws, store, clock)
    began = clock.now_ns
    assert not loop.flush(5, clock.now_ns, clock.advance)
    assert clock.now_ns - began <= 6 * SECOND_NS
    assert loop.counters(clock.now_ns)["depth"] == 1


def test_flush_sends_nothing_beside_a_request_under_way(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary())
    aws.fail("hang")
    loop = delivery(store, CloudWatchSink(aws.client("cloudwatch")), clock)
    thread = threading.Thread(target=loop.deliver_once, args=(clock.now_ns,))
    with aws.asked:
        thread.start()
        assert aws.asked.wait_for(lambda: aws.requests == [PUT], timeout=10)
    assert not loop.flush(0.05, clock.now_ns, clock.advance)
    assert aws.requests == [PUT]
    aws.released.set()
    thread.join(15)
    clock.advance(100)
    assert loop.flush(5, clock.now_ns, clock.advance)
    assert stored(aws) == PER_MINUTE


def test_flush_does_not_wait_for_what_cannot_be_sent_yet(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary(300))
    assert not cloudwatch(aws, store, clock).flush(1e9, clock.now_ns, clock.advance)


def test_hosts_of_a_fleet_take_turns_of_their_own(aws: StrictAws, store: Store, clock: Clock) -> None:
    sink = CloudWatchSink(aws.client("cloudwatch"))
    offsets = set()
    for number in range(200):
        loop = Delivery(
            store.outbox,
            sink,
            host=f"sbc-{number}",
            random=lambda: 0.0,
            monotonic=clock.monotonic,
            interval_s=10,
        )
        delay = loop.first_delay(clock.now_ns)
        assert 0 <= delay < 10
        assert loop.first_delay(clock.now_ns + int(delay * SECOND_NS)) == pytest.approx(0, abs=1e-6)
        offsets.add(int(delay))
    assert len(offsets) == 10


def test_operator_is_told_once_for_each_change_of_error(aws: StrictAws, store: Store, clock: Clock) -> None:
    store.commit(summary())
    loop = cloudwatch(aws, store, clock)
    aws.fail("expired_token", times=3)
    for _ in range(3):
        loop.deliver_once(clock.now_ns)
        clock.advance(301)
    [notice] = loop.take_notices()
    assert notice.startswith("cloudwatch: ExpiredToken:")
    run(loop, clock)
    assert loop.take_notices() == ["cloudwatch: delivering again"]


def test_two_sinks_deliver_in_threads_while_minutes_are_committed(
    aws: StrictAws, store: Store, clock: Clock
) -> None:
    loops = [
        cloudwatch(aws, store, clock),
        delivery(store, LogsSink(aws.client("logs"), "media", host="sbc-1"), clock),
    ]
    done = threading.Event()
    errors: list[BaseException] = []

    def work(loop: Delivery) -> None:
        try:
            while not (done.is_set() and loop.counters(clock.now_ns)["depth"] == 0):
                loop.deliver_once(clock.now_ns)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    for minute in range(40):
        store.commit(summary(minute, media=5), b"checkpoint")
    done.set()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert stored(aws) == 40 * PER_MINUTE
    assert len(aws.logs.groups["/aws/ChimeVoiceConnectorLogs/vc1"].streams["sbc-1"]) == 200


def test_draft_of_a_sink_says_its_span(aws: StrictAws) -> None:
    sink = CloudWatchSink(aws.client("cloudwatch"))
    items = [{"Timestamp": 120}, {"Timestamp": 60}]
    assert Draft.of(items, "*", "n", sink.item_ns) == Draft("*", "n", items, 60 * SECOND_NS, 120 * SECOND_NS)
