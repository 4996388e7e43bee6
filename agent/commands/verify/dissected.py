"""A capture file as tshark reads it: the second opinion behind `sbcwatch verify`.

pyshark finds tshark and writes its options; tshark prints tab-separated fields, once through the file, and
its own `rtp,streams` table behind them. pyshark's packet objects are not used: they come at 400 to 1,000 a
second, the fields at 40,000, and a minute of one call is 12,000 packets.

tshark's own sums are kept apart (`own`) from its fields packet by packet, because the two differ: its loss is
expected minus received, so a duplicate hides a lost packet; its jitter takes in every packet,
telephone-events too; its round trip is the difference of two times cut to whole milliseconds.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.commands.verify.recount import RecountedPacket
from agent.errors import CaptureError, how_to_add
from agent.uncompiled import constants

(COPY_NS,) = constants("agent.wire.ip.packet_cy", "COPY_NS")
# without IP identification: SIP that comes again on one path within this is a copy
(NEAR_NS,) = constants("agent.transport.copies_cy", "NEAR_NS")
NOT_AUDIO = (13, 19)  # comfort noise has its own clock: the time since the last speech

_FIELDS = (
    "frame.time_epoch",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ipv6.src",
    "ipv6.dst",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "frame.interface_id",
    "vlan.id",
    "sll.pkttype",
    "rtp.ssrc",
    "rtp.seq",
    "rtp.timestamp",
    "rtp.p_type",
    "rtp.marker",
    "frame.number",
    "rtcp.pt",
    "rtcp.lsr-frame",
    "rtcp.ssrc.dlsr",
    "rtcp.roundtrip-delay",
    "sip.Status-Code",
    "sip.Method",
    "sip.Status-Line",
    "sip.Request-Line",
    "sip.msg_hdr",
    "sdp.version",
)
_RTP_IDENTITY = ("rtp.ssrc", "rtp.seq", "rtp.timestamp")
# The whole start line: two responses may differ in the reason phrase alone.
_SIP_IDENTITY = ("sip.Status-Line", "sip.Request-Line", "sip.msg_hdr")
_PREFERENCES = {
    "rtcp.show_roundtrip_calculation": "TRUE",
    "rtcp.roundtrip_min_threshhold": "0",  # tshark's own spelling
}
# RTP without SDP is found by its form, as here. Packets quoted in ICMP errors are not counted.
_OPTIONS = ["--enable-heuristic", "rtp_udp", "--disable-protocol", "icmp", "--disable-protocol", "icmpv6"]
_OWN_ROW = re.compile(
    r"\s*[\d.]+\s+[\d.]+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)\s+0x([0-9A-Fa-f]+)\s+(?:.*?)\s+(\d+)\s+(-?\d+) "
    r"\([^)]*\)\s+[-\d.]+\s+[-\d.]+\s+[-\d.]+\s+[-\d.]+\s+([-\d.]+)\s+([-\d.]+)"
)


class StreamKey(NamedTuple):
    src: str
    src_port: int
    dst: str
    dst_port: int
    ssrc: int

    def __str__(self) -> str:
        return f"{self.src}:{self.src_port} > {self.dst}:{self.dst_port} 0x{self.ssrc:08x}"


class Own(NamedTuple):
    """A row of tshark's `rtp,streams`."""

    packets: int
    lost: int
    jitter_mean_us: float
    jitter_max_us: float


class Trip(NamedTuple):
    """A round trip, milliseconds: from the frames' stamps and DLSR, and as tshark itself says."""

    ms: float
    own: int


@dataclass(slots=True)
class RtpStream:
    """Packets of one stream in order of arrival; `bytes` are UDP payload."""

    packets: list[RecountedPacket] = field(default_factory=list)
    bytes: int = 0
    own: Own | None = None


@dataclass(slots=True)
class Dissection:
    """tshark's result. `sip` counts (source, destination, status or method)."""

    sip: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    streams: dict[StreamKey, RtpStream] = field(default_factory=dict)
    trips: dict[int, list[Trip]] = field(default_factory=dict)  # by the frame's stamp
    described_ns: list[int] = field(default_factory=list)  # when an SDP passed
    copies: int = 0
    fault: str = ""


def dissect(path: str, *, single_span: bool = False) -> Dissection:
    """Reads a file through tshark. A file cut short gives the packets before the cut, and `fault`.

    Raises:
        CaptureError: tshark or pyshark is missing, or tshark read nothing.
    """
    command = _command(path)
    with (
        tempfile.TemporaryDirectory(prefix="sbcwatch-tshark-") as settings,
        tempfile.TemporaryFile() as messages,
    ):
        # An empty settings folder: the user's Wireshark preferences change nothing here.
        environment = os.environ | {"WIRESHARK_CONFIG_DIR": settings, "LC_ALL": "C"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, env=environment) as process:
            assert process.stdout is not None
            lines = (line.decode("utf-8", "replace").rstrip("\n") for line in process.stdout)
            found = _read(lines, single_span)
        if process.returncode:
            messages.seek(0)
            complaint = messages.read().decode("utf-8", "replace").strip().splitlines()
            found.fault = complaint[-1] if complaint else f"exit status {process.returncode}"
    return found


def _command(path: str) -> list[str]:
    try:
        import asyncio

        import pyshark
        from pyshark.tshark.tshark import TSharkNotFoundException, get_process_path
    except ImportError as error:
        raise CaptureError(f"pyshark cannot be imported ({error}): {how_to_add('pyshark')}") from None
    try:
        tshark = get_process_path()
    except TSharkNotFoundException:
        raise CaptureError("verify needs tshark: install it (Debian: apt install tshark)") from None
    loop = asyncio.new_event_loop()  # given, so that pyshark does not change the process's own
    try:
        capture = pyshark.FileCapture(
            path, eventloop=loop, override_prefs=_PREFERENCES, custom_parameters=_OPTIONS
        )
        parameters = [str(each) for each in capture.get_parameters()]
    except OSError as error:
        raise CaptureError(f"{path}: cannot be read: {error.strerror or error}") from None
    finally:
        loop.close()
    fields = [part for name in _FIELDS for part in ("-e", name)]
    return [tshark, "-n", *parameters, "-z", "rtp,streams", "-T", "fields", "-E", "occurrence=a", *fields]


def _read(lines: Iterable[str], single_span: bool) -> Dissection:
    found = Dissection()
    seen: dict[tuple[object, ...], tuple[int, tuple[str, ...]]] = {}
    reports_ns: dict[str, int] = {}  # RTCP by frame number
    for line in lines:
        row = line.split("\t")
        if len(row) != len(_FIELDS):
            _own(found, line)
            continue
        values = dict(zip(_FIELDS, row, strict=True))
        if values["sdp.version"]:
            found.described_ns.append(_ns(values["frame.time_epoch"]))
        if values["rtp.ssrc"] or values["sip.Status-Code"] or values["sip.Method"]:
            _take(found, values, seen, single_span)
        elif values["rtcp.pt"]:
            stamp_ns = reports_ns[values["frame.number"]] = _ns(values["frame.time_epoch"])
            trips = list(_trips(values, stamp_ns, reports_ns))
            if trips:
                found.trips[stamp_ns] = trips
    return found


def _trips(values: dict[str, str], stamp_ns: int, reports_ns: dict[str, int]) -> Iterator[Trip]:
    """tshark lists each field of several blocks apart: blocks are put together by fitting values."""
    fits = [
        (stamp_ns - reports_ns[frame]) / 1e6 - int(dlsr) * 1000 / 65536
        for frame in set(filter(None, values["rtcp.lsr-frame"].split(",")))
        for dlsr in filter(None, values["rtcp.ssrc.dlsr"].split(","))
        if frame in reports_ns
    ]
    for own in map(int, filter(None, values["rtcp.roundtrip-delay"].split(","))):
        near = [ms for ms in fits if -1 <= own - ms <= 2]
        if len(near) == 1:
            yield Trip(near[0], own)


def _take(
    found: Dissection,
    values: dict[str, str],
    seen: dict[tuple[object, ...], tuple[int, tuple[str, ...]]],
    single_span: bool,
) -> None:
    """An RTP packet or the SIP of a frame, unless it is a copy of one just seen."""
    stamp_ns = _ns(values["frame.time_epoch"])
    # In tunnels the innermost header counts.
    layers = values["frame.protocols"].split(":")
    family = next((layer for layer in reversed(layers) if layer in ("ip", "ipv6")), "ip")
    src, dst = (values[f"{family}.{end}"].rpartition(",")[2] for end in ("src", "dst"))
    ports = tuple(int(values[name].rpartition(",")[2] or 0) for name in ("udp.srcport", "udp.dstport"))
    identification = values["ip.id"].rpartition(",")[2] if family == "ip" else ""
    path = (values["frame.interface_id"], values["vlan.id"], values["sll.pkttype"])
    is_rtp = bool(values["rtp.ssrc"])
    what = _RTP_IDENTITY if is_rtp else _SIP_IDENTITY
    # Another IP identification is another packet, however alike the two are.
    identity = (src, dst, ports, identification, *(values[name] for name in what))
    before = seen.get(identity)
    if before is not None and "udp" in layers:
        apart_ns = stamp_ns - before[0]
        if int(identification or "0", 0) or before[1] != path:
            within_ns = COPY_NS
        elif is_rtp:
            within_ns = COPY_NS if single_span else -1
        else:
            within_ns = NEAR_NS
        if apart_ns <= within_ns:
            found.copies += 1
            return
    seen[identity] = (stamp_ns, path)
    if not is_rtp:
        for name in filter(None, values["sip.Status-Code"].split(",") + values["sip.Method"].split(",")):
            found.sip[src, dst, name] += 1
        return
    payload_type = int(values["rtp.p_type"].split(",")[0])
    stream = found.streams.setdefault(
        StreamKey(src, ports[0], dst, ports[1], int(values["rtp.ssrc"].split(",")[0], 16)), RtpStream()
    )
    stream.bytes += int(values["udp.length"].rpartition(",")[2]) - 8
    stream.packets.append(
        RecountedPacket(
            stamp_ns,
            int(values["rtp.seq"].split(",")[0]),
            int(values["rtp.timestamp"].split(",")[0]),
            payload_type,
            values["rtp.marker"].split(",")[0] in ("1", "True"),
            payload_type not in NOT_AUDIO and "rtpevent" not in layers,
        )
    )


def _own(found: Dissection, line: str) -> None:
    row = _OWN_ROW.match(line)
    if row is None:
        return
    src, src_port, dst, dst_port, ssrc, packets, lost, mean, most = row.groups()
    stream = found.streams.get(StreamKey(src, int(src_port), dst, int(dst_port), int(ssrc, 16)))
    if stream is not None:
        stream.own = Own(int(packets), int(lost), float(mean) * 1000, float(most) * 1000)


def _ns(epoch: str) -> int:
    seconds, _, fraction = epoch.partition(".")
    return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
