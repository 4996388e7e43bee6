"""What is taken in once: copies by time, sockets, bytes and path."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from agent.calls.signalling_cy import CallRules, Signalling
from agent.engine.intake_cy import MAX_COPIES, Intake
from agent.errors import Reason
from agent.model.sides import Sides
from agent.transport.rate_limit import RateLimit
from agent.wire.frame import LINK_ETHERNET, origin
from tests.kit.tunnelled import PEER, TUNNELLED, VOICE, ether, ip

MS = 1_000_000
RTCP = b"\x80\xc9\x00\x01\x00\x00\x00\x07"


class Media:
    """Takes RTCP and makes nothing of it."""

    def rtcp(self, *seen: Any) -> None:
        pass


def intake(*, single_span: bool = False) -> Intake:
    """One that knows no call: what it is given is neither SIP nor RTP."""
    sides, media = Sides(), cast(Any, Media())
    signalling = Signalling(CallRules(), sides, media, [])
    rejects: Counter[Reason] = Counter()
    return Intake(sides, signalling, media, RateLimit(0), rejects, single_span)


def give(to: Intake, payload: bytes, at_ns: int, *, port: int = 5060, interface: int = 0) -> None:
    udp = struct.pack(">HHHH", port, 5060, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 1, 2)
    data = bytes(12) + b"\x08\x00" + ip + udp
    to.hold(data)
    to.frame(0, len(data), at_ns, origin(LINK_ETHERNET, interface))
    to.hold(b"")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([b"keep", b"alive", RTCP]),
            st.sampled_from([5060, 5061]),
            st.integers(0, 1),
            st.sampled_from([0, 1, 9 * MS, 20 * MS, 20 * MS + 1, 45 * MS]),
        ),
        max_size=30,
    ),
    single_span=st.booleans(),
)
def test_copy_is_the_same_bytes_between_the_same_sockets_within_20_ms(
    steps: list[tuple[bytes, int, int, int]], single_span: bool
) -> None:
    taken = intake(single_span=single_span)
    last: dict[tuple[bytes, int], tuple[int, int]] = {}
    now_ns, copies = 0, 0
    for payload, port, interface, later_ns in steps:
        now_ns += later_ns
        seen_ns, seen_by = last.get((payload, port), (-1_000 * MS, 0))
        again = payload == RTCP and not single_span and seen_by == interface
        if now_ns - seen_ns <= 20 * MS and not again:
            copies += 1
        else:
            last[payload, port] = now_ns, interface
        give(taken, payload, now_ns, port=port, interface=interface)
        assert taken.duplicates == copies


def test_packets_that_are_remembered_are_bounded_whatever_comes() -> None:
    taken = intake()
    for number in range(3 * MAX_COPIES):
        give(taken, b"keep" + number.to_bytes(4, "big"), 0)
    assert taken.tables()["digests"] <= 2 * MAX_COPIES
    give(taken, b"keep" + (3 * MAX_COPIES - 1).to_bytes(4, "big"), 0)
    assert taken.duplicates == 1


def pieces(packet: bytes, size: int) -> list[bytes]:
    """An IPv4 packet without options in Ethernet frames of one fragment each."""
    body, frames = packet[20:], []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = 0x2000 if at + size < len(body) else 0
        head = packet[:2] + struct.pack(">H", 20 + len(part)) + packet[4:6]
        frames.append(ether(head + struct.pack(">H", at >> 3 | more) + packet[8:20] + part))
    return frames


def give_frames(to: Intake, frames: list[bytes]) -> None:
    for at_ns, data in enumerate(frames):
        to.hold(data)
        to.frame(0, len(data), at_ns, origin(LINK_ETHERNET, 0))
        to.hold(b"")


def test_outer_datagram_in_fragments_is_opened_once_it_is_whole() -> None:
    outer = ip(*TUNNELLED["vxlan"], PEER)
    first, *rest = pieces(outer, 40)
    it = intake()
    give_frames(it, [first])
    assert it.tunnels() == {}
    give_frames(it, rest)
    assert it.tunnels() == {"vxlan": 1}


def test_fragments_in_fragments_end() -> None:
    packet = ip(4, VOICE)
    for _ in range(6):  # each tunnel's packet in two fragments, which come in tunnels of their own
        half = len(packet[20:]) // 16 * 8
        packet = ip(4, pieces(packet, half)[0][14:])
    it = intake()
    give_frames(it, [ether(packet)])
    assert it.tables()["fragments"] <= 1
