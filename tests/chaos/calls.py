"""Lab captures as calls that can be placed again: new Call-IDs, tags, branches and vc ports, of equal length.

What each frame adds to the metrics is read here from its bytes and held against what the lab's endpoints,
kamailio's log and the kernel's counters say, so that the truth is theirs and not ours.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from ipaddress import IPv4Network, ip_address
from typing import Any

from agent.commands import replay
from agent.config.settings import Config
from tests.kit.replayed import PCAPS, sidecar

# Of the lab's scenarios those that have no IPv6, TCP, VLAN or fragments, and end within a minute.
SPOKEN = (
    "short-inbound",
    "short-outbound",
    "answered-inbound",
    "answered-outbound",
    "loss-cust2vc",
    "loss-vc2cust",
)
UNSPOKEN = (
    "busy-inbound",
    "cancelled-outbound",
    "carrier-503-outbound",
    "throttled-outbound",
    "challenged-outbound",
)
DIRECTIONS = {
    "cust2vc": "CustomerToVc",
    "vc2cust": "VcToCustomer",
    "rem2vc": "RemoteToVc",
    "vc2rem": "VcToRemote",
}
_TOKEN = re.compile(rb"(?:^|\r\n)Call-ID: *([^\r]+)|;tag=([^;>\s]+)|;branch=z9hG4bK([^;,\s]+)", re.I)
_PORTS = re.compile(rb"(m=audio |a=rtcp:)(3\d{4})\b")
_UDP = 14 + 20  # Ethernet and IPv4 without options
VC_PORTS = range(30_000, 60_000)


@dataclass(frozen=True)
class Frame:
    """One frame of a template: `adds` are the metrics it counts in, `at_ns` since the call's first."""

    at_ns: int
    data: bytes
    origin: int
    sip: bool
    port_at: int  # where its vc port stands in `data`; 0: none to change
    first: bool  # of its stream
    adds: tuple[tuple[str, int], ...]


@dataclass
class Template:
    name: str
    frames: list[Frame]
    tokens: list[bytes]
    ports: int  # vc ports it needs, from VC_PORTS.start
    totals: Counter[str]  # whole-call metrics: attempts, outcomes, loss
    active_ns: tuple[int, int] | None = None  # answered to ended, since the first frame


@dataclass
class Placed:
    """One call under way. `touched`: signalling of it passed unseen, so that little can be said of it."""

    number: int
    template: Template
    begin_ns: int  # simulated
    names: dict[bytes, bytes]
    port: int
    next: int = 0
    touched: bool = False

    def frame(self) -> tuple[bytes, Frame]:
        """The next frame's bytes, rewritten."""
        one = self.template.frames[self.next]
        self.next += 1
        data = one.data
        if one.sip:
            for old, new in self.names.items():
                data = data.replace(old, new)
            data = _PORTS.sub(lambda m: m[1] + b"%d" % (int(m[2]) - VC_PORTS.start + self.port), data)
        elif one.port_at:
            shifted = int.from_bytes(data[one.port_at : one.port_at + 2]) - VC_PORTS.start + self.port
            data = data[: one.port_at] + shifted.to_bytes(2) + data[one.port_at + 2 :]
        return data, one

    @property
    def over(self) -> bool:
        return self.next >= len(self.template.frames)

    @property
    def due_ns(self) -> int:
        return self.begin_ns + self.template.frames[self.next].at_ns


def place(number: int, template: Template, begin_ns: int) -> Placed:
    names = {token: _renamed(token, number) for token in template.tokens}
    span = len(VC_PORTS) // 64 - 1
    return Placed(number, template, begin_ns, names, VC_PORTS.start + number % span * 64)


def _renamed(token: bytes, number: int) -> bytes:
    drawn = blake2b(b"%d:" % number + token, digest_size=32).hexdigest().encode() * 4
    return drawn[: len(token)]


@cache
def template(name: str) -> Template:
    side = sidecar(name)
    networks = [IPv4Network(network) for network in side["customer_networks"] if ":" not in network]
    source = replay.open_files([str(PCAPS / file) for file in side["files"]], Config())
    raw = [frame for batch, _ in source for frame in batch.frames() if _is_udp(frame.data)]
    begin_ns = raw[0].stamp_ns
    frames: list[Frame] = []
    tokens: set[bytes] = set()
    begun: set[str] = set()
    for frame in raw:
        data = frame.data
        src, dst = str(ip_address(data[26:30])), str(ip_address(data[30:34]))
        to_vc = dst in side["vc"]
        peer = src if to_vc else dst
        side_name = "cust" if any(ip_address(peer) in network for network in networks) else "rem"
        direction = DIRECTIONS[f"{side_name}2vc" if to_vc else f"vc2{side_name}"]
        payload = data[_UDP + 8 :]
        sip = 5060 in (int.from_bytes(data[_UDP : _UDP + 2]), int.from_bytes(data[_UDP + 2 : _UDP + 4]))
        if sip:
            tokens |= {group for match in _TOKEN.findall(payload) for group in match if group}
        adds = _adds(payload, int.from_bytes(data[_UDP + 4 : _UDP + 6]) - 8, direction, sip)
        frames.append(
            Frame(
                frame.stamp_ns - begin_ns,
                data,
                frame.origin,
                sip,
                0 if sip else (_UDP + 2 if to_vc else _UDP),
                not sip and not begun.issuperset(name for name, _ in adds),
                adds,
            )
        )
        begun.update(name for name, _ in adds)
    assert all(len(token) >= 6 for token in tokens), (name, tokens)
    made = Template(name, frames, sorted(tokens, key=len, reverse=True), 64, _totals(side["truth"]))
    call = side["truth"]["calls"][0] if side["truth"]["calls"] else None
    if call and call["answered_at"] and call["ended_at"]:
        made.active_ns = int(call["answered_at"] * 1e9) - begin_ns, int(call["ended_at"] * 1e9) - begin_ns
    _check(made, side["truth"])
    return made


def _is_udp(data: bytes) -> bool:
    return data[12:14] == b"\x08\x00" and data[14] == 0x45 and data[23] == 17


def _adds(payload: bytes, length: int, direction: str, sip: bool) -> tuple[tuple[str, int], ...]:
    if sip:
        status = re.match(rb"SIP/2.0 ([1-6])", payload)
        return ((f"Sip{status[1].decode()}xxCodes", 1),) if status else ()
    kind = "Rtcp" if 192 <= payload[1] <= 223 else "Rtp"
    return (f"{direction}{kind}Packets", 1), (f"{direction}{kind}Bytes", length)


def _totals(truth: dict[str, Any]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for way in ("inbound", "outbound"):
        for what, metric in (
            ("attempts", "CallAttempts"),
            ("answered", "CallsAnswered"),
            ("failed", "CallFailures"),
        ):
            totals[way.capitalize() + metric] += truth[what][way]
    totals["Throttles"] += sum(truth["throttles"].values())
    for direction, prefix in DIRECTIONS.items():
        totals[prefix + "PacketsLost"] += truth["rtp"][direction]["dropped"]
    return +totals


def _check(made: Template, truth: dict[str, Any]) -> None:
    """What the frames add up to is what the endpoints said."""
    added: Counter[str] = Counter()
    for frame in made.frames:
        added.update(dict(frame.adds))
    for direction, prefix in DIRECTIONS.items():
        for kind in ("rtp", "rtcp"):
            for what in ("packets", "bytes"):
                name = f"{prefix}{kind.capitalize()}{what.capitalize()}"
                assert added[name] == truth[kind][direction][what], (made.name, name)
    for status, count in truth["responses"].items():
        assert added[f"Sip{status}Codes"] == count, (made.name, status)
