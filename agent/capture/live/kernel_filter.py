"""Classic BPF programs for the kernel: SIP whole, RTP short, nothing else.

The kernel copies what the program returns: a length in bytes, 0 for nothing. RTP is cut to its headers
because only they are read; RTCP in the same port range, and all else that is wanted, stays whole.
Instructions are (code, jt, jf, k) as in linux/filter.h; `tcpdump -dd` prints the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.errors import ConfigError

Instruction = tuple[int, int, int, int]

# Codes of linux/bpf_common.h.
LD_W, LD_H, LD_B = 0x20, 0x28, 0x30
LD_H_IND, LD_B_IND = 0x48, 0x50
LDX_MSH, LDX_IMM = 0xB1, 0x01
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
AND, RET = 0x54, 0x06

# Loads from these offsets are the kernel's ancillary data, and the network header wherever it is.
ANCILLARY = 0xFFFFF000
IFINDEX, HATYPE = ANCILLARY + 8, ANCILLARY + 28
NETWORK = 0xFFF00000

WHOLE = 262144
RTP_BYTES = 192  # Ethernet with two tags 22, IPv6 40, UDP 8, RTP 12 with 15 CSRCs 60; room for an extension

_ETHER, _LOOPBACK = 1, 772  # ARPHRD_*
_IPV4, _IPV6, _VLAN, _QINQ = 0x0800, 0x86DD, 0x8100, 0x88A8
_TCP, _UDP = 6, 17
_IPV6_EXTENSIONS = (0, 43, 44, 60)  # hop-by-hop, routing, fragment, destination options: read in full


class _Program:
    """Instructions with named targets; jumps reach forward only, and far ones go by a `ja`."""

    def __init__(self) -> None:
        self._code: list[tuple[int, str | None, str | None, int]] = []
        self._labels: dict[str, int] = {}

    def put(self, code: int, k: int, yes: str | None = None, no: str | None = None) -> None:
        """One instruction. A jump goes to `yes` or `no`; None is the next instruction."""
        self._code.append((code, yes, no, k & 0xFFFFFFFF))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def finish(self) -> list[Instruction]:
        out: list[Instruction] = []
        for at, (code, yes, no, k) in enumerate(self._code):
            if code == JA:
                out.append((code, 0, 0, self._labels[yes or ""] - at - 1))
                continue
            distances = [0 if name is None else self._labels[name] - at - 1 for name in (yes, no)]
            if not all(0 <= distance <= 255 for distance in distances):
                raise ValueError(f"a jump of {distances} does not fit: too many ports in one filter")
            out.append((code, distances[0], distances[1], k))
        return out


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What `voice` was asked for."""

    sip_ports: Sequence[int]
    media_ports: tuple[int, int] | None
    whole_ports: Sequence[int]
    protocols: Sequence[int]
    snap_length: int
    rtp_bytes: int


def voice(
    *,
    sip_ports: Sequence[int],
    media_ports: tuple[int, int] | None,
    whole_ports: Sequence[int] = (),
    protocols: Sequence[int] = (),
    snap_length: int = WHOLE,
    rtp_bytes: int = RTP_BYTES,
) -> list[Instruction]:
    """The filter for SIP, media and fragments over IPv4 and IPv6, tagged twice at most.

    `sip_ports` count for UDP and TCP, either end; `media_ports` (first, last; None: any UDP) for UDP, either
    end; `whole_ports` are further UDP ports, kept whole (tunnels); `protocols` further IP protocols (GRE 47).

    Raises:
        ValueError: more ports than one program holds (about 45).
    """
    program = _Program()
    # What is not Ethernet (tun, PPP, tunnels) starts at its network header.
    program.put(LD_H, HATYPE)
    program.put(JEQ, _ETHER, "ethernet")
    program.put(JEQ, _LOOPBACK, "ethernet")
    program.put(LD_B, NETWORK)
    program.put(AND, 0xF0)
    program.put(JEQ, 0x40, "network-4")
    program.put(JEQ, 0x60, "network-6")
    program.put(RET, 0)
    program.label("network-4")
    program.put(JA, 0, f"v4-{NETWORK}")
    program.label("network-6")
    program.put(JA, 0, f"v6-{NETWORK}")
    program.label("ethernet")
    for at in (12, 16, 20):
        here, tagged = f"type-{at}", f"tag-{at}"
        program.label(here)
        program.put(LD_H, at)
        program.put(JEQ, _IPV4, f"go4-{at}")
        program.put(JEQ, _IPV6, f"go6-{at}")
        if at < 20:
            program.put(JEQ, _VLAN, tagged)
            program.put(JEQ, _QINQ, tagged)
        program.put(RET, 0)
        program.label(f"go4-{at}")
        program.put(JA, 0, f"v4-{at + 2}")
        program.label(f"go6-{at}")
        program.put(JA, 0, f"v6-{at + 2}")
        program.label(tagged)
    wanted = _Wanted(sip_ports, media_ports, whole_ports, protocols, snap_length, rtp_bytes)
    for base in (14, 18, 22, NETWORK):
        _ipv4(program, f"v4-{base}", base)
        _transport(program, f"v4-{base}", base, wanted)
        _ipv6(program, f"v6-{base}", base)
        _transport(program, f"v6-{base}", base, wanted)
    return program.finish()


def _ipv4(program: _Program, name: str, base: int) -> None:
    """Leaves the protocol in A and the header's length in X, as `_ipv6` does."""
    program.label(name)
    program.put(LD_H, base + 6)
    program.put(JSET, 0x3FFF, f"{name}-whole")  # more fragments, or an offset
    program.put(LDX_MSH, base)
    program.put(LD_B, base + 9)


def _ipv6(program: _Program, name: str, base: int) -> None:
    program.label(name)
    program.put(LDX_IMM, 40)
    program.put(LD_B, base + 6)
    for extension in _IPV6_EXTENSIONS:
        program.put(JEQ, extension, f"{name}-whole")


def _transport(program: _Program, name: str, base: int, wanted: _Wanted) -> None:
    """With the protocol in A and the network header's length in X."""
    for protocol in wanted.protocols:
        program.put(JEQ, protocol, f"{name}-whole")
    program.put(JEQ, _UDP, f"{name}-udp")
    program.put(JEQ, _TCP, None, f"{name}-none")
    for end in (0, 2):
        program.put(LD_H_IND, base + end)
        for port in wanted.sip_ports:
            program.put(JEQ, port, f"{name}-whole")
    program.label(f"{name}-none")
    program.put(RET, 0)
    program.label(f"{name}-udp")
    for end in (0, 2):
        program.put(LD_H_IND, base + end)
        for port in (*wanted.sip_ports, *wanted.whole_ports):
            program.put(JEQ, port, f"{name}-whole")
        if wanted.media_ports and end == 0:
            program.put(JGE, wanted.media_ports[0], None, f"{name}-other")
            program.put(JGT, wanted.media_ports[1], None, f"{name}-media")
            program.label(f"{name}-other")
        elif wanted.media_ports:
            program.put(JGE, wanted.media_ports[0], None, f"{name}-no")
            program.put(JGT, wanted.media_ports[1], f"{name}-no", f"{name}-media")
            program.label(f"{name}-no")
            program.put(RET, 0)
    program.label(f"{name}-media")
    # SIP may be on a media port's other end; a packet to a SIP port is never cut.
    program.put(LD_H_IND, base + 2)
    for port in (*wanted.sip_ports, *wanted.whole_ports):
        program.put(JEQ, port, f"{name}-whole")
    program.put(LD_B_IND, base + 8)
    program.put(AND, 0xC0)
    program.put(JEQ, 0x80, None, f"{name}-whole")  # RTP's version; STUN, DTLS and the like stay whole
    program.put(LD_B_IND, base + 9)
    program.put(JGE, 192, None, f"{name}-rtp")  # RFC 5761: 192 to 223 are RTCP's packet types
    program.put(JGT, 223, None, f"{name}-whole")
    program.label(f"{name}-rtp")
    program.put(RET, min(wanted.rtp_bytes, wanted.snap_length))
    program.label(f"{name}-whole")
    program.put(RET, wanted.snap_length)


def nothing() -> list[Instruction]:
    """Lets no frame in."""
    return [(RET, 0, 0, 0)]


def everything(snap_length: int = WHOLE) -> list[Instruction]:
    return [(RET, 0, 0, snap_length)]


def cut(program: Sequence[Instruction], snap_length: int) -> list[Instruction]:
    """The program with what it accepts cut to `snap_length`."""
    return [(code, jt, jf, min(k, snap_length) if code == RET else k) for code, jt, jf, k in program]


def only_from(program: Sequence[Instruction], ifindexes: Sequence[int]) -> list[Instruction]:
    """The program for a socket that hears every interface: first of all, is it one of these?"""
    count = len(ifindexes)
    tests = [(JEQ, count - number, 0, ifindex) for number, ifindex in enumerate(ifindexes)]
    return [(LD_W, 0, 0, IFINDEX), *tests, (RET, 0, 0, 0), *program]


def compile_expression(expression: str, snap_length: int = WHOLE) -> list[Instruction]:
    """A tcpdump expression, compiled for Ethernet by libpcap through scapy.

    Raises:
        ConfigError: libpcap does not take it, or is not here.
    """
    try:
        from scapy.arch.common import compile_filter

        program = compile_filter(expression, linktype=1)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"a filter expression needs scapy and libpcap ({error}):"
            ' pip install "sbcwatch[scapy]", and libpcap from the system; or leave it empty'
        ) from None
    except Exception as error:  # scapy's own class
        raise ConfigError(f"the filter expression {expression!r} does not compile: {error}") from None
    found = [program.bf_insns[number] for number in range(program.bf_len)]
    return cut([(each.code, each.jt, each.jf, each.k) for each in found], snap_length)
