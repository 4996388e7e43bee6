from __future__ import annotations

from pathlib import Path

from agent.store import Draft, Outbox, OutboxRow, Store
from tests.kit.minutes import T0, summary

ALL = 2 * T0


def opened(path: Path) -> Store:
    store = Store(path)
    store.outbox.register({"cloudwatch": ("metrics",), "logs_media": ("media",)})
    return store


def draft(rows: list[OutboxRow]) -> Draft:
    items = [{"minute": row.minute_ns, "n": number} for number, row in enumerate(rows)]
    return Draft("*", "target", items, rows[0].minute_ns, rows[-1].minute_ns)


def planned(outbox: Outbox) -> None:
    rows = outbox.due("cloudwatch", before_ns=ALL)
    outbox.plan("cloudwatch", rows, [draft(rows)])


def test_each_sink_is_due_its_own_kinds_once(tmp_path: Path) -> None:
    outbox = (store := opened(tmp_path / "s.sqlite")).outbox
    store.commit(summary(0, media=2))
    store.commit(summary(1))
    assert [row.kind for row in outbox.due("cloudwatch", before_ns=ALL)] == ["metrics", "metrics"]
    assert [row.records for row in outbox.due("logs_media", before_ns=ALL)] == [2]
    planned(outbox)
    assert outbox.due("cloudwatch", before_ns=ALL) == []
    assert outbox.depth("cloudwatch") == (1, T0)


def test_newest_first_takes_the_last_minute_first(tmp_path: Path) -> None:
    store = opened(tmp_path / "s.sqlite")
    for minute in range(3):
        store.commit(summary(minute))
    oldest = [row.minute_ns for row in store.outbox.due("cloudwatch", before_ns=ALL)]
    newest = [row.minute_ns for row in store.outbox.due("cloudwatch", before_ns=ALL, newest_first=True)]
    assert oldest == sorted(oldest)
    assert newest == oldest[::-1]


def test_due_stops_at_its_limits_but_gives_one_row(tmp_path: Path) -> None:
    store = opened(tmp_path / "s.sqlite")
    for minute in range(5):
        store.commit(summary(minute))
    assert len(store.outbox.due("cloudwatch", before_ns=ALL, limit=3)) == 3
    assert len(store.outbox.due("cloudwatch", before_ns=ALL, max_bytes=1)) == 1
    assert store.outbox.due("cloudwatch", before_ns=T0) == []
    assert store.outbox.due("cloudwatch", before_ns=ALL, skip=["*"]) == []


def test_kill_between_sent_and_done_sends_the_same_bytes_again_and_counts_it(tmp_path: Path) -> None:
    store = opened(tmp_path / "s.sqlite")
    store.commit(summary(media=1))
    planned(store.outbox)
    first = store.outbox.next_batch("cloudwatch")
    assert first is not None
    assert not first.sent
    assert store.outbox.mark_sent(first)
    store.close()  # the answer never came: the process was killed

    again = opened(tmp_path / "s.sqlite")
    second = again.outbox.next_batch("cloudwatch")
    assert second is not None
    assert second.sent
    assert second.body == first.body
    assert again.outbox.totals("cloudwatch").get("maybe_duplicate", 0) == 0
    again.outbox.mark_sent(second)
    again.outbox.mark_done(second)
    assert again.outbox.totals("cloudwatch") == {"maybe_duplicate": 1, "sent_batches": 1}
    assert again.outbox.next_batch("cloudwatch") is None


def test_kill_between_plan_and_sent_is_no_duplicate(tmp_path: Path) -> None:
    store = opened(tmp_path / "s.sqlite")
    store.commit(summary())
    planned(store.outbox)
    store.close()
    batch = opened(tmp_path / "s.sqlite").outbox.next_batch("cloudwatch")
    assert batch is not None
    assert not batch.sent


def test_refused_batch_is_no_duplicate_when_it_goes_again(tmp_path: Path) -> None:
    outbox = (store := opened(tmp_path / "s.sqlite")).outbox
    store.commit(summary())
    planned(outbox)
    batch = outbox.next_batch("cloudwatch")
    assert batch is not None
    outbox.mark_sent(batch)
    outbox.mark_refused(batch)
    again = outbox.next_batch("cloudwatch")
    assert again is not None
    assert not again.sent
    assert again.body == batch.body


def test_new_sink_is_due_what_is_held(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.commit(summary(0))
    store.outbox.register({"cloudwatch": ("metrics",)})
    assert len(store.outbox.due("cloudwatch", before_ns=ALL)) == 1


def test_sink_that_comes_back_is_due_only_what_it_has_not_taken(tmp_path: Path) -> None:
    store = opened(tmp_path / "s.sqlite")
    store.commit(summary(0))
    planned(store.outbox)
    batch = store.outbox.next_batch("cloudwatch")
    assert batch is not None
    store.outbox.mark_sent(batch)
    store.outbox.mark_done(batch)
    store.outbox.register({})
    store.commit(summary(1))
    store.outbox.register({"cloudwatch": ("metrics",)})
    assert [row.minute_ns - T0 for row in store.outbox.due("cloudwatch", before_ns=ALL)] == [60_000_000_000]
