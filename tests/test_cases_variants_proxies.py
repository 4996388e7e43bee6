"""One call that passes the vc twice: spirals through itself, an application server or a customer's host."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import pytest

from tests.cases.checks import Check, call, counted, flagged, minutes, no_extra, total
from tests.cases.field_calls import CUSTOMER, REMOTE, SIDES, VC_C, VC_R, Call, sdp
from tests.cases.packets import Stamped
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


# -- two forks of a proxy that both answer

OTHER = ("198.51.100.12", 53_000)  # the fork whose 200 comes second


def answered_twice(*, keeps_second: bool, by_callee: bool) -> list[Stamped]:
    """A forking proxy passes both 2xx on (RFC 3261 16.7); the caller, or the callee, ends one dialog."""
    talk = Call()
    offer, to_callee, answer, to_caller = talk.sdps()
    into, out = talk.incoming, talk.outgoing
    out.call_id, out.from_tag = into.call_id, f"f{into.call_id}"
    into.invite(0, offer)
    into.answer(0.01, 100)
    out.invite(0.03, to_callee)
    for at, tag, body in ((2.0, "first", answer), (2.1, "second", sdp(OTHER))):
        into.to_tag = out.to_tag = tag
        out.answer(at, 200, body=body)
        into.answer(at + 0.01, 200, body=to_caller)
        into.request(at + 0.02, "ACK")
        out.request(at + 0.03, "ACK")
    kept, left = ("second", "first") if keeps_second else ("first", "second")
    into.to_tag = out.to_tag = left
    legs = (out, into) if by_callee else (into, out)
    for place, leg in enumerate(legs):
        leg.request(2.3 + place / 100, "BYE", by="b" if by_callee else "a")
    for place, leg in enumerate(legs[::-1]):
        leg.answer(2.35 + place / 100, 200, "BYE", by="b" if by_callee else "a")
    into.to_tag = out.to_tag = kept
    talk.far = OTHER if keeps_second else talk.far
    talk.relay(60, at=2.4)
    return talk.end(62.6).scene.frames


BOTH = "RFC 3261 13.2.2.4: each 2xx is a dialog, and the call is up while one of them is"


@pytest.mark.parametrize(("keeps_second", "by_callee"), list(product((False, True), repeat=2)))
def test_second_2xx_of_a_forking_proxy_changes_nothing(
    keeps_second: bool, by_callee: bool, tmp_path: Path
) -> None:
    checks = (
        *attempts(0, 1, 1),
        minutes("OutboundCallsActive", [1, None], BOTH),
        *(
            total(f"{way}RtpPackets", 3000, BOTH)
            for way in ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
        ),
        counted("call", 1, BOTH),
        call("end_reason", "bye", BOTH),
        flagged("unexpected_source", False, BOTH),
        no_extra("intruder_packets", BOTH),
    )
    frames = partial(answered_twice, keeps_second=keeps_second, by_callee=by_callee)
    check(("answered-twice", frames, checks), tmp_path, SIDES)
