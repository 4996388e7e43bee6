"""One call that passes the vc twice: spirals through itself, an application server or a customer's host."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.cases.checks import Check, counted, minutes, no_extra, total
from tests.cases.field_calls import CUSTOMER, REMOTE, SIDES, VC_C, VC_R
from tests.cases.proxied_calls import Hop, through
from tests.cases.variant import Variant, check, named

SERVER, PBX = "203.0.113.50", "192.0.2.50"  # an application server, and one of the customer's own
A, B = "+12065550110", "+12065550199"
SPIRAL = "DESIGN 4: the same Call-ID and From tag while it is open is the same attempt (RFC 3261 6)"
OWN = "what the vc sends to a customer is Inbound, what a customer sends on is Outbound"

OUT = ((CUSTOMER, VC_C, A), (VC_R, REMOTE, B))
WAYS: dict[str, tuple[tuple[Hop, ...], int, int]] = {  # hops, attempts inbound and outbound
    "once": (OUT, 0, 1),
    "itself": ((OUT[0], (VC_C, VC_R, B), OUT[1]), 0, 1),
    "a-server": ((OUT[0], (VC_R, SERVER, A), (SERVER, VC_R, B), OUT[1]), 0, 1),
    "a-server-twice": (
        (OUT[0], (VC_R, SERVER, A), (SERVER, VC_R, B), (VC_R, SERVER, B), (SERVER, VC_R, A), OUT[1]),
        0,
        1,
    ),
    "a-server-inbound": (
        ((REMOTE, VC_R, A), (VC_R, SERVER, A), (SERVER, VC_R, B), (VC_C, CUSTOMER, B)),
        1,
        0,
    ),
    "the-customers-server": ((OUT[0], (VC_C, PBX, A), (PBX, VC_C, B), OUT[1]), 1, 1),
    "a-customer-that-sends-on": (((REMOTE, VC_R, A), (VC_C, PBX, A), (PBX, VC_C, B), OUT[1]), 1, 1),
}


def attempts(inbound: int, outbound: int, answered: int) -> tuple[Check, ...]:
    sums = (
        ("CallAttempts", inbound, outbound),
        ("CallsAnswered", inbound * answered, outbound * answered),
        ("CallFailures", inbound * (1 - answered), outbound * (1 - answered)),
    )
    return tuple(
        total(f"{direction}{what}", value, SPIRAL)
        for what, *values in sums
        for direction, value in zip(("Inbound", "Outbound"), values, strict=True)
    )


def variant(name: str, status: int, *, twice: bool) -> Variant:
    hops, inbound, outbound = WAYS[name]
    calls = 2 if name == "a-customer-that-sends-on" else 1
    checks = (
        *attempts(inbound, outbound, int(status == 200)),
        counted("call", calls, OWN if calls > 1 else SPIRAL),
        no_extra("legs_unjoined", SPIRAL),
        minutes("OutboundCallsActive", [0, None], "it is over"),
    )
    return f"{name}-{status}", partial(through, hops, final=status, twice=twice), checks


@pytest.mark.parametrize("twice", [False, True], ids=["once", "retransmitted"])
@pytest.mark.parametrize("status", [200, 486])
@pytest.mark.parametrize("name", WAYS)
def test_call_that_passes_the_vc_twice_is_one_attempt(
    name: str, status: int, twice: bool, tmp_path: Path
) -> None:
    check(variant(name, status, twice=twice), tmp_path, SIDES)


ACTIVE: tuple[Variant, ...] = tuple(
    (
        name,
        partial(through, WAYS[name][0], seconds=0),
        (
            minutes(f"{'Inbound' if WAYS[name][1] else 'Outbound'}CallsActive", [1, None], SPIRAL),
            counted("call", 1, SPIRAL),
        ),
    )
    for name in ("itself", "a-server", "a-server-inbound")
)


@pytest.mark.parametrize("variant", ACTIVE, ids=named)
def test_spiral_that_goes_on_is_one_active_call(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
