"""Calls' worth of traffic that hypothesis plans and scapy writes, with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

START_S = 1_700_000_040  # two seconds into a minute
PACKET_MS = 20
SAMPLES = {0: 160, 8: 160, 9: 160, 3: 160, 18: 160}  # RFC 3551: payload type -> ticks in 20 ms
METHODS = ("OPTIONS", "REGISTER", "MESSAGE", "NOTIFY", "INFO")


@dataclass(frozen=True)
class Planned:
    """One stream. `restart` numbers are skipped half-way: the source began again."""

    ssrc: int
    payload_type: int
    first: int
    timestamp: int
    count: int
    dropped: frozenset[int]
    repeated: frozenset[int]
    late: tuple[tuple[int, int], ...]  # (place, places that it comes later)
    jitter_ms: tuple[int, ...]
    restart: int

    def arrivals(self) -> list[tuple[float, int, int]]:
        """(seconds, sequence number, timestamp) in order of arrival."""
        delays = dict(self.late)
        sent = []
        for place in range(self.count):
            if place in self.dropped:
                continue
            jump = self.restart if place >= self.count // 2 else 0
            number = self.first + place + jump & 0xFFFF
            ticks = self.timestamp + place * SAMPLES[self.payload_type] & 0xFFFFFFFF
            at_ms = PACKET_MS * (place + delays.get(place, 0)) + self.jitter_ms[place % len(self.jitter_ms)]
            sent.append((at_ms / 1000, number, ticks))
            if place in self.repeated:
                sent.append(((at_ms + 1) / 1000, number, ticks))
        return sorted(sent)

    def features(self) -> set[str]:
        told = {
            "loss": bool(self.dropped),
            "duplicate": bool(self.repeated),
            "swap": bool(self.late),
            "wrap": self.first + self.count > 0xFFFF and self.first <= 0xFFFF,
            "restart": bool(self.restart),
        }
        return {name for name, is_so in told.items() if is_so}


@dataclass(frozen=True)
class Plan:
    streams: tuple[Planned, ...]
    statuses: tuple[int, ...]
    methods: tuple[str, ...]
    ipv6: bool
    vlan: bool


@st.composite
def planned(draw: st.DrawFn, number: int) -> Planned:
    count = draw(st.integers(12, 120))
    half = count // 2
    # The ends of each half arrive, in order: where a stream begins and ends is then not in question.
    fixed = {0, 1, 2, half - 2, half - 1, half, half + 1, half + 2, count - 2, count - 1}
    middle = [place for place in range(count) if place not in fixed]
    some = (
        st.frozensets(st.sampled_from(middle), max_size=len(middle) // 2) if middle else st.just(frozenset())
    )
    dropped = draw(some)
    repeated = draw(some) - dropped
    movable = [place for place in middle if place not in dropped and place + 6 not in fixed]
    late = draw(st.dictionaries(st.sampled_from(movable), st.integers(1, 5), max_size=4)) if movable else {}
    late = {place: by for place, by in late.items() if place + by < (half if place < half else count) - 2}
    return Planned(
        ssrc=0x10203040 + number,
        payload_type=draw(st.sampled_from(sorted(SAMPLES))),
        first=draw(st.one_of(st.integers(0, 0xFFFF), st.integers(0xFFFF - count, 0xFFFF))),
        timestamp=draw(st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFFFFF - 4000, 0xFFFFFFFF))),
        count=count,
        dropped=dropped,
        repeated=repeated,
        late=tuple(sorted(late.items())),
        jitter_ms=tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=12))),
        restart=draw(st.sampled_from([0, 0, 5000, 30_000])),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    return Plan(
        streams=tuple(draw(planned(number)) for number in range(draw(st.integers(1, 4)))),
        statuses=tuple(draw(st.lists(st.integers(100, 699), max_size=6))),
        methods=tuple(draw(st.lists(st.sampled_from(METHODS), max_size=4))),
        ipv6=draw(st.booleans()),
        vlan=draw(st.booleans()),
    )


def write(plan: Plan, path: Path) -> None:
    """The plan as a pcap in microseconds, in order of time."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Dot1Q, Ether
    from scapy.layers.rtp import RTP
    from scapy.packet import Raw
    from scapy.utils import PcapWriter

    identifications = count(1)  # a sender's packets differ in it, also where he sends one twice

    def below(port: int) -> Any:
        link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        link = link / Dot1Q(vlan=7) if plan.vlan else link
        near, far = ("2001:db8::1", "2001:db8::2") if plan.ipv6 else ("192.0.2.1", "192.0.2.2")
        network = IPv6(src=near, dst=far) if plan.ipv6 else IP(src=near, dst=far, id=next(identifications))
        return link / network / UDP(sport=port, dport=port)

    frames: list[tuple[float, Any]] = []
    for number, stream in enumerate(plan.streams):
        for seconds, sequence, ticks in stream.arrivals():
            rtp = RTP(
                sequence=sequence,
                timestamp=ticks,
                sourcesync=stream.ssrc,
                payload_type=stream.payload_type,
                marker=0,
            )
            frames.append((seconds, below(30_000 + 2 * number) / rtp / Raw(b"\xd5" * 160)))
    lines = [f"SIP/2.0 {status} Because" for status in plan.statuses]
    lines += [f"{method} sip:bob@example.com SIP/2.0" for method in plan.methods]
    for place, line in enumerate(lines):
        method = line.split()[0] if "sip:" in line else "OPTIONS"
        text = (
            f"{line}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{place}\r\n"
            "From: <sip:a@example.com>;tag=1\r\n"
            f"To: <sip:b@example.com>;tag=2\r\nCall-ID: {place}@example.com\r\nCSeq: {place + 1} {method}\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        frames.append((0.1 * place + 0.003, below(5060) / Raw(text.encode())))
    with PcapWriter(str(path), sync=True) as writer:
        for seconds, frame in sorted(frames, key=lambda pair: pair[0]):
            frame.time = START_S + seconds
            writer.write(frame)
