"""The attempt's table, row by row."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agent.model import attempt_cy
from agent.model.attempt_cy import MAX_BRANCHES, RETRIED, TABLE, TIMER_B_NS, TIMER_C_NS, Attempt
from agent.model.units import SECOND_NS

WINDOW = 5 * SECOND_NS
DOCS = Path(__file__).parents[2] / "docs" / "architecture.md"


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
    assert one.is_open()


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


def test_next_branch_after_a_counted_failure_is_another_attempt() -> None:
    one = attempt()
    one.response(503, 1, "x", 1, WINDOW)
    assert one.takes(1, "y")  # nothing is published: it opens the attempt again
    one.counted = True
    assert one.takes(1, "x")
    assert not one.takes(1, "y")
    assert not one.takes(2, "y")


def test_late_branch_of_an_answered_attempt_is_no_other_attempt() -> None:
    one = attempt()
    one.response(200, 1, "x", 1, WINDOW)
    one.counted = True
    assert one.takes(1, "y")


def test_table_in_the_docs_is_the_one_that_runs() -> None:
    assert attempt_cy.table() in DOCS.read_text()


def happen(one: Attempt, chance: random.Random, now_ns: int) -> None:
    cseq, branch = one.cseq + chance.choice((-1, 0, 0, 0, 1)), chance.choice("xyz")
    status = chance.choice((100, 180, 200, 302, 401, 486, 487, 603))
    match chance.randrange(8):
        case 0 if one.takes(cseq, branch):
            one.invite(cseq, branch, now_ns)
        case 1:
            one.cancel(cseq, now_ns)
        case 2:
            one.keep(cseq, now_ns)
        case 3:
            one.answer_unseen()
        case 4:
            one.due(now_ns, chance.random() < 0.5)
        case 5:
            one.give_up()
        case 6:
            one.counted = True
        case _:
            one.response(status, cseq, branch, now_ns, WINDOW)


def test_every_row_of_the_table_is_walked_and_no_other_step_is_made() -> None:
    chance = random.Random(3261)
    steps = set()
    for _ in range(4_000):
        one, now_ns = attempt(), 0
        for _ in range(8):
            before = one.state
            now_ns += chance.choice((1, 6, 40, 200)) * SECOND_NS
            happen(one, chance, now_ns)
            if one.state != before:
                steps.add((before, one.state))
            assert (one.deadline is None) == one.is_closed()
            assert (one.outcome is None) == (one.state not in ("closed", "answered"))
    assert steps == {(state, after) for (state, _), (_, after) in TABLE.items() if state != after}
