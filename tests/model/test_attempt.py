"""The attempt's table, row by row."""

from __future__ import annotations

import pytest

from agent.model.attempt_cy import MAX_BRANCHES, RETRIED, SECOND_NS, TIMER_B_NS, TIMER_C_NS, Attempt

WINDOW = 5 * SECOND_NS


def attempt() -> Attempt:
    return Attempt(0, 1, "x")


@pytest.mark.parametrize("status", [200, 202, 299])
def test_2xx_is_answered(status: int) -> None:
    assert attempt().response(status, 1, "x", 1, WINDOW) == "answered"


@pytest.mark.parametrize("status", [400, 403, 404, 480, 486, 500, 503, 600, 699])
def test_other_finals_are_failed(status: int) -> None:
    assert attempt().response(status, 1, "x", 1, WINDOW) == "failed"


@pytest.mark.parametrize("status", [300, 302, *sorted(RETRIED)])
def test_retried_finals_wait_for_the_window(status: int) -> None:
    one = attempt()
    assert one.response(status, 1, "x", 0, WINDOW) is None
    assert one.due(WINDOW - 1) is None
    assert one.due(WINDOW) == ("redirected" if status < 400 else "failed")


def test_response_to_an_earlier_invite_changes_nothing() -> None:
    one = attempt()
    one.response(407, 1, "x", 0, WINDOW)
    assert one.invite(2, "y", 1)
    assert one.response(407, 1, "x", 2, WINDOW) is None
    assert one.state == "open"


def test_timer_b_then_timer_c() -> None:
    one = attempt()
    assert one.deadline == (0, TIMER_B_NS)
    one.response(100, 1, "x", 5, WINDOW)
    assert one.deadline == (5, TIMER_C_NS)
    one.response(100, 1, "x", 9, WINDOW)
    assert one.deadline == (5, TIMER_C_NS)
    one.response(183, 1, "x", 9, WINDOW)
    assert one.deadline == (9, TIMER_C_NS)
    assert one.due(9 + TIMER_C_NS) == "failed"


def test_last_branch_decides() -> None:
    one = attempt()
    assert one.invite(1, "y", 1)
    assert one.response(486, 1, "x", 2, WINDOW) is None
    assert one.response(404, 1, "y", 3, WINDOW) == "failed"
    assert one.status == 404


def test_retransmission_is_no_branch_and_branches_are_bounded() -> None:
    one = attempt()
    assert not one.invite(1, "x", 1)
    taken = [one.invite(1, str(number), 1) for number in range(100)]
    assert taken.count(True) == MAX_BRANCHES - 1


def test_counted_outcome_is_never_reopened() -> None:
    one = attempt()
    one.response(486, 1, "x", 1, WINDOW)
    one.counted = True
    assert not one.invite(1, "y", 2)
    assert one.response(200, 1, "y", 3, WINDOW) is None
    assert one.late_answer
    assert one.outcome == "failed"
