"""`sbcwatch selftest`: does this installation count right? Finds a mis-compiled one.

A handful of frames with a known answer goes through the whole pipeline: a call of 100 packets of which 5 are
lost, one comes twice and two change places.
"""

from __future__ import annotations

import argparse
import socket
import struct
import sys
from collections.abc import Callable, Iterator

from agent import __version__
from agent.config.settings import Config
from agent.pipeline import build, run
from agent.quality.emodel import score
from agent.summary.records import Summary
from agent.wire.frame import LINK_IPV4, Batch, Frame, batch_of, origin

BEGIN_NS = 1_700_000_040_000_000_000  # a minute's start
VC, CUSTOMER = "192.0.2.1", "198.51.100.7"  # RFC 5737 documentation networks
LOST = (20, 21, 22, 40, 41)


def selftest_command(options: argparse.Namespace) -> int:
    """`sbcwatch selftest`."""
    return run_checks(print)


def run_checks(say: Callable[[str], object]) -> int:
    """Print one line a check; 0 when the numbers are right, 1 when not."""
    say(f"sbcwatch {__version__}, Python {sys.version.split()[0]}")
    say(_compiled_line())
    say(_capture_line())
    wrong = [text for text in _numbers() if text]
    for text in wrong:
        say(f"WRONG: {text}")
    say("numbers: wrong, do not use this installation" if wrong else "numbers: right")
    return 1 if wrong else 0


def _compiled_line() -> str:
    from agent.uncompiled import status

    slow = sorted(name for name, is_compiled in status().items() if not is_compiled)
    if not slow:
        return "RTP loop: compiled"
    return f"RTP loop: NOT COMPILED, slow ({', '.join(slow)}): install a C compiler and reinstall"


def _capture_line() -> str:
    if not hasattr(socket, "AF_PACKET"):
        return "live capture: by scapy only (no AF_PACKET on this system)"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return "live capture: not allowed here, needs CAP_NET_RAW (root, or the systemd unit)"
    except OSError as error:
        return f"live capture: not possible here: {error.strerror}"
    return "live capture: AF_PACKET allowed"


class _Memory:
    """A source and a keeper in memory."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.frames, self.bytes, self.drops = len(batch), len(batch.data), 0
        self.summaries: list[Summary] = []

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        yield self._batch, BEGIN_NS + 10_000_000_000

    def close(self) -> None:
        pass

    def messages(self, rows: object) -> None:
        pass

    def commit(self, summary: Summary) -> None:
        self.summaries.append(summary)


def _numbers() -> Iterator[str]:
    memory = _Memory(batch_of(list(_call())))
    pipeline = build(Config(), vc=[VC], customers=["198.51.100.0/24"])
    run(memory, pipeline.engine, pipeline.intervals, memory)
    values = memory.summaries[0].connectors[0].values
    for name, expected in (
        ("OutboundCallAttempts", 1),
        ("OutboundCallsAnswered", 1),
        ("Sip2xxCodes", 1),
        ("CustomerToVcRtpPackets", 100 - len(LOST) + 1),
        ("CustomerToVcRtpBytes", (100 - len(LOST) + 1) * 172),
        ("CustomerToVcPacketsLost", len(LOST)),
    ):
        if values[name] != expected:
            yield f"{name} is {values[name]}, not {expected}"
    from agent.quality.codecs import codec

    mos = score(codec("PCMU"), loss_ratio=0.0, one_way_delay_ms=0.0).mos
    if abs(mos - 4.41) > 0.01:
        yield f"MOS of G.711 without loss is {mos}, not 4.41"


def _call() -> Iterator[Frame]:
    head = "Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1\r\nFrom: <sip:1000@a>;tag=f\r\n"
    tail = "Call-ID: selftest\r\nCSeq: 1 INVITE\r\n"
    invite = f"INVITE sip:2000@b SIP/2.0\r\n{head}To: <sip:2000@b>\r\n{tail}" + _sdp(CUSTOMER, 30000)
    answer = f"SIP/2.0 200 OK\r\n{head}To: <sip:2000@b>;tag=t\r\n{tail}" + _sdp(VC, 40000)
    yield _frame(BEGIN_NS, CUSTOMER, 5060, VC, 5060, invite.encode())
    yield _frame(BEGIN_NS + 1_000_000, VC, 5060, CUSTOMER, 5060, answer.encode())
    order = [n for n in range(100) if n not in LOST]
    order[50], order[51] = order[51], order[50]
    order.insert(70, order[69])
    for position, number in enumerate(order):
        rtp = struct.pack("!BBHII", 0x80, 0, 65500 + number & 0xFFFF, number * 160, 0x1234) + bytes(160)
        at_ns = BEGIN_NS + 20_000_000 + position * 20_000_000
        yield _frame(at_ns, CUSTOMER, 30000, VC, 40000, rtp)


def _sdp(address: str, port: int) -> str:
    connection = f"IN IP4 {address}\r\n"
    body = f"v=0\r\no=- 1 1 {connection}s=-\r\nc={connection}t=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    return f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def _frame(stamp_ns: int, src: str, src_port: int, dst: str, dst_port: int, payload: bytes) -> Frame:
    udp = struct.pack("!HHHH", src_port, dst_port, 8 + len(payload), 0) + payload
    addresses = socket.inet_aton(src) + socket.inet_aton(dst)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
    return Frame(ip + udp, stamp_ns, origin(LINK_IPV4, 0), len(ip) + len(udp))
