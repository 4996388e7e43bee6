"""User-Agents of well-known SIP scanners: one table for the rate limit and for the diagnosis of a call."""

from __future__ import annotations

import re

SCANNERS = (
    "friendly-scanner", "friendly-request", "sipvicious", "sundayddr", "sipcli", "sip-scan", "sip-scanner",
    "sipscan", "sipsak", "sipp", "siparmyknife", "vaxsipuseragent", "pplsip", "iwar", "smap",
    "eyebeam release 3006o",
)  # fmt: skip
_NAMED = re.compile(rf"\b(?:{'|'.join(map(re.escape, SCANNERS))})(?![a-z])")
AGENT_MAX = 80  # characters that are searched


def scanner_of(agent: str) -> str | None:
    """The scanner that a User-Agent names as a whole word (Sippy is not sipp); never any other text of it."""
    found = _NAMED.search(agent[:AGENT_MAX].lower())
    return found[0] if found else None
