"""Calls for somebody else than their first INVITE named: redirections, overlap dialling, codes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.cases import packets
from tests.cases.checks import Check, Output, call, counted, extra, no_extra, run, total
from tests.cases.field_calls import REMOTE, SIDES, VC_R, Call, Dialog
from tests.cases.media_calls import Scene
from tests.cases.packets import Stamped
from tests.cases.variant import Variant, check, named

DIALLED, OTHER = "+12065550110", "+12065550999"
ELSEWHERE = "198.51.100.77"


def to_the_end(talk: Call, outgoing: Dialog, at: float) -> list[Stamped]:
    """The callee's 200 on `outgoing`, passed on, and ten seconds of media."""
    _, _, answer, to_caller = talk.sdps()
    outgoing.answer(at, 200, body=answer)
    outgoing.request(at + 0.01, "ACK")
    talk.incoming.answer(at + 0.02, 200, body=to_caller)
    talk.incoming.request(at + 0.03, "ACK")
    talk.outgoing = outgoing
    return talk.relay(10).end(12.3).scene.frames


def dialled_again(status: int, *numbers: str, keeps_to: bool = False) -> list[Stamped]:
    """The vc refuses every INVITE of the caller but the last one's number."""
    talk = Call()
    offer, to_callee, _, _ = talk.sdps()
    into, out = talk.incoming, talk.outgoing
    for place, number in enumerate(numbers):
        into.called = numbers[0] if keeps_to else number
        at = 0.2 * place
        into.request(at, "INVITE", body=offer, tag=False, uri=f"sip:{number}@10.0.0.1")
        if number != numbers[-1]:
            into.answer(at + 0.01, status, headers=f"Contact: <sip:{numbers[-1]}@10.0.0.1>\r\n")
            into.request(at + 0.02, "ACK", same=True)
    out.called = numbers[-1]
    out.invite(at + 0.03, to_callee)
    return to_the_end(talk, out, 2)


def sent_on(status: int, contact: str = "", headers: str = "", host: str = ELSEWHERE) -> list[Stamped]:
    """The first callee refuses with `status`; the vc calls `OTHER`, with `headers`."""
    talk = Call()
    offer, to_callee, _, _ = talk.sdps()
    into, first = talk.incoming, talk.outgoing
    into.invite(0, offer)
    into.answer(0.01, 100)
    first.invite(0.03, to_callee)
    first.answer(0.3, status, headers=f"Contact: {contact}\r\n" if contact else "")
    first.request(0.31, "ACK", same=True)
    second = Dialog(talk.scene, VC_R, host, "second", OTHER, talk.calling)
    second.invite(0.33, to_callee, headers)
    return to_the_end(talk, second, 2)


def coded(called: str) -> list[Stamped]:
    talk = Call()
    talk.outgoing.called = called
    return talk.whole(10).scene.frames


def one(why: str, callee: str = DIALLED) -> tuple[Check, ...]:
    return (
        total("OutboundCallAttempts", 1, why),
        total("OutboundCallsAnswered", 1, why),
        total("OutboundCallFailures", 0, why),
        total("CustomerToVcRtpPackets", 500, why),
        total("RemoteToVcRtpPackets", 500, why),
        counted("call", 1, why),
        call("to_sip_user", callee, why),
        no_extra("legs_unjoined", why),
    )


FOLLOWED = "RFC 3261 8.1.3.4: the new request has the same call; its Request-URI is the Contact's"
OVERLAP = "RFC 3578: the same call with more digits; the number is the whole one"
HISTORY = "RFC 7044: the entries are whom the call was for"
CODE = "a code before a number is no part of it"
HISTORY_INFO = (
    f"History-Info: <sip:{DIALLED}@b?Reason=SIP%3Bcause%3D486>;index=1, <sip:{OTHER}@b>;index=1.1\r\n"
)
TARGETS: tuple[Variant, ...] = (
    ("caller-follows-302", partial(dialled_again, 302, DIALLED, OTHER), one(FOLLOWED, OTHER)),
    (
        "caller-follows-302-with-its-to",
        partial(dialled_again, 302, DIALLED, OTHER, keeps_to=True),
        one(FOLLOWED),
    ),
    ("overlap-dialling", partial(dialled_again, 484, "+1206", "+1206555", DIALLED), one(OVERLAP)),
    ("vc-follows-302", partial(sent_on, 302, f"<sip:{OTHER}@{ELSEWHERE}>"), one(FOLLOWED)),
    (
        "vc-follows-302-to-the-same-host",
        partial(sent_on, 301, f"sip:{OTHER}@{REMOTE}", host=REMOTE),
        one(FOLLOWED),
    ),
    (
        "vc-follows-the-second-contact",
        partial(sent_on, 300, f'"a, b" <sip:+12065550777@198.51.100.1>;q=0.5, sip:{OTHER}@{ELSEWHERE};q=0.3'),
        one(FOLLOWED),
    ),
    ("busy-then-history-info", partial(sent_on, 486, headers=HISTORY_INFO), one(HISTORY)),
    *(
        (
            f"after-{status}-to-somebody-whom-nobody-named",
            partial(sent_on, status, contact),
            (
                counted("call", 2, "no evidence that it is one call"),
                extra("legs_unjoined", 1, "no evidence"),
            ),
        )
        for status, contact in ((302, f"<sip:+12065550777@{ELSEWHERE}>"), (486, f"<sip:{OTHER}@{ELSEWHERE}>"))
    ),
    *((f"code-{code}", partial(coded, code + "12065550110"), one(CODE)) for code in ("8001#", "#31#", "*67")),
)


@pytest.mark.parametrize("variant", TARGETS, ids=named)
def test_target_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- many callers of one number, none of whom shows his own


def hidden_callers(apart: float, hops: Sequence[float]) -> list[Stamped]:
    """Twenty calls to one number, `apart` seconds from each other; the vc takes each of `hops` in turn."""
    scene = Scene()
    for place in range(20):
        at, hop = place * apart, hops[place % len(hops)]
        talk = Call(scene, at, f"{place}", inbound=True, calling="anonymous")
        offer, to_callee, answer, to_caller = talk.sdps()
        into, out = talk.incoming, talk.outgoing
        into.invite(at, offer)
        into.answer(at + 0.005, 100)
        out.invite(at + hop, to_callee)
        out.answer(at + hop + 0.008, 100)
        out.answer(at + 2, 200, body=answer)
        out.request(at + 2.01, "ACK")
        into.answer(at + 2.02, 200, body=to_caller)
        into.request(at + 2.03, "ACK")
        talk.end(at + 6)
    return scene.frames


def pairs(output: Output) -> list[bool]:
    """Of each call with two legs, whether they are of one."""
    legs = [[name[1:] for name in row["call_ids"]] for row in output.of("call")]
    return [len(set(names)) == 1 for names in legs if len(names) > 1]


SPREAD = (0.02, 0.033, 0.072, 0.059, 0.046)


@pytest.mark.parametrize(
    ("apart", "hops", "least"),
    [(0.05, SPREAD, 0), (0.03, SPREAD, 0), (0.1, SPREAD, 20), (0.05, (0.02,), 20), (0.3, SPREAD, 20)],
)
def test_hidden_callers_of_one_number_are_never_mixed_up(
    apart: float, hops: Sequence[float], least: int, tmp_path: Path
) -> None:
    path = packets.write(tmp_path / "in.pcap", hidden_callers(apart, hops))
    output = run(["replay", str(path), "--json", *SIDES])
    assert all(pairs(output))
    assert len(pairs(output)) >= least
    assert sum(output.values("InboundCallsAnswered")) == 20
