"""Forged packets beside a real call: what a source may not do changes none of the call's figures."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from agent.config.settings import CallSettings, Config
from agent.model.trust import TAKES, Effect, Trust
from tests.kit.scene import (
    CUST,
    CUSTOMER,
    PHONE,
    REM,
    REMOTE,
    VC2CUST,
    VC2REM,
    VC_C,
    VC_R,
    Played,
    Scene,
    block,
    extended_report,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

STRANGER, NEIGHBOUR = "203.0.113.66", "192.0.2.66"  # NEIGHBOUR is in the customer's network, and no peer
OUT = 0xA1  # SSRC of what the customer sends, relayed
BACK = 0xB1  # ... and of what comes back
NAT = ("198.51.100.77", 31_000)  # where the remote end's packets come from behind its NAT
PRIVATE = ("192.168.1.5", 7000)  # ... and what its SDP says


CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "behind nat": {"far": NAT, "remote": sdp(PRIVATE)},
    "behind nat, one way": {"far": NAT, "remote": sdp(PRIVATE), "away": False},
}


@cache
def written(kind: str) -> Scene:
    return call_of_20_s(**CALLS[kind])


def real_call(kind: str = "plain") -> Scene:
    """One of `CALLS`, to add to."""
    return replace(written(kind), frames=written(kind).frames.copy())


@cache
def alone(kind: str = "plain") -> dict[str, Any]:
    """The figures of one of `CALLS`, which nobody changes."""
    return figures(real_call(kind).play(until=180))


def call_of_20_s(*, far: tuple[str, int] = REM, remote: str | None = None, away: bool = True) -> Scene:
    """A call of 20 s, 1 in 50 packets lost on each side, with RTCP of both far ends; hung up at 22."""
    scene = Scene()
    scene.call(1, remote=remote)
    numbers = [number for number in range(1000) if number % 50 != 7]
    for src, through, dst, ssrc in (
        (CUST, (VC2CUST, VC2REM), far, OUT),
        (far, (VC2REM, VC2CUST), CUST, BACK),
    ):
        if away or ssrc == BACK:
            scene.relayed(2, src, through, dst, ssrc, numbers)
        else:
            scene.rtp(2, src, through[0], ssrc, numbers)
    for ours, peer, ssrc in ((VC2CUST, CUST, BACK), (VC2REM, far, OUT)):
        for number in range(1, 4):
            at, middle = 2 + 5 * number, number << 16
            scene.send(at, odd(ours), odd(peer), sender_report(ssrc, middle))
            answer = block(ssrc, 2 * number, 250 * number, jitter=80, lsr=middle, dlsr=6554)
            scene.send(at + 0.14, odd(peer), odd(ours), receiver_report(PHONE, answer))
    scene.bye(22)
    return scene


def figures(played: Played) -> dict[str, Any]:
    """All that must not move: metrics but those of SIP codes, and the call's own records."""
    metrics = [
        {name: value for name, value in shown(row.values).items() if not name.startswith("Sip")}
        for summary in played.summaries
        for row in summary.connectors
    ]
    calls = [
        {**row, "flags": [flag for flag in row.get("flags", ()) if flag != "static_type_redefined"]}
        for summary in played.summaries
        for row in summary.calls
        if row["call_id"] == "a"
    ]
    media = [{**row, "flags": None, "side_flags": None} for row in played.media]
    return {"metrics": metrics, "calls": calls, "media": media}


def shown(values: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "summary", lambda value=value: value)() for name, value in values.items()}


def strays(scene: Scene, src: tuple[str, int], dst: tuple[str, int], count: int = 10, at: float = 5) -> None:
    draw = random.Random(1)
    for number in range(count):
        head = struct.pack(
            ">BBHII", 0x80, 8, draw.getrandbits(16) if number % 2 else number, draw.getrandbits(32), 0x66
        )
        scene.send(at + number * 0.02, src, dst, head + bytes(160))


def stray_rtp(scene: Scene) -> None:
    for ours in (VC2CUST, VC2REM):
        strays(scene, (STRANGER, 4444), ours)


def stray_rtp_in_sequence(scene: Scene) -> None:
    for ours in (VC2CUST, VC2REM):
        scene.rtp(5, (STRANGER, 4444), ours, 0x66, [*range(100), *range(200, 300)])


def stray_rtp_with_the_calls_ssrc(scene: Scene) -> None:
    scene.rtp(5, (STRANGER, 4444), VC2REM, BACK, range(30_000, 30_020))


def stray_rtp_after_the_bye(scene: Scene) -> None:
    scene.rtp(21, (STRANGER, 4444), VC2REM, 0x66, range(150))


def stray_rtp_after_the_end(scene: Scene) -> None:
    for ours in (VC2CUST, VC2REM):
        scene.rtp(22.2, (STRANGER, 4444), ours, 0x66, range(500))


def stray_rtp_of_another_customer(scene: Scene) -> None:
    strays(scene, (NEIGHBOUR, 4444), VC2CUST)


def many_stray_ssrcs(scene: Scene) -> None:
    for number in range(200):
        scene.rtp(5 + number / 100, (STRANGER, 4444), VC2REM, 0x1000 + number, (1, 2))


RTCP_SENDERS = (STRANGER, 4445)


def stray_reports(scene: Scene) -> None:
    for ours, ssrc in ((VC2CUST, BACK), (VC2REM, OUT)):
        answer = block(ssrc, 5000, 900, fraction=200, jitter=80_000, lsr=1 << 16, dlsr=6554)
        for socket in (odd(ours), ours):
            scene.send(8.5, RTCP_SENDERS, socket, receiver_report(PHONE, answer))
            scene.send(8.6, RTCP_SENDERS, socket, sender_report(0x66, 77, answer))


def stray_reports_that_reset_the_count(scene: Scene) -> None:
    for lost in (0, 8_000_000, -8_000_000, 3):
        scene.send(8.5, RTCP_SENDERS, odd(VC2REM), receiver_report(PHONE, block(OUT, lost, 1 << 20)))


def stray_rtp_with_reports(scene: Scene) -> None:
    """Before the vc's answer to the far end has made that one known, where it is behind NAT."""
    for ours in (VC2CUST, VC2REM):
        scene.rtp(5.2, (STRANGER, 7777), ours, 0x66, range(200))
        scene.send(9, (STRANGER, 7778), odd(ours), receiver_report(0x66, block(BACK, 200, 500, jitter=9000)))


def stray_goodbyes(scene: Scene) -> None:
    for ssrc in (OUT, BACK):
        for ours in (VC2CUST, VC2REM):
            scene.send(8.5, RTCP_SENDERS, odd(ours), struct.pack(">BBHI", 0x81, 203, 1, ssrc))


def stray_extended_reports(scene: Scene) -> None:
    for ours, ssrc in ((VC2CUST, BACK), (VC2REM, OUT)):
        metrics = struct.pack(
            ">IBBBBHHHHBBBBBBBBBBHHH",
            ssrc,
            99,
            9,
            9,
            9,
            9,
            9,
            9000,
            9,
            9,
            9,
            9,
            16,
            9,
            9,
            9,
            9,
            0,
            0,
            9,
            9,
            9,
        )
        scene.send(8.5, RTCP_SENDERS, odd(ours), extended_report(PHONE, 7, metrics))


OFFERS = ("INVITE", "UPDATE")
ELSEWHERE = sdp((STRANGER, 9000), types="0", direction="inactive")


def request(method: str, cseq: int, **more: Any) -> Callable[[Scene], None]:
    """A request in the dialogs of both legs, from a third address, refused or never answered."""

    def forge(scene: Scene, answer: str = "") -> None:
        for call_id, tag, ours in (("a", "c", VC_C), ("b", "r", VC_R)):
            first = f"{method} sip:bob@b.example SIP/2.0"
            how: dict[str, Any] = {"call_id": call_id, "to_tag": tag, "cseq": f"{cseq} {method}", **more}
            scene.sip(10, STRANGER, ours, first, **how)
            if answer:
                how.pop("body", None)
                scene.sip(10.02, ours, STRANGER, f"SIP/2.0 {answer}", **how)

    return forge


def refused(forge: Callable[..., None], answer: str) -> Callable[[Scene], None]:
    return lambda scene: forge(scene, answer)


def response(first: str, cseq: str, at: float, *, body: str = "", tag: str = "r") -> Callable[[Scene], None]:
    """A response to the vc on the outgoing leg, from a third address."""

    def forge(scene: Scene) -> None:
        scene.sip(at, STRANGER, VC_R, first, call_id="b", to_tag=tag, cseq=cseq, body=body)

    return forge


def session_timer(scene: Scene) -> None:
    scene.sip(
        10, STRANGER, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", cseq="77 INVITE",
        headers=["Session-Expires: 90"],
    )  # fmt: skip


def bye_answer(scene: Scene) -> None:
    """A 200 to a BYE that nobody sent."""
    scene.sip(10, STRANGER, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", cseq="9 BYE")
    scene.sip(10, STRANGER, VC_C, "SIP/2.0 200 OK", call_id="a", to_tag="c", cseq="9 BYE", swapped=True)


def peers_bye_answer(scene: Scene) -> None:
    """The same in the peer's name: no BYE had left."""
    scene.sip(10, REMOTE, VC_R, "SIP/2.0 200 OK", call_id="b", to_tag="r", cseq="9 BYE")


def other_invite(scene: Scene) -> None:
    """An INVITE with the call's own Call-ID and From tag, and a higher CSeq, before the call is answered."""
    scene.sip(
        1.05, STRANGER, VC_C, "INVITE sip:bob@b.example SIP/2.0", call_id="a", cseq="5 INVITE", body=ELSEWHERE
    )


def replacement(answer: str = "") -> Callable[[Scene], None]:
    """An INVITE in a third address's name that takes the call over, media from its SDP's socket, its BYE."""

    def forge(scene: Scene) -> None:
        how: dict[str, Any] = {"call_id": "q", "cseq": "1 INVITE"}
        socket = (STRANGER, 7777)
        scene.sip(
            5, STRANGER, VC_C, "INVITE sip:bob@b.example SIP/2.0", body=sdp(socket), headers=TAKEN, **how
        )
        if answer:
            scene.sip(5.1, VC_C, STRANGER, f"SIP/2.0 {answer}", to_tag="v", **how)
        for ours in (VC2CUST, VC2REM):
            scene.rtp(5.2, socket, ours, 0x66, range(200))
            scene.send(9, odd(socket), odd(ours), receiver_report(0x66, block(BACK, 200, 500, jitter=9000)))
        scene.sip(11, STRANGER, VC_C, "BYE sip:x SIP/2.0", call_id="q", to_tag="v", cseq="2 BYE")

    return forge


def bye_in_the_peers_name(answer: str) -> Callable[[Scene], None]:
    def forge(scene: Scene) -> None:
        scene.sip(10, REMOTE, VC_R, "BYE sip:x SIP/2.0", call_id="b", to_tag="r", cseq="44 BYE", swapped=True)
        scene.sip(
            10.01, VC_R, REMOTE, f"SIP/2.0 {answer}", call_id="b", to_tag="r", cseq="44 BYE", swapped=True
        )

    return forge


def cancel(answer: str) -> Callable[[Scene], None]:
    """Before the answer, in the caller's name, refused; and from a third address."""

    def forge(scene: Scene) -> None:
        for source in (CUSTOMER, STRANGER):
            scene.sip(1.04, source, VC_C, "CANCEL sip:bob@b.example SIP/2.0", call_id="a", cseq="1 CANCEL")
            scene.sip(1.05, VC_C, source, f"SIP/2.0 {answer}", call_id="a", cseq="1 CANCEL")

    return forge


REPORT = (
    "VQSessionReport: CallTerm\r\nCallID: {}\r\nLocalAddr: IP=203.0.113.66 PORT=1 SSRC=0x66\r\n"
    "LocalMetrics:\r\nPacketLoss: NLR=90 JDR=90\r\nDelay: RTD=3600000 ESD=9\r\n"
    "QualityEst: MOSLQ=1.0 MOSCQ=1.0\r\n"
)


def quality_report(source: str) -> Callable[[Scene], None]:
    def forge(scene: Scene) -> None:
        for call_id, ours in (("a", VC_C), ("b", VC_R)):
            scene.sip(
                12, source, ours, "PUBLISH sip:collector@b.example SIP/2.0", call_id="q", cseq="1 PUBLISH",
                body=REPORT.format(call_id), content="application/vq-rtcpxr",
            )  # fmt: skip

    return forge


def rtp_statistics(scene: Scene) -> None:
    for call_id, tag, ours in (("a", "c", VC_C), ("b", "r", VC_R)):
        scene.sip(
            12, STRANGER, ours, "BYE sip:bob@b.example SIP/2.0", call_id=call_id, to_tag=tag, cseq="44 BYE",
            headers=["X-RTP-Stat: PS=1;OS=1;SP=1/1;SO=1;QS=-;PR=1;OR=1;PL=900;BL=9;DL=99999;JI=99999"],
        )  # fmt: skip


TAKEN = ["Replaces: a;to-tag=c;from-tag=from-a"]  # RFC 3891: the customer's leg

FORGERIES: dict[str, Callable[[Scene], None]] = {
    "stray rtp with reports": stray_rtp_with_reports,
    "stray rtp after the end": stray_rtp_after_the_end,
    **{f"replaces, {answer}": replacement(answer) for answer in ("", "401 Unauthorized", "481 No", "603 No")},
    "stray rtp": stray_rtp,
    "stray rtp in sequence": stray_rtp_in_sequence,
    "stray rtp with the call's ssrc": stray_rtp_with_the_calls_ssrc,
    "stray rtp at the bye": stray_rtp_after_the_bye,
    "stray rtp of another customer": stray_rtp_of_another_customer,
    "many stray ssrcs": many_stray_ssrcs,
    "reports": stray_reports,
    "reports that reset the count": stray_reports_that_reset_the_count,
    "goodbyes": stray_goodbyes,
    "extended reports": stray_extended_reports,
    **{f"{method} of a third address": request(method, 44, body=ELSEWHERE) for method in OFFERS},
    **{
        f"{method} of a third address, {answer}": refused(request(method, 44, body=ELSEWHERE), answer)
        for method in OFFERS
        for answer in ("401 Unauthorized", "481 No", "500 Error")
    },
    "prack of a third address": request("PRACK", 44, body=ELSEWHERE),
    "ack of a third address": request("ACK", 1, body=ELSEWHERE),
    "bye of a third address": request("BYE", 44),
    **{
        f"bye of a third address, {answer}": refused(request("BYE", 44), answer)
        for answer in ("403 Forbidden", "481 No", "500 Error")
    },
    **{
        f"bye in the peer's name, {answer}": bye_in_the_peers_name(answer)
        for answer in ("403 Forbidden", "481 No", "500 Error")
    },
    **{f"cancel, {answer}": cancel(answer) for answer in ("403 Forbidden", "481 No", "500 Error")},
    **{
        f"{status} of a third address before the answer": response(f"SIP/2.0 {status} X", "1 INVITE", 1.05)
        for status in (200, 302, 404, 486, 503, 603)
    },
    "200 with another sdp before the answer": response("SIP/2.0 200 OK", "1 INVITE", 1.05, body=ELSEWHERE),
    "200 with another sdp after the answer": response("SIP/2.0 200 OK", "1 INVITE", 9, body=ELSEWHERE),
    "183 with another sdp": response("SIP/2.0 183 X", "1 INVITE", 1.05, body=ELSEWHERE, tag="z"),
    "200 of another tag": response("SIP/2.0 200 OK", "1 INVITE", 9, body=ELSEWHERE, tag="zz"),
    "200 to a re-INVITE that never was": response("SIP/2.0 200 OK", "44 INVITE", 9, body=ELSEWHERE),
    "481 to a BYE that never was": response("SIP/2.0 481 No", "44 BYE", 9),
    "session timer": session_timer,
    "answer to a bye": bye_answer,
    "answer to a bye in the peer's name": peers_bye_answer,
    "quality report of a stranger": quality_report(STRANGER),
    "quality report of another customer": quality_report(NEIGHBOUR),
    "rtp statistics of a stranger": rtp_statistics,
}  # fmt: skip


def test_the_real_call_has_figures() -> None:
    played = real_call().play(until=180)
    values = figures(played)["metrics"]
    assert values[0]["OutboundCallsAnswered"] == 1
    assert values[0]["RemoteToVcPacketsLost"] == values[0]["CustomerToVcPacketsLost"] == 20
    assert values[0]["VcToRemoteRtpPackets"] == 980
    assert values[0]["RTTBetweenVcAndRemote"]["count"] == 1


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("name", FORGERIES)
def test_forgery_changes_no_figure(name: str, kind: str) -> None:
    scene = real_call(kind)
    FORGERIES[name](scene)
    assert figures(scene.play(until=180)) == alone(kind)


def test_invite_of_a_stranger_in_a_calls_name_is_an_attempt_of_its_own() -> None:
    scene = real_call()
    other_invite(scene)
    played = scene.play(until=180)
    found = figures(played)
    assert found["calls"][0] == alone()["calls"][0]
    found["metrics"][0]["InboundCallAttempts"] = 0
    assert (found["metrics"], found["media"]) == (alone()["metrics"], alone()["media"])
    assert played.summaries[0].connectors[0].extras["attempts_unanswered_strangers"] == 1


@pytest.mark.parametrize(("call_id", "times"), [("b", (1.05, 5)), ("nobodys", (182, 200))])
@pytest.mark.parametrize("cseq", ["44 INVITE", "44 BYE", "1 OPTIONS"])
def test_response_of_somebody_whom_the_vc_never_asked_counts_in_no_class(
    call_id: str, times: tuple[float, ...], cseq: str
) -> None:
    scene = real_call()
    for number, status in enumerate((100, 200, 302, 401, 503, 603)):
        for at in times:
            scene.sip(
                at + number / 1000,
                STRANGER,
                VC_R,
                f"SIP/2.0 {status} X",
                call_id=call_id,
                to_tag="z",
                cseq=cseq,
            )
    played, alone = scene.play(until=360), real_call().play(until=360)
    for klass in range(1, 7):
        assert played.metric(f"Sip{klass}xxCodes") == alone.metric(f"Sip{klass}xxCodes")
    assert played.summaries[0].extras["calls_active_unknown"] == 0
    assert sum(len(summary.sip) for summary in played.summaries) + len(played.sip) >= 12  # the log has them


MIDWAY: dict[str, dict[str, Any]] = {
    "INVITE": {"body": ELSEWHERE},
    "INFO": {},
    "UPDATE": {"headers": ["Session-Expires: 1800"]},
}


@pytest.mark.parametrize("answer", ["", "481 No", "403 No"])
@pytest.mark.parametrize("method", MIDWAY)
@pytest.mark.parametrize("call_id", ["a", "nobodys"])
def test_strangers_word_that_a_dialog_is_up_makes_no_call(call_id: str, method: str, answer: str) -> None:
    scene, alone = real_call(), real_call().play(until=180)
    for from_tag in ("0", "zz"):  # nobody can tell which tag is the caller's
        request = f"{method} sip:x SIP/2.0"
        how: dict[str, Any] = {"call_id": call_id, "to_tag": from_tag, "cseq": f"44 {method}"}
        scene.sip(5, STRANGER, VC_C, request, swapped=True, **how, **MIDWAY[method])
        if answer:
            scene.sip(5.1, VC_C, STRANGER, f"SIP/2.0 {answer}", swapped=True, **how)
        scene.sip(6, STRANGER, CUSTOMER, request, **how, **MIDWAY[method])  # past the vc, on a mirror port
    played = scene.play(until=180)
    assert figures(played) == figures(alone)
    assert [len(summary.calls) for summary in played.summaries] == [
        len(summary.calls) for summary in alone.summaries
    ]
    assert {summary.extras["calls_active_unknown"] for summary in played.summaries[:2]} == {0}


@pytest.mark.parametrize("method", MIDWAY)
def test_dialog_met_midway_is_up_once_the_vc_answers_in_it(method: str) -> None:
    scene = real_call()
    how: dict[str, Any] = {"call_id": "before", "to_tag": "t", "cseq": f"44 {method}"}
    scene.sip(5, STRANGER, VC_C, f"{method} sip:x SIP/2.0", **how, **MIDWAY[method])
    scene.sip(5.1, VC_C, STRANGER, "SIP/2.0 200 OK", **how, headers=["Session-Expires: 1800"])
    assert scene.play(until=60).summaries[0].extras["calls_active_unknown"] == 1


def test_correlation_value_of_a_stranger_leaves_the_vcs_leg_apart() -> None:
    """He knows it before the vc's INVITE leaves: the leg is nobody's rather than his."""
    scene = real_call()
    how: dict[str, Any] = {"call_id": "q", "cseq": "1 INVITE", "headers": ["X-Call-ID: call"]}
    scene.sip(1.005, STRANGER, VC_C, "INVITE sip:bob@b.example SIP/2.0", body=ELSEWHERE, **how)
    calls = [row for summary in scene.play(until=180).summaries for row in summary.calls]
    assert sorted(row["call_ids"] for row in calls) == [["a"], ["b"], ["q"]]


def test_response_counts_where_requests_of_the_vc_are_not_seen() -> None:
    """A mirror of what comes in: who was asked, nobody can tell."""
    scene = Scene()
    for number, status in enumerate((200, 503)):
        scene.sip(
            1,
            REMOTE,
            VC_R,
            f"SIP/2.0 {status} X",
            call_id=f"o{number}",
            to_tag="r",
            cseq="1 OPTIONS",
        )
    played = scene.play(until=60)
    assert (played.metric("Sip2xxCodes")[0], played.metric("Sip5xxCodes")[0]) == (1, 1)


@pytest.mark.parametrize(("cseq", "last"), [("1 INVITE", 180), ("1 OPTIONS", 32)])
def test_response_counts_as_long_as_its_request_may_be_from_before_the_capture(cseq: str, last: int) -> None:
    """A capture that begins under way: the vc's first request that it has is another."""
    scene = Scene()
    scene.sip(0, VC_C, CUSTOMER, "OPTIONS sip:x SIP/2.0", call_id="o", cseq="9 OPTIONS")
    for at, status in ((1, 180), (last - 1, 200), (last + 1, 503)):
        scene.sip(at, REMOTE, VC_R, f"SIP/2.0 {status} X", call_id="before", to_tag="r", cseq=cseq)
    played = scene.play(until=300)
    counted = [sum(played.metric(f"Sip{klass}xxCodes")) for klass in (1, 2, 5)]
    assert counted == [1, 1, 0]


def test_response_from_another_address_counts_by_the_branch_of_the_vc() -> None:
    """A farm that answers from another host than it was asked at."""
    scene = Scene()
    how: dict[str, Any] = {"call_id": "b", "cseq": "1 INVITE"}
    scene.sip(1, VC_R, REMOTE, "INVITE sip:bob@b.example SIP/2.0", body=sdp(VC2REM), **how)
    branch = f"Via: SIP/2.0/UDP {VC_R}:5060;branch=z9hG4bK-b-1INVITE"
    data = "\r\n".join(
        ["SIP/2.0 180 Ringing", branch, "From: <sip:a@a.example>;tag=from-b", "To: <sip:b@b.example>;tag=r",
         "Call-ID: b", "CSeq: 1 INVITE", "Content-Length: 0", "", ""]
    )  # fmt: skip
    scene.send(2, ("198.51.100.21", 5060), (VC_R, 5060), data.encode())
    assert scene.play(until=60).metric("Sip1xxCodes")[0] == 1


def test_replacement_of_a_third_address_that_the_vc_accepts_goes_on_with_the_call() -> None:
    scene = Scene()
    scene.call(1)
    moved = ("203.0.113.67", 4100)
    how: dict[str, Any] = {"call_id": "q", "cseq": "1 INVITE"}
    scene.sip(5, moved[0], VC_C, "INVITE sip:bob@b.example SIP/2.0", body=sdp(moved), headers=TAKEN, **how)
    scene.sip(5.1, VC_C, moved[0], "SIP/2.0 200 OK", to_tag="v", body=sdp((VC_C, 5200)), **how)
    scene.rtp(5.2, moved, (VC_C, 5200), 0x77, range(200))
    scene.bye(12)
    played = scene.play(until=180)
    (call,) = [row for summary in played.summaries for row in summary.calls if row["outcome"] != "pending"]
    assert call["call_ids"] == ["a", "b", "q"]
    assert played.metric("RemoteToVcRtpPackets")[0] == 200
    assert sum(played.metric("InboundCallAttempts")) == 0
    assert sum(played.metric("OutboundCallAttempts")) == 1


def test_intruders_are_counted_apart() -> None:
    scene = real_call()
    stray_rtp_in_sequence(scene)
    stray_reports(scene)
    (first, *_) = scene.play(until=180).summaries
    assert first.extras["intruder_packets"] == 400
    assert first.connectors[0].extras["intruder_rtcp_packets"] == 8
    assert first.connectors[0].unknown_because == []


def forged_streams(scene: Scene, count: int, packets: int) -> None:
    """From the far ends' own sockets, which SDP named to whoever read it."""
    for number in range(count):
        for far, ours in ((CUST, VC2CUST), (REM, VC2REM)):
            scene.rtp(5 + number / 100, far, ours, 0x1000 + number, range(packets))


@pytest.mark.parametrize(("count", "packets"), [(1, 1), (60, 1), (300, 1), (30, 2), (700, 2), (20, 15)])
def test_short_streams_from_the_far_ends_own_socket_are_an_intruders(count: int, packets: int) -> None:
    scene = real_call()
    forged_streams(scene, count, packets)
    played = scene.play(until=180)
    flagged = ["ssrc_flood" in (row["flags"] or ()) for row in played.media]
    assert any(flagged) == (count > 8)
    found = figures(played)
    for row in found["calls"]:
        row["flags"] = [flag for flag in row["flags"] if flag != "ssrc_flood"]
    assert found == alone()
    intruder = played.summaries[0].extras["intruder_packets"]
    if count <= 60:
        assert intruder == 2 * count * packets
    else:
        assert 2 * 64 <= intruder <= 2 * count * packets


def test_flood_of_short_streams_before_the_media_is_an_intruders() -> None:
    scene = real_call()
    for number in range(400):
        scene.rtp(1.2 + number / 1000, REM, VC2REM, 0x1000 + number, range(2), step=0.001)
    found = figures(scene.play(until=180))
    for row in found["calls"]:
        row["flags"] = [flag for flag in row["flags"] if flag != "ssrc_flood"]
    assert found == alone()


def test_source_that_changes_its_ssrc_in_turns_counts_with_all_of_them() -> None:
    """Each talkspurt is a stream of its own; none runs beside another."""
    scene = Scene()
    scene.call(1)
    for turn in range(30):
        scene.rtp(2 + turn / 2, REM, VC2REM, 0x100 + turn, range(12))
    scene.rtp(2, CUST, VC2CUST, OUT, range(700))
    scene.rtp(8, CUST, VC2CUST, OUT + 1, range(3))  # digits, say
    scene.bye(22)
    played = scene.play(until=180)
    assert played.metric("RemoteToVcRtpPackets")[0] == 30 * 12
    assert played.metric("CustomerToVcRtpPackets")[0] == 703
    assert "intruder_packets" not in played.summaries[0].extras


def test_caller_whom_the_vc_refuses_names_nobody() -> None:
    """An INVITE that names its sender's socket, and RTP from there to a port of the vc."""
    scene = Scene()
    how: dict[str, Any] = {"call_id": "x", "cseq": "1 INVITE"}
    socket = (STRANGER, 9000)
    scene.sip(1, STRANGER, VC_R, "INVITE sip:bob@b.example SIP/2.0", body=sdp(socket), **how)
    scene.sip(1.1, VC_R, STRANGER, "SIP/2.0 403 Forbidden", to_tag="v", **how)
    scene.rtp(1.2, socket, (VC_R, 6100), 0x66, range(200))
    played = scene.play(until=180)
    assert played.metric("RemoteToVcRtpPackets")[0] == 0
    assert played.summaries[0].extras["intruder_packets"] == 200


def test_what_is_sent_in_the_vcs_name_from_afar_changes_no_figure() -> None:
    """Live: the host receives what it never sent."""
    scene = real_call()
    scene.own = (VC_C, VC_R)
    real = len(scene.frames)
    for ours, peer, ssrc in ((VC2CUST, CUST, BACK), (VC2REM, REM, OUT)):
        scene.rtp(5, ours, peer, ssrc, range(30_000, 30_100))
        scene.rtp(5, ours, peer, 0x66, range(100))
        scene.send(6, odd(ours), odd(peer), sender_report(ssrc, 9 << 16))
    for call_id, tag, peer_host, host in (("a", "c", CUSTOMER, VC_C), ("b", "r", REMOTE, VC_R)):
        how: dict[str, Any] = {"call_id": call_id, "to_tag": tag, "cseq": "44 BYE"}
        scene.sip(7, host, peer_host, "BYE sip:x SIP/2.0", **how)
        scene.sip(7.1, host, peer_host, "SIP/2.0 200 OK", **how)
    scene.received = range(real, len(scene.frames))
    played = scene.play(until=180)
    assert figures(played) == alone()
    assert played.rejects["own_source"] == len(scene.received) == 406


# -- what must go on to count


def test_source_that_the_vc_turns_to_is_the_calls_from_its_first_packet() -> None:
    """The remote end moves to another address without SIP, and the vc follows (symmetric RTP)."""
    scene = Scene()
    scene.call(1)
    scene.rtp(2, REM, VC2REM, BACK, range(200))
    scene.rtp(2, VC2REM, REM, OUT, range(200))
    scene.rtp(6, NAT, VC2REM, BACK, range(200, 400))
    scene.rtp(7, VC2REM, NAT, OUT, range(250, 400))
    scene.bye(12)
    played = scene.play(until=180)
    assert played.metric("RemoteToVcRtpPackets")[0] == 400
    assert "intruder_packets" not in played.summaries[0].extras


def test_source_that_a_re_invite_names_is_the_calls() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, OUT, range(200))
    moved = ("192.0.2.11", 4100)
    scene.rtp(6, moved, VC2CUST, OUT, range(200, 400))
    scene.again(6.5, sdp(moved), sdp(VC2CUST), away=sdp(VC2REM))
    scene.bye(12)
    played = scene.play(until=180)
    assert played.metric("CustomerToVcRtpPackets")[0] == 400


def test_early_media_from_elsewhere_is_the_calls_until_the_named_source_begins() -> None:
    """An announcement server of the carrier that no SDP names, then the callee."""
    scene = Scene()
    scene.call(1)
    scene.rtp(0.5, ("198.51.100.99", 9000), VC2REM, 0x77, range(100))
    scene.rtp(3, REM, VC2REM, BACK, range(200))
    scene.bye(12)
    assert scene.play(until=180).metric("RemoteToVcRtpPackets")[0] == 300


def test_re_invite_of_a_third_address_that_the_vc_accepts_moves_media() -> None:
    scene = Scene()
    scene.call(1)
    moved = ("192.0.2.200", 4100)
    how: dict[str, Any] = {"call_id": "a", "to_tag": "c", "cseq": "2 INVITE"}
    scene.sip(5, moved[0], VC_C, "INVITE sip:bob@b.example SIP/2.0", body=sdp(moved, types="0"), **how)
    scene.sip(5.1, VC_C, moved[0], "SIP/2.0 200 OK", body=sdp(VC2CUST, types="0"), **how)
    scene.rtp(6, moved, VC2CUST, OUT, range(200), payload_type=0)
    scene.bye(12)
    played = scene.play(until=180)
    assert played.metric("CustomerToVcRtpPackets")[0] == 200
    assert "unexpected_source" not in played.row["flags"]


@pytest.mark.parametrize(("status", "outcome"), [(200, "answered"), (486, "failed")])
def test_answer_from_another_address_counts_when_the_vc_acknowledges_it(status: int, outcome: str) -> None:
    """A farm that answers from another host than it was asked at."""
    scene = Scene(config=Config(calls=CallSettings(count_at="outgoing")))
    how: dict[str, Any] = {"call_id": "b", "cseq": "1 INVITE"}
    scene.sip(1, VC_R, REMOTE, "INVITE sip:bob@b.example SIP/2.0", body=sdp(VC2REM), **how)
    scene.sip(2, "198.51.100.21", VC_R, f"SIP/2.0 {status} X", to_tag="r", **how)
    scene.sip(
        2.01, VC_R, "198.51.100.21", "ACK sip:bob@b.example SIP/2.0", call_id="b", to_tag="r", cseq="1 ACK"
    )
    (call,) = [row for summary in scene.play(until=300).summaries for row in summary.calls]
    assert (call["outcome"], call["status"]) == (outcome, status)


@pytest.mark.parametrize("status", [200, 302, 404, 503, 603])
def test_answer_of_a_third_address_that_nobody_acknowledges_decides_nothing(status: int) -> None:
    scene = Scene(config=Config(calls=CallSettings(count_at="outgoing")))
    how: dict[str, Any] = {"call_id": "b", "cseq": "1 INVITE"}
    scene.sip(1, VC_R, REMOTE, "INVITE sip:bob@b.example SIP/2.0", body=sdp(VC2REM), **how)
    scene.sip(2, STRANGER, VC_R, f"SIP/2.0 {status} X", to_tag="z", **how)
    scene.sip(9, REMOTE, VC_R, "SIP/2.0 486 Busy", to_tag="r", **how)
    scene.sip(9.01, VC_R, REMOTE, "ACK sip:bob@b.example SIP/2.0", call_id="b", to_tag="r", cseq="1 ACK")
    (call,) = [row for summary in scene.play(until=300).summaries for row in summary.calls]
    assert (call["outcome"], call["status"]) == ("failed", 486)


STATIC = {
    "8 telephone-event/8000": True,
    "0 opus/48000": True,
    "18 PCMA/8000": True,
    "11 L16/8000": True,
    "8 pcma/8000": False,
    "18 G729A/8000": False,
    "9 G722/16000": False,  # the old mistake, which the legal clock mends
    "4 G.723.1/8000": False,
    "2 G726-32/8000": False,
    "96 opus/48000": False,
}


@pytest.mark.parametrize("rtpmap", STATIC)
def test_static_payload_type_keeps_its_meaning_and_the_sdp_is_flagged(rtpmap: str) -> None:
    def played(*more: str) -> Played:
        scene = Scene()
        said = sdp(REM, more=more)
        scene.call(1, remote=said)
        scene.rtp(2, REM, VC2REM, BACK, range(500))
        scene.bye(15)
        return scene.play(until=180)

    alone, found = played(), played(f"a=rtpmap:{rtpmap}")
    assert ("static_type_redefined" in found.row["flags"]) == STATIC[rtpmap]
    for name in ("RemoteToVcJitter", "MOSBetweenVcAndRemote", "RemoteToVcRtpPackets"):
        assert found.metric(name) == alone.metric(name)


def test_table_has_every_effect() -> None:
    assert set(TAKES) == set(Effect)
    assert all(Trust.UNKNOWN not in classes for classes in TAKES.values())
