"""Senders and receivers of the field that read the RFCs in their own way: clocks, markers, numbers, reports.

The right values are by the text of the RFC, worked out here packet by packet.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cases.checks import (
    Near,
    flagged,
    no_extra,
    nulls,
    record,
    stderr,
    total,
    unknown_because,
)
from tests.cases.media_calls import FAR, MEDIA, NEAR, REMOTE, VC, A, Scene, both_ways, reported
from tests.cases.packets import SECOND, Stamped, anonymous, copied
from tests.cases.variant import Variant, check, named
from tests.kit.packets import UDP, datagram, ethernet, fragments, packed

SIDES = ("--vc", VC, "--customer", "192.0.2.0/24")
NO_JITTER = Near(0.0, 2.0)  # us
GOOD = Near(4.341, 0.0011)  # PCMU of 20 ms, no loss, 100 ms assumed
UNEVEN = random.Random(3)
DELAYS = tuple(UNEVEN.uniform(0, 0.08) for _ in range(1500))  # s


def a8_us(rows: Iterable[tuple[float, int]], rate: int = 8000) -> float:
    """The mean of J of RFC 3550 A.8 over (arrival in s, timestamp), in the order of arrival."""
    ordered = sorted((round(at * 1e6), ticks) for at, ticks in rows)
    j = summed = 0.0
    for (before_us, first), (now_us, second) in pairwise(ordered):
        j += (abs((now_us - before_us) - (second - first) * 1e6 / rate) - j) / 16
        summed += j
    return summed / (len(ordered) - 1)


def header(number: int, ticks: int, kind: int = 0, *, mark: bool = False) -> bytes:
    return struct.pack(">BBHII", 0x80, kind | mark << 7, number & 0xFFFF, ticks & 0xFFFFFFFF, A)


# -- clocks that no codec has


def ticking(
    ticks: int, step: float, types: str = "0", lines: Sequence[str] = (), kind: int = 0
) -> list[Stamped]:
    scene = Scene()
    scene.call(1000 * step, types=types, lines=lines or ("rtpmap:0 PCMU/8000",))
    scene.rtp(range(1000), ticks=ticks, step=step, kind=kind)
    return scene.frames


WIRE_CLOCK = "DESIGN 4: off by 1.5 times or more is the wire's rate"
CLOCKS: tuple[tuple[str, int, float, float], ...] = (
    ("of-20-ms-in-packets-of-30", 160, 0.03, 4.335),
    ("of-20-ms-in-packets-of-40", 160, 0.04, 4.328),
    ("of-30-ms-in-packets-of-20", 240, 0.02, 4.341),
    ("of-one-a-packet", 1, 0.02, 4.341),
    ("of-bytes-of-gsm", 33, 0.02, 4.341),
    ("a-quarter-too-fast", 200, 0.02, 4.341),
)


def clock(name: str, ticks: int, step: float, mos: float) -> Variant:
    checks = (
        total("RemoteToVcJitter", NO_JITTER, WIRE_CLOCK),
        record("rem2vc_packets_discarded", 0, "no packet was late"),
        flagged("clock_rate_mismatch", True, WIRE_CLOCK),
        total("MOSBetweenVcAndRemote", Near(mos, 0.0011), "G.107; the packet's length is the delay's"),
    )
    return f"timestamps-{name}", partial(ticking, ticks, step), checks


# -- markers


def delayed(delays: Callable[[int], float], *, marked: bool) -> list[Stamped]:
    scene = Scene()
    scene.call(30)
    scene.rtp(range(1500), late=delays, marks=range(1500) if marked else ())
    return scene.frames


def stall(place: int) -> float:
    """0.9 s without a packet, twice; then what was held comes at once."""
    since = (place % 700 - 300) * 0.02
    return max(0.0, 0.9 - since) if since >= 0 else 0.0


def mean_us(delays: Callable[[int], float]) -> Near:
    expected = a8_us((place * 0.02 + delays(place), place * 160) for place in range(1500))
    return Near(expected, expected / 1000)


MARKS = "str0m#126, pion/rtp#69: a marker on every packet begins no talkspurt (RFC 3551 4.1)"


# -- packets of types that no SDP names, and signals between gateways


def beside(kind: int, every: int, types: str, lines: Sequence[str] = (), run: int = 1) -> list[Stamped]:
    """Uneven PCMU, with `run` packets of another type after each `every`."""
    scene, number = Scene(), 0
    scene.call(30, types=types, lines=("rtpmap:0 PCMU/8000", *lines))
    for place in range(1500):
        at = MEDIA + place * 0.02 + DELAYS[place] / 16
        scene.put(at, FAR, NEAR, header(number, place * 160) + bytes(160))
        number += 1
        for _ in range(run if place % every == every - 1 else 0):
            scene.put(at + 0.0005, FAR, NEAR, header(number, place * 160, kind) + b"\0")
            number += 1
    return scene.frames


ALONE = "RFC 6263 4.6: a packet of an unknown type keeps a path open; it is no codec"
LITTLE = mean_us(lambda place: DELAYS[place] / 16)


# -- numbers that begin anew close to where they were


def anew(first: int, then: int = 1000, pause: float = 0.3) -> list[Stamped]:
    """Numbers and timestamps from 0, and from 0 again."""
    scene = Scene()
    scene.call(30)
    scene.rtp(range(first))
    scene.rtp(range(then), at=MEDIA + first * 0.02 + pause)
    return scene.frames


def played_again(length: int) -> list[Stamped]:
    """SIPp plays one capture ten times."""
    scene = Scene()
    scene.call(10 * length * 0.02)
    for turn in range(10):
        scene.rtp(range(500, 500 + length), at=MEDIA + turn * length * 0.02)
    return scene.frames


def doubled_late(after: float) -> list[Stamped]:
    """A network sends each packet twice, the second time `after` seconds later; three never come."""
    scene = Scene()
    scene.call(30)
    numbers = [number for number in range(1000) if number not in (400, 401, 700)]
    scene.rtp(numbers)
    scene.rtp(numbers, at=MEDIA + after)
    return scene.frames


AGAIN = "DESIGN 4: a restart is no loss, and its packets are no duplicates"


VARIANTS: tuple[Variant, ...] = (
    *(clock(*row) for row in CLOCKS),
    (
        "marker-on-every-packet-of-an-uneven-stream",
        partial(delayed, DELAYS.__getitem__, marked=True),
        (
            total("RemoteToVcJitter", mean_us(DELAYS.__getitem__), MARKS),
            no_extra("timebase_changes", MARKS),
        ),
    ),
    (
        "marker-on-every-packet-of-a-stream-that-stalls",
        partial(delayed, stall, marked=True),
        (
            total("RemoteToVcJitter", mean_us(stall), MARKS),
            record("rem2vc_packets_discarded", Near(85, 1), "what comes more than 60 ms late"),
            no_extra("timebase_changes", MARKS),
        ),
    ),
    (
        "keepalives-of-an-unknown-type",
        partial(beside, 126, 50, "0"),
        (
            total("RemoteToVcJitter", LITTLE, ALONE),
            total("RemoteToVcRtpPackets", 1530, "keepalives are packets"),
            total("MOSBetweenVcAndRemote", GOOD, "DESIGN 4: keepalives score nothing"),
            record("codec", "PCMU", ALONE),
        ),
    ),
    *(
        (
            f"signals-between-gateways-{name.lower()}",
            partial(beside, 100, 100, "0 100", (f"rtpmap:100 {name}/8000",), run=5),
            (
                total("RemoteToVcJitter", Near(LITTLE.value, LITTLE.value / 50), "signals are no samples"),
                total("MOSBetweenVcAndRemote", GOOD, "DESIGN 4: digits and the like score nothing"),
                record("codec", "PCMU", "signals are no speech"),
            ),
        )
        for name in ("X-NSE", "cisco-rtp-dtmf", "v150fw")
    ),
    *(
        (
            f"numbers-from-0-again-after-{first}",
            partial(anew, first),
            (
                total("RemoteToVcJitter", NO_JITTER, AGAIN),
                total("RemoteToVcPacketsLost", 0, AGAIN),
                record("rem2vc_packets_discarded", 0, AGAIN),
                total("MOSBetweenVcAndRemote", GOOD, AGAIN),
                total("RemoteToVcRtpPackets", first + 1000, "all packets count"),
            ),
        )
        for first in (20, 60, 90, 300)
    ),
    *(
        (
            f"capture-of-{length}-packets-played-again",
            partial(played_again, length),
            (
                total("RemoteToVcPacketsLost", 0, AGAIN),
                total("RemoteToVcJitter", NO_JITTER, AGAIN),
                flagged("packets_twice", False, "DESIGN 4: twice within 2 ms"),
                no_extra("packets_duplicate", AGAIN),
            ),
        )
        for length in (60, 90)
    ),
    *(
        (
            f"network-doubles-{after * 1000:g}-ms-later",
            partial(doubled_late, after),
            (
                total("RemoteToVcPacketsLost", 3, "DESIGN 4: duplicates never hide loss"),
                total("RemoteToVcRtpPackets", 1994, "DESIGN 4: another identification is another packet"),
                total("RemoteToVcJitter", NO_JITTER, "DESIGN 4: duplicates are no samples"),
            ),
        )
        for after in (0.001, 0.05, 0.3)
    ),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=named)
def test_sender_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- media in fragments


def in_fragments(size: int, lost: Sequence[int] = ()) -> list[Stamped]:
    """L16 of 44.1 kHz in stereo: 3,540 bytes a packet. Of the numbers in `lost` one fragment never comes."""
    scene = Scene()
    scene.call(10, types="97", lines=("rtpmap:97 L16/44100/2",))
    for number in range(500):
        whole = datagram(FAR[1], NEAR[1], header(number, number * 882, 97) + bytes(3528))
        at = scene.start + round((MEDIA + number * 0.02) * SECOND)
        parts = fragments(REMOTE, VC, UDP, whole, number + 1, size)
        kept = parts[:-1] if number in lost else parts
        scene.frames += [(at + place * 1000, ethernet(part)) for place, part in enumerate(kept)]
    return scene.frames


def pictures() -> list[Stamped]:
    """Video of which two packets of three are longer than the path takes."""
    scene, number = Scene(), 0
    scene.call(10, media="video", types="97", lines=("rtpmap:97 H264/90000",))
    for picture in range(250):
        at = scene.start + round((MEDIA + picture * 0.04) * SECOND)
        for place, size in enumerate((1600, 1600, 300)):
            payload = header(number, picture * 3600, 97, mark=place == 2) + bytes(size)
            parts = fragments(REMOTE, VC, UDP, datagram(FAR[1], NEAR[1], payload), number + 1, 1480)
            rows = enumerate(ethernet(part) for part in parts)
            scene.frames += [(at + place * 20_000 + row * 1000, part) for row, part in rows]
            number += 1
    return scene.frames


WHOLE_AGAIN = "DESIGN 5: fragments are put together and decoded again; RTP is no exception"
FRAGMENT_VARIANTS: tuple[Variant, ...] = (
    *(
        (
            f"audio-in-fragments-of-{size}",
            partial(in_fragments, size),
            (
                total("RemoteToVcRtpPackets", 500, WHOLE_AGAIN),
                total("RemoteToVcRtpBytes", 500 * 3540, WHOLE_AGAIN),
                total("RemoteToVcPacketsLost", 0, WHOLE_AGAIN),
                total("RemoteToVcJitter", NO_JITTER, WHOLE_AGAIN),
            ),
        )
        for size in (1480, 552)
    ),
    (
        "audio-in-fragments-of-which-some-never-come",
        partial(in_fragments, 1480, (100, 101, 300)),
        (
            total("RemoteToVcRtpPackets", 497, "a packet without all of its fragments is none"),
            total("RemoteToVcPacketsLost", 3, "its number was never received"),
        ),
    ),
    (
        "video-partly-in-fragments",
        pictures,
        (
            total("RemoteToVcRtpPackets", 750, WHOLE_AGAIN),
            total("RemoteToVcPacketsLost", 0, WHOLE_AGAIN),
        ),
    ),
)


@pytest.mark.parametrize("variant", FRAGMENT_VARIANTS, ids=named)
def test_fragment_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- captures that cut packets before the part that counts

WAYS = ("CustomerToVc", "VcToCustomer", "RemoteToVc", "VcToRemote")
MEDIA_COUNTS = tuple(f"{way}{what}" for way in WAYS for what in ("RtpPackets", "RtpBytes"))
CALL_COUNTS = ("InboundCallAttempts", "OutboundCallAttempts", "InboundCallsAnswered", "InboundCallFailures")


def over_ipv6() -> list[Stamped]:
    """PCMU both ways without signalling; the RTP header ends 74 bytes into the frame."""
    scene, far, near = Scene(), ("2001:db8::20", 20_000), ("2001:db8::5", 30_000)
    scene.rtp(range(250), src=far, dst=near)
    scene.rtp(range(250), src=near, dst=far)
    return scene.frames


@pytest.mark.parametrize("snap", [42, 43, 46, 50])
def test_packets_cut_in_their_first_bytes_leave_no_zero(snap: int, tmp_path: Path) -> None:
    why = "DESIGN 4: cut by the snap length before the part that counts is null"
    checks = (
        *nulls((*MEDIA_COUNTS, *CALL_COUNTS, "Sip2xxCodes"), why),
        unknown_because(why),
        stderr("cut", str(snap), why=why),
    )
    check(("cut", lambda: both_ways(5).frames, checks), tmp_path, SIDES, snap=snap)


def test_media_over_ipv6_cut_at_68_bytes_leaves_no_zero(tmp_path: Path) -> None:
    why = "68 bytes, tcpdump's old default, end within the RTP header over IPv6"
    checks = (*nulls(MEDIA_COUNTS, why), unknown_because(why))
    sides = ("--vc", "2001:db8::5", "--customer", "192.0.2.0/24")
    check(("cut", over_ipv6, checks), tmp_path, sides, snap=68)


# -- captures of one direction


def half(source: str) -> list[Stamped]:
    """What the frames of one end show of a call."""
    address = packed(source)
    return [(stamp, data) for stamp, data in both_ways(45).frames if data[26:30] == address]


ONE_DIRECTION = "half of a mirror port: what the other half carries is null, never 0"
CODES = tuple(f"Sip{number}xxCodes" for number in range(1, 7))


def test_capture_of_what_comes_alone_leaves_no_zero_of_what_leaves(tmp_path: Path) -> None:
    checks = (
        *nulls([f"VcToRemote{what}" for what in ("RtpPackets", "RtpBytes", "RtcpPackets")], ONE_DIRECTION),
        *nulls((*CODES, "InboundCallsAnswered", "InboundCallFailures"), ONE_DIRECTION),
        total("RemoteToVcRtpPackets", 2250, "seen"),
        total("RemoteToVcPacketsLost", 0, "seen: every number came"),
        total("InboundCallAttempts", 1, "seen"),
        flagged("one_way_audio", False, ONE_DIRECTION),
        unknown_because(ONE_DIRECTION),
        stderr("one direction", why="DESIGN 4: one line says so"),
    )
    check(("in", lambda: half(REMOTE), checks), tmp_path, SIDES)


def test_capture_of_what_leaves_alone_leaves_no_zero_of_what_comes(tmp_path: Path) -> None:
    checks = (
        *nulls([f"RemoteToVc{what}" for what in ("RtpPackets", "RtpBytes", "PacketsLost")], ONE_DIRECTION),
        *nulls(("InboundCallAttempts", "InboundCallsAnswered", "Sip4xxCodes"), ONE_DIRECTION),
        total("VcToRemoteRtpPackets", 2250, "seen"),
        total("Sip2xxCodes", 2, "seen"),
        flagged("one_way_audio", False, ONE_DIRECTION),
        unknown_because(ONE_DIRECTION),
    )
    check(("out", lambda: half(VC), checks), tmp_path, SIDES)


def test_dead_host_is_no_capture_of_one_direction(tmp_path: Path) -> None:
    """INVITEs come, nothing leaves, nobody acknowledges an answer: its zeros are known."""
    why = "nothing proves an answer"
    frames = [row for row in half(REMOTE) if b"INVITE sip" in row[1]]
    checks = (
        total("InboundCallsAnswered", 0, why),
        total("Sip2xxCodes", 0, why),
        total("VcToRemoteRtpPackets", 0, why),
    )
    check(("dead", lambda: frames, checks), tmp_path, SIDES)


# -- captures of two clocks, and streams that a capture shows twice


def apart(seconds: float) -> list[Stamped]:
    """The remote end's frames are stamped by a clock that is so much ahead."""
    address, ahead = packed(REMOTE), round(seconds * SECOND)
    return [(stamp + ahead * (data[26:30] == address), data) for stamp, data in reported_true().frames]


def reported_true() -> Scene:
    return reported(lambda gap: round(gap * 65_536))


CLOCKS_APART = "DESIGN 4: an answer stamped before its request, or after its ACK, is an answer"


@pytest.mark.parametrize("seconds", [-0.5, -0.03, 0.03, 0.5])
def test_clocks_apart_lose_no_answer(seconds: float, tmp_path: Path) -> None:
    checks = (
        total("InboundCallAttempts", 1, CLOCKS_APART),
        total("InboundCallsAnswered", 1, CLOCKS_APART),
        total("InboundCallFailures", 0, CLOCKS_APART),
        total("RemoteToVcPacketsLost", 0, "every number came"),
        flagged("answer_unseen", False, CLOCKS_APART),
    )
    check(("apart", lambda: apart(seconds), checks), tmp_path, SIDES)


TWICE = "RFC 3550 A.3 counts what left: a capture that shows each packet twice does not know that"


@pytest.mark.parametrize("how", ["clocks-80-ms-apart", "no-identification"])
def test_loss_reported_of_a_stream_that_the_capture_shows_twice_is_unknown(how: str, tmp_path: Path) -> None:
    frames = reported_true().frames
    if how == "no-identification":
        frames = copied(anonymous(frames), 300)
    else:
        frames = copied(frames, 80_000)
    checks = (
        total("VcToRemotePacketsLost", None, TWICE),
        flagged("packets_twice", True, "DESIGN 4: said loudly"),
        total("MOSBetweenVcAndRemote", Near(4.348, 0.008), "towards the vc alone: 4.341, with 40 ms 4.355"),
        total("RemoteToVcPacketsLost", 0, "duplicates are no loss"),
    )
    check((how, lambda: frames, checks), tmp_path, SIDES)


# -- what far ends claim


def claims(jitters: Sequence[int], scene: Scene | None = None) -> list[Stamped]:
    scene = scene or both_ways(45)
    for place, jitter in enumerate(jitters):
        at = 6.1 + 5 * place
        block = struct.pack(">IIIIII", 0x2222, 0, 100 + round((at - MEDIA) * 50), jitter, 0, 0)
        far, near = ((socket[0], socket[1] + 1) for socket in (FAR, NEAR))
        scene.put(at, far, near, struct.pack(">BBHI", 0x81, 201, 7, A) + block)
    return scene.frames


WHOLE = "janus-gateway#982: DLSR cut to whole seconds is too short by up to one"
NO_SAMPLE = "DESIGN 4: what is off by more than 1 s is a time base and no sample, here and there"


def wideband_at_16000(jitter: int) -> list[Stamped]:
    """The vc sends G.722 that ticks at 16,000; the far end measures by the clock of the table."""
    scene = Scene()
    scene.call(45, types="9", lines=("rtpmap:9 G722/8000",))
    scene.rtp(range(100, 2350), src=NEAR, dst=FAR, ssrc=0x2222, kind=9, ticks=320)
    return claims((jitter,) * 5, scene)


OTHER_CLOCK = "rtpengine#748: jitter in ticks of a clock that the wire refutes is of no known unit"

CLAIM_VARIANTS: tuple[Variant, ...] = (
    (
        "jitter-of-a-stream-with-another-clock",
        lambda: wideband_at_16000(160),
        (
            total("VcToRemoteJitter", None, OTHER_CLOCK),
            total("VcToRemotePacketsLost", 0, "RFC 3550 A.3: its loss is known"),
            flagged("clock_rate_mismatch", True, OTHER_CLOCK),
        ),
    ),
    (
        "dlsr-of-whole-seconds",
        lambda: reported(lambda gap: int(gap) << 16).frames,
        (
            total("RTTBetweenVcAndRemote", None, WHOLE),
            flagged("rtcp_implausible", True, WHOLE),
            total("MOSBetweenVcAndRemote", GOOD, "G.107 with the assumed round trip"),
        ),
    ),
    (
        "dlsr-happens-to-be-a-second",
        lambda: reported(lambda gap: 1 << 16, gaps=(1.0, 1.001, 0.999, 1.0, 1.002, 1.0)).frames,
        (
            total("RTTBetweenVcAndRemote", Near(40_333, 50), "RFC 3550 6.4.1: it is true"),
            flagged("rtcp_implausible", False, "it is true"),
        ),
    ),
    (
        "one-jitter-of-16-seconds-among-others",
        lambda: claims((80, 80, 134_000, 80, 80)),
        (
            total("VcToRemoteJitter", Near(10_000, 1), "80 ticks of 8000 Hz"),
            flagged("rtcp_implausible", True, NO_SAMPLE),
        ),
    ),
    (
        "jitter-in-microseconds",
        lambda: claims((20_000,) * 5),
        (
            total("VcToRemoteJitter", None, f"str0m#907; {NO_SAMPLE}"),
            flagged("rtcp_implausible", True, NO_SAMPLE),
        ),
    ),
    (
        "jitter-just-below-a-second",
        lambda: claims((7_900,) * 5),
        (
            total("VcToRemoteJitter", Near(987_500, 1), "RFC 3550 6.4.1"),
            flagged("rtcp_implausible", False, "it may be true"),
        ),
    ),
)


@pytest.mark.parametrize("variant", CLAIM_VARIANTS, ids=named)
def test_claim_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
