"""How scenarios are played: the callee first, then the caller, then wait for both."""

from __future__ import annotations

from collections.abc import Sequence

from . import sipp
from .baresip import Baresip
from .stage import Stage

RINGING = sipp.reply(180, "Ringing")
ANSWER = sipp.reply(200, "OK", sipp.sdp(), until_ack=True)
_CLIP_MS = 7_500  # sipp's audio file lasts 7.1 s
_CHALLENGE = 'Proxy-Authenticate: Digest realm="pbx.example", nonce="5f1c0f8a2b", algorithm=MD5\n'

# Steps that most callees and callers share.
_PICK_UP = [RINGING, sipp.pause(500), ANSWER, sipp.request("ACK"), sipp.play()]
UNTIL_BYE = [sipp.request("BYE"), sipp.in_dialog_reply(200, "OK")]
_ANSWERED = [sipp.provisional(), sipp.response(200), sipp.ack(), sipp.play(), sipp.pause(_CLIP_MS)]
HANG_UP = [sipp.bye(), sipp.response(200)]
_HOPS = (
    *(("Via:", 1, "via1"), ("Via:", 2, "via2"), ("CSeq:", 1, "cseq")),
    *(("Record-Route:", 1, "route1"), ("Record-Route:", 2, "route2")),
)
_PARTIES = (("From:", 1, "from"), ("To:", 1, "to"))
_GIVE_WAY = [sipp.request("CANCEL"), sipp.cancel_ok(), sipp.terminated(), sipp.request("ACK")]


def talk(stage: Stage, seconds: float, lossy: Sequence[str] = ()) -> None:
    """Two baresips talk and the caller hangs up."""
    stage.converse(seconds, lossy)


def transcoded(stage: Stage, seconds: float) -> None:
    """The caller has PCMA only, the callee PCMU only; kamailio's class 5 lets rtpengine translate."""
    stage.converse(seconds, callee_codecs="PCMU/8000/1")


def digits(stage: Stage) -> None:
    """The caller presses four keys, the callee one."""

    def press(caller: Baresip, callee: Baresip) -> None:
        stage.sleep(2)
        for phone, keys in ((caller, "159#"), (callee, "7")):
            for key in keys:
                phone.command("sndcode", key)
                stage.sleep(0.5)

    stage.converse(12, meanwhile=press)


def held(stage: Stage) -> None:
    """The caller holds for 4 s and resumes: two re-INVITEs, RTCP all along."""

    def hold(caller: Baresip, callee: Baresip) -> None:
        stage.sleep(5)
        caller.command("hold")
        stage.sleep(4)
        caller.command("resume")

    stage.converse(16, meanwhile=hold)


def gone(stage: Stage) -> None:
    """Both phones lose power in the middle of a word."""
    stage.converse(11, hang_up=False)
    stage.power_cut()
    stage.sleep(1)


def held_again(stage: Stage) -> None:
    """Hold and resume by re-INVITE; the audio after it starts over with the same SSRC and numbers."""
    again = [sipp.request("INVITE"), sipp.in_dialog_reply(200, "OK", sipp.sdp(way="recvonly", version=2))]
    resume = [sipp.request("INVITE"), sipp.in_dialog_reply(200, "OK", sipp.sdp(version=3))]
    acked = sipp.request("ACK")
    callee = stage.answering(
        [sipp.request("INVITE"), *_PICK_UP, *again, acked, *resume, acked, sipp.play(), *UNTIL_BYE]
    )
    change = [sipp.provisional(), sipp.response(200), sipp.ack()]
    caller = stage.calling(
        [
            sipp.invite(),
            *_ANSWERED,
            sipp.reinvite(sipp.sdp(way="sendonly", version=2)),
            *change,
            sipp.pause(3000),
            sipp.reinvite(sipp.sdp(version=3)),
            *change,
            sipp.play(),
            sipp.pause(_CLIP_MS),
            *HANG_UP,
        ]
    )
    stage.finish(caller, callee)


def short(stage: Stage, calls: int = 1, user: str | None = None) -> None:
    """sipp calls sipp: one clip of audio each way, no RTCP. Several calls start within a second."""
    callee = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE], calls=calls)
    caller = stage.calling([sipp.invite(), *_ANSWERED, *HANG_UP], calls=calls, rate=20, user=user)
    stage.finish(caller, callee)


def repeated(stage: Stage) -> None:
    """ACKs are lost behind the SBC: the callee repeats its 200, the SBC each 200 and the caller each ACK."""
    callee = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE])
    caller = stage.calling([sipp.invite(), *_ANSWERED, *HANG_UP])
    stage.lose_acks(1.8)
    stage.finish(caller, callee)


def challenged_by_sbc(stage: Stage) -> None:
    """kamailio's class 2 asks for credentials first; the INVITE leaves it only with them."""
    callee = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE])
    challenge = [sipp.response(407, auth=True), sipp.ack_failure(), sipp.invite(authenticate=True)]
    caller = stage.calling([sipp.invite(), *challenge, *_ANSWERED, *HANG_UP])
    stage.finish(caller, callee)


def challenged_by_callee(stage: Stage) -> None:
    """The far end asks for credentials, through the SBC."""
    refuse = sipp.reply(407, "Proxy Authentication Required", extra=_CHALLENGE)
    invited = sipp.request("INVITE")
    callee = stage.answering([invited, refuse, sipp.request("ACK"), invited, *_PICK_UP, *UNTIL_BYE])
    challenge = [sipp.provisional(), sipp.response(407, auth=True), sipp.ack_failure()]
    caller = stage.calling([sipp.invite(), *challenge, sipp.invite(authenticate=True), *_ANSWERED, *HANG_UP])
    stage.finish(caller, callee)


def refused(stage: Stage, status: int, reason: str, extra: str = "", heard: int | None = None) -> None:
    """The callee rings and refuses; the caller hears that status, or the one the sbc makes of it."""
    refuse = sipp.reply(status, reason, extra=extra)
    heard = heard or status
    callee = stage.answering([sipp.request("INVITE"), RINGING, sipp.pause(300), refuse, sipp.request("ACK")])
    caller = stage.calling([sipp.invite(), sipp.provisional(), sipp.response(heard), sipp.ack_failure()])
    stage.finish(caller, callee)


def throttled(stage: Stage) -> None:
    """kamailio's class 3 refuses by itself: nothing leaves it."""
    stage.finish(stage.calling([sipp.invite(), sipp.response(503), sipp.ack_failure()]))


def cancelled(stage: Stage) -> None:
    """The callee rings for a second, then the caller gives up."""
    callee = stage.answering([sipp.remembered_invite(), RINGING, *_GIVE_WAY])
    stop = [sipp.cancel(), sipp.response(200), sipp.response(487), sipp.ack_failure()]
    ringing = [sipp.response(100, optional=True), sipp.response(180)]
    caller = stage.calling([sipp.invite(), *ringing, sipp.pause(1000), *stop])
    stage.finish(caller, callee)


def unanswered(stage: Stage) -> None:
    """The callee never says anything: kamailio repeats the INVITE, gives up after 6 s and answers 408."""
    callee = stage.answering([sipp.request("INVITE"), sipp.pause(7000)])
    caller = stage.calling([sipp.invite(), sipp.provisional(), sipp.response(408), sipp.ack_failure()])
    stage.finish(caller, callee)


def ignored(stage: Stage) -> None:
    """kamailio's class 6 drops every INVITE: the caller repeats it until Timer B; sipp then says failed."""
    stage.finish(stage.calling([sipp.invite(), sipp.response(200)]), wanted=1)
    # The capture must go on past Timer B: a file that ends before it says nothing about the call.
    stage.sleep(5)
    stage.keep_alive()


def early_media(stage: Stage) -> None:
    """An announcement before the answer: 183 with SDP and RTP, 200 after 4 s."""
    progress = sipp.reply(183, "Session Progress", sipp.sdp())
    callee = stage.answering(
        [
            sipp.request("INVITE"),
            progress,
            sipp.play(),
            sipp.pause(4000),
            ANSWER,
            sipp.request("ACK"),
            *UNTIL_BYE,
        ]
    )
    caller = stage.calling([sipp.invite(), *_ANSWERED, *HANG_UP])
    stage.finish(caller, callee)


def late_offer(stage: Stage) -> None:
    """INVITE without SDP: the offer is in the 200, the answer in the ACK."""
    callee = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE])
    answered = [
        sipp.provisional(),
        sipp.response(200),
        sipp.ack(sipp.sdp()),
        sipp.play(),
        sipp.pause(_CLIP_MS),
    ]
    caller = stage.calling([sipp.invite(""), *answered, *HANG_UP])
    stage.finish(caller, callee)


def hunted(stage: Stage) -> None:
    """kamailio's class 4: the first host is busy, the second answers."""
    busy = [sipp.request("INVITE"), sipp.reply(486, "Busy Here"), sipp.request("ACK")]
    first = stage.answering(busy)
    second = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE], host=stage.hosts[1])
    caller = stage.calling([sipp.invite(), *_ANSWERED, *HANG_UP])
    stage.finish(caller, first, second)


def forked(stage: Stage) -> None:
    """kamailio's class 7: both hosts ring, the second answers, the first is cancelled."""
    first = stage.answering([sipp.remembered_invite(), RINGING, *_GIVE_WAY])
    second = stage.answering([sipp.request("INVITE"), *_PICK_UP, *UNTIL_BYE], host=stage.hosts[1])
    caller = stage.calling([sipp.invite(), *_ANSWERED, *HANG_UP])
    stage.finish(caller, first, second)


def forked_late(stage: Stage) -> None:
    """kamailio's class 7: the second host answers; the first one's 200 crosses its CANCEL, and gets a BYE."""
    late = [sipp.request("CANCEL"), sipp.cancel_ok(), sipp.late_answer(sipp.sdp(), _HOPS)]
    first = stage.answering([sipp.remembered_invite(_HOPS), RINGING, *late, sipp.request("ACK"), *UNTIL_BYE])
    hangs_up = [sipp.pause(_CLIP_MS), sipp.request_of_callee("BYE", 1, "[routes]\n"), sipp.response(200)]
    second = stage.answering([sipp.remembered_invite(_PARTIES), *_PICK_UP, *hangs_up], host=stage.hosts[1])
    answered = [sipp.response(200), sipp.ack(), sipp.play()]
    too_late = [sipp.late_response(), sipp.ack(target=sipp.LATE), sipp.bye(sipp.LATE), sipp.response(200)]
    caller = stage.calling([sipp.invite(), sipp.provisional(), *answered, *too_late, *UNTIL_BYE])
    stage.finish(caller, first, second)
