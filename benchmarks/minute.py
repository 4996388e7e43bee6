"""What it costs to close a minute in which a host had 5,000 calls, and to take an RTCP packet.

    python -m benchmarks.minute [--calls 5000] [--profile]

Every call is relayed: two legs, four streams, receiver reports from both ends. SIP, RTP and RTCP all go in as
frames through `Engine.feed`, for that is the only way to have the state that a real minute has. Then the
clock passes the minute's end and CPU time is taken of `Engine.advance` (timers, gauges, harvest) and of
`Intervals` (records and metrics) apart.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import struct
import time
from array import array
from collections.abc import Callable, Iterator

import msgspec

from agent.cli import COLLECT_AFTER
from agent.config.settings import Config
from agent.model.events import Event
from agent.pipeline import Pipeline, build
from agent.wire.frame import LINK_ETHERNET, Batch, origin

START_NS = 1_800_000_000_000_000_000  # the start of a minute
MS = 1_000_000
ORIGIN = origin(LINK_ETHERNET, 0)
PACKETS = 100  # of every stream in the minute: what a close costs does not depend on it
STEP_NS = 580 * MS  # so that they reach from the minute's third second to its last
REPORTS = (20, 40, 60, 80)  # behind which packets both ends report
VC_C, VC_R = "10.0.0.1", "10.0.0.2"
Socket = tuple[str, int]


class Wire:
    """Frames put down in order of time, handed over in batches."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.index = array("q")

    def put(self, stamp_ns: int, src: Socket, dst: Socket, payload: bytes) -> None:
        addresses = bytes(int(part) for address in (src[0], dst[0]) for part in address.split("."))
        size = 8 + len(payload)
        frame = (
            bytes(12) + b"\x08\x00" + struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0, 0, 17, 0) + addresses
            + struct.pack(">HHHH", src[1], dst[1], size, 0) + payload
        )  # fmt: skip
        self.index.extend((len(self.data), len(frame), len(frame), stamp_ns, ORIGIN))
        self.data += frame

    def batch(self) -> Batch:
        done = Batch(bytes(self.data), self.index)
        self.data, self.index = bytearray(), array("q")
        return done


def sockets(call: int) -> tuple[Socket, Socket, Socket, Socket]:
    """Customer, vc towards it, vc towards the remote end, remote end."""
    port = 10_000 + 4 * call
    return (f"192.0.{call >> 8}.{call & 255}", 4000), (VC_C, port), (VC_R, port), ("198.51.100.9", port)


def sdp(socket: Socket) -> bytes:
    return (
        f"v=0\r\no=- 1 1 IN IP4 {socket[0]}\r\ns=-\r\nc=IN IP4 {socket[0]}\r\nt=0 0\r\n"
        f"m=audio {socket[1]} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    ).encode()


def signalling(wire: Wire, calls: int) -> None:
    """INVITE and 200 on both legs of every call."""
    for call in range(calls):
        cust, near, far, rem = sockets(call)
        at = START_NS + call * MS // 10
        users = f"From: <sip:+4420794{call:05}@a>;tag=f{call}\r\nX-Call-ID: {call}\r\nCSeq: 1 INVITE\r\n"
        for src, dst, leg, first, body in (
            (cust[0], VC_C, "a", "INVITE sip:b SIP/2.0", cust),
            (VC_R, rem[0], "b", "INVITE sip:b SIP/2.0", far),
            (rem[0], VC_R, "b", "SIP/2.0 200 OK", rem),
            (VC_C, cust[0], "a", "SIP/2.0 200 OK", near),
        ):
            tag = "" if "INVITE" in first else f";tag=t{leg}"
            text = sdp(body)
            head = (
                f"{first}\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{call}{leg}\r\n{users}"
                f"To: <sip:+120655{call:05}@b>{tag}\r\nCall-ID: {call}{leg}\r\n"
                f"Content-Type: application/sdp\r\nContent-Length: {len(text)}\r\n\r\n"
            )
            wire.put(at, (src, 5060), (dst, 5060), head.encode() + text)


def streams(call: int) -> list[tuple[Socket, Socket, int]]:
    cust, near, far, rem = sockets(call)
    return [
        (cust, near, 2 * call),
        (far, rem, 2 * call),
        (rem, far, 2 * call + 1),
        (near, cust, 2 * call + 1),
    ]


def media(wire: Wire, calls: int) -> Iterator[tuple[int, Batch]]:
    """Every stream's packets, some lost on the way to the vc, number by number."""
    for number in range(PACKETS):
        at = START_NS + 2_000 * MS + number * STEP_NS
        for call in range(calls):
            for place, (src, dst, ssrc) in enumerate(streams(call)):
                if number == 50 and call % 7 == 0:
                    continue
                head = struct.pack(">BBHII", 0x80, 8, number, number * 4640, ssrc)
                wire.put(at + call * 1000 + place * (100 + call % 97), src, dst, head + bytes(20))
        yield number, wire.batch()


def reports(wire: Wire, calls: int, at: int, number: int) -> None:
    """Both ends report on what they get; the SBC relays."""
    middle = at // MS & 0xFFFF_FFFF
    for call in range(calls):
        cust, near, far, rem = sockets(call)
        for src, first, second, dst, ssrc, about in (
            (cust, near, far, rem, 2 * call, 2 * call + 1),
            (rem, far, near, cust, 2 * call + 1, 2 * call),
        ):
            block = struct.pack(">IIIIII", about, call % 3, number, 8, middle - 5000 & 0xFFFF_FFFF, 0)
            payload = struct.pack(">BBHIQIII", 0x81, 200, 12, ssrc, middle << 16, 0, 0, 0) + block
            for one, other in ((src, first), (second, dst)):
                wire.put(at, (one[0], one[1] + 1), (other[0], other[1] + 1), payload)


def cpu(action: Callable[[], object]) -> float:
    """CPU milliseconds of this process."""
    before = time.process_time()
    action()
    return (time.process_time() - before) * 1000


def build_minute(calls: int) -> tuple[Pipeline, float, int]:
    """A pipeline with a minute's traffic behind it; CPU microseconds per RTCP packet, and how many."""
    # A connector with networks: legs are decided at once, so that SIP rows are no part of the close.
    config = msgspec.convert({"connectors": [{"id": "c", "customer_networks": ["192.0.0.0/16"]}]}, Config)
    pipeline = build(config, vc=(VC_C, VC_R))
    engine, intervals = pipeline.engine, pipeline.intervals

    def take(events: list[Event]) -> None:
        for event in events:
            intervals.record(event)

    wire = Wire()
    signalling(wire, calls)
    take(engine.feed(wire.batch()))
    spent = packets = 0.0
    for number, batch in media(wire, calls):
        take(engine.feed(batch))
        if number in REPORTS:
            reports(wire, calls, START_NS + 2_200 * MS + number * STEP_NS, number)
            told = wire.batch()
            packets += len(told)
            spent += cpu(lambda told=told: take(engine.feed(told)))  # type: ignore[misc]
    intervals.messages()
    while intervals.news():  # as with each checkpoint, seconds after a call's INVITE
        pass
    return pipeline, spent * 1000 / packets, int(packets)


def close(pipeline: Pipeline) -> tuple[float, float, int]:
    """CPU ms of the engine's part and of the intervals'; media records made."""
    engine, intervals = pipeline.engine, pipeline.intervals
    events: list[Event] = []
    # What happens before the boundary (timers, the gauges) is not the close.
    engine.advance(START_NS + 60_000 * MS)
    gc.collect()
    gc.set_threshold(*COLLECT_AFTER)  # as every command does
    engine_ms = cpu(lambda: events.extend(engine.advance(START_NS + 63_001 * MS)))

    def record() -> None:
        for event in events:
            intervals.record(event)

    intervals_ms = cpu(record)
    (summary,) = intervals.closed()
    return engine_ms, intervals_ms, len(summary.media)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--profile", action="store_true", help="print where the time of the close goes")
    chosen = parser.parse_args()
    pipeline, rtcp_us, packets = build_minute(chosen.calls)
    print(f"RTCP: {rtcp_us:.1f} us a packet over {packets:,} packets")
    if chosen.profile:
        profile = cProfile.Profile()
        profile.runcall(close, pipeline)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    engine_ms, intervals_ms, records = close(pipeline)
    total = engine_ms + intervals_ms
    print(
        f"close: {total:.0f} ms CPU (engine {engine_ms:.0f}, intervals {intervals_ms:.0f}),"
        f" {records:,} records"
    )


if __name__ == "__main__":
    main()
