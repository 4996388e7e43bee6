"""Classic BPF programs for the kernel: SIP whole, RTP short, nothing else.

The kernel copies as many bytes as the program returns, 0 for none. RTP is cut to its headers because only
they are read; RTCP in the same port range, and all else that is wanted, stays whole. Instructions are (code,
jt, jf, k) as in linux/filter.h; `tcpdump -dd` prints the same.

Framing and tunnels come from the rows of `agent.wire.ip.encapsulations`, as the decoder's dispatch does. Of a
tunnel the program checks the outer header (kind and peer); a frame that passes stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from agent.errors import ConfigError, how_to_add
from agent.uncompiled import constants
from agent.wire.ip.encapsulations import GRE, ROWS, Tunnel

Instruction = tuple[int, int, int, int]

# Codes of linux/bpf_common.h.
LD_W, LD_H, LD_B = 0x20, 0x28, 0x30
LD_H_IND, LD_B_IND = 0x48, 0x50
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
LDX_MSH, LDX_IMM = 0xB1, 0x01
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
AND, RET = 0x54, 0x06

# Loads from these offsets are the kernel's ancillary data, and the network header wherever it is.
ANCILLARY = 0xFFFFF000
IFINDEX, HATYPE = ANCILLARY + 8, ANCILLARY + 28
NETWORK = 0xFFF00000

WHOLE = 262144
RTP_BYTES = 192  # Ethernet with two tags 22, IPv6 40, UDP 8, RTP 12 with 15 CSRCs 60; room for an extension

ESP_BYTES = 96  # IPsec: nothing behind its headers can be read

_ETHER, _LOOPBACK = 1, 772  # ARPHRD_*
_IPV4, _IPV6 = 0x0800, 0x86DD
_TAGS = next(row.ether_types for row in ROWS if row.kind == "vlan")
_FRAMINGS = tuple(each for row in ROWS for each in row.ether_types if each not in _TAGS)
(_LONGEST,) = constants("agent.wire.ip.layers_cy", "LONGEST")
_TCP, _UDP, _ESP, _AUTHENTICATION = 6, 17, 50, 51
_IPV6_EXTENSIONS = (0, 43, 44, 60)  # hop-by-hop, routing, fragment, destination options: read in full


class _Program:
    """Instructions with named targets. Jumps reach forward only; far ones use a `ja`."""

    def __init__(self) -> None:
        self._code: list[tuple[int, str | None, str | None, int]] = []
        self._labels: dict[str, int] = {}

    def put(self, code: int, k: int, yes: str | None = None, no: str | None = None) -> None:
        """One instruction. A jump goes to `yes` or `no`; None is the next instruction."""
        self._code.append((code, yes, no, k & 0xFFFFFFFF))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def finish(self) -> list[Instruction]:
        if len(self._code) > MAX_INSTRUCTIONS:
            raise ValueError(f"{len(self._code)} instructions: too many ports or peers in one filter")
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
    """The arguments of `voice`."""

    sip_ports: Sequence[int]
    media_ports: tuple[int, int] | None
    tunnels: Sequence[Tunnel]
    snap_length: int
    rtp_bytes: int


def voice(
    *,
    sip_ports: Sequence[int],
    media_ports: tuple[int, int] | None,
    tunnels: Sequence[Tunnel] = (),
    snap_length: int = WHOLE,
    rtp_bytes: int = RTP_BYTES,
) -> list[Instruction]:
    """The filter for SIP, media and fragments over IPv4 and IPv6, and for `tunnels` by their outer header.

    `sip_ports` count for UDP and TCP, either end; `media_ports` (first, last; None: any UDP) for UDP, either
    end. The filter reads behind two VLAN tags; frames with more, and in other framing (MPLS, PPPoE,
    LLC), are taken.

    Raises:
        ValueError: more ports than one program holds (about 45), or more peers.
    """
    program = _Program()
    # A link without Ethernet (tun, PPP, tunnels) starts at its network header.
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
        untagged, tagged = f"type-{at}", f"tag-{at}"
        program.label(untagged)
        program.put(LD_H, at)
        program.put(JEQ, _IPV4, f"go4-{at}")
        program.put(JEQ, _IPV6, f"go6-{at}")
        for ether_type in _TAGS:
            program.put(JEQ, ether_type, tagged)
        for ether_type in _FRAMINGS:
            program.put(JEQ, ether_type, f"framed-{at}")
        program.put(JGT, _LONGEST, None, f"framed-{at}")
        program.put(RET, 0)
        program.label(f"framed-{at}")
        program.put(RET, snap_length)
        program.label(f"go4-{at}")
        program.put(JA, 0, f"v4-{at + 2}")
        program.label(f"go6-{at}")
        program.put(JA, 0, f"v6-{at + 2}")
        program.label(tagged)
    program.put(RET, snap_length)
    wanted = _Wanted(sip_ports, media_ports, tunnels, snap_length, rtp_bytes)
    for base in (14, 18, 22, NETWORK):
        for version, network in ((4, _ipv4), (6, _ipv6)):
            name = f"v{version}-{base}"
            network(program, name, base)
            _tunnels(program, name, base, version, wanted)
            _transport(program, name, base, wanted)
    return program.finish()


def _ipv4(program: _Program, name: str, base: int) -> None:
    """Leaves the protocol in A and the header's length in X, as `_ipv6` does."""
    program.label(name)
    program.put(LD_H, base + 6)
    program.put(JSET, 0x3FFF, f"{name}-take")  # more fragments, or an offset
    program.put(LDX_MSH, base)
    program.put(LD_B, base + 9)


def _ipv6(program: _Program, name: str, base: int) -> None:
    program.label(name)
    program.put(LDX_IMM, 40)
    program.put(LD_B, base + 6)
    for extension in _IPV6_EXTENSIONS:
        program.put(JEQ, extension, f"{name}-take")


def _tunnels(program: _Program, name: str, base: int, version: int, wanted: _Wanted) -> None:
    """Tunnels by protocol, GRE type or UDP port, and peer. Leaves A and X as they were for all else."""
    protocol_at = base + (9 if version == 4 else 6)
    for number, tunnel in enumerate(wanted.tunnels):
        following = f"{name}-after-{number}"
        for protocol, at, values in _marks(tunnel):
            after = f"{following}-{protocol}-{at}-{values[0]}"
            program.put(JEQ, protocol, f"{after}-is")
            program.put(JA, 0, after)
            program.label(f"{after}-is")
            if at is not None:
                program.put(LD_H_IND, base + at)
                for value in values:
                    program.put(JEQ, value, f"{after}-peer")
                program.put(JA, 0, f"{after}-again")
                program.label(f"{after}-peer")
            _peers(program, f"{after}-taken", f"{after}-again", base, version, tunnel)
            program.label(f"{after}-taken")
            program.put(RET, wanted.snap_length)
            program.label(f"{after}-again")
            program.put(LD_B, protocol_at)
            program.label(after)
    program.put(JA, 0, f"{name}-transport")
    program.label(f"{name}-take")
    program.put(RET, wanted.snap_length)
    program.label(f"{name}-transport")


def _marks(tunnel: Tunnel) -> Iterator[tuple[int, int | None, tuple[int, ...]]]:
    """The marks of a tunnel: (IP protocol, place of a half word behind the IP header, its values)."""
    row = tunnel.row
    for protocol in row.protocols:
        yield protocol, None, (0,)
    if row.gre_types:
        yield GRE, 2, row.gre_types
    if tunnel.ports:
        yield _UDP, 2, tunnel.ports
    if tunnel.ports and row.either_port:
        yield _UDP, 0, tunnel.ports
    if row.over_tcp:
        yield _TCP, 2, tunnel.ports


def _peers(program: _Program, yes: str, no: str, base: int, version: int, tunnel: Tunnel) -> None:
    """Goes to `yes` where the source is one of the peers, or where none is named; else to `no`."""
    if not tunnel.peers:
        program.put(JA, 0, yes)
        return
    for number, network in enumerate(tunnel.networks()):
        if network.version != version:
            continue
        after = f"{yes}-not-{number}"
        for word, mask, at in _words(network):
            program.put(LD_W, base + at)
            program.put(AND, mask)
            program.put(JEQ, word, None, after)
        program.put(JA, 0, yes)
        program.label(after)
    program.put(JA, 0, no)


def _words(network: IPv4Network | IPv6Network) -> Iterator[tuple[int, int, int]]:
    """The network in words of 32 bits, most significant first: (value, mask, where in the IP header)."""
    address, mask, start = network.network_address.packed, network.netmask.packed, 12
    if network.version == 6:
        start = 8
    for at in range(0, len(address), 4):
        if bits := int.from_bytes(mask[at : at + 4], "big"):
            yield int.from_bytes(address[at : at + 4], "big"), bits, start + at


def _transport(program: _Program, name: str, base: int, wanted: _Wanted) -> None:
    """With the protocol in A and the network header's length in X."""
    program.put(JEQ, _UDP, f"{name}-udp")
    program.put(JEQ, _AUTHENTICATION, f"{name}-all")
    program.put(JEQ, _ESP, f"{name}-hidden")
    program.put(JEQ, _TCP, None, f"{name}-none")
    for end in (0, 2):
        program.put(LD_H_IND, base + end)
        for port in wanted.sip_ports:
            program.put(JEQ, port, f"{name}-whole")
    program.label(f"{name}-none")
    program.put(RET, 0)
    program.label(f"{name}-all")
    program.put(RET, wanted.snap_length)
    program.label(f"{name}-hidden")
    program.put(RET, min(ESP_BYTES, wanted.snap_length))
    program.label(f"{name}-udp")
    for end in (0, 2):
        program.put(LD_H_IND, base + end)
        for port in wanted.sip_ports:
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
    # SIP may be at a media port's other end; a packet to a SIP port is never cut.
    program.put(LD_H_IND, base + 2)
    for port in wanted.sip_ports:
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


def expression(
    *, sip_ports: Sequence[int], media_ports: tuple[int, int] | None, tunnels: Sequence[Tunnel] = ()
) -> str:
    """The frames that `voice` lets through, and frames with any tag, as a libpcap expression."""
    parts = [" or ".join(f"port {port}" for port in sip_ports)]
    parts.append(f"udp portrange {media_ports[0]}-{media_ports[1]}" if media_ports else "udp")
    parts.append("ip[6:2] & 0x3fff != 0")
    parts += [f"ip6[6] = {extension}" for extension in _IPV6_EXTENSIONS]
    parts += [f"proto {protocol}" for protocol in (_ESP, _AUTHENTICATION)]
    parts += [f"ether proto {ether_type:#x}" for ether_type in (*_TAGS, *_FRAMINGS)]
    parts.append(f"ether[12:2] <= {_LONGEST}")
    for tunnel in tunnels:
        peers = " or ".join(f"src net {network}" for network in tunnel.networks())
        parts += [f"{mark} and ({peers})" if peers else mark for mark in _phrases(tunnel)]
    return " or ".join(f"({part})" for part in parts)


def _phrases(tunnel: Tunnel) -> Iterator[str]:
    """`_marks` in libpcap's words, without the GRE type: libpcap cannot look behind options."""
    for protocol, at, values in _marks(tunnel):
        if name := {_TCP: "tcp", _UDP: "udp"}.get(protocol):
            end = "dst" if at == 2 else "src"
            yield f"{name} and (" + " or ".join(f"{end} port {port}" for port in values) + ")"
        else:
            yield f"proto {protocol}"


def nothing() -> list[Instruction]:
    """Lets no frame in."""
    return [(RET, 0, 0, 0)]


def everything(snap_length: int = WHOLE) -> list[Instruction]:
    return [(RET, 0, 0, snap_length)]


def cut(program: Sequence[Instruction], snap_length: int) -> list[Instruction]:
    """The program with each accepted length cut to `snap_length`."""
    return [(code, jt, jf, min(k, snap_length) if code == RET else k) for code, jt, jf, k in program]


def only_from(program: Sequence[Instruction], ifindexes: Sequence[int]) -> list[Instruction]:
    """The program for a socket on every interface: it checks first that the frame came by one of these."""
    count = len(ifindexes)
    tests = [(JEQ, count - number, 0, ifindex) for number, ifindex in enumerate(ifindexes)]
    return [(LD_W, 0, 0, IFINDEX), *tests, (RET, 0, 0, 0), *program]


def compile_expression(expression: str, snap_length: int = WHOLE) -> list[Instruction]:
    """A tcpdump expression, compiled for Ethernet by libpcap through scapy.

    Raises:
        ConfigError: libpcap refuses it, or is missing.
    """
    try:
        from scapy.arch.common import compile_filter

        program = compile_filter(expression, linktype=1)
    except (ImportError, OSError) as error:
        raise ConfigError(
            f"a filter expression needs scapy and libpcap ({error}):"
            f" {how_to_add('scapy')}, and libpcap from the system; or leave it empty;"
            " where both are there, restart: a confined daemon loads them at its start only"
        ) from None
    except Exception as error:  # scapy's own class
        raise ConfigError(f"the filter expression {expression!r} does not compile: {error}") from None
    found = [program.bf_insns[number] for number in range(program.bf_len)]
    # scapy declares k signed: an address from 128.0.0.0 on would be negative.
    return cut([(each.code, each.jt, each.jf, each.k & 0xFFFFFFFF) for each in found], snap_length)
