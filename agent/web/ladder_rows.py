"""The ladder of a call as its page shows it: two legs beside each other, the vc between them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from agent.story.ladder import LadderStep
from agent.summary.redaction import Redaction

MAX_STEPS = 300  # messages in a ladder
MAX_TEXT = 240_000  # characters of all messages together, because a report is mailed
LONG_TEXT = 8_000  # of one message
_KINDS = {"1": "progress", "2": "success", "3": "redirect"}


class LadderRow(msgspec.Struct):
    """A message. `left`: on the customer's leg (of two like sides: the first one's). `to_right`: its arrow.

    `since_ns`: since the first message. `text` "": left out to keep the report short.
    """

    step: LadderStep
    number: int
    left: bool
    to_right: bool | None
    far: str
    since_ns: int
    text: str
    is_cut: bool
    kind: str


def columns(steps: Sequence[LadderStep]) -> tuple[str, str, str]:
    """Names of the two legs' columns, and the far end that stands left where sides do not decide it."""
    ends = list(dict.fromkeys(_far(step) for step in steps if _far(step)))
    sides = {step.side for step in steps if step.side}
    if sides == {"customer", "remote"} or not ends:
        return "customer", "remote", ""
    name = next(iter(sides)) if len(sides) == 1 else "far end"
    if len(ends) == 1:
        return ("customer", "", ends[0]) if name == "customer" else (name, "", ends[0])
    return name, name, ends[0]


def _far(step: LadderStep) -> str:
    """The address at the other end of a message from the vc."""
    return step.dst if step.to_vc is False else step.src


def ladder_rows(steps: Sequence[LadderStep], redaction: Redaction | None, first_left: str) -> list[LadderRow]:
    rows, room = [], MAX_TEXT
    for number, step in enumerate(steps, 1):
        left = _far(step) == first_left if first_left else step.side != "remote"
        text = step.text if redaction is None else redaction.text(step.text.encode("utf-8", "replace"))
        shown = text[: min(LONG_TEXT, room)]
        room -= len(shown)
        rows.append(
            LadderRow(
                step,
                number,
                left,
                None if step.to_vc is None else left == step.to_vc,
                _far(step),
                step.stamp_ns - steps[0].stamp_ns,
                shown,
                len(shown) < len(text),
                kind_of(step.label),
            )
        )
    return rows


def kind_of(label: str) -> str:
    """The colour of a message: by its status class, or as a request."""
    return _KINDS.get(label[:1], "failure" if label[:1].isdigit() else "request")
