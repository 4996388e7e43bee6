"""Variants of the inputs in `tests/test_cases.py`: the same kind of fault, another wire.

Each is made by a few lines of its own and put through the real command line. The values are the rule's,
not of one capture.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import pytest

from tests.cases import packets
from tests.cases.checks import (
    FIXED,
    Case,
    Check,
    Near,
    OneOf,
    call,
    capture,
    counted,
    extra,
    flagged,
    hold,
    no_extra,
    nulls,
    record,
    run,
    run_apart,
    stderr,
    total,
    unknown_because,
)
from tests.cases.media_calls import FAR, MEDIA, NEAR, REMOTE, VC, A, B, Scene, both_ways, reported
from tests.cases.packets import SECOND, Stamped
from tests.cases.variant import Variant, check, named
from tests.kit.packets import ethernet, udp

SIDES = ("--vc", VC, "--customer", "192.0.2.0/24")
NO_JITTER = Near(0.0, 1.0)  # us
GOOD = Near(4.341, 0.0011)  # PCMU, no loss, 100 ms assumed
COPY = "DESIGN 4, Copy"


# -- media: clock rates and time bases


def one_stream(types: str, line: str, kind: int, ticks: int) -> list[Stamped]:
    scene = Scene()
    scene.call(30, types=types, lines=(line,))
    scene.rtp(range(1500), kind=kind, ticks=ticks)
    return scene.frames


def stepped(step: int, *, mark: bool, stamp: int = 0) -> list[Stamped]:
    """The timestamps of the second half are `step` further than time says."""
    scene = Scene()
    scene.call(20)
    scene.rtp(range(500), stamp=stamp)
    marks = (500,) if mark else ()
    scene.rtp(range(500, 1000), at=MEDIA + 10, stamp=stamp + 80_000 + step, marks=marks)
    return scene.frames


def aba(first: int, lost: int = 0) -> list[Stamped]:
    """A for 10 s, B for 10 s, A goes on where it would be; `lost` numbers of its last part never come."""
    scene = Scene()
    scene.call(30)
    scene.rtp(range(first, first + 500))
    scene.rtp(range(40_000, 40_500), at=MEDIA + 10, ssrc=B)
    rest = [n for n in range(first + 1000, first + 1500) if not first + 1200 <= n < first + 1200 + lost]
    scene.rtp(rest, at=MEDIA + 20, stamp=160_000)
    return scene.frames


def music() -> list[Stamped]:
    """The vc relays the customer's stream away, with music of its own in the middle."""
    scene = Scene()
    scene.call(30)
    scene.rtp(range(1500))
    scene.rtp(range(500), src=NEAR, dst=FAR, ssrc=B)
    scene.rtp(range(7000, 7500), at=MEDIA + 10, src=NEAR, dst=FAR, ssrc=0x3333)
    scene.rtp(range(1000, 1500), at=MEDIA + 20, src=NEAR, dst=FAR, ssrc=B, stamp=160_000)
    return scene.frames


def same_sockets_again() -> list[Stamped]:
    scene = Scene()
    scene.call(5, call_id="one")
    scene.rtp(range(250))
    scene.call(5, call_id="two", at=10)
    scene.rtp(range(30_000, 30_250), at=10 + MEDIA)
    return scene.frames


def ghost_of_the_same_host() -> list[Stamped]:
    """The old call's phone sends on from its port; the new call's is another port of the same host."""
    scene = Scene()
    scene.call(5, call_id="one")
    scene.rtp(range(1000))
    scene.call(10, call_id="two", at=7, far=(REMOTE, 26_000))
    scene.rtp(range(5000, 5500), at=7 + MEDIA, src=(REMOTE, 26_000), ssrc=0x9999)
    return scene.frames


def ordered(numbers: list[int]) -> list[Stamped]:
    scene = Scene()
    scene.call(len(numbers) / 50)
    scene.in_this_order(numbers)
    return scene.frames


def steady(what: str) -> tuple[Check, ...]:
    return (total("RemoteToVcJitter", NO_JITTER, what), record("rem2vc_packets_discarded", 0, what))


def lost(packets_: int, lost_: int, why: str) -> tuple[Check, ...]:
    return (total("RemoteToVcRtpPackets", packets_, why), total("RemoteToVcPacketsLost", lost_, why))


TABLE_CLOCK = "DESIGN 4: a codec with one legal clock takes it from the table"
WIRE_CLOCK = "DESIGN 4: off by 1.5 times or more is the wire's rate"
TIME_BASE = "DESIGN 4: a new time base is a reference, no sample"
LINE = "DESIGN 4: gaps are judged on the time line of the source socket"
START_RULE = "DESIGN 4: on a socket of an SDP the first packet counts, swaps are not loss"

MEDIA_VARIANTS: tuple[Variant, ...] = (
    (
        "g722-ticks-at-16000",
        lambda: one_stream("9", "rtpmap:9 G722/8000", 9, 320),
        (*steady(WIRE_CLOCK), flagged("clock_rate_mismatch", True, WIRE_CLOCK)),
    ),
    (
        "g722-says-and-ticks-16000",
        lambda: one_stream("9", "rtpmap:9 G722/16000", 9, 320),
        (
            *steady(WIRE_CLOCK),
            flagged("clock_rate_mismatch", True, "RFC 3551 4.5.2: 8000 is the legal clock"),
        ),
    ),
    (
        "pcmu-says-16000",
        lambda: one_stream("0", "rtpmap:0 PCMU/16000", 0, 160),
        (*steady(TABLE_CLOCK), total("MOSBetweenVcAndRemote", GOOD, TABLE_CLOCK)),
    ),
    (
        "opus-ticks-at-16000",
        lambda: one_stream("96", "rtpmap:96 opus/48000/2", 96, 320),
        (*steady(WIRE_CLOCK), flagged("clock_rate_mismatch", True, WIRE_CLOCK)),
    ),
    (
        "amr-wb-says-8000",
        lambda: one_stream("97", "rtpmap:97 AMR-WB/8000", 97, 320),
        steady("RFC 4867 4.1: the clock of AMR-WB is 16000"),
    ),
    (
        "unknown-codec-ticks-at-half-its-rate",
        lambda: one_stream("98", "rtpmap:98 SPEEX/16000", 98, 160),
        (*steady(WIRE_CLOCK), flagged("clock_rate_mismatch", True, WIRE_CLOCK)),
    ),
    (
        "timestamp-jumps-back-without-marker",
        lambda: stepped(-1_000_000_000, mark=False),
        (*steady(TIME_BASE), extra("timebase_changes", 1, "a step off by more than 1 s")),
    ),
    (
        "timestamp-jumps-two-seconds-without-marker",
        lambda: stepped(16_000, mark=False),
        (*steady(TIME_BASE), extra("timebase_changes", 1, "a step off by more than 1 s")),
    ),
    (
        "marker-and-ten-packet-times-off",
        lambda: stepped(1_600, mark=True),
        (*steady(TIME_BASE), extra("timebase_changes", 1, "a marker, off by more than a few packet times")),
    ),
    (
        "timestamp-wraps",
        lambda: stepped(0, mark=False, stamp=0xFFFFFFFF - 40_000),
        (*steady("RFC 3550 5.1: timestamps wrap"), no_extra("timebase_changes", "a wrap is none")),
    ),
    (
        "ssrc-a-b-a-wraps-in-the-gap",
        lambda: aba(65_000),
        (*lost(1500, 0, LINE), extra("ssrc_gap", 500, LINE)),
    ),
    ("ssrc-a-b-a-and-ten-lost", lambda: aba(100, lost=10), lost(1490, 10, LINE)),
    (
        "ssrc-a-b-a-of-the-vc",
        music,
        (
            record("vc_lost", 0, "DESIGN 4: the vc's own music fills the gap"),
            total("VcToRemoteRtpPackets", 1500, "all that left"),
            total("RemoteToVcPacketsLost", 0, "every number came"),
        ),
    ),
    (
        "next-call-on-the-same-sockets-and-ssrc",
        same_sockets_again,
        (
            *lost(500, 0, "DESIGN 4: the next call on the same sockets is not loss"),
            record("rem2vc_rtp_packets", 250, LINE, "one"),
            record("rem2vc_rtp_packets", 250, LINE, "two"),
        ),
    ),
    (
        "ghost-of-the-same-host",
        ghost_of_the_same_host,
        (
            record("rem2vc_rtp_packets", 500, "DESIGN 4: the old socket stays the old call's", "two"),
            record("rem2vc_packets_lost", 0, LINE, "two"),
            record("mos_btwn_vc_and_rem", GOOD, "G.107", "two"),
        ),
    ),
    (
        "every-triple-reversed",
        lambda: ordered([n + 2 - 2 * (n % 3) for n in range(600)]),
        lost(600, 0, START_RULE),
    ),
    ("first-ten-reversed", lambda: ordered([*range(9, -1, -1), *range(10, 300)]), lost(300, 0, START_RULE)),
    (
        "last-number-first",
        lambda: ordered([20, *range(20), *range(21, 300)]),
        lost(300, 0, START_RULE),
    ),
    (
        "every-second-packet-lost",
        lambda: ordered(list(range(0, 1000, 2))),
        (*lost(500, 499, START_RULE),),
    ),
    (
        "digits-of-one-packet-while-the-clock-stands",
        lambda: digits(10),
        (
            *steady("DESIGN 4: after a telephone-event comes a reference"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107"),
        ),
    ),
    (
        "digits-of-a-second-while-the-clock-stands",
        lambda: digits(50),
        (
            *steady("DESIGN 4: after a telephone-event comes a reference"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107"),
        ),
    ),
    (
        "g729-first-then-pcmu",
        lambda: two_codecs(1000, 1500),
        (total("MOSBetweenVcAndRemote", Near(4.198, 0.0011), "1000 at 3.984, 1500 at 4.341"),),
    ),
)


def digits(length: int) -> list[Stamped]:
    """Audio and digits of `length` packets, during which the clock of the audio stands."""
    scene, number, ticks = Scene(), 0, 0
    scene.call(26)
    while number < 1000:
        scene.rtp(range(number, number + 100), at=MEDIA + number * 0.02, stamp=ticks)
        number, ticks = number + 100, ticks + 16_000
        for place in range(length):
            head = struct.pack(">BBHII", 0x80, 101 | (0 if place else 0x80), number, ticks, A)
            scene.put(MEDIA + number * 0.02, FAR, NEAR, head + struct.pack(">BBH", 1, 10, place * 160))
            number += 1
    return scene.frames


def two_codecs(first: int, second: int) -> list[Stamped]:
    scene = Scene()
    scene.call(50, types="18 0", lines=("rtpmap:18 G729/8000", "rtpmap:0 PCMU/8000"))
    scene.rtp(range(first), kind=18, size=20)
    scene.rtp(range(first, first + second), at=MEDIA + first * 0.02, stamp=first * 160)
    return scene.frames


@pytest.mark.parametrize("variant", MEDIA_VARIANTS, ids=named)
def test_media_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- reports


def deaf(*, pause: bool) -> list[Stamped]:
    """Reports stand still from 10 s on: nothing arrives, or (`pause`) the vc sends nothing."""
    scene = Scene()
    scene.call(45)
    scene.rtp(range(2250))
    scene.rtp(range(500 if pause else 2250), src=NEAR, dst=FAR, ssrc=B)
    for at in range(6, 45, 5):
        scene.receiver_report(at, highest=min(499, round((at - MEDIA) * 50)))
    return scene.frames


IMPLAUSIBLE = "DESIGN 4: three samples that grow one to one with the time since the SR"


def stuck() -> list[Stamped]:
    """All SRs have one stamp; the far end answers the newest after 200 ms, as is true."""
    scene = both_ways(45)
    for at in range(6, 45, 5):
        scene.sender_report(at, 777 << 16)
        scene.receiver_report(at + 0.24, highest=100 + round((at - MEDIA) * 50), lsr=777 << 16, dlsr=0x3333)
    return scene.frames


REPORT_VARIANTS: tuple[Variant, ...] = (
    (
        "dlsr-is-true",
        lambda: reported(lambda gap: round(gap * 65_536)).frames,
        (
            total("RTTBetweenVcAndRemote", Near(40_000, 50), "RFC 3550 6.4.1"),
            flagged("rtcp_implausible", False, "true"),
        ),
    ),
    (
        "dlsr-in-milliseconds",
        lambda: reported(lambda gap: round(gap * 1000)).frames,
        (total("RTTBetweenVcAndRemote", None, IMPLAUSIBLE), flagged("rtcp_implausible", True, IMPLAUSIBLE)),
    ),
    (
        "dlsr-zero-from-a-receiver-alone",
        lambda: reported(lambda gap: 0).frames,
        (total("RTTBetweenVcAndRemote", None, IMPLAUSIBLE), flagged("rtcp_implausible", True, IMPLAUSIBLE)),
    ),
    (
        "ntp-never-moves",
        stuck,
        (
            total(
                "RTTBetweenVcAndRemote",
                OneOf((None, Near(40_000, 50))),
                "one LSR that several departures carry",
            ),
            flagged("rtcp_implausible", True, "one LSR that several departures carry"),
        ),
    ),
    (
        "far-end-deaf-by-receiver-reports",
        lambda: deaf(pause=False),
        (flagged("far_end_deaf", True, "DESIGN 4"),),
    ),
    (
        "far-end-has-nothing-to-hear",
        lambda: deaf(pause=True),
        (flagged("far_end_deaf", False, "DESIGN 4: only while packets leave"),),
    ),
)


@pytest.mark.parametrize("variant", REPORT_VARIANTS, ids=named)
def test_report_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- reports of video, and loss that is the interval's


def video(back: int, first: int) -> list[Stamped]:
    """300 packets a second; the far end's report is `back` numbers behind and says 3 lost each time."""
    scene = Scene()
    scene.call(30, media="video", types="97", lines=("rtpmap:97 H264/90000",))
    scene.rtp(
        range(first, first + 9000), src=NEAR, dst=FAR, ssrc=B, kind=97, step=1 / 300, ticks=300, size=80
    )
    for place, at in enumerate(range(6, 31, 5), 1):
        highest = first + round((at - MEDIA) * 300) - back
        scene.receiver_report(at, highest=highest, lost=3 * place)
    return scene.frames


def picture() -> list[Stamped]:
    """Video towards the vc and nothing else."""
    scene = Scene()
    scene.call(10, media="video", types="97", lines=("rtpmap:97 H264/90000",))
    scene.rtp(range(3000), kind=97, step=1 / 300, ticks=300, size=80)
    return scene.frames


def of_the_interval(losses: tuple[int, ...]) -> list[Stamped]:
    """Cumulative loss that is of the last interval alone, as the fraction says too."""
    scene = both_ways(45)
    for place, gone in enumerate(losses):
        at = 6.1 + 5 * place
        highest = 100 + round((at - MEDIA) * 50)
        scene.receiver_report(at, highest=highest, lost=gone, fraction=gone * 256 // 250)
    return scene.frames


def red(every: int) -> list[Stamped]:
    """RED of PCMU: each packet has the one before it too; each `every`-th is lost."""
    scene = Scene()
    scene.call(30, types="96 0", lines=("rtpmap:96 red/8000", "fmtp:96 0/0", "rtpmap:0 PCMU/8000"))
    for number in range(1500):
        if number % every != every - 1:
            head = struct.pack(">BBHII", 0x80, 96, number, number * 160, A)
            blocks = struct.pack(">I", 0x80 << 24 | 160 << 10 | 160) + b"\0" + bytes(320)
            scene.put(MEDIA + number * 0.02, FAR, NEAR, head + blocks)
    return scene.frames


LOSS_VARIANTS: tuple[Variant, ...] = (
    *(
        (
            f"video-report-{back}-behind",
            partial(video, back, first),
            (total("VcToRemotePacketsLost", 15, "RFC 3550 6.4.1: 3 a report, 5 reports"),),
        )
        for back, first in ((0, 0), (100, 0), (300, 65_000), (900, 0))
    ),
    (
        "video-alone-has-no-jitter",
        picture,
        (
            total("RemoteToVcJitter", None, "DESIGN 4: audio streams only"),
            total("MOSBetweenVcAndRemote", None, "DESIGN 4: over audio streams"),
            total("RemoteToVcRtpPackets", 3000, "all packets count"),
        ),
    ),
    *(
        (
            "loss-of-the-interval-" + "-".join(map(str, losses)),
            partial(of_the_interval, losses),
            (
                total(
                    "VcToRemotePacketsLost",
                    OneOf((sum(losses), None)),
                    "RFC 3550 6.4.1: cumulative loss never falls so",
                ),
            ),
        )
        for losses in ((7, 3, 6, 2, 5), (4, 0, 4, 0, 4))
    ),
    (
        "red-repairs-what-was-lost",
        partial(red, 10),
        (
            total("RemoteToVcPacketsLost", 149, "numbers never seen, the last one after the end"),
            total("MOSBetweenVcAndRemote", Near(4.33, 0.02), "DESIGN 4: scored after repair"),
        ),
    ),
)


@pytest.mark.parametrize("variant", LOSS_VARIANTS, ids=named)
def test_loss_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- media without signalling


def unsignalled(*, ways: int, far: str = REMOTE, stray: int = 0) -> list[Stamped]:
    """RTP in one way or both; `stray` packets of a stranger onto the same socket of the vc."""
    scene, phone = Scene(), (far, 20_000)
    for src, dst, ssrc in ((phone, NEAR, A), (NEAR, phone, B))[:ways]:
        scene.rtp(range(500), src=src, dst=dst, ssrc=ssrc)
    scene.rtp(range(stray), src=("203.0.113.9", 9), ssrc=0x6666)
    return scene.frames


BY_ADDRESS = "DESIGN 3, media without signalling: by address, once RTP runs both ways"
PROVES_NOTHING = "DESIGN 3: a stranger's one-way packets prove nothing"

UNSIGNALLED: tuple[Variant, ...] = (
    (
        "both-ways",
        partial(unsignalled, ways=2),
        (
            *lost(500, 0, BY_ADDRESS),
            total("VcToRemoteRtpPackets", 500, BY_ADDRESS),
            total("MOSBetweenVcAndRemote", GOOD, BY_ADDRESS),
            flagged("unsignalled", True, BY_ADDRESS),
        ),
    ),
    (
        "both-ways-with-a-customer",
        partial(unsignalled, ways=2, far="192.0.2.10"),
        (
            total("CustomerToVcRtpPackets", 500, BY_ADDRESS),
            total("VcToCustomerRtpPackets", 500, BY_ADDRESS),
            total("MOSBetweenVcAndCustomer", GOOD, BY_ADDRESS),
        ),
    ),
    (
        "one-way-is-null",
        partial(unsignalled, ways=1),
        (
            *nulls(("RemoteToVcRtpPackets", "RemoteToVcPacketsLost"), PROVES_NOTHING),
            unknown_because(PROVES_NOTHING),
        ),
    ),
    (
        "stranger-on-a-socket-in-use",
        partial(unsignalled, ways=2, stray=100),
        (total("VcToRemoteRtpPackets", 500, BY_ADDRESS), record("rem2vc_rtp_packets", 500, PROVES_NOTHING)),
    ),
)


@pytest.mark.parametrize("variant", UNSIGNALLED, ids=named)
def test_unsignalled_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- stalls


@pytest.mark.parametrize("buffer", ["fixed", "adaptive"])
def test_longer_stalls_never_score_better(buffer: str, tmp_path: Path) -> None:
    """DESIGN 4: MOS falls monotonically with the length of a stall."""
    config = tmp_path / "config.toml"
    config.write_text(FIXED.read_text().replace('"fixed"', f'"{buffer}"'))
    scores = [_stalled(seconds, config, tmp_path) for seconds in (0.0, 0.15, 0.3, 0.6, 1.0, 2.0, 4.0)]
    assert scores == sorted(scores, reverse=True), f"MOS by length of the stall: {scores}"
    assert scores[0] == Near(4.341, 0.0011)
    assert scores[-1] < 2.5, f"MOS by length of the stall: {scores}"


def _stalled(seconds: float, config: Path, tmp_path: Path) -> float:
    """Five stalls of so long in 50 s; what was held comes at once when each ends."""

    def late(place: int) -> float:
        since = (place % 500 - 100) * 0.02
        return max(0.0, seconds - since) if since >= 0 else 0.0

    scene = Scene()
    scene.call(50)
    scene.rtp(range(2500), late=late)
    path = packets.write(tmp_path / "in.pcap", scene.frames)
    output = run(["replay", str(path), "--json", "--config", str(config), *SIDES])
    return float(output.media()[0]["mos_btwn_vc_and_rem"])


# -- time


def stray(at: int) -> list[Stamped]:
    frames = both_ways(10).frames
    return [*frames, (at * SECOND, ethernet(udp((REMOTE, 9), (VC, 9), b"x")))]


STARTS = (0, 30 * SECOND, 59_500_000_000, 60 * SECOND, (2**32 - 1 - 60) * SECOND)


@pytest.mark.parametrize("start", STARTS, ids=["0", "30", "59.5", "60", "last-minute-of-32-bits"])
def test_capture_that_begins_at_any_stamp_is_counted(start: int, tmp_path: Path) -> None:
    why = "0 is a time, and so is every stamp"
    checks = (
        total("InboundCallAttempts", 1, why),
        total("InboundCallsAnswered", 1, why),
        total("RemoteToVcRtpPackets", 500, why),
        total("VcToRemoteRtpPackets", 500, why),
        total("RemoteToVcPacketsLost", 0, why),
        call("invite_ns", Near(start, 1000), why),
    )
    check(("start", lambda: both_ways(10, start=start).frames, checks), tmp_path, SIDES, apart=True)


@pytest.mark.parametrize("at", [0, 30, 60, 2**32 - 1, 1_790_000_040 + 5 * 365 * 86_400])
def test_one_frame_years_away_is_a_reject(at: int, tmp_path: Path) -> None:
    why = "a frame years away from the rest is a reject"
    checks = (
        total("RemoteToVcRtpPackets", 500, why),
        total("InboundCallsAnswered", 1, why),
        counted("metrics", 1, "no minute between"),
        capture("rejects", 1, why),
    )
    check(("stray", lambda: stray(at), checks), tmp_path, SIDES, apart=True)


def test_stamps_that_go_backwards_end(tmp_path: Path) -> None:
    path = packets.write(tmp_path / "in.pcap", reversed(both_ways(10).frames), in_order=False)
    why = "every command ends on any file"
    hold(Case("backwards", (capture("frames", 1005, why),), SIDES, apart=True), path)


def test_file_without_any_stamp_ends(tmp_path: Path) -> None:
    path = packets.write_without_stamps(tmp_path / "in.pcapng", both_ways(10).frames)
    why = "Simple Packet Blocks have no stamp"
    hold(Case("no stamps", (capture("frames", 1005, why),), SIDES, apart=True), path)


@pytest.mark.parametrize("command", ["streams", "report"])
@pytest.mark.parametrize("at", [0, 2**32 - 1])
def test_other_commands_end_too(command: str, at: int, tmp_path: Path) -> None:
    path = packets.write(tmp_path / "in.pcap", stray(at))
    more = ["--json"] if command == "streams" else ["-o", str(tmp_path / "page.html")]
    output = run_apart([command, str(path), *SIDES, *more])
    assert output.status == 0, f"{command} ended with {output.status} (None: it had to be stopped)"


# -- copies


def test_rtp_copies_of_one_identification_are_removed(tmp_path: Path) -> None:
    checks = (
        total("RemoteToVcRtpPackets", 500, COPY),
        total("VcToRemoteRtpPackets", 500, COPY),
        capture("duplicate_frames", 1005, COPY),
    )
    check(("rtp copies", lambda: packets.copied(both_ways(10).frames, 300), checks), tmp_path, SIDES)


def test_rtp_twice_without_identification_is_said_loudly(tmp_path: Path) -> None:
    checks = (
        total("RemoteToVcRtpPackets", 1000, "DESIGN 4: through the same interface only with single_span"),
        Check("flags", lambda output: len(output.media()[0]["flags"]) > 0, True, "nine in ten come twice"),
        stderr("single_span", why="DESIGN 4: one line says what to set"),
    )
    check(
        ("rtp twice", lambda: packets.copied(packets.anonymous(both_ways(10).frames), 300), checks),
        tmp_path,
        SIDES,
    )
