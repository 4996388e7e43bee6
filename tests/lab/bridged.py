"""Scenarios of the B2BUA: transfers, a queue, a late answer, music on hold, numbers written anew."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from . import sipp
from .b2bua.dialogs import tag
from .baresip import Baresip
from .network import host_address, vc_address
from .plays import ANSWER, HANG_UP, RINGING, UNTIL_BYE
from .sbc import Logged
from .stage import Stage

_TALK_S = 5.7  # baresip reports every 5 s, and tells nothing of a call without a report
Write = Callable[[str], str]  # how a side writes a number in E.164
_CALLER, _AGENT, _THIRD = 0x11111111, 0x22222222, 0x33333333  # SSRCs
_NAMES = (("From:", 1, "from"), ("To:", 1, "to"))
_ONE_HOP = (("Via:", 1, "via1"), ("CSeq:", 1, "cseq"))


def transferred(stage: Stage) -> None:
    """The customer's phone transfers the other one, blind, to the customer's second phone."""
    third = stage.phone("customer", 30, host=stage.hosts[1])
    callee, caller = stage.phone(stage.callee, 30), stage.phone(stage.caller, 30)
    transferor, other = (callee, caller) if stage.callee == "customer" else (caller, callee)
    stage.dial(caller)
    _until_heard(stage)
    stage.sleep(_TALK_S)
    target = f"sip:{stage.number('customer', stage.hosts[1], 1)}@{vc_address('customer')}"
    transferor.command("transfer", target)
    stage.settle(lambda: len(_bridges(stage)) == 4, "the third party")
    stage.sleep(_TALK_S)
    other.command("hangup")
    _until_told(stage, transferor, other, third)


def transferred_attended(stage: Stage) -> None:
    """A remote caller's agent calls a second remote host and brings both together: REFER with Replaces."""
    first, second = stage.hosts
    ask = f"consult-{first}@customer.example"
    replaces = quote(f"{ask};to-tag={tag(ask)};from-tag=consult", safe="")
    number = stage.number("remote", second, 1)
    refer = f"Refer-To: <sip:{number}@{vc_address('customer')}?Replaces={replaces}>\n"
    notified = [sipp.request("NOTIFY"), sipp.in_dialog_reply(200, "OK")]
    agent = stage.party(
        "customer",
        first,
        [
            sipp.remembered_invite(_NAMES),
            RINGING,
            sipp.pause(300),
            ANSWER,
            sipp.request("ACK"),
            stage.voice(_AGENT),
            sipp.pause(4500),
            sipp.request_of_callee("REFER", 1, refer),
            sipp.response(202),
            *notified,
            *notified,
            sipp.request_of_callee("BYE", 2),
            sipp.response(200),
        ],
    )
    third = stage.party("remote", second, _picks_up(stage, _THIRD))
    caller = stage.calling([*_calls(stage, _CALLER, 7000), *HANG_UP])
    stage.settle(lambda: stage.heard("rem2vc") > 0, "media")
    stage.sleep(1)
    consult = stage.party(
        "customer",
        first,
        [*_calls(stage, 0x44444444), *UNTIL_BYE],
        port=5070,
        number=number,
        call_id=ask,
    )
    stage.finish(caller, agent, consult, third)


def taken_over(stage: Stage) -> None:
    """A second phone of the customer takes the call over from the first: INVITE with Replaces."""
    first, second = stage.hosts
    agent = stage.party("customer", first, _picks_up(stage, _AGENT))
    caller = stage.calling([*_calls(stage, _CALLER, 6000), *HANG_UP])
    stage.settle(lambda: stage.heard("rem2vc") > 0, "media")
    stage.sleep(3)
    leg = next(line.leg for line in stage.log() if line.event == "leg")
    replaces = f"Replaces: {leg};to-tag={tag(leg)};from-tag={agent.pid}SIPpTag011\n"
    steps = [*_calls(stage, _THIRD, extra=replaces), *UNTIL_BYE]
    third = stage.party("customer", second, steps, number=stage.number("customer", first))
    stage.finish(caller, agent, third)


def queued(stage: Stage) -> None:
    """The caller hears music, an agent, who leaves, music again, and a second agent."""
    first = stage.phone("customer", 30)
    second = stage.phone("customer", 30, host=stage.hosts[1])
    caller = stage.phone("remote", 30)
    stage.dial(caller)
    _until_heard(stage, 15)
    stage.sleep(_TALK_S)
    first.command("hangup")
    stage.settle(lambda: len(_bridges(stage)) == 4, "the second agent", 15)
    stage.sleep(_TALK_S)
    caller.command("hangup")
    _until_told(stage, first, second, caller)


def answered_late(stage: Stage) -> None:
    """The first carrier's 200 crosses the vc's CANCEL; the second carrier answers, and stays."""
    late = [
        sipp.remembered_invite(_ONE_HOP),
        RINGING,
        sipp.request("CANCEL"),
        sipp.cancel_ok(),
        sipp.late_answer(sipp.sdp()),
        sipp.request("ACK"),
        *UNTIL_BYE,
    ]
    first = stage.answering(late)
    second = stage.party("remote", stage.hosts[1], _picks_up(stage, _THIRD))
    caller = stage.calling([*_calls(stage, _CALLER, 4000), *HANG_UP])
    stage.finish(caller, first, second)


def held_with_music(stage: Stage) -> None:
    """The customer's phone holds, and a media server that no SDP names plays to the vc's socket meanwhile."""
    callee, caller = stage.phone("customer", 30), stage.phone("remote", 30)
    stage.dial(caller)
    _until_heard(stage)
    stage.sleep(_TALK_S)
    callee.command("hold")
    agent = host_address("customer", stage.hosts[0])
    port = next(line.status for line in _bridges(stage) if line.peer == agent)
    stage.stand_in("customer", stage.hosts[1], (vc_address("customer"), port), 4)
    callee.command("resume")
    stage.sleep(_TALK_S)
    caller.command("hangup")
    _until_told(stage, caller, callee)


def rewritten(stage: Stage, caller: Write, called: Write) -> None:
    """A call whose caller writes the two numbers so: the vc writes both anew on the other side."""
    callee = stage.answering(_picks_up(stage, _AGENT))
    user, number = caller(stage.number(stage.caller, service=1)), called(stage.number(stage.callee))
    steps = [*_calls(stage, _CALLER, 3000), *HANG_UP]
    stage.finish(stage.calling(steps, user=user, number=number), callee)


def _picks_up(stage: Stage, ssrc: int) -> list[str]:
    answer = [RINGING, sipp.pause(300), ANSWER, sipp.request("ACK"), stage.voice(ssrc)]
    return [sipp.request("INVITE"), *answer, *UNTIL_BYE]


def _calls(stage: Stage, ssrc: int, for_ms: int = 0, extra: str = "") -> list[str]:
    steps = [sipp.invite(extra=extra), sipp.provisional(), sipp.response(200), sipp.ack(), stage.voice(ssrc)]
    return [*steps, sipp.pause(for_ms)] if for_ms else steps


def _bridges(stage: Stage) -> list[Logged]:
    return [line for line in stage.log() if line.event == "media"]


def _until_told(stage: Stage, *phones: Baresip) -> None:
    stage.settle(lambda: all(phone.summaries() for phone in phones), "the phones' summaries")


def _until_heard(stage: Stage, timeout_s: float = 10) -> None:
    ways = ("cust2vc", "rem2vc")
    stage.settle(lambda: all(map(stage.heard, ways)), "media both ways", timeout_s)
