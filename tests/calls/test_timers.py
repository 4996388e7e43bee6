"""What falls due when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.calls.timers_cy import Timers
from agent.model.units import FOREVER_NS

steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "drop", "wait"]),
        st.integers(0, 5),
        st.sampled_from([5, 32, 180]),
        st.integers(0, 40),
    ),
    max_size=60,
)


@given(steps)
def test_each_thing_is_due_once_in_order_and_not_before(script: list[tuple[str, int, int, int]]) -> None:
    deadlines: Timers = Timers()
    model: dict[int, int] = {}
    now = 0
    for action, what, after, passed in script:
        now += passed
        while (due := deadlines.pop(now)) is not None:
            assert model.pop(due[0]) == due[1] <= now
            assert all(due[1] <= other for other in model.values())
        assert all(other > now for other in model.values())
        if action == "set":
            deadlines.set(what, now, after)
            model[what] = now + after
        elif action == "drop":
            deadlines.drop(what)
            model.pop(what, None)
        assert deadlines.due_ns <= min(model.values(), default=FOREVER_NS)
        assert len(deadlines) == len(model)
