"""What is known of a call lies in typed classes: what they say is saved is all that they have."""

from __future__ import annotations

from typing import Any

import pytest

from agent import uncompiled
from agent.tracking import call_cy, dialog_cy, ledger_cy, transaction_cy

NAMES = ("call_cy", "dialog_cy", "ledger_cy", "transaction_cy")
COMPILED = (call_cy, dialog_cy, ledger_cy, transaction_cy)
UNCOMPILED = tuple(uncompiled.sources(*(f"agent.tracking.{name}" for name in NAMES)))


def made(modules: tuple[Any, ...]) -> dict[str, tuple[Any, tuple[str, ...], set[str]]]:
    """An object of each class, the fields that a checkpoint has of it, those that it has not."""
    call, dialog, ledger, transaction = modules
    leg = dialog.Leg("call-1", "tag", "incoming", "192.0.2.1", "customer", 5, 1)
    return {
        "Call": (call.Call(), call.CALL_FIELDS, {"saved", "who"}),
        "Account": (call.Account(leg, "inbound"), call.ACCOUNT_FIELDS, set()),
        "Leg": (leg, dialog.LEG_FIELDS, {"streams"}),
        "Dialog": (dialog.Dialog(), dialog.DIALOG_FIELDS, set()),
        "Ledger": (ledger.Ledger(), ledger.FIELDS, set()),
        "Attempt": (transaction.Attempt(5, 1, "branch"), transaction.FIELDS, set()),
    }


@pytest.mark.parametrize("name", ["Call", "Account", "Leg", "Dialog", "Ledger", "Attempt"])
def test_a_checkpoint_has_every_field_but_those_that_are_found_again(name: str) -> None:
    thing, fields, found_again = made(UNCOMPILED)[name]
    assert set(vars(thing)) == set(fields) | found_again


@pytest.mark.parametrize("name", ["Call", "Account", "Dialog", "Ledger", "Attempt", "Leg"])
def test_the_compiler_declares_the_same_fields_with_the_same_beginnings(name: str) -> None:
    one, fields, found_again = made(COMPILED)[name]
    other, same_fields, _ = made(UNCOMPILED)[name]
    assert fields == same_fields
    for field in {*fields, *found_again} - {"leg", "ledger"}:  # objects of the other twin's classes
        assert getattr(one, field) == getattr(other, field), field
