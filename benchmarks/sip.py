"""SIP messages a second that one core parses and tracks: proxied calls through `Engine.feed`.

    python -m benchmarks.sip [--calls 4000] [--passes 3] [--profile]

Each call is 14 messages with SDP, as a proxying SBC's NIC shows them: INVITE, 100, 180, 200, ACK, BYE and 200
on two legs. Frames are made before the clock starts; reading and summing up are in `tests.kit.generate`'s
runs. The best of the passes counts, the others say how much the machine wavers.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import socket
import struct
import time
from array import array
from collections.abc import Iterator

from agent.cli import COLLECT_AFTER
from agent.config.settings import Config
from agent.pipeline import build
from agent.wire.frame import Batch, origin

VC, CUSTOMER, CARRIER = "10.0.0.1", "192.0.2.10", "198.51.100.20"
BEGIN_NS = 1_700_000_040 * 10**9
CALLS_A_SECOND = 500
BATCH = 512
HEADERS = (
    "Max-Forwards: 70\r\nContact: <sip:+15550001@192.0.2.10:5060;transport=udp>\r\n"
    "User-Agent: Example SBC 7.2\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK\r\n"
    "Supported: timer, 100rel\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n"
    "P-Asserted-Identity: <sip:+15550001@example.org>\r\n"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    batches = list(batched(calls(options.calls)))
    messages = sum(len(batch) for batch in batches)
    if options.profile:
        profiler = cProfile.Profile()
        profiler.enable()
        seconds = run(batches)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        return
    rates = []
    for _ in range(options.passes):
        seconds = run(batches)
        rates.append(messages / seconds)
        print(f"{messages} messages, {seconds:.2f} s: {rates[-1]:,.0f} messages/s")
    print(f"best: {max(rates):,.0f} messages/s/core")


def run(batches: list[Batch]) -> float:
    """Seconds for all of `batches` through a fresh engine; every call must come out answered."""
    pipeline = build(Config(), vc=[VC], customers=["192.0.2.0/24"])
    engine, events = pipeline.engine, 0
    gc.collect()
    gc.set_threshold(*COLLECT_AFTER)  # as every command does
    gc.freeze()  # the batches and the pass before are not this pass's to look through
    start = time.process_time()
    for batch in batches:
        events += len(engine.feed(batch))
    seconds = time.process_time() - start
    assert events > 0
    assert not engine.rejects
    return seconds


def calls(count: int) -> Iterator[tuple[int, bytes]]:
    """(capture time, frame) of proxied calls that overlap, in order."""
    frames: list[tuple[int, bytes]] = []
    for number in range(count):
        begin_ns = BEGIN_NS + number * 10**9 // CALLS_A_SECOND
        frames += _call(number, begin_ns)
    frames.sort(key=lambda row: row[0])
    yield from frames


def batched(frames: Iterator[tuple[int, bytes]]) -> Iterator[Batch]:
    data, index = bytearray(), array("q")
    for stamp_ns, frame in frames:
        index.extend((len(data), len(frame), len(frame), stamp_ns, origin(1, 0)))
        data += frame
        if len(index) >= BATCH * 5:
            yield Batch(bytes(data), index)
            data, index = bytearray(), array("q")
    if index:
        yield Batch(bytes(data), index)


def _call(number: int, begin_ns: int) -> Iterator[tuple[int, bytes]]:
    far, near = (CUSTOMER, CARRIER), (20_000 + number * 4 % 40_000, 20_002 + number * 4 % 40_000)
    steps = (  # (ms, leg, request by the caller, start line, CSeq, to tag, socket of the SDP)
        (0, 0, True, "INVITE", 1, False, (CUSTOMER, near[0])),
        (1, 0, False, "100 Trying", 1, False, None),
        (3, 1, True, "INVITE", 1, False, (VC, near[0])),
        (20, 1, False, "100 Trying", 1, False, None),
        (200, 1, False, "180 Ringing", 1, True, None),
        (202, 0, False, "180 Ringing", 1, True, None),
        (900, 1, False, "200 OK", 1, True, (CARRIER, near[1])),
        (902, 0, False, "200 OK", 1, True, (VC, near[1])),
        (920, 0, True, "ACK", 1, True, None),
        (922, 1, True, "ACK", 1, True, None),
        (2900, 0, True, "BYE", 2, True, None),
        (2902, 1, True, "BYE", 2, True, None),
        (2920, 1, False, "200 OK", 2, True, None),
        (2922, 0, False, "200 OK", 2, True, None),
    )
    for ms, leg, by_caller, line, cseq, tagged, media in steps:
        src, dst = (far[0], VC) if leg == 0 else (VC, far[1])
        branch = f"{number}-{leg}-{cseq}{'a' if line == 'ACK' else ''}"
        via = f"Via: SIP/2.0/UDP {src}:5060;branch=z9hG4bK{branch};rport\r\n"
        if leg == 1:
            via += f"Via: SIP/2.0/UDP {CUSTOMER}:5060;branch=z9hG4bK{number}-0-{cseq};received={CUSTOMER}\r\n"
        method = line if by_caller else "INVITE" if cseq == 1 else "BYE"
        body = _sdp(*media) if media else ""
        start = f"{line} sip:+15550002@example.org:5060 SIP/2.0" if by_caller else f"SIP/2.0 {line}"
        text = (
            f'{start}\r\n{via}From: "Alice" <sip:+15550001@example.org>;tag=from{number}\r\n'
            f"To: <sip:+15550002@example.org>{f';tag=to{number}' if tagged else ''}\r\n"
            f"Call-ID: {number}-8f2a@192.0.2.10\r\nCSeq: {cseq} {method}\r\n{HEADERS}"
            + ("Content-Type: application/sdp\r\n" if body else "")
            + f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        if not by_caller:
            src, dst = dst, src
        yield begin_ns + ms * 1_000_000, _frame(src, dst, text.encode())


def _sdp(address: str, port: int) -> str:
    return (
        f"v=0\r\no=- {port} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )


def _frame(src: str, dst: str, payload: bytes) -> bytes:
    udp = struct.pack(">HHHH", 5060, 5060, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    return bytes(12) + b"\x08\x00" + head + socket.inet_aton(src) + socket.inet_aton(dst) + udp


if __name__ == "__main__":
    main()
