"""What is known of a call lies in typed classes: what they say is saved is all that they have."""

from __future__ import annotations

from typing import Any

import pytest

from agent import uncompiled
from agent.model import attempt_cy, call_cy

COMPILED = (call_cy, attempt_cy)
UNCOMPILED = tuple(uncompiled.sources("agent.model.call_cy", "agent.model.attempt_cy"))


def made(modules: tuple[Any, ...]) -> dict[str, tuple[Any, tuple[str, ...], set[str]]]:
    """An object of each class, the fields that a checkpoint has of it, those that it has not."""
    call, attempt = modules
    leg = call.Leg("call-1", "tag", "incoming", "192.0.2.1", "customer", 5, 1)
    return {
        "Call": (call.Call(), call.CALL_FIELDS, {"saved", "who"}),
        "CountedAttempt": (call.CountedAttempt(leg, "inbound"), call.ACCOUNT_FIELDS, set()),
        "Leg": (leg, call.LEG_FIELDS, {"streams", "sources", "asked"}),
        "Dialog": (call.Dialog(), call.DIALOG_FIELDS, set()),
        "LegMediaTotals": (call.LegMediaTotals(), call.MEDIA_TOTALS_FIELDS, set()),
        "Attempt": (attempt.Attempt(5, 1, "branch"), attempt.FIELDS, set()),
    }


@pytest.mark.parametrize("name", ["Call", "CountedAttempt", "Leg", "Dialog", "LegMediaTotals", "Attempt"])
def test_a_checkpoint_has_every_field_but_those_that_are_found_again(name: str) -> None:
    thing, fields, found_again = made(UNCOMPILED)[name]
    assert set(vars(thing)) == set(fields) | found_again


@pytest.mark.parametrize("name", ["Call", "CountedAttempt", "Dialog", "LegMediaTotals", "Attempt", "Leg"])
def test_the_compiler_declares_the_same_fields_with_the_same_beginnings(name: str) -> None:
    one, fields, found_again = made(COMPILED)[name]
    other, same_fields, _ = made(UNCOMPILED)[name]
    assert fields == same_fields
    for field in {*fields, *found_again} - {"leg", "media_totals"}:  # objects of the other twin's classes
        assert getattr(one, field) == getattr(other, field), field
