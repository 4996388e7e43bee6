"""Time of the tap a packet: closed, open for sockets that nobody uses, with the past kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from agent.evidence.tap import Tap
from agent.wire.frame import Frame, batch_of, origin
from tests.kit.conversation import frame

PACKETS, ROUNDS = 20_000, 20


def main() -> None:
    payload = bytes((0x80, 0)) + bytes(170)
    data = frame(("192.0.2.1", 30_000), ("198.51.100.1", 40_000), payload)
    batch = batch_of([Frame(data, number * 1_000, origin(1, 0), len(data)) for number in range(PACKETS)])

    def nanoseconds(work: Callable[[], object]) -> float:
        times = []
        for _ in range(ROUNDS):
            begun = time.perf_counter_ns()
            work()
            times.append(time.perf_counter_ns() - begun)
        return min(times) / PACKETS

    closed, wanting, keeping = Tap(), Tap(), Tap(10**9, 64 << 20)
    wanting.want({("203.0.113.1", 30_002): False})
    print(f"closed: {nanoseconds(lambda: closed.take(batch) if closed.is_open else None):.3f} ns a packet")
    print(f"open for another call: {nanoseconds(lambda: wanting.take(batch)):.0f} ns a packet")
    print(f"past kept: {nanoseconds(lambda: keeping.take(batch)):.0f} ns a packet")


if __name__ == "__main__":
    main()
