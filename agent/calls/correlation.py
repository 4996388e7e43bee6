"""Values of headers that name a call: P-Charging-Vector, Session-ID, the branch of a Via."""

from __future__ import annotations

from agent.wire.sip.scan_cy import bounded


def icid(value: str) -> str:
    """The icid-value of a P-Charging-Vector; "" where there is none."""
    for part in value.split(";"):
        part = part.strip()
        if part.lower().startswith("icid-value="):
            return part[11:].strip('" ')
    return ""


def session_ids(value: str, is_request: bool) -> list[str]:
    """The sender's half of a Session-ID, and in a response the other too (RFC 7989 5)."""
    halves = [half.strip() for half in value.split(";")]
    others = [] if is_request else [half[7:] for half in halves[1:] if half.lower().startswith("remote=")]
    return halves[:1] + others


def branch_of(via: str) -> str:
    """The branch of a Via value; "" where there is none."""
    at = via.lower().find(";branch=")
    return "" if at < 0 else bounded(via[at + 8 :].split(";", 1)[0].strip())
