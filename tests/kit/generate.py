"""Captures by parameters: calls with two streams each, loss, and the SIP around them; seconds, not minutes.

    python -m tests.kit.generate OUT.pcap --calls 500 --seconds 40 --loss 0.01

Times are nanosecond pcap, G.711 in 20 ms packets, one leg a call: customer 10.1.x.x to the vc 10.0.0.1.
"""

from __future__ import annotations

import argparse
import random
import struct
from collections.abc import Iterator
from pathlib import Path

VC = "10.0.0.1"
BEGIN_S = 1_700_000_040  # a minute's start
TICK_NS = 20_000_000
PAYLOAD = 160
_RTP_FRAME = 14 + 20 + 8 + 12 + PAYLOAD
_RECORD = 16 + _RTP_FRAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=40.2)
    parser.add_argument("--loss", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    frames = write(options.out, options.calls, options.seconds, options.loss, options.seed)
    print(f"{options.out}: {frames} frames, {options.calls} calls, {2 * options.calls} streams")


def write(path: Path, calls: int, seconds: float, loss: float, seed: int = 1) -> int:
    """Write the capture; the number of frames in it."""
    frames = 0
    with path.open("wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for frame in setup(calls):
            file.write(record(BEGIN_S * 10**9 + frames * 1000, frame))
            frames += 1
        for block, count in media(calls, int(seconds * 1e9) // TICK_NS, loss, random.Random(seed)):
            file.write(block)
            frames += count
        end_ns = BEGIN_S * 10**9 + int(seconds * 1e9) + 100_000_000
        for number, frame in enumerate(teardown(calls)):
            file.write(record(end_ns + number * 1000, frame))
            frames += 1
    return frames


def media(calls: int, ticks: int, loss: float, chance: random.Random) -> Iterator[tuple[memoryview, int]]:
    """Each tick's packets of all streams, spread over its 20 ms."""
    streams = 2 * calls
    block = bytearray()
    for number in range(streams):
        caller = customer(number // 2)
        out = bool(number % 2)
        ends = (
            ((VC, port(number // 2)), (caller, 30000)) if out else ((caller, 30000), (VC, port(number // 2)))
        )
        rtp = struct.pack("!BBHII", 0x80, 0, 0, 0, 0x10000 + number) + bytes(PAYLOAD)
        frame = udp(*ends, rtp)
        block += struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame
    stamps, numbers = struct.Struct("<II"), struct.Struct("!HI")
    view = memoryview(block)
    step = TICK_NS // streams
    for tick in range(ticks):
        at_ns = tick * TICK_NS + 50_000_000
        for number in range(streams):
            at = number * _RECORD
            second, rest = divmod(at_ns + number * step, 10**9)
            stamps.pack_into(block, at, BEGIN_S + second, rest)
            numbers.pack_into(block, at + 16 + 44, tick + number & 0xFFFF, tick * 160 & 0xFFFFFFFF)
        begin = 0
        if loss:
            for number in sorted(chance.sample(range(streams), _drawn(streams * loss, chance))):
                if number > begin:
                    yield view[begin * _RECORD : number * _RECORD], number - begin
                begin = number + 1
        if begin < streams:
            yield view[begin * _RECORD :], streams - begin


def _drawn(mean: float, chance: random.Random) -> int:
    return int(mean) + (chance.random() < mean % 1)


def setup(calls: int) -> Iterator[bytes]:
    for number in range(calls):
        caller, vc = (customer(number), 5060), (VC, 5060)
        yield udp(caller, vc, request("INVITE", number, sdp(caller[0], 30000)))
        yield udp(vc, caller, response(number, "100 Trying", "INVITE"))
        yield udp(vc, caller, response(number, "200 OK", "INVITE", sdp(VC, port(number))))
        yield udp(caller, vc, request("ACK", number))


def teardown(calls: int) -> Iterator[bytes]:
    for number in range(calls):
        caller, vc = (customer(number), 5060), (VC, 5060)
        yield udp(caller, vc, request("BYE", number))
        yield udp(vc, caller, response(number, "200 OK", "BYE"))


def customer(number: int) -> str:
    return f"10.1.{number >> 8 & 255}.{number & 255}"


def port(number: int) -> int:
    return 10_000 + number * 2 % 50_000


def sdp(address: str, rtp_port: int) -> str:
    here = f"IN IP4 {address}\r\n"
    return f"v=0\r\no=- 1 1 {here}s=-\r\nc={here}t=0 0\r\nm=audio {rtp_port} RTP/AVP 0\r\n"


def _headers(number: int, method: str, body: str, tagged: bool) -> str:
    order = 2 if method == "BYE" else 1
    return (
        f"Via: SIP/2.0/UDP {customer(number)}:5060;branch=z9hG4bK{number}{method}\r\n"
        f"From: <sip:+1206555{number:04d}@example.com>;tag=f{number}\r\n"
        f"To: <sip:+44207946{number:04d}@example.com>{f';tag=t{number}' if tagged else ''}\r\n"
        f"Call-ID: {number}@benchmark\r\nCSeq: {order} {method}\r\nMax-Forwards: 70\r\n"
        f"Contact: <sip:{customer(number)}:5060>\r\nUser-Agent: benchmark\r\n"
        + ("Content-Type: application/sdp\r\n" if body else "")
        + f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def request(method: str, number: int, body: str = "") -> bytes:
    head = f"{method} sip:+44207946{number:04d}@{VC} SIP/2.0\r\n"
    return (head + _headers(number, method, body, method != "INVITE")).encode()


def response(number: int, status: str, method: str, body: str = "") -> bytes:
    return (f"SIP/2.0 {status}\r\n" + _headers(number, method, body, status != "100 Trying")).encode()


def udp(src: tuple[str, int], dst: tuple[str, int], payload: bytes) -> bytes:
    """An Ethernet frame; checksums are left out (0), as a NIC that offloads them does."""
    length = 8 + len(payload)
    addresses = bytes(map(int, (src[0] + "." + dst[0]).split(".")))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, 17, 0) + addresses
    return (
        b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\x00" + ip + struct.pack("!HHHH", src[1], dst[1], length, 0) + payload
    )


def record(stamp_ns: int, frame: bytes) -> bytes:
    second, rest = divmod(stamp_ns, 10**9)
    return struct.pack("<IIII", second, rest, len(frame), len(frame)) + frame


if __name__ == "__main__":
    main()
