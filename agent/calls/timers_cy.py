# cython: language_level=3
"""Deadlines.

SIP's waits are few and of constant length (Timer B, Timer C, the retry window ...), and time only goes on. So
each length has a queue of its own, oldest first, and setting, moving and dropping a deadline is O(1). A
deadline ends with its object: when a flood of invented Call-IDs pushes calls out of the table, none of theirs
stays here. A heap of callbacks would keep each until it is due.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import cython

from agent.model.units import FOREVER_NS


class Timers:
    """One deadline for each object `what`. Times are capture time in ns."""

    def __init__(self) -> None:
        self.due_ns = FOREVER_NS  # nothing is due before; may be early where a deadline was dropped
        self._queues: dict[int, OrderedDict[Any, int]] = {}
        self._where: dict[Any, OrderedDict[Any, int]] = {}

    def set(self, what: Any, now_ns: cython.longlong, after_ns: cython.longlong) -> None:
        """Sets the deadline of `what` to `after_ns` from now, in place of any other."""
        queue = self._queues.get(after_ns)
        if queue is None:
            queue = self._queues[after_ns] = OrderedDict()
        was = self._where.get(what)
        if was is not None:
            del was[what]
        due_ns = now_ns + after_ns
        queue[what] = due_ns
        self._where[what] = queue
        if due_ns < self.due_ns:
            self.due_ns = due_ns

    def drop(self, what: Any) -> None:
        """Drops the deadline of `what`, if it has one."""
        queue = self._where.pop(what, None)
        if queue is not None:
            del queue[what]

    def of(self, what: Any) -> tuple[int, int] | None:
        """(due_ns, after_ns) of `what`: when it is due, and how long after it was set."""
        queue = self._where.get(what)
        if queue is None:
            return None
        return queue[what], next(after for after, waiting in self._queues.items() if waiting is queue)

    def pop(self, now_ns: cython.longlong) -> tuple[Any, int] | None:
        """The next object that is due by `now_ns`, with its time; None when there is none left."""
        first: OrderedDict[Any, int] | None = None
        first_ns = FOREVER_NS
        for queue in self._queues.values():
            if queue:
                head_ns = queue[next(iter(queue))]
                if head_ns < first_ns:
                    first, first_ns = queue, head_ns
        self.due_ns = first_ns
        if first is None or first_ns > now_ns:
            return None
        what, _ = first.popitem(last=False)
        del self._where[what]
        return what, first_ns

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, what: object) -> bool:
        return what in self._where
