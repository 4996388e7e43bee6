"""One table of scanners: the rate limit of sources and the diagnosis of a call both ask it."""

from __future__ import annotations

import pytest

from agent.model.scanners import SCANNERS, scanner_of
from agent.transport.rate_limit_cy import RateLimit


@pytest.mark.parametrize("name", SCANNERS)
def test_every_name_is_known_to_the_rate_limit(name: str) -> None:
    budget = RateLimit(100)
    head = "OPTIONS sip:a SIP/2.0\r\nCall-ID: a\r\nUser-Agent: "
    budget.takes("203.0.113.9", True, f"{head}{name.upper()}/1.0\r\n".encode(), 0)
    assert [talker.scanner for talker in budget.talkers()] == [name]
    assert scanner_of(f"a {name} 2") == name


@pytest.mark.parametrize("agent", ["", "Asterisk PBX", "Sippy Softswitch v5", "smapper", " " * 80 + "sipp"])
def test_other_agents_are_no_scanners(agent: str) -> None:
    assert scanner_of(agent) is None
