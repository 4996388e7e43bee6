"""A source that no SDP names is the call's while the named one is silent, and an intruder's beside it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from agent.media.strangers import MAX_WAITING
from tests.kit.scene import (
    CUST,
    REM,
    VC2CUST,
    VC2REM,
    A,
    Played,
    Scene,
    odd,
    receiver_report,
    sdp,
    sender_report,
)

MUSIC = ("192.0.2.99", 20_000)  # the PBX's media server, which no SDP names
THIRD = ("192.0.2.77", 4400)  # the third party of a transfer
TALK, HELD = 0xA1, 0xE1


def held(begin: float, end: float, *, music_from: float | None = None, bye: float = 90) -> Scene:
    """The customer talks from 2 s to `begin`, when music begins, and from `end`, when it ends, to `bye`."""
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, range(round((begin - 2) * 50)))
    start = begin + 0.05 if music_from is None else music_from
    scene.rtp(start, MUSIC, VC2CUST, HELD, range(round((end - 0.05 - start) * 50)))
    if bye > end:
        spoken = round((begin - 2) * 50)
        scene.rtp(end, CUST, VC2CUST, TALK, range(spoken, spoken + round((bye - end) * 50)), marker=True)
    scene.bye(bye)
    return scene


def reports(scene: Scene, times: Iterable[float], *, host: str = MUSIC[0]) -> None:
    """The music server's own sender reports."""
    for number, at in enumerate(times):
        scene.send(at, (host, MUSIC[1] + 1), odd(VC2CUST), sender_report(HELD, number))


def rtcp(played: Played) -> tuple[int, int]:
    """RTCP packets of the customer, and of intruders."""
    counted = [value or 0 for value in played.metric("CustomerToVcRtcpPackets")]
    return sum(counted), sum(
        connector.extras.get("intruder_rtcp_packets", 0)
        for summary in played.summaries
        for connector in summary.connectors
    )


def packets(played: Played) -> tuple[int, int]:
    """Of the customer, and of intruders."""
    counted = [value or 0 for value in played.metric("CustomerToVcRtpPackets")]
    return sum(counted), sum(summary.extras.get("intruder_packets", 0) for summary in played.summaries)


@pytest.mark.parametrize(
    ("begin", "end", "bye"),
    [
        (10, 20, 40),  # within one minute, and the call over in it
        (12, 31, 90),  # from slot to slot
        (50, 75, 90),  # over the minute's end
        (30, 200, 230),  # for minutes
        (30, 55, 55),  # hung up while on hold
        (57, 64, 90),  # a few seconds on either side of the minute's end
    ],
)
def test_music_on_hold_from_another_address_is_the_calls(begin: float, end: float, bye: float) -> None:
    played = held(begin, end, bye=bye).play(until=bye + 130)
    talked, music = round((begin - 2) * 50 + (bye - end) * 50), round((end - begin - 0.1) * 50)
    assert packets(played) == (talked + music, 0)


@pytest.mark.parametrize(
    ("begin", "end", "bye"),
    [(10, 20, 40), (50, 75, 90), (30, 200, 230), (30, 55, 55)],
)
def test_reports_of_music_on_hold_are_the_calls(begin: float, end: float, bye: float) -> None:
    scene = held(begin, end, bye=bye)
    times = [begin + 1 + 5 * number for number in range(round(end - begin) // 5)]
    reports(scene, times)
    played = scene.play(until=bye + 130)
    assert rtcp(played) == (len(times), 0)
    size = sum(value or 0 for value in played.metric("CustomerToVcRtcpBytes"))
    assert size == len(times) * len(sender_report(HELD, 0))


@pytest.mark.parametrize("restart", [12.5, 30.5, 59.5, 60.5, 74.9])
def test_reports_of_music_on_hold_are_the_calls_after_a_restart(restart: float) -> None:
    scene = held(10, 70, bye=90)
    reports(scene, range(12, 68, 5))
    scene.send(71, ("203.0.113.66", 7001), odd(VC2CUST), sender_report(HELD, 0))
    played = scene.play(until=220, restarts=[restart])
    assert packets(played) == (400 + 2995 + 1000, 0)
    assert rtcp(played) == (12, 1)


def test_music_that_began_in_a_closed_minute_is_the_calls_after_restarts() -> None:
    scene = held(30, 200, bye=230)
    assert packets(scene.play(until=360, restarts=[100, 150.5, 185])) == (28 * 50 + 8495 + 30 * 50, 0)


def test_reports_of_a_host_that_sends_no_rtp_stay_an_intruders() -> None:
    scene = held(10, 20, bye=90)
    reports(scene, (12, 14, 70), host="203.0.113.66")
    assert rtcp(scene.play(until=220)) == (0, 3)


def test_reports_of_a_stand_in_that_goes_on_beside_the_named_source_are_an_intruders_from_then_on() -> None:
    scene = held(10, 70, bye=200)
    scene.rtp(70, MUSIC, VC2CUST, HELD, range(2995, 2995 + 5000))
    reports(scene, (20, 130, 150))
    assert rtcp(scene.play(until=330)) == (1, 2)


def test_strangers_reports_from_many_addresses_are_bounded_and_none_is_left_out() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, range(400))
    for number in range(MAX_WAITING + 50):
        host = f"203.0.{number >> 8}.{number & 255}"
        scene.send(3 + number / 10_000, (host, 7000), odd(VC2CUST), receiver_report(HELD))
    scene.bye(10)
    assert rtcp(scene.play(until=130)) == (0, MAX_WAITING + 50)


def test_hold_by_re_invite_counts_the_music_too() -> None:
    scene = held(10, 30)
    scene.again(10, sdp(CUST, direction="sendonly"), sdp(VC2CUST, direction="recvonly"), away=sdp(VC2REM))
    scene.again(30, sdp(CUST), sdp(VC2CUST), away=sdp(VC2REM), cseq=3)
    assert packets(scene.play(until=220)) == (400 + 995 + 3000, 0)


def test_third_party_of_a_transfer_counts_before_its_re_invite() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, range(400))
    scene.rtp(10.5, THIRD, VC2CUST, HELD, range(1000))
    scene.again(14, sdp(THIRD), sdp(VC2CUST), away=sdp(VC2REM))
    scene.bye(40)
    assert packets(scene.play(until=180)) == (1400, 0)


def test_port_that_moves_without_a_re_invite_is_the_calls() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, range(400))
    scene.rtp(10, (CUST[0], 9998), VC2CUST, TALK, range(400, 1000))
    scene.bye(40)
    assert packets(scene.play(until=180)) == (1000, 0)


def test_phone_behind_nat_counts_where_nobody_named_is_heard() -> None:
    scene = Scene()
    scene.call(1, customer=sdp(("192.168.7.7", 4000)))
    scene.rtp(2, ("192.0.2.200", 31_000), VC2CUST, TALK, range(400))
    scene.bye(40)
    assert packets(scene.play(until=180)) == (400, 0)


@pytest.mark.parametrize("at", [5, 12, 58])
def test_stray_packets_beside_the_named_source_are_an_intruders(at: float) -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, range(4000))
    scene.rtp(at, MUSIC, VC2CUST, HELD, range(10))
    scene.rtp(at + 5, MUSIC, VC2CUST, HELD + 1, range(300))
    scene.bye(90)
    assert packets(scene.play(until=220)) == (4000, 310)


def test_few_packets_in_a_pause_are_no_stand_in() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, CUST, VC2CUST, TALK, [*range(400)])
    scene.rtp(10.5, MUSIC, VC2CUST, HELD, range(10))
    scene.rtp(12, CUST, VC2CUST, TALK, range(400, 800))
    scene.bye(30)
    assert packets(scene.play(until=180)) == (800, 10)


def test_stand_in_that_goes_on_beside_the_named_source_is_an_intruders_from_then_on() -> None:
    scene = held(10, 70, bye=200)
    scene.rtp(70, MUSIC, VC2CUST, HELD, range(2995, 2995 + 5000))
    played = scene.play(until=330)
    assert packets(played) == (400 + 6500 + 2498, 5497)


def test_of_two_strangers_in_one_pause_the_busier_counts() -> None:
    scene = held(10, 30)
    scene.rtp(12, ("203.0.113.66", 4444), VC2CUST, A, range(100))
    assert packets(scene.play(until=220)) == (400 + 995 + 3000, 100)


def test_remote_end_that_the_vc_answers_stays_whom_it_answers() -> None:
    scene = Scene()
    scene.call(1)
    scene.rtp(2, REM, VC2REM, 0xB1, range(1000))
    scene.rtp(2, VC2REM, REM, 0xA1, range(1000))
    scene.rtp(8, ("203.0.113.66", 4444), VC2REM, 0x66, range(200))
    scene.bye(30)
    played = scene.play(until=180)
    assert played.metric("RemoteToVcRtpPackets")[0] == 1000


@pytest.mark.parametrize("each", [1, 2])
def test_strangers_packets_before_the_named_phones_first_are_an_intruders(each: int) -> None:
    scene = Scene()
    scene.call(1)
    for number in range(40):
        scene.rtp(2 + number * 0.02, THIRD, VC2CUST, 0x9000 + number, range(each))
    scene.rtp(3, CUST, VC2CUST, TALK, range(400))
    scene.bye(20)
    assert packets(scene.play(until=180)) == (400, 40 * each)
