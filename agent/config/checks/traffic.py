"""Capture, calls and quality: what the kernel would refuse, or no frame could match."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.config.checks.words import Finding, header, nearest, twice
from agent.config.settings import Config
from agent.quality.codecs import table

MAX_INTERFACE = 15  # octets of a NIC's name (IFNAMSIZ less its NUL)
LEAST_SNAP = 1_600  # an INVITE with SDP in one Ethernet frame
MOST_LATENESS_S = 60.0

# Headers whose values say nothing of one call: a client's name and abilities, whom somebody calls.
SHARED_HEADERS = {
    "accept", "accept-encoding", "accept-language", "allow", "allow-events", "contact", "content-disposition",
    "content-length", "content-type", "cseq", "date", "diversion", "expires", "max-forwards", "mime-version",
    "min-se", "organization", "p-access-network-info", "p-asserted-identity", "p-preferred-identity",
    "privacy", "proxy-require", "record-route", "remote-party-id", "require", "route", "server",
    "session-expires", "subject", "supported", "to", "user-agent",
}  # fmt: skip


def capture(config: Config) -> Iterator[Finding]:
    capture = config.capture
    for interface in capture.interfaces:
        if not 1 <= len(interface.encode()) <= MAX_INTERFACE or re.search(r"[\s/]", interface):
            yield (
                "capture",
                "interfaces",
                f'"{interface}" can be no NIC: 1 to {MAX_INTERFACE} octets, no / or space',
            )
    if not capture.sip_ports and not capture.filter:
        yield "capture", "sip_ports", "is empty: without a port no SIP is seen: write [5060]"


def capture_doubts(config: Config) -> Iterator[Finding]:
    capture = config.capture
    if capture.snap_length < LEAST_SNAP:
        yield "capture", "snap_length", f"{capture.snap_length} cuts SIP messages: {LEAST_SNAP} at least"
    if capture.filter and capture.media_ports:
        yield "capture", "media_ports", "is not used: filter stands in its place"
    if capture.lateness > MOST_LATENESS_S:
        text = "minutes close and reach AWS that much later where a NIC is silent: 3 is usual"
        yield "capture", "lateness", f"{capture.lateness:g} s: {text}"
    if "any" in capture.interfaces and len(set(capture.interfaces)) > 1:
        yield "capture", "interfaces", '"any" stands for all: the others have no effect'
    for key in ("interfaces", "sip_ports"):
        yield from twice("capture", key, getattr(capture, key))


def calls(config: Config) -> Iterator[Finding]:
    calls = config.calls
    for name in calls.correlation_headers:
        yield from header("calls", "correlation_headers", name)
        if name.lower() in SHARED_HEADERS:
            text = "calls of strangers share its values, and all would join: remove it"
            yield "calls", "correlation_headers", f'"{name}": {text}'
    if "" in calls.call_id_suffixes:
        yield "calls", "call_id_suffixes", '"" is every Call-ID\'s suffix, so all legs would join: remove it'
    for pattern in calls.throttle_patterns:
        begins = re.match(r"[4-6*?][0-9*?\[]", pattern) or pattern.startswith(("*", "["))
        if not begins or not re.search(r"[ *?]", pattern):
            text = "begin with a status and a blank, as 480 Call limit*"
            yield "calls", "throttle_patterns", f'"{pattern}" can match no response: {text}'


def call_doubts(config: Config) -> Iterator[Finding]:
    if config.calls.hold_timeout < config.calls.call_timeout:
        yield "calls", "hold_timeout", "is less than call_timeout: a call on hold would end first"


def quality(config: Config) -> Iterator[Finding]:
    quality = config.quality
    if quality.jitter_buffer == "adaptive" and quality.jitter_buffer_ms > quality.jitter_buffer_max_ms:
        yield (
            "quality",
            "jitter_buffer_ms",
            f"is above jitter_buffer_max_ms ({quality.jitter_buffer_max_ms:g})",
        )


def codec_doubts(config: Config) -> Iterator[Finding]:
    names = {row.name.upper() for _, row in table()}
    for name in config.quality.codecs:
        near = nearest(name, [known.lower() for known in names])
        if name.upper() not in names and near:
            yield "quality", "codecs", f'"{name}" is no codec that is known here{near}'
