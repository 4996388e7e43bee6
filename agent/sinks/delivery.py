"""Delivery: the way of one sink's due rows to its service, for as long as the service would take them.

No thread and no clock: `deliver_once(now_ns)` does one step and says how long to wait for the next. The sink
gives the meaning of an error (`verdict`); the outbox knows the state that a kill left. Refused items leave a
gap record, and so do items that grew too old.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from agent.model.units import SECOND_NS
from agent.sinks.verdict import BACKOFF, WHOLE_SINK, ErrorRule, PartlyTaken, SinkLimits, Verdict
from agent.store import Draft, Gap, Outbox, OutboxBatch, OutboxRow
from agent.store.codec import to_json
from agent.store.database import Corrupt, Unwritable

_STORE_RETRY_S = 1.0
MAX_LOSSES = 64  # reasons told; a service may word each one anew
_UNREADABLE = (zlib.error, ValueError, KeyError, TypeError)  # msgspec's errors are ValueErrors


class Sink(Protocol):
    """One service that takes rows. It knows its limits and its errors, and nothing of the outbox."""

    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...
    @property
    def limits(self) -> SinkLimits: ...
    def encode(self, rows: Sequence[OutboxRow]) -> list[Draft]:
        """Rows as requests, each within every limit of the service."""

    def item_ns(self, item: dict[str, Any]) -> int:
        """The time of an item, UTC ns."""

    def send(self, target: str, items: list[dict[str, Any]]) -> Any:
        """Sends one request. Returns the service's answer. Raises the client's errors."""

    def partly_taken(self, answer: Any, items: list[dict[str, Any]]) -> PartlyTaken | None:
        """The part of the items that the service took, where it did not take all."""

    def verdict(self, error: BaseException) -> Verdict:
        """The rule for an error of `send` or `prepare`."""

    def prepare(self, target: str) -> None:
        """Makes the missing target."""


class Delivery:
    """Worked by one thread; `counters` may be read by any.

    `random` draws from [0, 1) and `monotonic` gives seconds (for latency and deadlines only). A host looks
    for new rows every `interval_s`, at an offset of its own so that a fleet does not hit the same second.
    """

    def __init__(
        self,
        outbox: Outbox,
        sink: Sink,
        *,
        host: str,
        random: Callable[[], float],
        monotonic: Callable[[], float],
        interval_s: float = 10.0,
        newest_first: bool = False,
    ) -> None:
        self.sink = sink
        self._outbox = outbox
        self._random = random
        self._monotonic = monotonic
        self._interval_ns = max(1, int((sink.limits.interval_s or interval_s) * SECOND_NS))
        self._offset_ns = zlib.crc32(host.encode()) * self._interval_ns >> 32
        self._newest_first = newest_first
        self._waits: dict[str, tuple[int, int]] = {}  # lane, "" for the sink: (until ns, attempts so far)
        self._busy = threading.Lock()
        self._prepared: set[str] = set()  # targets made since the service last took something there
        self._notices: list[str] = []
        self._last_code = ""
        self._losses: set[str] = set()  # the reasons that were told
        self._errors: dict[str, int] = {}
        self._counts: dict[str, float] = dict.fromkeys(("requests", "sent_items", "latency_seconds_sum"), 0)
        self._counts["latency_seconds"] = 0.0

    def first_delay(self, now_ns: int) -> float:
        """Seconds until this host's next delivery."""
        return ((self._offset_ns - now_ns) % self._interval_ns) / SECOND_NS

    def deliver_once(self, now_ns: int) -> float:
        """Send at most one request; returns the seconds to wait before the next step, 0 if there is more."""
        with self._busy:
            return self._step(now_ns)

    def _step(self, now_ns: int) -> float:
        blocked = self._blocked(now_ns)
        if "" in blocked:
            return (blocked[""] - now_ns) / SECOND_NS
        try:
            batch = self._next(now_ns, list(blocked))
            if batch is None:
                waits = [(until - now_ns) / SECOND_NS for until in blocked.values()]
                return min([self.first_delay(now_ns + 1), *waits])
            return self._deliver(batch, now_ns)
        except (Unwritable, Corrupt) as error:
            # Nothing may be sent without a mark on the disk: a kill would send it twice unseen.
            self._count_error(type(error).__name__, str(error), ErrorRule.UNKNOWN)
            return _STORE_RETRY_S

    def flush(self, deadline_s: float, now_ns: int, wait: Callable[[float], object]) -> bool:
        """Delivers everything due without waiting for the next delivery time; True when nothing is left.

        A request under way at the deadline ends by its own time-out. `wait` sleeps for seconds.
        """
        started = self._monotonic()
        # While the sink's thread waits for an answer its batch must not be sent a second time.
        if not self._busy.acquire(timeout=max(0.0, deadline_s)):
            return False
        self._busy.release()
        while True:
            elapsed = self._monotonic() - started
            if elapsed >= deadline_s or self._outbox.depth(self.sink.name)[0] == 0:
                break
            delay = self.deliver_once(now_ns + int(elapsed * SECOND_NS))
            if delay > 0:
                if not self._blocked(now_ns + int(elapsed * SECOND_NS)):
                    break  # nothing waits for a retry: the rest, if any, cannot be sent now
                wait(min(delay, max(0.0, deadline_s - (self._monotonic() - started))))
        return self._outbox.depth(self.sink.name)[0] == 0

    def counters(self, now_ns: int) -> dict[str, float]:
        """Totals of the store's life (`sent_batches`, `maybe_duplicate`, `quarantined`, `dropped`), of this
        process (`requests`, `sent_items`, `latency_seconds*`), and now (`depth`, `oldest_age_seconds`)."""
        depth, oldest_ns = self._outbox.depth(self.sink.name)
        counts: dict[str, float] = dict.fromkeys(
            ("sent_batches", "maybe_duplicate", "quarantined", "dropped"), 0
        )
        counts.update(self._outbox.totals(self.sink.name))
        counts.update(self._counts)
        counts["depth"] = depth
        counts["oldest_age_seconds"] = 0.0 if oldest_ns is None else max(0, now_ns - oldest_ns) / SECOND_NS
        return counts

    def errors(self) -> Mapping[str, int]:
        """Failed requests by code, in this process."""
        return dict(self._errors)

    def take_notices(self) -> list[str]:
        """Sentences for the operator since the last call: one for each change of error, not one for each
        error.
        """
        taken, self._notices = self._notices, []
        return taken

    def _blocked(self, now_ns: int) -> dict[str, int]:
        """Lanes that wait, and until when. A clock stepped back must not lengthen a wait."""
        longest = max(backoff.cap_s for backoff in BACKOFF.values()) * SECOND_NS
        return {lane: until for lane, (until, _) in self._waits.items() if now_ns < until <= now_ns + longest}

    def _next(self, now_ns: int, skip: list[str]) -> OutboxBatch | None:
        name = self.sink.name
        while True:
            batch = self._outbox.next_batch(name, newest_first=self._newest_first, skip=skip)
            if batch is not None and batch.first_ns >= now_ns - self._max_age_ns:
                return batch
            if batch is not None:
                self._drop_old(batch, now_ns)
                continue
            # Minutes further ahead than the service takes (a clock that was wrong) wait.
            rows = self._outbox.due(
                name,
                before_ns=now_ns + self.sink.limits.max_ahead_s * SECOND_NS,
                newest_first=self._newest_first,
                limit=self.sink.limits.max_rows,
                max_bytes=self.sink.limits.max_bytes,
                skip=skip,
            )
            if not rows:
                return None
            self._plan(rows, now_ns)

    def _plan(self, rows: Sequence[OutboxRow], now_ns: int) -> None:
        try:
            self._outbox.plan(self.sink.name, rows, self.sink.encode(rows))
        except _UNREADABLE as error:
            if len(rows) > 1:
                for row in rows:  # one bad row spoils neither its neighbours nor the queue
                    self._plan([row], now_ns)
                return
            row = rows[0]
            gap = Gap(now_ns, row.kind, row.minute_ns, row.minute_ns, row.records, "unreadable in the store")
            gap = replace(gap, sink=self.sink.name, connector=row.connector, detail=repr(error))
            self._outbox.plan(self.sink.name, rows, [], [gap], {"quarantined": row.records})

    @property
    def _max_age_ns(self) -> int:
        # A minute of margin, so that the service does not refuse it on arrival.
        return (self.sink.limits.max_age_s - 60) * SECOND_NS

    def _drop_old(self, batch: OutboxBatch, now_ns: int) -> None:
        items = batch.items
        recent = [item for item in items if self.sink.item_ns(item) >= now_ns - self._max_age_ns]
        drafts = [Draft.of(recent, batch.lane, batch.target, self.sink.item_ns)] if recent else []
        dropped = len(items) - len(recent)
        self._tell_loss(dropped, why := f"too old for {self.sink.name}")
        gap = self._gap(batch, now_ns, dropped, why)
        self._outbox.replace(batch, drafts, gaps=[gap], totals={"dropped": dropped}, sent=batch.sent)

    def _deliver(self, batch: OutboxBatch, now_ns: int) -> float:
        try:
            items = batch.items
        except _UNREADABLE as error:  # like a row: it spoils neither its neighbours nor the thread
            gap = self._gap(batch, now_ns, batch.item_count, "unreadable in the store", repr(error))
            self._outbox.replace(batch, [], gaps=[gap], totals={"quarantined": batch.item_count})
            return 0.0
        if not self._outbox.mark_sent(batch):
            return 0.0
        self._counts["requests"] += 1
        started = self._monotonic()
        try:
            try:
                answer = self.sink.send(batch.target, items)
            finally:
                latency = self._monotonic() - started
                self._counts["latency_seconds"] = latency
                self._counts["latency_seconds_sum"] += latency
        # any error of a client: the sink's table decides; an unknown error keeps the batch
        except Exception as error:
            return self._failed(batch, items, now_ns, error)
        self._succeeded(batch)
        part = self.sink.partly_taken(answer, items)
        if part is not None:
            return self._partly_taken(batch, items, part, now_ns)
        self._outbox.mark_done(batch)
        self._counts["sent_items"] += len(items)
        return 0.0

    def _succeeded(self, batch: OutboxBatch) -> None:
        self._waits.pop("", None)
        self._waits.pop(batch.lane, None)
        self._prepared.discard(batch.target)
        if self._last_code:
            self._notices.append(f"{self.sink.name}: delivering again")
            self._last_code = ""

    def _failed(
        self, batch: OutboxBatch, items: list[dict[str, Any]], now_ns: int, error: Exception
    ) -> float:
        verdict = self.sink.verdict(error)
        code, rule = verdict.code, verdict.rule
        if rule is ErrorRule.TAKEN:  # it was sent before, and the answer was lost
            self._errors[code] = self._errors.get(code, 0) + 1
            self._succeeded(batch)
            self._outbox.mark_done(batch)
            self._counts["sent_items"] += len(items)
            return 0.0
        self._count_error(code, str(error), rule)
        if rule is ErrorRule.BISECT:
            self._bisect(batch, items, now_ns, f"{code}: {error}")
            return 0.0
        if rule is not ErrorRule.UNKNOWN:
            self._outbox.mark_refused(batch)
        if rule is ErrorRule.MISSING:
            try:
                self.sink.prepare(batch.target)
            except Exception as failure:
                verdict = self.sink.verdict(failure)
                code, rule = verdict.code, verdict.rule
                self._count_error(code, str(failure), rule)
            else:
                if batch.target not in self._prepared:  # at once, and if it is still missing, after a while
                    self._prepared.add(batch.target)
                    return 0.0
        return self._back_off(batch.lane, rule, now_ns)

    def _back_off(self, lane: str, rule: ErrorRule, now_ns: int) -> float:
        waiter = "" if rule in WHOLE_SINK else lane
        attempts = self._waits.get(waiter, (0, 0))[1]
        wait_s = BACKOFF.get(rule, BACKOFF[ErrorRule.UNKNOWN]).wait_s(attempts, self._random())
        self._waits[waiter] = (now_ns + int(wait_s * SECOND_NS), attempts + 1)
        return wait_s if waiter == "" else 0.0

    def _bisect(self, batch: OutboxBatch, items: list[dict[str, Any]], now_ns: int, why: str) -> None:
        if len(items) == 1:
            detail = f"{why}\n{to_json(items[0]).decode()}"
            gap = self._gap(batch, now_ns, 1, f"refused by {self.sink.name}", detail)
            self._outbox.replace(batch, [], gaps=[gap], totals={"quarantined": 1})
            return
        middle = len(items) // 2
        halves = [
            Draft.of(half, batch.lane, batch.target, self.sink.item_ns)
            for half in (items[:middle], items[middle:])
        ]
        self._outbox.replace(batch, halves)

    def _partly_taken(
        self, batch: OutboxBatch, items: list[dict[str, Any]], part: PartlyTaken, now_ns: int
    ) -> float:
        gaps = []
        if part.gone:
            self._tell_loss(part.gone, part.why)
            times = [self.sink.item_ns(item) for item in items[: part.gone]]
            kind, name = self.sink.kinds[0], self.sink.name
            gaps.append(Gap(now_ns, kind, min(times), max(times), part.gone, part.why, name, batch.lane))
        kept = items[max(part.kept, part.gone) :]
        drafts = [Draft.of(kept, batch.lane, batch.target, self.sink.item_ns)] if kept else []
        self._outbox.replace(batch, drafts, gaps=gaps, totals={"dropped": part.gone, "sent_batches": 1})
        self._counts["sent_items"] += max(0, part.kept - part.gone)
        if not kept:
            return 0.0
        # The service says that our clock is ahead: items that it called too new are tried again.
        self._count_error(part.code, part.why, ErrorRule.CLOCK)
        return self._back_off(batch.lane, ErrorRule.CLOCK, now_ns)

    def _gap(self, batch: OutboxBatch, now_ns: int, records: int, why: str, detail: str = "") -> Gap:
        return Gap(
            now_ns,
            self.sink.kinds[0],
            batch.first_ns,
            batch.last_ns,
            records,
            why,
            self.sink.name,
            batch.lane,
            detail,
        )

    def _tell_loss(self, items: int, why: str) -> None:
        """One notice for each reason; `dropped` counts the rest."""
        if why not in self._losses and len(self._losses) < MAX_LOSSES:
            self._losses.add(why)
            self._notices.append(f"{self.sink.name}: {items} items are lost: {why}")

    def _count_error(self, code: str, text: str, rule: ErrorRule) -> None:
        self._errors[code] = self._errors.get(code, 0) + 1
        if code != self._last_code:
            self._last_code = code
            self._notices.append(f"{self.sink.name}: {code}: {text} ({rule.value}, kept)")
