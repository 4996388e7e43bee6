"""Every scenario by name: what it shows, and how it is played."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from . import bridged, plays
from .capture import Device
from .network import Delay
from .packing import Container
from .sbc import Kind
from .stage import Stage
from .truth import Direction, Expect


@dataclass(frozen=True)
class Scenario:
    """`service` is the digit of the called number that tells kamailio what to do (kamailio.cfg)."""

    name: str
    shows: str
    direction: Direction
    play: Callable[[Stage], None]
    expect: Expect = field(default_factory=Expect)
    service: int = 1
    version: int = 4
    delay: Delay | None = None
    seconds: int = 10  # roughly, for planning
    container: Container = "pcap-ns"
    device: Device = "sides"
    sbc: Kind = "proxy"
    vlans: Mapping[str, int] = field(default_factory=dict)  # side -> 802.1Q tag put into the recorded frames


def _both(outbound: Scenario, inbound: Container | None = None) -> list[Scenario]:
    """A scenario in both call directions; {from} and {to} in `shows` name the sides."""

    def one(direction: Direction, caller: str, callee: str) -> Scenario:
        shows = outbound.shows.replace("{from}", caller).replace("{to}", callee)
        name = f"{outbound.name}-{direction}"
        container = inbound if inbound and direction == "inbound" else outbound.container
        return replace(outbound, name=name, shows=shows, direction=direction, container=container)

    return [
        one("outbound", "the customer", "the remote side"),
        one("inbound", "the remote side", "the customer"),
    ]


def _refused(name: str, status: int, reason: str, extra: str = "") -> list[Scenario]:
    play = partial(plays.refused, status=status, reason=reason, extra=extra)
    shows = f"{{from}} calls; {{to}} rings, then answers {status} {reason}."
    return _both(Scenario(name, shows, "outbound", play, Expect("failed", status), seconds=3))


def _lossy(way: str, direction: Direction, shows: str, container: Container) -> Scenario:
    play = partial(plays.talk, seconds=22, lossy=(way,))
    return Scenario(f"loss-{way}", shows, direction, play, seconds=25, container=container)


_ANSWERED = Expect()


def _bridged(
    name: str,
    shows: str,
    direction: Direction,
    play: Callable[[Stage], None],
    expect: Expect = _ANSWERED,
    service: int = 1,
) -> Scenario:
    return Scenario(
        name, shows, direction, play, expect, service, seconds=15, container="pcap-ns.gz", sbc="b2bua"
    )


_REWRITTEN: tuple[tuple[str, Direction, bridged.Write, bridged.Write, str], ...] = (
    (
        "rewritten-00-outbound",
        "outbound",
        lambda number: number[2:],
        lambda number: "00" + number[1:],
        "The PBX calls itself by its national number and dials 00; on the carrier's side both are E.164.",
    ),
    (
        "rewritten-9-outbound",
        "outbound",
        lambda number: number[1:],
        lambda number: "900" + number[1:],
        "The PBX dials 9 for an outside line and 00; on the carrier's side both numbers are E.164.",
    ),
    (
        "rewritten-inbound",
        "inbound",
        str,
        str,
        "The carrier's E.164 numbers become 00 before the caller's and a national called one at the PBX.",
    ),
)
_RETRY_AFTER = "Retry-After: 30\n"
_FAILED_503 = Expect("failed", 503)

_ALL: list[Scenario] = [
    # Answered.
    *_both(
        Scenario(
            "answered",
            "A call from {from}, answered: 14 s of relayed PCMA with RTCP each way, BYE by the caller.",
            "outbound",
            partial(plays.talk, seconds=14),
            seconds=17,
        ),
        inbound="pcapng",
    ),
    *_both(
        Scenario(
            "long",
            "A call from {from} of 130 s with RTCP every 5 s: it spans three UTC minutes.",
            "outbound",
            partial(plays.talk, seconds=130),
            seconds=135,
            container="pcap-ns.gz",
        ),
        inbound="pcapng.gz",
    ),
    *_both(
        Scenario(
            "short",
            "A call from {from} between sipps: 7 s of PCMA in 30 ms packets, no RTCP, and the same SSRC and "
            "sequence numbers in both directions.",
            "outbound",
            plays.short,
            seconds=12,
            container="pcap-us",
        )
    ),
    *_both(
        Scenario(
            "twenty",
            "Twenty calls from {from} at once, users, SSRCs and sequence numbers all alike.",
            "outbound",
            partial(plays.short, calls=20, user="sipp"),
            Expect(attempts=20),
            seconds=14,
            container="pcap-ns.gz",
        )
    ),
    *_both(
        Scenario(
            "ipv6",
            "A call from {from} over IPv6, SIP and media, with RTCP.",
            "outbound",
            partial(plays.talk, seconds=12),
            version=6,
            seconds=15,
        )
    ),
    Scenario(
        "any-outbound",
        "An answered outbound call captured on the device `any`: one file, Linux cooked v2.",
        "outbound",
        partial(plays.talk, seconds=12),
        seconds=15,
        device="any-sll2",
    ),
    Scenario(
        "any-inbound",
        "An answered inbound call captured on the device `any`: one file, Linux cooked v1.",
        "inbound",
        partial(plays.talk, seconds=12),
        seconds=15,
        container="pcapng",
        device="any-sll",
    ),
    Scenario(
        "vlan-outbound",
        "An answered outbound call; 802.1Q tags 100 and 200 put into the recorded frames of the two sides.",
        "outbound",
        partial(plays.talk, seconds=12),
        seconds=15,
        vlans={"customer": 100, "remote": 200},
    ),
    *_both(
        Scenario(
            "repeated",
            "A call from {from}; first ACKs are lost on the way to {to}, which repeats its 200.",
            "outbound",
            plays.repeated,
            seconds=12,
        )
    ),
    Scenario(
        "challenged-outbound",
        "The sbc answers the first INVITE 407 and relays the second, with credentials: one attempt.",
        "outbound",
        plays.challenged_by_sbc,
        service=2,
        seconds=12,
    ),
    Scenario(
        "challenged-inbound",
        "The customer's PBX answers the first INVITE 407 and the second, with credentials, 200: one attempt.",
        "inbound",
        plays.challenged_by_callee,
        seconds=12,
    ),
    Scenario(
        "hold-outbound",
        "The caller, a baresip, holds for 4 s and resumes by re-INVITE; RTCP all along.",
        "outbound",
        plays.held,
        seconds=19,
    ),
    Scenario(
        "hold-inbound",
        "The caller, a sipp, holds for 3 s and resumes; its second clip repeats SSRC and sequence numbers.",
        "inbound",
        plays.held_again,
        seconds=22,
        container="pcap-us.gz",
    ),
    *_both(
        Scenario(
            "gone",
            "A call from {from}; after 11 s both ends lose power: no BYE, no RTCP BYE.",
            "outbound",
            plays.gone,
            seconds=14,
        )
    ),
    Scenario(
        "digits-outbound",
        "RFC 4733 digits in the stream: 159# from the customer, 7 from the remote side.",
        "outbound",
        plays.digits,
        seconds=15,
    ),
    *_both(
        Scenario(
            "transcoded",
            "A call from {from} with PCMA to a callee with PCMU: rtpengine makes streams of its own.",
            "outbound",
            partial(plays.transcoded, seconds=14),
            service=5,
            seconds=17,
        )
    ),
    *_both(
        Scenario(
            "early-media",
            "A call from {from}: 183 with SDP and 4 s of RTP from {to} before the 200.",
            "outbound",
            plays.early_media,
            seconds=16,
        )
    ),
    Scenario(
        "late-offer-outbound",
        "INVITE without SDP: offer in the 200, answer in the ACK.",
        "outbound",
        plays.late_offer,
        seconds=12,
    ),
    Scenario(
        "hunted-outbound",
        "The first host answers 486, the sbc tries a second, which answers: one attempt, two branches.",
        "outbound",
        plays.hunted,
        service=4,
        seconds=12,
    ),
    Scenario(
        "forked-inbound",
        "The sbc rings two hosts of the customer at once; one answers, the other is cancelled (487).",
        "inbound",
        plays.forked,
        service=7,
        seconds=12,
    ),
    Scenario(
        "forked-late-inbound",
        "The sbc rings two hosts of the customer; one answers, and the other's 200 crosses its CANCEL.",
        "inbound",
        plays.forked_late,
        service=7,
        seconds=12,
        container="pcap-ns.gz",
    ),
    # At a B2BUA.
    _bridged(
        "transfer-blind-inbound",
        "The customer's phone, called, sends the caller on by REFER to a second phone.",
        "inbound",
        bridged.transferred,
    ),
    _bridged(
        "transfer-blind-outbound",
        "The customer's phone, the caller, sends the callee on by REFER to a second phone.",
        "outbound",
        bridged.transferred,
    ),
    _bridged(
        "transfer-attended-inbound",
        "The customer's agent, called, calls a second remote host and joins both by REFER with Replaces.",
        "inbound",
        bridged.transferred_attended,
        Expect(attempts=2),
    ),
    _bridged(
        "taken-over-inbound",
        "A second phone of the customer takes a call over by INVITE with Replaces.",
        "inbound",
        bridged.taken_over,
    ),
    _bridged(
        "queue-inbound",
        "The vc answers and plays music; an agent talks and leaves; music; a second agent talks.",
        "inbound",
        bridged.queued,
        service=8,
    ),
    _bridged(
        "late-2xx-outbound",
        "The first carrier rings in vain, its 200 crosses the CANCEL and gets a BYE; the second answers.",
        "outbound",
        bridged.answered_late,
        service=4,
    ),
    _bridged(
        "hold-music-inbound",
        "The customer's phone holds for 4 s; music and its RTCP come from an address that no SDP names.",
        "inbound",
        bridged.held_with_music,
    ),
    *(
        _bridged(name, shows, direction, partial(bridged.rewritten, caller=caller, called=called), service=2)
        for name, direction, caller, called, shows in _REWRITTEN
    ),
    # Not answered.
    *_refused("busy", 486, "Busy Here"),
    *_refused("notfound", 404, "Not Found"),
    *_both(
        Scenario(
            "carrier-503",
            "{to} answers 503 with Retry-After, and the sbc passes it on as it is.",
            "outbound",
            partial(plays.refused, status=503, reason="Service Unavailable", extra=_RETRY_AFTER),
            _FAILED_503,
            service=9,
            seconds=3,
        )
    ),
    *_both(
        Scenario(
            "translated-503",
            "{to} answers 503 with Retry-After, which the sbc turns into a 500 without (RFC 3261 16.7).",
            "outbound",
            partial(plays.refused, status=503, reason="Service Unavailable", extra=_RETRY_AFTER, heard=500),
            Expect("failed", 500),
            seconds=3,
        )
    ),
    *_refused("declined", 603, "Decline"),
    *_both(
        Scenario(
            "throttled",
            "The sbc itself answers a call from {from} with 503 and Retry-After: the INVITE never leaves it.",
            "outbound",
            plays.throttled,
            replace(_FAILED_503, throttles=1),
            service=3,
            seconds=3,
        )
    ),
    *_both(
        Scenario(
            "redirected",
            "{to} answers 302 Moved Temporarily, which the caller doesn't follow.",
            "outbound",
            partial(plays.refused, status=302, reason="Moved Temporarily"),
            Expect("redirected", 302),
            seconds=3,
        )
    ),
    *_both(
        Scenario(
            "cancelled",
            "{from} gives up while {to} rings: CANCEL, 487.",
            "outbound",
            plays.cancelled,
            Expect("cancelled", 487),
            seconds=4,
        )
    ),
    *_both(
        Scenario(
            "unanswered",
            "{to} never says a word: the sbc repeats the INVITE and answers 408 after 6 s.",
            "outbound",
            plays.unanswered,
            Expect("failed", 408),
            seconds=10,
        )
    ),
    Scenario(
        "ignored-outbound",
        "The sbc drops the INVITE without a word: the caller repeats it until Timer B (32 s).",
        "outbound",
        plays.ignored,
        Expect("failed", None),
        service=6,
        seconds=40,
    ),
    # Networks that lose, delay and shuffle.
    _lossy("cust2vc", "outbound", "2 % of the customer's RTP is lost before it reaches the sbc.", "pcapng"),
    _lossy(
        "vc2cust", "inbound", "2 % of the RTP is lost between sbc and customer: only RTCP tells.", "pcap-us"
    ),
    _lossy(
        "rem2vc", "inbound", "2 % of the remote side's RTP is lost before it reaches the sbc.", "pcap-ns.gz"
    ),
    _lossy(
        "vc2rem",
        "outbound",
        "2 % of the RTP is lost between sbc and remote side: only RTCP tells.",
        "pcap-ns",
    ),
    *_both(
        Scenario(
            "delay",
            "A call from {from}; 40 ms each way between customer and sbc: a round trip of 80 ms.",
            "outbound",
            partial(plays.talk, seconds=17),
            delay=Delay(40),
            seconds=20,
        )
    ),
    *_both(
        Scenario(
            "jitter",
            "A call from {from}; 20 ms plus 0 to 10 ms each way between customer and sbc, order kept.",
            "outbound",
            partial(plays.talk, seconds=17),
            delay=Delay(20, 10),
            seconds=20,
        )
    ),
    Scenario(
        "reordered-outbound",
        "10 ms plus 0 to 50 ms each way between customer and sbc: RTP out of order, 2 % of it twice.",
        "outbound",
        partial(plays.talk, seconds=17),
        delay=Delay(10, 50, keep_order=False, duplicate_ratio=0.02),
        seconds=20,
        container="pcapng.gz",
    ),
]

SCENARIOS: dict[str, Scenario] = {each.name: each for each in _ALL}
