"""EC2's facts about this instance: IMDSv2, asked once by `sbcwatch init` and never by the daemon.

The link-local address is contacted only where the firmware says that the host is EC2's, within one second.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

BASE = "http://169.254.169.254"
TIMEOUT_S = 1.0
_LIMIT = 1_024  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Instance:
    """Region, and the 1:1 NAT that gives the private address a public one ("" where there is none)."""

    region: str
    private_address: str
    public_address: str


def is_ec2(root: Path = Path("/")) -> bool:
    """Whether the firmware says so; reads files only."""
    for name in ("sys_vendor", "board_vendor", "bios_vendor"):
        try:
            if "amazon ec2" in (root / "sys/class/dmi/id" / name).read_text().lower():
                return True
        except OSError:
            continue
    return False


def ask(base: str = BASE, timeout_s: float = TIMEOUT_S) -> Instance | None:
    """None where no IMDSv2 service answers."""
    # No proxy: a link-local address is never behind one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    try:
        token = _read(
            opener, urllib.request.Request(f"{base}/latest/api/token", b"", ttl, method="PUT"), timeout_s
        )
        region = _get(opener, base, "placement/region", token, timeout_s)
    except (OSError, ValueError):  # URLError is an OSError
        return None
    addresses = []
    for name in ("local-ipv4", "public-ipv4"):
        try:
            addresses.append(_get(opener, base, name, token, timeout_s))
        except (OSError, ValueError):
            addresses.append("")  # 404: none given
    return Instance(region, addresses[0], addresses[1])


def _get(opener: urllib.request.OpenerDirector, base: str, name: str, token: str, timeout_s: float) -> str:
    headers = {"X-aws-ec2-metadata-token": token}
    return _read(
        opener, urllib.request.Request(f"{base}/latest/meta-data/{name}", headers=headers), timeout_s
    )


def _read(opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float) -> str:
    with opener.open(request, timeout=timeout_s) as answer:
        text: str = answer.read(_LIMIT).decode("ascii").strip()
    if not text or not text.isprintable():
        raise ValueError("no answer of IMDS")
    return text
