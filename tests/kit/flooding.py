"""Floods as captures whose stamps carry 100,000 frames a second (5,000 of 59 kB), beside fifty real calls.

    python -m tests.kit.flooding invites 100000 [--live] [--mb 512]

Prints one line of JSON: what the fifty calls came to, what the tables hold, and the greatest resident memory.
"""

from __future__ import annotations

import json
import random
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.commands import replay
from agent.config.settings import Config
from agent.daemon import checkpoint
from agent.pipeline import build, pass_on
from agent.summary.records import Summary
from agent.wire.frame import LINK_ETHERNET, Frame, batch_of, origin
from tests.kit import generate
from tests.kit.packets import ethernet, ip

CALLS, SECONDS = 50, 6.0
STEP_NS = 10_000  # 100,000 a second
BEGIN_NS = generate.BEGIN_S * 10**9 + 1_000_000_000  # the calls are up by then
CHUNK = 5_000
ORIGIN = origin(LINK_ETHERNET, 0)


def invites(number: int, draw: random.Random) -> bytes:
    return _sip("INVITE", number, f"203.0.113.{number % 250}", draw)


def trunks(number: int, draw: random.Random) -> bytes:
    """In the name of four customers, who call while it goes on: from 0.4 s before the calls begin."""
    return _sip("INVITE", number, generate.customer(number % 4), draw)


def registers(number: int, draw: random.Random) -> bytes:
    return _sip("REGISTER", number, "203.0.113.9", draw)


def _sip(method: str, number: int, source: str, draw: random.Random) -> bytes:
    name = f"{draw.getrandbits(64):016x}"
    text = (
        f"{method} sip:{number}@{generate.VC} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {source}:5060;branch=z9hG4bK{name}\r\n"
        f"From: <sip:{name[:9]}@example.net>;tag={name}\r\nTo: <sip:{number}@example.net>\r\n"
        f"Call-ID: {name}\r\nCSeq: 1 {method}\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    )
    return generate.udp((source, 5060), (generate.VC, 5060), text.encode())


def most_resident_mb() -> int:
    """The most memory this process had. `getrusage` would count what its parent had when it started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def ssrcs(number: int, draw: random.Random) -> bytes:
    """Onto the media socket of a real call, from where its customer sends."""
    rtp = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number, draw.getrandbits(32)) + bytes(160)
    call = number % CALLS
    return generate.udp(("203.0.113.7", 40000 + number % 20000), (generate.VC, generate.port(call)), rtp)


def pairs(number: int, draw: random.Random) -> bytes:
    """Two packets in sequence of each invented SSRC: accepted streams."""
    rtp = struct.pack("!BBHII", 0x80, 0, number & 1, number, 0x20000000 + number // 2) + bytes(160)
    return generate.udp(("203.0.113.7", 40000), (generate.VC, 50000), rtp)


def segments(number: int, draw: random.Random) -> bytes:
    """TCP without a SYN, with what may be the middle of a message."""
    payload = b"Via: SIP/2.0/TCP x;branch=z9hG4bK1\r\nContent-Length: 90000\r\n" * 8
    tcp = struct.pack(
        "!HHIIBBHHH", 1024 + number % 60000, 5060, draw.getrandbits(32), 1, 0x50, 0x10, 999, 0, 0
    )
    return _ip(6, f"203.0.{number >> 16 & 255}.{number >> 8 & 255}", 0, number, tcp + payload)


def fragments(number: int, draw: random.Random) -> bytes:
    """First fragments whose rest never comes."""
    udp = struct.pack("!HHHH", 5060, 5060, 4000, 0) + bytes(1000)
    return _ip(17, f"203.0.113.{number % 250}", 0x2000, number, udp)


def _ip(protocol: int, source: str, flags: int, number: int, payload: bytes) -> bytes:
    return ethernet(ip(source, generate.VC, protocol, payload, number & 0xFFFF, flags))


def big_sip(number: int, draw: random.Random) -> bytes:
    """INVITEs of 59 kB, whose identifiers are as long as they may be."""
    name = f"{draw.getrandbits(64):016x}" * 500
    text = (
        f"INVITE sip:{name}@{generate.VC} SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{name}\r\n"
        f"From: <sip:{name}@example.net>;tag={name}\r\nTo: <sip:1@example.net>\r\n"
        f"Call-ID: {name}\r\nCSeq: 1 INVITE\r\nX-Call-ID: {name}\r\nContent-Length: 0\r\n\r\n"
    )
    return generate.udp((f"203.0.113.{number % 250}", 5060), (generate.VC, 5060), text.encode())


def fat_sdp(host: str, draw: random.Random) -> str:
    """28 m-lines, and types, candidates and SSRCs as many as fit into 59 kB."""
    lines = ["v=0", f"c=IN IP4 {host}"]
    for media in range(28):
        lines.append(f"m=audio {2000 + media * 2} RTP/AVP {' '.join(map(str, range(96, 127)))}")
        lines += [f"a=rtpmap:{96 + n} {draw.getrandbits(32):08x}/8000" for n in range(31)]
        lines += [f"a=candidate:1 1 udp 1 {host} {draw.getrandbits(15) + 1} typ host" for n in range(12)]
        lines += [f"a=ssrc:{draw.getrandbits(32)} cname:x" for n in range(12)]
    return "\r\n".join(lines) + "\r\n"


def big_sdp(number: int, draw: random.Random) -> bytes:
    """INVITEs of 59 kB with 28 m-lines, and candidates, types and SSRCs as many as fit."""
    host = f"203.0.113.{number % 250}"
    body = fat_sdp(host, draw)
    name = f"{draw.getrandbits(64):016x}"
    text = (
        f"INVITE sip:{number}@{generate.VC} SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{name}\r\n"
        f"From: <sip:{name[:9]}@example.net>;tag={name}\r\nTo: <sip:{number}@example.net>\r\n"
        f"Call-ID: {name}\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    return generate.udp((host, 5060), (generate.VC, 5060), text.encode())


FLOODS: dict[str, Callable[[int, random.Random], bytes]] = {
    f.__name__: f for f in (invites, trunks, registers, ssrcs, pairs, segments, fragments, big_sip, big_sdp)
}
BIG = ("big_sip", "big_sdp")


def real_calls() -> list[Frame]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.pcap"
        generate.write(path, CALLS, SECONDS, 0.01)
        return [frame for batch, _ in replay.open_files([str(path)], Config()) for frame in batch.frames()]


def chunks(kind: str, count: int, calls: list[Frame]) -> Iterator[list[Frame]]:
    """Both, by capture time."""
    draw = random.Random(count)
    make = FLOODS[kind] if count else None
    size, step_ns = (CHUNK // 50, 20 * STEP_NS) if kind in BIG else (CHUNK, STEP_NS)
    begin_ns = generate.BEGIN_S * 10**9 - 400_000_000 if kind == "trunks" else BEGIN_NS
    place = 0
    for begin in range(0, count, size):
        frames = []
        assert make is not None
        for number in range(begin, min(count, begin + size)):
            data = make(number, draw)
            frames.append(Frame(data, begin_ns + number * step_ns, ORIGIN, len(data)))
        until = place
        while until < len(calls) and calls[until].stamp_ns <= frames[-1].stamp_ns:
            until += 1
        yield sorted(frames + calls[place:until], key=lambda frame: frame.stamp_ns)
        place = until
    yield calls[place:]


class Kept:
    def __init__(self) -> None:
        self.summaries: list[Summary] = []

    def messages(self, rows: list[dict[str, Any]]) -> None:
        """The log is written elsewhere."""

    def commit(self, summary: Summary) -> None:
        self.summaries.append(summary)


def flood(kind: str, count: int, config: Config, *, live: bool = False) -> dict[str, Any]:
    """What the fifty calls came to, and what the flood left."""
    pipeline = build(config, vc=[generate.VC], customers=["10.1.0.0/16"], key=b"k", live=live)
    kept = Kept()
    for frames in chunks(kind, count, real_calls()):
        if frames:
            pass_on(pipeline.engine.feed(batch_of(frames)), pipeline.intervals, kept)
    tables, engine = pipeline.engine.tables(), pipeline.engine
    talkers = [[t.address, t.messages, t.shed, t.scanner] for t in engine.rate_limit.talkers()]
    checkpoint.packed(checkpoint.save(engine, pipeline.intervals))  # a daemon does so every few seconds
    pass_on(engine.finish(), pipeline.intervals, kept)
    rows = [
        row for summary in kept.summaries for row in summary.calls if row["call_id"].endswith("@benchmark")
    ]
    media = [
        row for summary in kept.summaries for row in summary.media if row["call_id"].endswith("@benchmark")
    ]
    return {
        "calls": sorted([r["call_id"], r["outcome"], r["end_reason"]] for r in rows),
        "media": sorted(
            [
                r["call_id"],
                *(r[name] for name in r if name.endswith(("_packets", "_bytes", "_lost", "_jitter"))),
            ]
            for r in media
        ),
        "values": {
            name: sum(c.values[name] or 0 for s in kept.summaries for c in s.connectors)
            for name in (
                "OutboundCallAttempts",
                "OutboundCallsAnswered",
                "CustomerToVcRtpPackets",
                "CustomerToVcPacketsLost",
                "VcToCustomerRtpPackets",
            )
        },
        "tables": tables,
        "talkers": talkers,
        "counters": {**engine.counters, "sip_shed": engine.rate_limit.shed},
        "rss_mb": most_resident_mb(),
    }


def main() -> None:
    kind, count = sys.argv[1], int(sys.argv[2])
    config = Config()
    if "--mb" in sys.argv:
        config.limits.max_memory_mb = int(sys.argv[sys.argv.index("--mb") + 1])
    print(json.dumps(flood(kind, count, config, live="--live" in sys.argv)))


if __name__ == "__main__":
    main()
