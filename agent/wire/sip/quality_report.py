"""The far end's own quality figures: RFC 6035 reports and the RTP statistics headers of BYE.

**Reports** (`application/vq-rtcpxr` in PUBLISH or NOTIFY, RFC 6035 4.6): lines `Name:KEY=value KEY=value`,
first those of the session, then of `LocalMetrics:` (the reporter's reception) and of `RemoteMetrics:`.

**Headers** of BYE and its 200, never standardised: two-letter keys, `;` or `,` between them.

- AudioCodes (X-RTP-Stat; SIP user's manual, QoSStatistics):
  `PS=207;OS=49680;;PR=314;OR=50240;PL=0;JI=600;LA=40;`
- Cisco IOS, CUBE, SPA and MPP phones (P-RTP-Stat; CUBE configuration guide), TelcoBridges and Poly ATA:
  `PS=300,OS=48000,PR=365,OR=58400,PL=0,JI=0,LA=0,DU=7`, some with `EN=`, `DE=`, `MOS=`
- AVM FRITZ!Box and baresip (X-RTP-Stat; xrtpv32.pdf of AVM, which baresip's rtpstat.c cites): values in pairs
  received,sent and jitter in RTP ticks:
  `EX=BareSip;CS=0;CD=10;PR=498;PS=499;PL=0,0;PD=0,0;JI=9.6,0.0;IP=a,b;EN=PCMU/8000;DE=PCMU/8000`
- Siemens OpenScape (X-Siemens-RTP-stats):
  `MT=0;PS=662;OS=105920;PR=661;OR=105760;PL=0;JI=0;LA=1;SS=0;EN=8;DE=8`
- some services: `MOS=3.8;Jitter=7;PacketLossPct=0;RTT=260682;...`, jitter in ms, RTT in microseconds

The meaning of LA differs by vendor (round trip at Cisco, jitter buffer at Poly), so it is passed on as it is.
A value that is absent, unreadable or out of its range is None.
"""

from __future__ import annotations

import re

from msgspec import Struct

CONTENT_TYPE = "application/vq-rtcpxr"
HEADERS = (
    "x-rtp-stat",
    "p-rtp-stat",
    "x-rtp-stats",
    "x-rtp-statistics",
    "x-siemens-rtp-stats",
    "x-siemens-rtp-stats-list",
)

# As text: `re` compiles them when the first report comes. Most hosts never see one.
_PAIR = r'(?<![\w-])([A-Za-z][\w-]*)=("[^"]*"|\S*)'
_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?"
_LINES_MAX = 256  # a report has about 30; a body can bring 30,000


class ReportedSocket(Struct, frozen=True):
    """LocalAddr or RemoteAddr: `port` 0 and `ssrc` None where not given."""

    address: str
    port: int
    ssrc: int | None


class Metrics(Struct):
    """One end's reception (RFC 6035 4.6.1 to 4.6.2.x)."""

    payload_type: int | None = None
    codec: str = ""
    clock_rate: int | None = None
    start: str = ""  # as written, RFC 3339
    stop: str = ""
    loss_ratio: float | None = None  # NLR
    discard_ratio: float | None = None  # JDR
    burst_density: float | None = None  # BLD, ratio of packets in bursts
    burst_duration_ms: float | None = None
    gap_density: float | None = None
    gap_duration_ms: float | None = None
    gmin: int | None = None
    jitter_ms: float | None = None  # IAJ
    jitter_max_ms: float | None = None  # MAJ
    round_trip_ms: float | None = None  # RTD
    end_system_ms: float | None = None  # ESD
    one_way_ms: float | None = None  # OWD, or SOWD of the later text
    buffer_nominal_ms: float | None = None  # JBN
    buffer_max_ms: float | None = None  # JBM
    signal_dbm: float | None = None
    noise_dbm: float | None = None
    r_lq: float | None = None
    r_cq: float | None = None
    mos_lq: float | None = None
    mos_cq: float | None = None


class QualityReport(Struct):
    """One report. `final` is the CallTerm report of a session, which covers it from its start."""

    kind: str  # "session", "interval" or "alert"
    final: bool
    call_id: str = ""
    dialog: tuple[str, str, str] | None = None  # Call-ID, to-tag, from-tag of DialogID
    local_addr: ReportedSocket | None = None
    remote_addr: ReportedSocket | None = None
    local: Metrics | None = None
    remote: Metrics | None = None


class RtpStat(Struct):
    """The statistics header of one end; `received` and `lost` say what reached it, `*_sent` the other way."""

    packets_sent: int | None = None
    octets_sent: int | None = None
    packets_received: int | None = None
    octets_received: int | None = None
    packets_lost: int | None = None
    packets_lost_sent: int | None = None
    packets_discarded: int | None = None
    loss_ratio: float | None = None
    jitter: float | None = None
    jitter_sent: float | None = None
    jitter_in_ticks: bool = False  # else milliseconds
    latency_ms: float | None = None  # LA: see above
    round_trip_ms: float | None = None
    duration_s: float | None = None
    encoder: str = ""
    decoder: str = ""
    mos: float | None = None


def parse(data: bytes) -> QualityReport | None:
    """Read a body of type `application/vq-rtcpxr`; None if it does not begin as one. Raises nothing."""
    lines = str(data, "utf-8", "backslashreplace").lstrip().splitlines()[:_LINES_MAX]
    name, _, rest = lines[0].partition(":") if lines else ("", "", "")
    kind = {"vqsessionreport": "session", "vqintervalreport": "interval", "vqalertreport": "alert"}.get(
        name.strip().lower()
    )
    if kind is None:
        return None
    report = QualityReport(kind, rest.strip().lower() == "callterm")
    current = None
    for line in lines[1:]:
        name, colon, rest = line.partition(":")
        name = name.strip().lower()
        if not colon:
            continue
        if name in ("localmetrics", "metrics"):  # "Metrics:" in the alert example of 4.7.2
            current = report.local = report.local or Metrics()
        elif name == "remotemetrics":
            current = report.remote = report.remote or Metrics()
        elif name == "callid":
            report.call_id = report.call_id or rest.strip()
        elif name == "dialogid":
            report.dialog = report.dialog or _dialog(rest)
        elif name == "localaddr":
            report.local_addr = report.local_addr or _socket(rest)
        elif name == "remoteaddr":
            report.remote_addr = report.remote_addr or _socket(rest)
        elif name in _SECTIONS:
            if current is None:  # measurements before their heading: some phones leave it out
                current = report.local = Metrics()
            _SECTIONS[name](
                current, {key.upper(): value.strip('"') for key, value in re.findall(_PAIR, rest)}
            )
    if not report.call_id and report.dialog:
        report.call_id = report.dialog[0]
    return report


def _dialog(text: str) -> tuple[str, str, str] | None:
    """DialogID:<Call-ID>;to-tag=...;from-tag=... (4.6.1)"""
    call_id, _, rest = text.strip().partition(";")
    tags = dict(part.strip().partition("=")[::2] for part in rest.split(";"))
    return (call_id, tags.get("to-tag", ""), tags.get("from-tag", "")) if call_id else None


def _socket(text: str) -> ReportedSocket | None:
    """IP=10.10.1.100 PORT=5000 SSRC=1a3b5c7d; the SSRC is hexadecimal, with or without 0x."""
    pairs = {key.upper(): value for key, value in re.findall(_PAIR, text)}
    if not pairs.get("IP"):
        return None
    port = _number(pairs.get("PORT"), 0, 65535)
    try:
        ssrc = int(pairs["SSRC"][:12], 16)
    except (KeyError, ValueError):
        ssrc = -1
    return ReportedSocket(
        pairs["IP"].strip("[]").lower(), int(port or 0), ssrc if 0 <= ssrc <= 0xFFFF_FFFF else None
    )


def _number(text: str | None, least: float, most: float) -> float | None:
    """A decimal in [least, most]. The codes that the formats use for "unknown" (127, -1) lie outside."""
    if not text or not re.fullmatch(_NUMBER, text):
        return None
    value = float(text)
    return value if least <= value <= most else None


def _whole(text: str | None, most: int) -> int | None:
    value = _number(text, 0, most)
    return None if value is None else int(value)


def _ratio(text: str | None) -> float | None:
    """Percent as written, as a ratio."""
    value = _number(text, 0, 100)
    return None if value is None else value / 100


def _ms(text: str | None) -> float | None:
    return _number(text, 0, 3_600_000)


def _mos(text: str | None) -> float | None:
    return _number(text, 1, 5)


def _timestamps(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.start, metrics.stop = pairs.get("START", ""), pairs.get("STOP", "")


def _session_desc(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.payload_type = _whole(pairs.get("PT"), 127)
    metrics.codec = pairs.get("PD", "")
    metrics.clock_rate = _whole(pairs.get("SR"), 1_000_000) or None


def _jitter_buffer(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.buffer_nominal_ms, metrics.buffer_max_ms = _ms(pairs.get("JBN")), _ms(pairs.get("JBM"))


def _packet_loss(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.loss_ratio, metrics.discard_ratio = _ratio(pairs.get("NLR")), _ratio(pairs.get("JDR"))


def _burst_gap(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.burst_density, metrics.burst_duration_ms = _ratio(pairs.get("BLD")), _ms(pairs.get("BD"))
    metrics.gap_density, metrics.gap_duration_ms = _ratio(pairs.get("GLD")), _ms(pairs.get("GD"))
    metrics.gmin = _whole(pairs.get("GMIN"), 255)


def _delay(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.round_trip_ms, metrics.end_system_ms = _ms(pairs.get("RTD")), _ms(pairs.get("ESD"))
    metrics.one_way_ms = _ms(pairs.get("OWD") or pairs.get("SOWD"))
    metrics.jitter_ms, metrics.jitter_max_ms = _ms(pairs.get("IAJ")), _ms(pairs.get("MAJ"))


def _signal(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.signal_dbm = _number(pairs.get("SL"), -127, 126)
    metrics.noise_dbm = _number(pairs.get("NL"), -127, 126)


def _quality(metrics: Metrics, pairs: dict[str, str]) -> None:
    metrics.r_lq, metrics.r_cq = _number(pairs.get("RLQ"), 0, 120), _number(pairs.get("RCQ"), 0, 120)
    metrics.mos_lq, metrics.mos_cq = _mos(pairs.get("MOSLQ")), _mos(pairs.get("MOSCQ"))


_SECTIONS = {
    "timestamps": _timestamps,
    "sessiondesc": _session_desc,
    "jitterbuffer": _jitter_buffer,
    "packetloss": _packet_loss,
    "burstgaploss": _burst_gap,
    "delay": _delay,
    "signal": _signal,
    "qualityest": _quality,
}


def rtp_stat(value: str) -> RtpStat | None:
    """Read the value of one of `HEADERS`; None if nothing in it is known. Raises nothing."""
    separator = ";" if ";" in value else ","
    fields: dict[str, str] = {}
    for part in value[:4096].split(separator):
        key, equals, text = part.partition("=")
        if equals:
            fields.setdefault(key.strip().upper(), text.strip())
    first = {key: text.partition(",")[0].strip() for key, text in fields.items()}
    second = {key: text.partition(",")[2].partition(",")[0].strip() for key, text in fields.items()}
    stat = RtpStat(
        packets_sent=_count(first.get("PS")),
        octets_sent=_count(first.get("OS")),
        packets_received=_count(first.get("PR")),
        octets_received=_count(first.get("OR")),
        packets_lost=_count(first.get("PL")),
        packets_lost_sent=_count(second.get("PL")),
        packets_discarded=_count(first.get("PD")),
        loss_ratio=_ratio(first.get("PACKETLOSSPCT")),
        jitter=_number(first.get("JI", first.get("JITTER")), 0, 1e9),
        jitter_sent=_number(second.get("JI"), 0, 1e9),
        jitter_in_ticks=bool(second.get("JI")) or first.get("EX", "").lower() == "baresip",
        latency_ms=_ms(first.get("LA")),
        duration_s=_number(first.get("DU", first.get("CD")), 0, 1e9),
        encoder=fields.get("EN", ""),
        decoder=fields.get("DE", ""),
        mos=_mos(first.get("MOS")),
    )
    round_trip_us = _number(first.get("RTT"), 0, 1e9)
    stat.round_trip_ms = None if round_trip_us is None else round_trip_us / 1000
    return stat if stat != RtpStat() else None


def _count(text: str | None) -> int | None:
    """A count, which AVM also writes as `196k`."""
    if not text:
        return None
    scale = 1000 if text[-1] in "kK" else 1
    value = _number(text[:-1] if scale > 1 else text, 0, 1e12)
    return None if value is None else int(value * scale)
