"""What a hostile shape costs: microseconds and retained bytes a wire byte, at several sizes."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.kit.hostile import Shape

SIZES = (10, 100, 1_000, 10_000, 100_000)
GROWTH = 4.0  # times that a byte may cost more at the largest size than at a tenth of it
LEAST_S = 300e-6  # less is not measured well enough to speak of growth
ROUNDS = 3


class Cost(NamedTuple):
    size: int
    wire: int
    us: float  # a byte
    held: float  # bytes a byte


class Verdict(NamedTuple):
    shape: Shape
    costs: list[Cost]
    growth: float

    @property
    def may_grow(self) -> bool:
        """Whether its cost is such that growth would be a fault."""
        return self.costs[-1].us > self.shape.us / 4

    @property
    def faults(self) -> list[str]:
        """How it is beyond its bounds; nothing: it is within."""
        last = self.costs[-1]
        found = []
        if last.us > self.shape.us:
            found.append(f"{last.us:.3f} us a byte, at most {self.shape.us:g}")
        if last.held > self.shape.held:
            found.append(f"{last.held:.1f} bytes held a byte, at most {self.shape.held:g}")
        if self.growth > GROWTH and self.may_grow:
            found.append(f"a byte costs {self.growth:.1f} times that of a tenth of the size")
        return found


def measured(shape: Shape, sizes: Sequence[int] = (), rounds: int = ROUNDS) -> Verdict:
    """At `sizes`, in rising order, or at all that the shape has; the least time of so many rounds counts."""
    costs, seconds = [], []
    for size in sizes or [*(size for size in SIZES if size < shape.most), shape.most]:
        inputs, wire = shape.make(size)
        spent = min(_timed(shape, inputs) for _ in range(rounds))
        costs.append(Cost(size, wire, spent / wire * 1e6, _held(shape, inputs) / wire))
        seconds.append(spent)
    growth = 0.0
    for at in range(1, len(costs)):
        before = max(seconds[at - 1], LEAST_S * costs[at - 1].wire / costs[at].wire)
        if seconds[at] > LEAST_S and costs[at].size >= 1_000:
            growth = max(growth, seconds[at] / before * costs[at - 1].wire / costs[at].wire)
    return Verdict(shape, costs, growth)


def faults(shape: Shape) -> list[str]:
    """How the shape is beyond its bounds. The largest size alone is enough where it leaves no doubt."""
    first = measured(shape, [shape.most], rounds=1)
    if not first.faults and not first.may_grow:
        return []
    return measured(shape, [shape.most // 10, shape.most]).faults


def _timed(shape: Shape, inputs: Any) -> float:
    if shape.stage is not None:
        inputs = shape.stage(inputs)
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        kept = shape.run(inputs)
        spent = time.process_time() - began
    finally:
        gc.enable()
    del kept
    return spent


def _held(shape: Shape, inputs: Any) -> int:
    if shape.stage is None:
        shape.run(inputs)  # what is kept for all is kept already
    else:
        inputs = shape.stage(inputs)
    tracemalloc.start()
    try:
        kept = shape.run(inputs)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    del kept
    return held
