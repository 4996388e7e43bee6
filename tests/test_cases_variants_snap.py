"""A call in every encapsulation, cut at every length: each count is right, or null with a cause."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from typing import Any

import pytest

from agent.config.settings import Config
from agent.pipeline import build, pass_on
from agent.summary.records import ConnectorMinute
from agent.wire.frame import LINK_ETHERNET, Frame, batch_of, origin
from tests.cases import packets, sip_calls
from tests.cases.field_calls import DOWN, FAR, NEAR_C, NEAR_R, PHONE, TALK, UP, VC_C, VC_R, Call, report
from tests.cases.packets import Stamped
from tests.kit.packets import SCTP, TCP, UDP, datagram, ethernet, fragments, ip, tcp, udp
from tests.kit.replayed import Keeper

SNAPS = range(14, 121)
WHOLE = 262_144
ETHERNET = origin(LINK_ETHERNET, 0)
TAG = b"\x81\0\0\7"
Wrap = Callable[[bytes], bytes]  # a frame in, a frame out
Carry = Callable[[list[Stamped]], list[Stamped]]  # all frames of the call


def inside(tunnel: packets.Tunnel) -> Wrap:
    return lambda frame: ethernet(tunnel(frame[14:]))


WRAPS: dict[str, Wrap] = {
    "plain": lambda frame: frame,
    "vlan": lambda frame: frame[:12] + TAG + frame[12:],
    "two-tags": lambda frame: frame[:12] + TAG + TAG + frame[12:],
    "mpls": lambda frame: frame[:12] + b"\x88\x47\0\0\1\x40" + frame[14:],
    "pppoe": lambda frame: (
        frame[:12] + b"\x88\x64\x11\0\0\7" + bytes(2) + packets.ppp_type(frame[14:]) + frame[14:]
    ),
    **{tunnel.__name__: inside(tunnel) for tunnel in packets.TUNNELS},
}


def a_call() -> list[Stamped]:
    """Outbound: SIP on both legs, ten RTP packets and one RTCP packet each way."""
    call = Call().begin().relay(0.2)
    for src, dst, ssrc in (
        (PHONE, NEAR_C, UP),
        (NEAR_C, PHONE, DOWN),
        (FAR, NEAR_R, DOWN),
        (NEAR_R, FAR, UP),
    ):
        src, dst, about = (src[0], src[1] + 1), (dst[0], dst[1] + 1), UP + DOWN - ssrc
        report(call.scene, TALK + 0.15, src, dst, about, ssrc=ssrc, highest=105)
    return call.end(TALK + 1).scene.frames


def ends(frame: bytes) -> tuple[str, str, int, int]:
    ports = struct.unpack_from(">HH", frame, 34)
    return str(ip_address(frame[26:30])), str(ip_address(frame[30:34])), *ports


def carried(sip: Callable[[str, str, bytes], bytes]) -> Carry:
    """The SIP as `sip` puts it, media in UDP as it was."""

    def carry(frames: list[Stamped]) -> list[Stamped]:
        out = []
        for stamp, frame in frames:
            src, dst, port, _ = ends(frame)
            out.append((stamp, ethernet(sip(src, dst, frame[42:])) if port == 5060 else frame))
        return out

    return carry


def over_tcp(frames: list[Stamped]) -> list[Stamped]:
    numbers: Counter[tuple[str, str]] = Counter()

    def segment(src: str, dst: str, text: bytes) -> bytes:
        number = 1000 + numbers[src, dst]
        numbers[src, dst] += len(text)
        return ip(src, dst, TCP, tcp((src, 5060), (dst, 5060), number, text))

    return carried(segment)(frames)


def over_sctp(frames: list[Stamped]) -> list[Stamped]:
    numbers: Counter[tuple[str, str]] = Counter()

    def chunk(src: str, dst: str, text: bytes) -> bytes:
        numbers[src, dst] += 1
        chunks = sip_calls.data_chunk(numbers[src, dst], text)
        return ip(src, dst, SCTP, struct.pack(">HHII", 5060, 5060, 1, 0) + chunks)

    return carried(chunk)(frames)


def over_hep(src: str, dst: str, text: bytes) -> bytes:
    packet = sip_calls.hep(sip_calls.Message(0, src, dst, text))
    return udp((packets.TUNNEL[0], 50_000), (packets.TUNNEL[1], 9060), packet)


def over_ipv6(frames: list[Stamped]) -> list[Stamped]:
    """Media and SIP between IPv4 addresses that are written as IPv6."""

    def mapped(address: str) -> str:
        return f"::ffff:{address}"

    out = []
    for stamp, frame in frames:
        src, dst, port, to = ends(frame)
        out.append((stamp, ethernet(udp((mapped(src), port), (mapped(dst), to), frame[42:]))))
    return out


CARRIES: dict[str, Carry] = {
    "udp": list,
    "tcp": over_tcp,
    "sctp": over_sctp,
    "hep": carried(over_hep),
    "ipv6": over_ipv6,
}


def counts(frames: list[Stamped], snap: int = WHOLE, more: Frame | None = None) -> ConnectorMinute:
    """The minute of a capture that cuts frames at `snap` bytes; `more`: its last frame."""
    pipeline, kept = build(Config(), vc=(VC_C, VC_R), customers=("192.0.2.0/24",)), Keeper()
    ordered = sorted(frames, key=lambda row: row[0])
    cut = [Frame(data[:snap], stamp, ETHERNET, len(data)) for stamp, data in ordered]
    pass_on(pipeline.engine.feed(batch_of([*cut, *([more] if more else [])])), pipeline.intervals, kept)
    pass_on(pipeline.engine.finish(), pipeline.intervals, kept)
    (summary,) = kept.summaries
    return summary.connectors[0]


@cache
def truth() -> dict[str, Any]:
    return {name: value for name, value in counts(a_call()).values.items() if isinstance(value, int)}


def wrong(minute: ConnectorMinute) -> list[str]:
    """Counts that are neither right nor null, and nulls without a cause."""
    found = [
        f"{name} {minute.values[name]}"
        for name in truth()
        if minute.values[name] not in (None, truth()[name])
    ]
    is_silent = None in (minute.values[name] for name in truth()) and not minute.unknown_because
    return [*found, *(["a null without a cause"] if is_silent else [])]


def test_call_seen_whole_has_no_null() -> None:
    assert sum(truth().values()) > 7_000
    assert truth()["OutboundCallsAnswered"] == 1


# Each by itself is quick, and each with each is not.
CARRIED_AND_WRAPPED = [
    pytest.param(carry, wrap, marks=() if carry == "udp" or wrap == "plain" else pytest.mark.slow)
    for wrap in WRAPS
    for carry in CARRIES
]


@pytest.mark.parametrize(("carry", "wrap"), CARRIED_AND_WRAPPED)
def test_call_cut_at_any_length_leaves_no_wrong_count(wrap: str, carry: str) -> None:
    frames = [(stamp, WRAPS[wrap](frame)) for stamp, frame in CARRIES[carry](a_call())]
    assert not wrong(counts(frames))
    snaps = SNAPS if carry == "udp" else SNAPS[::3]
    assert not {snap: lines for snap in snaps if (lines := wrong(counts(frames, snap)))}


# -- what such a frame says nothing of

ELSEWHERE = ethernet(udp(("203.0.113.7", 5000), ("203.0.113.8", 5000), bytes(99)))
ECHO = ethernet(ip(VC_C, "198.51.100.77", 1, bytes(99)))
ARP = ethernet(bytes(46), 0x0806)


@pytest.mark.parametrize(("frame", "cut"), [(ELSEWHERE, 40), (ECHO, 36), (ARP, 20)])
def test_frame_of_others_cut_in_its_headers_makes_nothing_unknown(frame: bytes, cut: int) -> None:
    call = a_call()
    more = Frame(frame[:cut], max(stamp for stamp, _ in call), ETHERNET, len(frame))
    minute = counts(call, more=more)
    assert {name: minute.values[name] for name in truth()} == truth()
    assert not minute.unknown_because


# -- fragments


def in_fragments(frames: list[Stamped]) -> list[Stamped]:
    """Every datagram in fragments of 400 bytes."""
    out = []
    for ident, (stamp, frame) in enumerate(frames, 1):
        src, dst, port, to = ends(frame)
        whole = datagram(port, to, frame[42:] + bytes(600 if port != 5060 else 0))
        out += [
            (stamp + place, ethernet(part))
            for place, part in enumerate(fragments(src, dst, UDP, whole, ident, 400))
        ]
    return out


def test_fragments_cut_at_any_length_leave_no_wrong_count() -> None:
    frames = in_fragments([(stamp, frame) for stamp, frame in a_call() if frame[43] not in (200, 201)])
    true = counts(frames).values
    for snap in (*SNAPS, 200, 300, 400):
        came = counts(frames, snap)
        assert not {n: v for n, v in came.values.items() if isinstance(v, int) and v != true[n]}, snap
        assert came.unknown_because, snap


@pytest.mark.parametrize("tunnel", packets.TUNNELS)
def test_fragments_of_tunnels_cut_at_any_length_leave_no_wrong_count(tunnel: packets.Tunnel) -> None:
    send = packets.fragmented(tunnel)
    frames = [
        (stamp + place, ethernet(part))
        for ident, (stamp, frame) in enumerate(a_call(), 1)
        for place, part in enumerate(send(frame[14:], ident))
    ]
    assert not wrong(counts(frames))
    assert not {snap: lines for snap in SNAPS[::3] if (lines := wrong(counts(frames, snap)))}
