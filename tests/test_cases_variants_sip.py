"""Variants of the SIP inputs in `tests/test_cases.py`: the same kind of fault, another wire."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cases import packets, sip_calls
from tests.cases.checks import (
    Check,
    call,
    capture,
    counted,
    extra,
    flagged,
    minutes,
    no_extra,
    nulls,
    stderr,
    total,
    unknown_because,
)
from tests.cases.media_calls import Scene
from tests.cases.packets import Stamped, anonymous, copied
from tests.cases.sip_calls import (
    CUSTOMER,
    REMOTE,
    START,
    UPGRADE,
    VC_C,
    VC_R,
    Connections,
    Leg,
    Message,
    answered,
    data_chunk,
    hep,
    in_fragments,
    legs,
    plain,
    proxy_v2,
    sctp,
    tunnelled,
    websocket,
    whole,
)
from tests.cases.variant import Variant, check, named
from tests.kit.packets import ethernet, packed, udp

SIDES = (
    *("--vc", VC_C, "--vc", "10.0.0.2", "--vc", VC_R, "--vc", sip_calls.VC_C6, "--vc", sip_calls.VC_R6),
    *("--customer", "192.0.2.0/24", "--customer", "2001:db8:c::/48"),
)
CALLS = tuple(
    direction + name
    for direction in ("Inbound", "Outbound")
    for name in ("CallAttempts", "CallFailures", "CallsAnswered")
)
CODES = tuple(f"Sip{n}xxCodes" for n in range(1, 7))
COPY = "DESIGN 4, Copy"


def one_call(why: str) -> tuple[Check, ...]:
    """`answered()` is seen whole and as one call."""
    return (
        total("OutboundCallAttempts", 1, why),
        total("OutboundCallsAnswered", 1, why),
        total("Sip1xxCodes", 4, why),
        total("Sip2xxCodes", 4, why),
        counted("call", 1, why),
        call("outcome", "answered", why),
        no_extra("legs_unjoined", why),
        counted("sip", 14, why),
    )


# -- joining


def joined(**second: Any) -> list[Stamped]:
    return plain(answered(*legs(**second)))


def other_pair(incoming: dict[str, str], outgoing: dict[str, str]) -> list[Stamped]:
    """Legs with the numbers that each has."""
    return plain(answered(Leg(CUSTOMER, VC_C, "in@c", **incoming), Leg(VC_R, REMOTE, "out@v", **outgoing)))


def numbers(called: str, calling: str, called_out: str, calling_out: str) -> list[Stamped]:
    return other_pair({"called": called, "calling": calling}, {"called": called_out, "calling": calling_out})


US, US_TOO = "+12065550110", "+12065550100"
TRUNK = {"called": "3115559999", "calling": "trunk4711"}  # no user agrees
USERS = "DESIGN 3: users are compared by E.164 or their last 7 to 9 digits"
IDENTITY = "DESIGN 3: P-Asserted-Identity, Remote-Party-ID and Diversion are users too"
NAMED = "DESIGN 3: the value of a correlation header is another leg's Call-ID"

NUMBERS = (
    ("0049-to-national", "00498912345678", "00493012345678", "08912345678", "03012345678"),
    ("e164-to-ten-digits", US, US_TOO, "2065550110", "2065550100"),
    ("prefix-9-for-a-line", "912065550110", "2065550100", US, US_TOO),
    ("011-to-plus", "011442079460123", "2065550100", "+442079460123", US_TOO),
    ("separators-on-one-leg", "+1-(206).555-0110", US_TOO, US, US_TOO),
    ("phone-context", "2065550110;phone-context=+1", US_TOO, US, US_TOO),
)
HEADERS: tuple[tuple[Any, ...], ...] = (
    (
        "remote-party-id",
        {},
        {"calling": "trunk4711", "headers": f"Remote-Party-ID: <sip:{US_TOO}@v>;party=calling\r\n"},
        IDENTITY,
    ),
    (
        "asserted-tel-uri",
        {},
        {"calling": "anonymous", "headers": "P-Asserted-Identity: <tel:+1-206-555-0100>\r\n"},
        IDENTITY,
    ),
    (
        "diversion-of-the-called",
        {},
        {"called": "+12065550177", "headers": f"Diversion: <sip:{US}@v>;reason=unconditional\r\n"},
        IDENTITY,
    ),
    ("x-call-id", {}, {"headers": "X-Call-ID: in@c\r\n", **TRUNK}, NAMED),
    ("x-cid-on-the-incoming-leg", {"headers": "X-CID: out@v\r\n"}, TRUNK, NAMED),
    ("x-cid-in-responses", {}, {"answer_headers": "X-CID: in@c\r\n", **TRUNK}, NAMED + ", also in responses"),
    (
        "icid-on-both",
        {"headers": "P-Charging-Vector: icid-value=abc;orig-ioi=a\r\n"},
        {"headers": 'P-Charging-Vector: icid-value="abc"\r\n', **TRUNK},
        "DESIGN 3: equal values of a correlation header",
    ),
    (
        "second-via",
        {},
        {"via": "Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKin@c1INVITE\r\n", **TRUNK},
        "DESIGN 3: a second Via that is the incoming leg's branch",
    ),
)


def apart(why: str) -> tuple[Check, ...]:
    return (counted("call", 2, why), extra("legs_unjoined", 1, why), total("OutboundCallAttempts", 1, why))


JOINING: tuple[Variant, ...] = (
    *((name, partial(numbers, *users), one_call(USERS)) for name, *users in NUMBERS),
    *((name, partial(other_pair, one, two), one_call(why)) for name, one, two, why in HEADERS),
    ("suffix-pbx", partial(joined, outgoing="in@c_pbx-1", **TRUNK), one_call("DESIGN 3: a suffix stripped")),
    ("no-user-agrees", partial(joined, **TRUNK), apart("nothing says that these are one call")),
    (
        "other-area-code",
        partial(numbers, US, US_TOO, "+13115550110", "+13115550100"),
        apart("DESIGN 3: by E.164 where the country is known"),
    ),
    (
        "two-calls-of-the-same-users",
        lambda: plain([*answered(*legs()), *answered(*legs(incoming="in2@c", outgoing="out2@v"), at=0.3)]),
        (
            counted("call", 2, "DESIGN 3: the newest incoming leg without an outgoing one"),
            total("OutboundCallAttempts", 2, "two calls"),
            no_extra("legs_unjoined", "each has its own"),
        ),
    ),
)


@pytest.mark.parametrize("variant", JOINING, ids=named)
def test_joining_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- calls


def refused(*, passed_on: bool, **users: Any) -> list[Stamped]:
    """503 with Retry-After to the customer; `passed_on`: a carrier had said it first."""
    incoming, outgoing = legs(**users)
    after = "Retry-After: 30\r\n"
    messages = [incoming.invite(0), incoming.answer(0.01, 100)]
    if passed_on:
        messages += [
            outgoing.invite(0.03),
            outgoing.answer(0.5, 503, headers=after),
            outgoing.request(0.51, "ACK"),
        ]
    return plain([*messages, incoming.answer(0.52, 503, headers=after), incoming.request(0.53, "ACK")])


def next_server(status: int) -> list[Stamped]:
    """A caller whom one address of the vc refuses, and who asks another: same CSeq, a new branch."""
    first = Leg(CUSTOMER, VC_C, "in@c")
    messages = [
        first.invite(0),
        first.answer(0.1, 100),
        first.answer(0.2, status),
        first.request(0.21, "ACK"),
    ]
    later = answered(Leg(CUSTOMER, "10.0.0.2", "in@c"), legs()[1], at=1)
    of_client = b"z9hG4bKin@c"
    return plain([*messages, *(replace(m, text=m.text.replace(of_client, of_client + b"2")) for m in later)])


def strangers(*, known: bool = False, answer: int = 0, src: str = "203.0.113.66") -> list[Stamped]:
    """20 INVITEs of one host, 50 s before the capture ends; `known`: it had a call before."""
    messages: list[Message] = []
    if known:
        messages += answered(Leg(src, VC_R, "first@s"), Leg(VC_C, CUSTOMER, "second@v"), seconds=1)
    for number in range(20):
        leg = Leg(src, VC_R, f"scan{number}@s", called=f"00{number}", calling="100")
        messages.append(leg.invite(10 + number * 0.05))
        if answer:
            messages += [leg.answer(10.01 + number * 0.05, answer), leg.request(10.02 + number * 0.05, "ACK")]
    options = Leg(CUSTOMER, VC_C, "options@c")
    return plain(
        [*messages, options.request(60, "OPTIONS", tag=False), options.answer(60.01, 200, "OPTIONS")]
    )


def agent_leaves() -> list[Stamped]:
    """A queue: the first agent hangs up, a second one is called; the caller stays until 110 s."""
    caller = Leg(REMOTE, VC_R, "in@c")
    first, second = (Leg(VC_C, CUSTOMER, name) for name in ("one@v", "two@v"))
    begin = [m for m in answered(caller, first) if m.at < 3]
    then = [second.invite(20.1), second.answer(22, 200), second.request(22.1, "ACK")]
    end = [second.request(110, "BYE", 2), second.answer(110.01, 200, "BYE", 2)]
    end += [caller.request(110.02, "BYE", 2), caller.answer(110.03, 200, "BYE", 2)]
    return plain([*begin, *first.hung_up_by_callee(20), *then, *end])


def early(status: int) -> list[Stamped]:
    """PRACK of a call whose INVITE was not seen, and its refusal."""
    leg, other = Leg(CUSTOMER, VC_C, "in@c"), Leg(CUSTOMER, VC_C, "options@c")
    prack = leg.request(0, "PRACK", 2, "RAck: 1 1 INVITE\r\n")
    final = [leg.answer(5, status), leg.request(5.01, "ACK")]
    return plain([prack, leg.answer(0.01, 200, "PRACK", 2), *final, other.request(130, "OPTIONS", tag=False)])


def late_invite(status: int) -> list[Stamped]:
    """The final is stamped 2 ms before its INVITE."""
    leg = Leg(CUSTOMER, VC_C, "in@c")
    end = [leg.request(6, "BYE", 2), leg.answer(6.01, 200, "BYE", 2)] if status == 200 else []
    return plain([leg.answer(0.998, status), leg.invite(1.0), leg.request(1.01, "ACK"), *end])


def recorded() -> list[Stamped]:
    """A recording session of which only the Contact tells (RFC 7866 6.1.1)."""
    recorder = Leg(VC_R, "203.0.113.90", "srec@v", called="srs", calling="sbc", contact=";+sip.src")
    session = [recorder.invite(2.03), recorder.answer(2.1, 200), recorder.request(2.12, "ACK")]
    end = [recorder.request(7.05, "BYE", 2), recorder.answer(7.07, 200, "BYE", 2)]
    return plain([*answered(*legs()), *session, *end])


def cased(version: bytes) -> list[Stamped]:
    messages = answered(*legs())
    return plain(Message(m.at, m.src, m.dst, m.text.replace(b"SIP/2.0", version)) for m in messages)


def any_method() -> list[Stamped]:
    leg = Leg(CUSTOMER, VC_C, "odd@c")
    methods = ("X-PING", "foo.bar", "VOICE!", "A", "PROPFIND")
    return plain(leg.request(number, name, number + 1, tag=False) for number, name in enumerate(methods))


PASSED_ON = "DESIGN 4: a carrier's 503 that the SBC passes on is not ours"
STRANGER = "DESIGN 3: a stranger whom the vc never answers"
NONE_UNANSWERED = no_extra("attempts_unanswered_strangers", STRANGER)

CALL_VARIANTS: tuple[Variant, ...] = (
    ("throttle-of-the-vc", partial(refused, passed_on=False), (total("Throttles", 1, "no INVITE left"),)),
    (
        "throttle-passed-on",
        partial(refused, passed_on=True),
        (total("Throttles", 0, PASSED_ON), total("OutboundCallFailures", 1, "one 503")),
    ),
    (
        "throttle-of-a-leg-that-nothing-joins",
        partial(refused, passed_on=True, **TRUNK),
        (
            total("Throttles", None, "DESIGN 4: nobody knows whose 503 it was"),
            extra("throttles_unknown", 1, "DESIGN 4"),
            extra("legs_unjoined", 1, "nothing joins it"),
        ),
    ),
    *(
        (
            f"next-server-after-{status}",
            partial(next_server, status),
            (
                total("OutboundCallAttempts", 2, "DESIGN 4: no retry follows this status, so a new attempt"),
                total("OutboundCallFailures", 1, f"the {status} of the first server"),
                total("OutboundCallsAnswered", 1, "the second server's 200"),
                counted("call", 2, "an attempt each"),
                no_extra("legs_unjoined", "the outgoing leg is the second attempt's"),
            ),
        )
        for status in (503, 486, 500)
    ),
    (
        "stranger-never-answered",
        strangers,
        (total("InboundCallFailures", 0, STRANGER), extra("attempts_unanswered_strangers", 20, STRANGER)),
    ),
    (
        "carrier-no-longer-answered",
        partial(strangers, known=True),
        (total("InboundCallFailures", 20, "a peer that had a call"), NONE_UNANSWERED),
    ),
    (
        "stranger-refused",
        partial(strangers, answer=403),
        (total("InboundCallFailures", 20, "the vc answered"), NONE_UNANSWERED),
    ),
    (
        "customer-never-answered",
        partial(strangers, src="192.0.2.66"),
        (total("OutboundCallFailures", 20, "a customer is no stranger"), NONE_UNANSWERED),
    ),
    (
        "agent-leaves-caller-stays",
        agent_leaves,
        (
            total("InboundCallAttempts", 1, "one caller"),
            total("InboundCallsAnswered", 1, "one caller"),
            minutes("InboundCallsActive", [1, 1, None], "DESIGN 4: a BYE ends its dialog, not the call"),
        ),
    ),
    *(
        (
            f"prack-then-{status}",
            partial(early, status),
            (
                Check(
                    "calls_active_unknown by minute",
                    lambda output: [
                        row["extras"].get("calls_active_unknown", 0) for row in output.of("metrics")
                    ],
                    [0, 0, 0],
                    "RFC 3262 3: PRACK belongs to early dialogs",
                ),
            ),
        )
        for status in (480, 487)
    ),
    (
        "answer-stamped-before-invite",
        partial(late_invite, 200),
        (total("OutboundCallAttempts", 1, "one INVITE"), total("OutboundCallsAnswered", 1, "its 200")),
    ),
    (
        "busy-stamped-before-invite",
        partial(late_invite, 486),
        (total("OutboundCallFailures", 1, "its 486"), call("status", 486, "its 486")),
    ),
    (
        "recorder-told-by-contact",
        recorded,
        (
            extra("recording_sessions", 1, "RFC 7866 6.1.1: +sip.src"),
            counted("call", 1, "no call"),
            no_extra("legs_unjoined", "no leg of a call"),
            total("OutboundCallAttempts", 1, "one call"),
        ),
    ),
    ("version-in-mixed-case", partial(cased, b"Sip/2.0"), one_call("RFC 3261 7.1")),
    ("version-in-lower-case", partial(cased, b"sip/2.0"), one_call("RFC 3261 7.1")),
    ("methods-of-any-token", any_method, (counted("sip", 5, "RFC 3261 25.1: a method is a token"),)),
)


@pytest.mark.parametrize("variant", CALL_VARIANTS, ids=named)
def test_call_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- copies


def sip_of(*, ipv6: bool, after_us: int) -> list[Stamped]:
    return copied(plain(answered(*legs(ipv6=ipv6))), after_us)


COPY_VARIANTS: tuple[Variant, ...] = (
    (
        "ipv6-sip-within-2-ms",
        lambda: sip_of(ipv6=True, after_us=500),
        (capture("duplicate_frames", 14, COPY), total("Sip1xxCodes", 4, COPY), total("Sip2xxCodes", 4, COPY)),
    ),
    (
        "ipv6-sip-after-8-ms",
        lambda: sip_of(ipv6=True, after_us=8_000),
        (
            capture("duplicate_frames", 0, COPY),
            total("Sip1xxCodes", 8, COPY),
            total("OutboundCallAttempts", 1, COPY),
        ),
    ),
    (
        "no-identification-sip-after-8-ms",
        lambda: copied(anonymous(plain(answered(*legs()))), 8_000),
        (capture("duplicate_frames", 0, COPY), total("Sip1xxCodes", 8, COPY)),
    ),
    (
        "same-identification-sip-after-15-ms",
        lambda: sip_of(ipv6=False, after_us=15_000),
        (capture("duplicate_frames", 14, COPY), total("Sip1xxCodes", 4, COPY)),
    ),
    (
        "other-identification-sip-after-1-ms",
        lambda: copied(plain(answered(*legs())), 1_000, ident=1000),
        (capture("duplicate_frames", 0, COPY), total("Sip1xxCodes", 8, COPY)),
    ),
)


@pytest.mark.parametrize("variant", COPY_VARIANTS, ids=named)
def test_copy_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- messages that could not be read


@pytest.mark.parametrize("snap", [64, 96, 128, 160])
def test_sip_cut_by_the_snap_length_is_null(snap: int, tmp_path: Path) -> None:
    why = "DESIGN 4: cut by the snap length; a class is still counted from its Status-Line"
    checks = (
        *nulls(CALLS, why),
        total("Sip1xxCodes", 4, why),
        total("Sip2xxCodes", 4, why),
        unknown_because(why),
        stderr("cut", str(snap), why=why),
    )
    check(("snap", lambda: plain(answered(*legs())), checks), tmp_path, SIDES, snap=snap)


HELLO = (
    b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03" + bytes(58),
    b"\x16\x03\x03\x00\x26\x02\x00\x00\x22\x03\x03" + bytes(32),
)


def tls(*, port: int = 5061, ways: int = 0) -> list[Stamped]:
    """Application data records, and media in no, one or both ways beside them."""

    def records(text: bytes, client: bool) -> list[bytes]:
        return [b"\x17\x03\x03" + struct.pack(">H", len(text)) + bytes(b ^ 0xA5 for b in text)]

    frames = list(Connections(port, records, upgrade=HELLO).frames(answered(*legs())))
    scene = Scene(start=START)
    phone, relay = (CUSTOMER, 20_000), (VC_C, 30_000)
    for src, dst, ssrc in ((phone, relay, 5), (relay, phone, 6))[:ways]:
        scene.rtp(range(200), at=2, src=src, dst=dst, ssrc=ssrc)
    return frames + scene.frames


ENCRYPTED = "DESIGN 4: inside TLS without keys"
SILENT = (*nulls((*CALLS, *CODES), ENCRYPTED), unknown_because(ENCRYPTED), stderr("TLS", why=ENCRYPTED))
UNSIGNALLED = "DESIGN 3, media without signalling"
UNREAD: tuple[Variant, ...] = (
    ("tls-alone", tls, SILENT),
    ("tls-on-5060", partial(tls, port=5060), SILENT),
    (
        "tls-with-media",
        partial(tls, ways=2),
        (
            *SILENT,
            total("CustomerToVcRtpPackets", 200, UNSIGNALLED),
            total("VcToCustomerRtpPackets", 200, UNSIGNALLED),
            flagged("unsignalled", True, UNSIGNALLED),
        ),
    ),
    (
        "tls-with-media-one-way",
        partial(tls, ways=1),
        (*SILENT, total("CustomerToVcRtpPackets", None, "DESIGN 3: one-way packets prove nothing: null")),
    ),
)


@pytest.mark.parametrize("variant", UNREAD, ids=named)
def test_unread_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)


# -- carriers


def through(tunnel: packets.Tunnel, *, ipv6: bool) -> list[Stamped]:
    return tunnelled(answered(*legs(ipv6=ipv6)), tunnel)


def outer_fragments(tunnel: packets.Tunnel) -> list[Stamped]:
    return in_fragments(answered(*legs()), packets.fragmented(tunnel))


def over(connections: Connections, *, ipv6: bool = False, fragment: int = 0) -> list[Stamped]:
    return list(connections.frames(answered(*legs(ipv6=ipv6)), fragment))


def balanced(header: bytes, *, ipv6: bool = False) -> list[Stamped]:
    """The customer's leg comes through a load balancer that says whose connection it is."""
    messages = answered(*legs(ipv6=ipv6))
    inside = [m for m in messages if {m.src, m.dst} & {VC_C, sip_calls.VC_C6}]
    frames = list(Connections(5060, whole, greeting=header).frames(inside))
    return frames + plain(m for m in messages if m not in inside)


def upgraded(*, ipv6: bool = False, **how: Any) -> list[Stamped]:
    return over(Connections(8080, websocket(**how), upgrade=UPGRADE), ipv6=ipv6)


def over_sctp(*, bundle: int = 1, split: int = 1, ipv6: bool = False) -> list[Stamped]:
    """`split` fragments a message (B and E bits), `bundle` chunks a packet."""
    frames: list[Stamped] = []
    number: dict[str, int] = {}
    for m in answered(*legs(ipv6=ipv6)):
        step = -(-len(m.text) // split)
        chunks = []
        for place in range(split):
            number[m.src] = number.get(m.src, 0) + 1
            bits = (2 if place == 0 else 0) | (1 if place == split - 1 else 0)
            chunks.append(data_chunk(number[m.src], m.text[place * step : (place + 1) * step], bits))
        for place in range(0, split, bundle):
            frames.append(sctp(m, m.ns + place * 1000, *chunks[place : place + bundle]))
    return frames


def two_messages_a_packet() -> list[Stamped]:
    """A SACK before each; the 180 and the 200 of a leg in the same packet."""
    frames: list[Stamped] = []
    number: dict[str, int] = {}
    held: dict[str, bytes] = {}
    sack = struct.pack(">BBHIIHH", 3, 0, 16, 1, 65_535, 0, 0)
    for m in answered(*legs()):
        number[m.src] = number.get(m.src, 0) + 1
        chunk = data_chunk(number[m.src], m.text)
        if m.text.startswith(b"SIP/2.0 180"):
            held[m.src] = chunk
            continue
        first = held.pop(m.src, b"") if m.text.startswith(b"SIP/2.0 200") else b""
        frames.append(sctp(m, m.ns, sack, first, chunk))
    return frames


def over_hep(*, ipv6: bool = False, stream: bool = False) -> list[Stamped]:
    """From an agent to its collector, with an RTCP report as JSON among them."""
    agent, collector = ("203.0.113.1", 50_000), ("203.0.113.2", 9060)
    messages = answered(*legs(ipv6=ipv6))
    wrapped = [Message(m.at, agent[0], collector[0], hep(m)) for m in messages]
    report = hep(messages[0], b'{"sender_information":{"packets":1}}', 5)
    wrapped.append(Message(0.2, agent[0], collector[0], report))
    if stream:
        return list(Connections(9060, lambda text, client: [text[:90], text[90:]]).frames(wrapped))
    return [(m.ns, ethernet(udp(agent, collector, m.text))) for m in wrapped]


PORTS = struct.pack(">HH", 40_001, 5060)
ADDRESSES4 = packed(CUSTOMER) + packed(VC_C) + PORTS
ADDRESSES6 = packed(sip_calls.CUSTOMER6) + packed(sip_calls.VC_C6) + PORTS
DEEP = "DESIGN 5: a frame is decoded at every depth, to 4"
TOGETHER = "DESIGN 5: what was put together is decoded again"
PROXY = "PROXY protocol before the first message"

CARRIERS: tuple[Variant, ...] = (
    *(
        (f"{tunnel.__name__}-ipv{6 if ipv6 else 4}", partial(through, tunnel, ipv6=ipv6), one_call(DEEP))
        for tunnel in packets.TUNNELS
        for ipv6 in (False, True)
    ),
    *(
        (f"{tunnel.__name__}-in-outer-fragments", partial(outer_fragments, tunnel), one_call(TOGETHER))
        for tunnel in packets.TUNNELS
    ),
    *(
        (
            f"tcp-in-fragments-ipv{6 if ipv6 else 4}",
            lambda ipv6=ipv6: over(Connections(5060, whole), ipv6=ipv6, fragment=200),
            one_call("DESIGN 5: TCP in fragments"),
        )
        for ipv6 in (False, True)
    ),
    ("proxy-v1", partial(balanced, b"PROXY TCP4 192.0.2.10 10.0.0.1 40001 5060\r\n"), one_call(PROXY)),
    ("proxy-v1-unknown", partial(balanced, b"PROXY UNKNOWN\r\n"), one_call(PROXY)),
    (
        "proxy-v1-ipv6",
        partial(balanced, b"PROXY TCP6 2001:db8:c::10 2001:db8:a::1 40001 5060\r\n", ipv6=True),
        one_call(PROXY),
    ),
    ("proxy-v2-ipv6", partial(balanced, proxy_v2(1, 0x21, ADDRESSES6), ipv6=True), one_call(PROXY)),
    ("proxy-v2-local", partial(balanced, proxy_v2(0, 0, b"")), one_call(PROXY)),
    ("proxy-v2-with-tlv", partial(balanced, proxy_v2(1, 0x11, ADDRESSES4 + b"\xea\0\3abc")), one_call(PROXY)),
    ("websocket", upgraded, one_call("RFC 7118")),
    ("websocket-ipv6", partial(upgraded, ipv6=True), one_call("RFC 7118")),
    ("websocket-three-frames-a-message", partial(upgraded, parts=3), one_call("RFC 6455 5.4: fragments")),
    (
        "websocket-ping-inside",
        partial(upgraded, parts=2, ping=True),
        one_call("RFC 6455 5.5: control"),
    ),
    ("websocket-over-two-segments", partial(upgraded, split=True), one_call("RFC 7118 over TCP")),
    ("sctp-ipv6", partial(over_sctp, ipv6=True), one_call("RFC 4168")),
    ("sctp-message-in-three-chunks", partial(over_sctp, split=3), one_call("RFC 9260 6.9: fragments")),
    ("sctp-chunks-in-one-packet", partial(over_sctp, split=3, bundle=3), one_call("RFC 9260 6.10: bundling")),
    ("sctp-two-messages-a-packet", two_messages_a_packet, one_call("RFC 9260 6.10: bundling")),
    ("hep-ipv4", over_hep, one_call("HEP3: RTCP as JSON is no SIP")),
    ("hep-ipv6", partial(over_hep, ipv6=True), one_call("HEP3 with addresses of IPv6")),
    ("hep-over-tcp", partial(over_hep, stream=True), one_call("HEP3 over TCP")),
)


@pytest.mark.parametrize("variant", CARRIERS, ids=named)
def test_carrier_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
