"""The verdict names the network that lost, and nobody where nothing is known."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agent.story.gather import gather
from agent.story.verdict import CallVerdict, verdict
from agent.summary.records import CallRecords, UnseenSpan
from tests.kit.packets import Socket
from tests.kit.replayed import PCAPS, scenario, sidecar, through
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
    Scene,
    block,
    fax,
    odd,
    receiver_report,
    sdp,
)


def of(name: str) -> CallVerdict:
    """Of the only call of a bundled capture."""
    (records,) = gather(scenario(name).summaries)
    return verdict(records)


@pytest.mark.parametrize(
    ("name", "where", "network", "source", "clean"),
    [
        (
            "loss-vc2cust",
            "between the vc and the customer",
            "customer",
            "as the customer's own RTCP",
            "remote",
        ),
        (
            "loss-vc2rem",
            "between the vc and the remote side",
            "remote",
            "as the remote side's own RTCP",
            "customer",
        ),
        ("loss-cust2vc", "between the customer and the vc", "customer", "as measured here", "remote"),
        ("loss-rem2vc", "between the remote side and the vc", "remote", "as measured here", "customer"),
    ],
)
def test_loss_is_the_networks_where_it_was(
    name: str, where: str, network: str, source: str, clean: str
) -> None:
    said = of(name)
    assert said.networks == [network]
    assert re.match(
        rf"^\d\.\d % of packets lost {where}, \d\d:\d\d:\d\d to \d\d:\d\d:\d\d.*, {source}", said.text
    )
    assert re.search(rf"the {clean}( side)? is clean", said.text)
    assert said.text.endswith("nothing was lost inside the SBC.")


def told(scene: Scene) -> CallVerdict:
    """Of the only call of a scene."""
    played = scene.play(until=400)
    (found,) = gather(played.summaries, played.sip)
    return verdict(found)


def talking(**how: Any) -> Scene:
    """A call with 20 s of speech both ways; `how`: as `Scene.call`."""
    scene = Scene()
    scene.call(**how)
    scene.relayed(0.2, CUST, (VC2CUST, VC2REM), REM, A, range(1, 1001))
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, 1001))
    return scene


@pytest.mark.parametrize(
    ("near", "ours", "side", "ssrc", "other"),
    [(CUST, VC2CUST, "customer", B, "remote"), (REM, VC2REM, "remote", A, "customer")],
)
def test_far_end_that_hears_nothing_is_the_one_that_says_so(
    near: Socket, ours: Socket, side: str, ssrc: int, other: str
) -> None:
    scene = talking()
    for at in range(4, 20, 4):
        scene.send(0.2 + at, odd(near), odd(ours), receiver_report(PHONE, block(ssrc, 0, 30)))
    scene.bye(20.4)
    said = told(scene)
    far = {"customer": "the customer", "remote": "the remote side"}
    assert said.networks == [side]
    assert said.text.startswith(f"{far[side].capitalize()} reports that nothing new reaches it")
    assert f"{far[side]} is clean" not in said.text
    assert f"{far[other]} sent no RTCP" in said.text


def test_outage_of_a_long_call_is_named_though_it_is_little_of_the_whole() -> None:
    scene = Scene()
    scene.call()
    for first, last in ((1, 5_000), (5_041, 12_000)):
        more = range(first, last + 1)
        scene.relayed(0.2 + first * 0.02, CUST, (VC2CUST, VC2REM), REM, A, more, first=first)
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, 12_001))
    scene.bye(242)
    said = told(scene)
    assert said.networks == ["customer"]
    assert said.text.startswith(
        "8.0 % of packets lost between the customer and the vc, 08:01:40 to 08:01:50, as measured here "
        "(0.3 % of the whole call)"
    )
    assert "without loss" not in said.text
    assert "from the customer to the vc lost hardly" not in said.text


def test_two_ends_without_rtcp_are_one_sentence() -> None:
    scene = talking()
    scene.bye(20.4)
    assert told(scene).text.startswith(
        "What was lost on both ways out of the vc is unknown: neither end sent RTCP; the way from"
    )


def test_call_that_becomes_a_fax_says_from_when() -> None:
    scene = talking()
    scene.again(20.3, fax(CUST), fax(VC2CUST), away=fax(VC2REM))
    scene.bye(50)
    assert "rom 08:00:20 on it is a fax (T.38, not RTP)" in told(scene).text


def test_loss_of_a_video_call_says_that_it_is_of_both() -> None:
    def both(at: Socket) -> str:
        return sdp(at, more=[f"m=video {at[1] + 100} RTP/AVP 96", "a=rtpmap:96 H264/90000"])

    scene = Scene()
    scene.call(customer=both(CUST), remote=both(REM), ours=(both(VC2CUST), both(VC2REM)))
    heard = [number for number in range(1, 1001) if not 300 <= number < 340]
    for first, last in ((heard[0], 299), (340, 1000)):
        scene.rtp(0.2 + first * 0.02, CUST, VC2CUST, A, range(first, last + 1), first=first)
    scene.bye(20.4)
    assert told(scene).text.startswith(
        "4.0 % of packets (audio and video together) lost between the customer"
    )


def test_answered_call_without_named_sides_is_not_said_to_have_no_media() -> None:
    side = sidecar("loss-vc2cust")
    nobody: list[str] = []
    for vc in (side["vc"], nobody):
        replayed = through([str(PCAPS / file) for file in side["files"]], vc=vc, customers=nobody)
        (records,) = gather(replayed.summaries, replayed.sip)
        assert verdict(records).networks == []
        assert verdict(records).text.startswith(
            "The call was answered and its media was seen, but whose it was is unknown, for no side is named"
        )


def test_answered_call_without_media_says_so() -> None:
    scene = Scene()
    scene.call()
    scene.bye(30)
    assert told(scene).text.startswith("The call was answered, and none of its media was seen")


def test_carrier_that_says_nothing_is_named_and_not_the_sbc() -> None:
    scene = Scene()
    invite, link = "INVITE sip:bob@b.example SIP/2.0", ["X-Call-ID: c"]
    scene.sip(0, CUSTOMER, VC_C, invite, call_id="a", body=sdp(CUST), headers=link)
    for at in (0.01, 0.51, 1.51, 3.51):
        scene.sip(at, VC_R, REMOTE, invite, call_id="b", body=sdp(VC2REM), headers=link)
    scene.sip(33, VC_C, CUSTOMER, "SIP/2.0 408 Request Timeout", call_id="a", to_tag="c")
    said = told(scene)
    assert said.text == (
        f"No response came from the remote side ({REMOTE}) to the INVITE; "
        "the SBC itself then said 408 Request Timeout."
    )
    assert said.networks == ["remote"]


def test_sbc_that_says_404_is_not_at_fault() -> None:
    scene = Scene()
    scene.sip(0, REMOTE, VC_R, "INVITE sip:nobody@b.example SIP/2.0", call_id="a")
    scene.sip(0.1, VC_R, REMOTE, "SIP/2.0 404 Not Found", call_id="a", to_tag="c")
    said = told(scene)
    assert (said.text, said.networks) == ("The call failed: 404 Not Found, said by the SBC itself.", [])


@pytest.mark.parametrize(
    ("over_s", "closed_s", "said"),
    [
        (None, 0, "The call is up, and its media is told when a minute closes, at 08:01:00."),
        (None, 60, "The call is up, and the store has no media of it up to 08:01:00."),
        (70, 60, "The media of its last minute is told when that closes, at 08:02:00."),
    ],
)
def test_call_of_an_open_minute_says_when_its_media_is_told(
    over_s: int | None, closed_s: int, said: str
) -> None:
    begin_ns = 1_800_000_000 * 10**9
    call = {"call_id": "c", "outcome": "answered", "answer_ns": begin_ns + 10 * 10**9}
    call["end_ns"] = None if over_s is None else begin_ns + over_s * 10**9
    found = verdict(CallRecords(call, closed_ns=begin_ns + closed_s * 10**9))
    assert (found.text, found.networks) == (said, [])


def records(**media: Any) -> CallRecords:
    """A call of one minute: 1,000 packets each way and nothing lost, but for what `media` says."""
    row: dict[str, Any] = {"event_timestamp": 1_800_000_060_000, "flags": [], "vc_lost": 0}
    for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem"):
        row |= {f"{way}_rtp_packets": 1_000, f"{way}_rtcp_packets": 6, f"{way}_packets_lost": 0}
        row[f"{way}_packets_lost_source"] = "rtp" if way.endswith("2vc") else "rtcp"
    call = {"call_id": "a", "call_ids": ["a"], "outcome": "answered", "invite_ns": None, "end_ns": None}
    return CallRecords(call, [row | media])


def test_call_that_is_well_accuses_nobody() -> None:
    said = verdict(records())
    assert said.networks == []
    assert said.text == "The customer is clean; the remote side is clean; nothing was lost inside the SBC."


def test_direction_without_rtcp_is_unknown_and_says_why() -> None:
    said = verdict(records(vc2cust_packets_lost=None, cust2vc_rtcp_packets=0))
    assert said.networks == []
    assert "lost from the vc to the customer is unknown: the customer sent no RTCP" in said.text
    assert "the customer is clean" not in said.text
    assert "from the customer to the vc is clean" in said.text


def test_what_the_capture_missed_accuses_nobody() -> None:
    said = verdict(records(cust2vc_packets_unknown=40, flags=["capture_loss"]))
    assert said.networks == []
    assert "he capture itself missed frames near 40 packets" in said.text


def test_gap_near_the_call_is_said() -> None:
    its = records()
    its.unseen = [UnseenSpan(1_800_000_010 * 10**9, 1_800_000_020 * 10**9, "capture", "the ring was full")]
    assert "he ring was full" in verdict(its).text


def test_loss_inside_is_the_vcs() -> None:
    said = verdict(records(vc_lost=25))
    assert said.networks == ["vc"]
    assert "25 packets were lost inside the SBC" in said.text


def test_outage_names_its_seconds_and_not_the_minute() -> None:
    slots = [[500, 0, 0, 900, 20] for _ in range(6)]
    slots[2], slots[3] = [300, 200, 0, 900, 4_000], [400, 100, 0, 900, 20]
    said = verdict(records(rem2vc_timeline=slots, rem2vc_rtp_packets=2_700, rem2vc_packets_lost=300))
    assert said.networks == ["remote"]
    assert said.text.startswith(
        "10.0 % of packets lost between the remote side and the vc, 08:00:20 to 08:00:40 (30"
    )


def test_two_outages_are_two_times() -> None:
    slots = [[500, 0, 0, 900, 20] for _ in range(6)]
    slots[0] = slots[5] = [300, 200, 0, 900, 4_000]
    text = verdict(records(rem2vc_timeline=slots, rem2vc_packets_lost=400)).text
    assert "08:00:00 to 08:00:10 and 08:00:50 to 08:01:00" in text


def test_both_networks_stand_the_worse_first() -> None:
    said = verdict(records(vc2cust_packets_lost=20, rem2vc_packets_lost=90))
    assert said.networks == ["remote", "customer"]


def test_few_lost_packets_accuse_nobody() -> None:
    said = verdict(records(cust2vc_packets_lost=2))
    assert said.networks == []
    assert "he customer lost hardly anything (0.2 %)" in said.text


@pytest.mark.parametrize(
    ("name", "words", "networks"),
    [
        ("busy-outbound", "the call failed: 486", []),
        ("notfound-inbound", "the call failed: 404", []),
        ("cancelled-outbound", "the caller gave up", []),
        ("carrier-503-outbound", "the call failed: 503", ["remote"]),
        ("throttled-outbound", "said by the SBC itself", ["vc"]),
    ],
)
def test_call_that_failed_says_who_said_no(name: str, words: str, networks: list[str]) -> None:
    result = scenario(name)
    for summary in result.summaries:
        summary.sip = []
    said = [verdict(one) for one in gather(result.summaries, result.sip)]
    assert any(words.lower() in one.text.lower() and one.networks == networks for one in said)


def test_one_way_audio_is_the_silent_sides() -> None:
    scene = Scene()
    scene.call()
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, 1_000))
    scene.bye(20)
    (one,) = gather(scene.play(until=60).summaries)
    assert verdict(one).networks == ["customer"]
    scene = Scene()
    scene.call()
    scene.relayed(0.2, REM, (VC2REM, VC2CUST), CUST, B, range(1, 1_000))
    scene.rtp(0.2, CUST, VC2CUST, A, range(1, 1_000))
    scene.bye(20)
    (one,) = gather(scene.play(until=60).summaries)
    assert verdict(one).networks == ["vc"]


@pytest.mark.parametrize(("hours", "is_said"), [(0, False), (12, True), (36, True)])
def test_call_over_midnight_says_of_which_days_its_times_are(hours: int, is_said: bool) -> None:
    (records,) = gather(scenario("loss-vc2cust").summaries)
    call = records.call | {"end_ns": records.call["end_ns"] + hours * 3_600 * 10**9}
    words = verdict(CallRecords(call, records.media, records.messages)).text
    assert ("the call went over midnight, from 2026-11-2" in words) is is_said
