"""What may be wrong with a call: one table of names, conditions, words, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agent.story.path import CallPath, path_of
from agent.summary.records import CallRecords

# The words of a finding where the condition holds, None where it does not.
Condition = Callable[[CallRecords, CallPath], str | None]


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing that can be wrong with a call."""

    name: str
    condition: Condition
    advice: str


class Finding(msgspec.Struct):
    """A diagnosis that holds: what is so, and what to do about it."""

    name: str
    words: str
    advice: str


DIAGNOSES: tuple[Diagnosis, ...] = ()


def findings(records: CallRecords) -> list[Finding]:
    """Every diagnosis that holds, in the order of the table."""
    path = path_of(records)
    found = ((its, its.condition(records, path)) for its in DIAGNOSES)
    return [Finding(its.name, words, its.advice) for its, words in found if words is not None]
