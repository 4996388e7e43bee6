"""The templates of pages and reports, and the formats of times and figures.

Everything is escaped unless a template says otherwise, and none does. Text from the wire goes through
`printable` as well: marks that turn text around are shown, not obeyed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from agent.model.units import SECOND_NS
from agent.story.words import NOTABLE, SILENT
from agent.summary.printable import printable

UNKNOWN = "\u2013"  # stands for an unknown figure
ARROWS = {
    "cust2vc": "customer \u2192 vc",
    "vc2cust": "vc \u2192 customer",
    "rem2vc": "remote \u2192 vc",
    "vc2rem": "vc \u2192 remote",
}
"""The four directions as pages show them."""
POOR = 3.5  # MOS below which a list marks a call


@cache
def environment() -> Environment:
    """Templates with the filters below; one for the process, because each is compiled once."""
    jinja = Environment(
        loader=PackageLoader("agent.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    jinja.finalize = _safe_text
    jinja.filters.update(
        clock=clock,
        moment=moment,
        fine=fine_clock,
        iso=iso,
        share=share,
        figure=figure,
        lasting=lasting,
        ago=ago,
    )
    jinja.globals.update(UNKNOWN=UNKNOWN, ways=ARROWS, NOTABLE=NOTABLE, POOR=POOR, SILENT=SILENT)
    return jinja


def static_text(name: str) -> str:
    """A file of `static/`: the style sheet, the script."""
    return files("agent.web").joinpath("static", name).read_text(encoding="utf-8")


def _safe_text(value: object) -> object:
    """Text for a template: text from the wire without control characters."""
    if type(value) is str and value.isascii() and value.isprintable():
        return value  # nearly all text: a third of a page's time went into looking for more
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(printable, value.replace("\r\n", "\n").split("\n")))
    return value


def clock(at_ns: int | None) -> str:
    """`15:42:20`, UTC."""
    return UNKNOWN if at_ns is None else _utc(at_ns).strftime("%H:%M:%S")


def fine_clock(at_ns: int) -> str:
    """`15:42:20.004`, UTC."""
    return f"{clock(at_ns)}.{at_ns // 1_000_000 % 1_000:03d}"


def moment(at_ns: int | None) -> str:
    """`2026-11-23 15:42:20`, UTC."""
    return UNKNOWN if at_ns is None else _utc(at_ns).strftime("%Y-%m-%d %H:%M:%S")


def iso(at_ns: int) -> str:
    """A time as HTML's `datetime` wants it."""
    return _utc(at_ns).strftime("%Y-%m-%dT%H:%M:%SZ")


def share(value: float | None) -> str:
    """A share as percent: small ones keep their digits, 0 is a measured 0."""
    if value is None:
        return UNKNOWN
    percent = value * 100
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.1f} %" if percent else "0 %"


def figure(value: float | None, digits: int = 0, scale: float = 1.0) -> str:
    """A number with thin spaces between thousands, and so many digits after the point."""
    return UNKNOWN if value is None else f"{value * scale:,.{digits}f}".replace(",", "\u2009")


def lasting(length_ns: int | None) -> str:
    """A length of time: `0:22`, `1:02:03`."""
    if length_ns is None:
        return UNKNOWN
    minutes, seconds = divmod(round(length_ns / SECOND_NS), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def ago(length_ns: int) -> str:
    """A length of time in its greatest unit: `3 min`, `5 h`, `6 days`."""
    minutes = length_ns // (60 * SECOND_NS)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _utc(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // SECOND_NS, UTC)
