"""nftables in the lab: exact counts of what reaches and leaves the sbc, and loss with a counter.

Counting rules sit in the sbc namespace and never drop: a capture there sees what they count. Loss rules sit
in the endpoint's namespace: what they drop on the way in the sbc never saw, on the way out it saw it leave.
On the way in they sit at the link (netdev egress), behind the sender's IP: a drop at its output hook fails
the send itself (EPERM), and baresip then does not move its RTP clock on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from .network import SIDES, Network, Side, host_address
from .processes import run
from .sbc import MEDIA_PORTS

# Direction of a packet, as the truth and sbcwatch name it: side, and whether it comes in to the vc.
DIRECTIONS: dict[str, tuple[Side, bool]] = {
    "cust2vc": ("customer", True),
    "vc2cust": ("customer", False),
    "rem2vc": ("remote", True),
    "vc2rem": ("remote", False),
}
CLASSES = "123456"

_PORTS = f"{MEDIA_PORTS[0]}-{MEDIA_PORTS[1]}"
# @th counts bits from the UDP header: version 2 in the first payload bits, then RFC 5761 section 4 tells RTCP
# by packet type 192-223 in the second byte.
RTP = "@th,64,2 2 @th,72,8 != 192-223"
_RTCP = "@th,64,2 2 @th,72,8 192-223"
ACK = "@th,64,32 0x41434b20"
_SIP_2_0 = "@th,64,64 0x5349502f322e3020"  # "SIP/2.0 ", the start of every response
_UDP_HEADER = 8
_IP_HEADER = {4: 20, 6: 40}


@dataclass(frozen=True)
class Parties:
    """Whose packets a scenario counts: host numbers of each side, and the IP version they use."""

    slot: int
    version: int
    hosts: dict[Side, tuple[int, ...]]

    def match(self, side: Side, which: str) -> str:
        family = "ip" if self.version == 4 else "ip6"
        addresses = ", ".join(host_address(side, host, self.version) for host in self.hosts[side])
        return f"{family} {which} {{ {addresses} }}"


@dataclass(frozen=True)
class Count:
    packets: int
    octets: int  # IP length


def set_up(network: Network) -> None:
    """The tables and hooks, without rules."""
    for namespace in _vc(network):
        _nft(
            namespace,
            "add table inet lab",
            "add chain inet lab in { type filter hook input priority 0; }",
            "add chain inet lab out { type filter hook output priority 0; }",
        )
    for side in SIDES:
        _nft(
            network[side],
            "add table inet lab",
            "add chain inet lab in { type filter hook prerouting priority -350; }",
            "add table netdev lab",
            "add chain netdev lab out { type filter hook egress device net0 priority 0; }",
        )


def count(network: Network, parties: Parties) -> None:
    """Count this scenario's packets from now on."""
    lines = []
    for direction, (side, incoming) in DIRECTIONS.items():
        chain, peer, vc_port = ("in", "saddr", "dport") if incoming else ("out", "daddr", "sport")
        match = parties.match(side, peer)
        for kind, payload in (("rtp", RTP), ("rtcp", _RTCP)):
            name = f"s{parties.slot}_{direction}_{kind}"
            lines.append(f"add counter inet lab {name}")
            lines.append(
                f"add rule inet lab {chain} {match} udp {vc_port} {_PORTS} {payload} counter name {name}"
            )
        for digit in CLASSES:
            name = f"s{parties.slot}_{direction}_{digit}xx"
            lines.append(f"add counter inet lab {name}")
            first = f"@th,128,8 {ord(digit):#x}"
            lines.append(
                f"add rule inet lab {chain} {match} udp {vc_port} 5060 {_SIP_2_0} {first} counter name {name}"
            )
    for namespace in _vc(network):
        _nft(namespace, *lines)


def _vc(network: Network) -> list[str]:
    """The namespaces of the SBC's programs."""
    return [network[name] for name in ("sbc", "relay") if name in network.namespaces]


def counted(network: Network, parties: Parties) -> dict[str, Count]:
    """The scenario's counters by name, without the slot: `cust2vc_rtp`, `vc2rem_4xx`."""
    found: dict[str, Count] = {}
    for namespace in _vc(network):
        for name, its in _read(namespace, f"s{parties.slot}_").items():
            before = found.get(name, Count(0, 0))
            found[name] = Count(before.packets + its.packets, before.octets + its.octets)
    return found


def payload_octets(measured: Count, version: int) -> int:
    """UDP payload of what a counter counted as IP packets (no options, no extension headers in the lab)."""
    return measured.octets - measured.packets * (_IP_HEADER[version] + _UDP_HEADER)


class Loss:
    """Random loss of one direction's RTP, or ACKs, between `on` and `off`, counted to the packet."""

    def __init__(
        self, network: Network, parties: Parties, direction: str, percent: int, what: str = RTP
    ) -> None:
        side, incoming = DIRECTIONS[direction]
        self.direction = direction
        self._namespace = network[side]
        self._chain = f"s{parties.slot}_{direction}"
        self._counter = f"s{parties.slot}_{direction}_lost"
        hook, peer, vc_port = ("out", "saddr", "dport") if incoming else ("in", "daddr", "sport")
        self._family = "netdev" if incoming else "inet"
        ports = _PORTS if what == RTP else "5060"
        select = f"{parties.match(side, peer)} udp {vc_port} {ports} {what}"
        _nft(
            self._namespace,
            f"add counter {self._family} lab {self._counter}",
            f"add chain {self._family} lab {self._chain}",
            f"add rule {self._family} lab {hook} {select} jump {self._chain}",
        )
        chance = "" if percent == 100 else f"numgen random mod 100 < {percent}"
        self._rule = f"{chance} counter name {self._counter} drop"

    def on(self) -> None:
        _nft(self._namespace, f"add rule {self._family} lab {self._chain} {self._rule}")

    def off(self) -> None:
        _nft(self._namespace, f"flush chain {self._family} lab {self._chain}")

    def dropped(self) -> int:
        return _read(self._namespace, self._counter, self._family)[""].packets


def _nft(namespace: str, *lines: str) -> None:
    run("ip", "netns", "exec", namespace, "nft", "-f", "-", stdin="\n".join(lines) + "\n")


def _read(namespace: str, prefix: str, family: str = "inet") -> dict[str, Count]:
    listed = json.loads(
        run("ip", "netns", "exec", namespace, "nft", "-j", "list", "counters", "table", family, "lab")
    )
    counters = [item["counter"] for item in listed["nftables"] if "counter" in item]
    return {
        str(each["name"]).removeprefix(prefix): Count(int(each["packets"]), int(each["bytes"]))
        for each in counters
        if str(each["name"]).startswith(prefix)
    }
