"""A call, or all calls of a capture with the worst first, as one page that needs no network and no script."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from markupsafe import Markup

from agent.story.words import NOTABLE, SILENT
from agent.web.call_picture import CallPicture, title_of
from agent.web.rendering import environment, static_text

MAX_WHOLE = 10  # calls with a whole page in a report of many


class IndexEntry(msgspec.Struct):
    """A call's line in a report of many. `anchor`: its page's, "" where it has none."""

    anchor: str
    start_ns: int
    from_user: str
    to_user: str
    outcome: str
    mos: float | None
    loss: float | None
    verdict: str


def report_page(
    views: Sequence[CallPicture],
    *,
    source: str,
    streams: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    redacted: bool = True,
) -> str:
    """The page. Of many calls the `MAX_WHOLE` worst are shown whole.

    `streams`: rows of the calls' media by address, as `sbcwatch streams` has them, where no side is known.
    """
    ordered = sorted(views, key=badness, reverse=True)
    index = [_entry(view, number) for number, view in enumerate(ordered, 1)]
    style = _compact(static_text("page.css"))
    digest = base64.b64encode(sha256(style.encode()).digest()).decode()
    return (
        environment()
        .get_template("report.html")
        .render(
            title=title_of(ordered[0]) if len(ordered) == 1 else f"{len(ordered)} calls",
            style=Markup(style),
            style_hash=f"sha256-{digest}",
            source=source,
            views=ordered[:MAX_WHOLE],
            index=index if len(index) > 1 else [],
            streams=streams,
            notes=notes,
            redacted=redacted,
        )
    )


def badness(view: CallPicture) -> tuple[bool, bool, float, float]:
    """A call's rank, the worst greatest: its verdict, whether somebody heard nothing, its loss, its score."""
    loss = max((lane.loss for lane in view.lanes.values() if lane.loss is not None), default=0.0)
    score = min((lane.mos for lane in view.lanes.values() if lane.mos is not None), default=4.5)
    is_silent = any(finding.name in SILENT for finding in view.findings)
    return (view.tone == "bad", is_silent, loss if loss >= NOTABLE else 0.0, -score)


def _entry(view: CallPicture, number: int) -> IndexEntry:
    call = view.call
    lanes = view.lanes.values()
    said = view.verdict.statements
    worst = [one.words for one in said if one.kind == "bad"] or [one.words for one in said[:1]]
    words = "; ".join(worst) or "nothing is known of its media"
    return IndexEntry(
        f"call-{number}" if number <= MAX_WHOLE else "",
        view.axis.start_ns,
        *view.ends,
        f"{call.get('outcome')} {call.get('status') or ''}".strip(),
        min((lane.mos for lane in lanes if lane.mos is not None), default=None),
        max((lane.loss for lane in lanes if lane.loss is not None), default=None),
        f"{words[0].upper()}{words[1:]}.",
    )


def _compact(style: str) -> str:
    """A style sheet without comments and indentation."""
    return re.sub(r"\n\s*", "\n", re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)).strip()
