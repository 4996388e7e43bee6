"""Every error that sbcwatch raises on purpose.

    SbcwatchError             one clear line for the operator, with the fix; carries the exit status
    ├── ConfigError           bad usage or configuration (exit 2)
    ├── CaptureError          frames cannot be read (exit 3)
    ├── StateError            the state directory's disk fails for now (exit 3)
    └── SinkError             a sink cannot be started or refused for good (exit 4)

    WireError(reason)         bytes that do not parse; never leaves the engine

A `WireError` costs one record only. Its `reason`, a closed enum, becomes the label of the reject counter.
"""

from __future__ import annotations

import enum
import importlib.util
import sys


def how_to_add(package: str) -> str:
    """The command that adds a package to this installation.

    It never names sbcwatch: nothing of that name is on an index, and whoever took it would be root here.
    """
    if importlib.util.find_spec("pip") is None:
        return f"this installation has no pip: install the wheel, and {package} beside it (docs/install.md)"
    return f"{sys.executable} -m pip install {package}"


class SbcwatchError(Exception):
    """The base of the errors that end a command. The text is one line: the fault, then the fix."""

    exit_status = 1


class ConfigError(SbcwatchError):
    exit_status = 2


class CaptureError(SbcwatchError):
    exit_status = 3


class StateError(SbcwatchError):
    exit_status = 3


class SinkError(SbcwatchError):
    exit_status = 4


class Reason(enum.StrEnum):
    """Why a record was rejected. Closed: each value is a label of the reject counter."""

    FAR_STAMP = "far_stamp"  # stamped years away from the rest of its capture
    LINK_TYPE = "link_type"  # a link type that no decoder reads
    LINK_TRUNCATED = "link_truncated"
    IP_TRUNCATED = "ip_truncated"
    IP_MALFORMED = "ip_malformed"
    UDP_TRUNCATED = "udp_truncated"
    UDP_MALFORMED = "udp_malformed"
    OWN_SOURCE = "own_source"  # received from an address of this host: forged
    FRAGMENT = "fragment"  # a fragment that was never completed, or that overlaps another
    TCP_MALFORMED = "tcp_malformed"
    SCTP_MALFORMED = "sctp_malformed"
    HEP_MALFORMED = "hep_malformed"  # or with a compressed payload
    SIP_START_LINE = "sip_start_line"
    SIP_HEADER = "sip_header"
    SIP_TRUNCATED = "sip_truncated"
    SIP_MISSING_HEADER = "sip_missing_header"  # Call-ID, From, To, CSeq or Via (RFC 3261 8.1.1)
    SDP_MALFORMED = "sdp_malformed"
    RTP_MALFORMED = "rtp_malformed"
    RTCP_TRUNCATED = "rtcp_truncated"
    RTCP_MALFORMED = "rtcp_malformed"
    RTCP_ENCRYPTED = "rtcp_encrypted"  # counted as a packet; its contents are unknown


class WireError(Exception):
    """Bytes from the wire that do not parse."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
