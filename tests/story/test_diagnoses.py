"""Each diagnosis from a capture on paper that shows it, and none from a call that is well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from agent.story.diagnoses import DIAGNOSES, Finding, findings
from agent.story.gather import gather
from tests.kit.replayed import scenario
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
    A,
    B,
    Played,
    Scene,
    block,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

SECONDS = 20
PACKETS = SECONDS * 50
INVITE = "INVITE sip:bob@b.example SIP/2.0"


def both_ways(
    scene: Scene, at: float = 0.2, count: int = PACKETS, missing: Iterable[int] = (), **how: Any
) -> None:
    """Speech from both ends through the SBC; `missing` numbers of the customer's never come."""
    gone = set(missing)
    numbers = [number for number in range(1, count + 1) if number not in gone]
    for start, end in runs(numbers):
        more = range(start, end + 1)
        first = start - 1
        scene.relayed(at + first * 0.02, CUST, (VC2CUST, VC2REM), REM, A, more, first=first, **how)
    scene.relayed(at, REM, (VC2REM, VC2CUST), CUST, B, range(1, count + 1))


def runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


def told(played: Played) -> dict[str, Finding]:
    """The findings of the only call, by name."""
    (records,) = gather(played.summaries, played.sip)
    return {its.name: its for its in findings(records)}


def healthy() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene)
    scene.bye(0.2 + SECONDS)
    return scene


def one_way() -> Scene:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, PACKETS))
    scene.bye(0.2 + SECONDS)
    return scene


def dead() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, count=100)
    scene.bye(40)
    return scene


def late_start() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, at=2.0)
    scene.bye(2.0 + SECONDS)
    return scene


def burst() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, missing=range(300, 340))
    scene.bye(0.2 + SECONDS)
    return scene


def scattered() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, missing=range(50, 950, 45))
    scene.bye(0.2 + SECONDS)
    return scene


def lost_inside() -> Scene:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, A, range(1, PACKETS), dropped=[200])
    gone = range(300, 330)
    stays = [number for number in range(1, PACKETS) if number not in gone]
    scene.rtp(0.2, REM, VC2REM, B, range(1, PACKETS))
    for start, end in runs(stays):
        first = start - 1
        scene.rtp(0.201 + first * 0.02, VC2CUST, CUST, B, range(start, end + 1), first=first)
    scene.bye(0.2 + SECONDS)
    return scene


def reported_loss() -> Scene:
    scene = healthy()
    for number in range(1, 4):
        lost, highest = 10 * number, 250 * number
        report = receiver_report(PHONE, block(B, lost, highest))
        scene.send(0.2 + 5 * number, odd(CUST), odd(VC2CUST), report)
    return scene


def deaf() -> Scene:
    scene = healthy()
    for number in range(1, 5):
        scene.send(0.2 + 4 * number, odd(CUST), odd(VC2CUST), receiver_report(PHONE, block(B, 0, 30)))
    return scene


def other_codec() -> Scene:
    scene = Scene()
    scene.call(customer=sdp(CUST, types="8 0"), ours=(sdp(VC2CUST, types="8 0"), sdp(VC2REM)))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, PACKETS), payload_type=0)
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, PACKETS))
    scene.bye(0.2 + SECONDS)
    return scene


def other_ptime() -> Scene:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, PACKETS // 2), step=0.04, ticks=320, size=320)
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, PACKETS))
    scene.bye(0.2 + SECONDS)
    return scene


def other_clock() -> Scene:
    scene = Scene()
    scene.call(customer=sdp(CUST, types="96", more=["a=rtpmap:96 L16/8000"]))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, PACKETS), payload_type=96, ticks=320)
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, PACKETS))
    scene.bye(0.2 + SECONDS)
    return scene


def behind_nat() -> Scene:
    scene = Scene(customers=("93.184.216.0/24",))
    scene.sip(
        0, "93.184.216.9", VC_C, INVITE, call_id="a", body=sdp(("192.168.1.5", 4000)),
        headers=["Contact: <sip:alice@192.168.1.5:5060>"],
    )  # fmt: skip
    scene.sip(0.5, VC_C, "93.184.216.9", "SIP/2.0 486 Busy Here", call_id="a", to_tag="c")
    return scene


def media_from_elsewhere() -> Scene:
    scene = Scene()
    scene.call()
    elsewhere = ("192.0.2.77", 9000)
    scene.rtp(0.2, elsewhere, VC2CUST, A, range(1, PACKETS))
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), elsewhere, B, range(1, PACKETS))
    scene.bye(0.2 + SECONDS)
    return scene


def invite_repeated() -> Scene:
    scene = healthy()
    more = ["X-Call-ID: call"]
    scene.sip(0.5, CUSTOMER, VC_C, INVITE, call_id="a", body=sdp(CUST), headers=more)
    return scene


def no_ack() -> Scene:
    scene = Scene()
    scene.call()
    scene.frames = [frame for frame in scene.frames if b"ACK sip:" not in frame[2]]
    both_ways(scene)
    scene.bye(0.2 + SECONDS)
    return scene


def timer_of_reason() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene)
    scene.bye(0.2 + SECONDS, headers=['Reason: SIP;cause=408;text="Session timer expired"'])
    return scene


def held() -> Scene:
    scene = healthy()
    scene.again(5, sdp(CUST, direction="sendonly"), sdp(VC2CUST, direction="recvonly"), away=sdp(VC2REM))
    return scene


def transferred() -> Scene:
    scene = healthy()
    refer, to = "REFER sip:bob@b.example SIP/2.0", ["Refer-To: <sip:carol@c.example>"]
    scene.sip(5, CUSTOMER, VC_C, refer, call_id="a", to_tag="c", cseq="4 REFER", headers=to)
    scene.sip(5.1, VC_C, CUSTOMER, "SIP/2.0 202 Accepted", call_id="a", to_tag="c", cseq="4 REFER")
    return scene


def digits_twice() -> Scene:
    events = ["a=rtpmap:101 telephone-event/8000"]
    scene = Scene()
    scene.call(
        customer=sdp(CUST, types="8 101", more=events),
        remote=sdp(REM, types="8 101", more=events),
        ours=(sdp(VC2CUST, types="8 101", more=events), sdp(VC2REM, types="8 101", more=events)),
    )
    both_ways(scene)
    scene.sip(
        5, CUSTOMER, VC_C, "INFO sip:bob@b.example SIP/2.0", call_id="a", to_tag="c", cseq="3 INFO",
        body="Signal=5\r\nDuration=160\r\n", content="application/dtmf-relay",
    )  # fmt: skip
    scene.bye(0.2 + SECONDS)
    return scene


def after_bye() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene)
    scene.bye(SECONDS - 4)
    return scene


def scan() -> Scene:
    scene = Scene()
    more = ["User-Agent: friendly-scanner"]
    scene.sip(0, REMOTE, VC_R, INVITE, call_id="a", headers=more)
    scene.sip(0.1, VC_R, REMOTE, "SIP/2.0 404 Not Found", call_id="a", to_tag="c")
    return scene


def jittery() -> Scene:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, PACKETS))
    for number in range(1, PACKETS):
        late = 0.35 if number % 20 == 0 else 0.0
        scene.relayed(0.2 + number * 0.02 + late, CUST, (VC2CUST, VC2REM), REM, A, [number], first=number)
    scene.bye(0.2 + SECONDS)
    return scene


def capture_missed() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, missing=range(300, 308))
    scene.missed(6.17, 6.33)
    scene.bye(0.2 + SECONDS)
    return scene


def longer_way() -> Scene:
    scene = Scene()
    scene.call()
    both_ways(scene, count=5_900)
    for number in range(1, 23):
        at, middle = 0.2 + 5 * number, 1000 + number
        trip = 0.02 if number < 11 else 0.2
        scene.send(at, odd(VC2CUST), odd(CUST), sender_report(B, middle << 16))
        answer = receiver_report(PHONE, block(B, 0, 250 * number, lsr=middle << 16))
        scene.send(at + trip, odd(CUST), odd(VC2CUST), answer)
    scene.bye(118.5)
    return scene


SCENES: dict[str, Callable[[], Scene]] = {
    "capture_drops": capture_missed,
    "one_way_audio": one_way,
    "dead_air": dead,
    "late_media": late_start,
    "loss_on_entry": burst,
    "loss_on_exit": reported_loss,
    "loss_inside": lost_inside,
    "burst_loss": burst,
    "random_loss": scattered,
    "late_packets": jittery,
    "rtt_step": longer_way,
    "far_end_deaf": deaf,
    "codec_asymmetry": other_codec,
    "ptime_asymmetry": other_ptime,
    "clock_rate_mismatch": other_clock,
    "nat_signalling": behind_nat,
    "nat_media": media_from_elsewhere,
    "signalling_loss": invite_repeated,
    "missing_ack": no_ack,
    "session_timer": timer_of_reason,
    "hold": held,
    "transfer": transferred,
    "dtmf_two_ways": digits_twice,
    "media_after_bye": after_bye,
    "scanner": scan,
}


@pytest.mark.parametrize("name", SCENES)
def test_capture_gets_its_diagnosis(name: str) -> None:
    found = told(SCENES[name]().play(until=400))
    assert name in found
    assert found[name].words
    assert found[name].advice


def test_every_diagnosis_has_a_capture() -> None:
    assert list(SCENES) == [its.name for its in DIAGNOSES]


def test_call_that_is_well_has_no_diagnosis() -> None:
    assert told(healthy().play(until=60)) == {}


@pytest.mark.parametrize("name", ["answered-outbound", "transcoded-outbound", "loss-vc2rem"])
def test_bundled_call_that_is_well_has_no_diagnosis(name: str) -> None:
    result = scenario(name)
    for summary in result.summaries:
        summary.sip = []
    for records in gather(result.summaries, result.sip):
        lossy = ["loss_on_exit"] if name == "loss-vc2rem" else []
        assert [its.name for its in findings(records)] == lossy


def one_way_of(*streams: str, minutes: float = 0) -> Scene:
    """A call with these streams alone, for so many minutes after one in which both ends were heard."""
    scene = Scene()
    scene.call()
    if minutes:
        both_ways(scene, count=2_990)
    at = 0.2 + (60 if minutes else 0)
    numbers = range(3_001, 3_001 + PACKETS) if minutes else range(1, PACKETS + 1)
    for name, src, dst, ssrc in (
        ("cust2vc", CUST, VC2CUST, A), ("vc2rem", VC2REM, REM, A),
        ("rem2vc", REM, VC2REM, B), ("vc2cust", VC2CUST, CUST, B),
    ):  # fmt: skip
        if name in streams:
            scene.rtp(at, src, dst, ssrc, numbers, first=numbers[0] - 1)
    scene.bye(at + SECONDS)
    return scene


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (("rem2vc", "vc2cust"), "nothing came from the customer, while 1000 packets went to it"),
        (("cust2vc", "vc2rem"), "nothing came from the remote side, while 1000 packets went to it"),
        (
            ("cust2vc", "vc2rem", "rem2vc"),
            "the vc sent nothing to the customer, though 1000 packets came for it",
        ),
        (
            ("cust2vc", "rem2vc", "vc2cust"),
            "the vc sent nothing to the remote side, though 1000 packets came for it",
        ),
        (("cust2vc",), "the customer sent 1000 packets, and got nothing back"),
    ],
)
def test_one_way_audio_says_which_way(streams: tuple[str, ...], words: str) -> None:
    assert told(one_way_of(*streams).play(until=100))["one_way_audio"].words == words


def test_one_way_audio_of_one_minute_says_which() -> None:
    found = told(one_way_of("rem2vc", "vc2cust", minutes=1).play(until=200))["one_way_audio"]
    assert found.words.startswith("nothing came from the customer, 08:01:00 to 08:02:00, while ")


def test_dead_air_says_of_whom_and_when() -> None:
    words = told(dead().play(until=120))["dead_air"].words
    assert (
        words
        == "nothing at all came from the customer and the remote side or went there, 08:00:10 to 08:00:40"
    )


@pytest.mark.parametrize("name", ["codec_asymmetry", "ptime_asymmetry", "clock_rate_mismatch", "nat_media"])
def test_flag_of_one_side_says_whose(name: str) -> None:
    words = told(SCENES[name]().play(until=100))[name].words
    assert "the customer" in words
    assert "the remote side" not in words


def test_session_timer_that_ran_out_in_silence_is_said() -> None:
    scene = Scene()
    scene.call()
    scene.frames = []
    headers = ["Session-Expires: 90;refresher=uac", "X-Call-ID: call"]
    scene.sip(0, CUSTOMER, VC_C, INVITE, call_id="a", body=sdp(CUST), headers=headers)
    ok = "SIP/2.0 200 OK"
    scene.sip(0.1, VC_C, CUSTOMER, ok, call_id="a", to_tag="c", body=sdp(VC2CUST), headers=headers)
    scene.sip(0.2, CUSTOMER, VC_C, "ACK sip:bob@b.example SIP/2.0", call_id="a", to_tag="c", cseq="1 ACK")
    found = told(scene.play(until=600))
    assert "nobody refreshed the session" in found["session_timer"].words


def test_missing_ack_is_not_claimed_where_the_capture_missed_messages() -> None:
    played = no_ack().play(until=60)
    for summary in played.summaries:
        summary.sip = []
    (records,) = gather(played.summaries, [])
    assert "missing_ack" not in {its.name for its in findings(records)}
