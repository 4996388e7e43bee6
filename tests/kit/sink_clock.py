"""Time that tests move, and the loop a sink's thread would run, without its thread."""

from __future__ import annotations

import random
from typing import Any

from agent.sinks.delivery import Delivery
from agent.store import Store
from tests.kit.minutes import SECOND_NS, T0


class Clock:
    """UTC in ns, an hour and a half after the tests' first minute."""

    def __init__(self) -> None:
        self.now_ns = T0 + 5_400 * SECOND_NS

    def advance(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)

    def monotonic(self) -> float:
        return self.now_ns / SECOND_NS


def delivery(store: Store, sink: Any, clock: Clock, **options: Any) -> Delivery:
    options.setdefault("random", random.Random(7).random)
    return Delivery(store.outbox, sink, host="sbc-1", monotonic=clock.monotonic, **options)


def run(loop: Delivery, clock: Clock, steps: int = 1_000) -> int:
    """Step until nothing can be sent without waiting; returns the steps taken."""
    for step in range(1, steps + 1):
        if loop.deliver_once(clock.now_ns) > 0:
            return step
    raise AssertionError("still not idle")


def run_for(loop: Delivery, clock: Clock, seconds: float) -> None:
    """Step for so long, sleeping as told, by the tests' clock."""
    end_ns = clock.now_ns + int(seconds * SECOND_NS)
    while clock.now_ns < end_ns:
        clock.advance(max(0.001, loop.deliver_once(clock.now_ns)))
