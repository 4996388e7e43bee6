"""SIP messages as the lab's endpoints write them: whole, in UDP, without compact header names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_AS_WRITTEN = {"call-id": "Call-ID", "cseq": "CSeq"}  # sipp asks for the letters' case
MAGIC = "z9hG4bK"  # RFC 3261 8.1.1.7


@dataclass(frozen=True)
class Message:
    first: str  # the Request-Line or Status-Line
    headers: tuple[tuple[str, str], ...]
    body: str = ""

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """None for what is no message, such as a keep-alive."""
        head, _, body = data.decode(errors="replace").partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        if "SIP/2.0" not in first:
            return None
        pairs = (line.partition(":")[::2] for line in lines if ":" in line)
        return cls(first, tuple((name.strip().lower(), value.strip()) for name, value in pairs), body)

    @property
    def status(self) -> int:
        """0 for a request."""
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        """A response has its request's."""
        return self.header("cseq").split()[-1] if self.status else self.first.split()[0]

    @property
    def branch(self) -> str:
        return parameter(self.header("via"), "branch")

    @property
    def call_id(self) -> str:
        return self.header("call-id")

    @property
    def called(self) -> str:
        """The user of the Request-URI."""
        return user(self.first.split()[1])

    def header(self, name: str) -> str:
        """The first value; "" where there is none."""
        return next((value for each, value in self.headers if each == name), "")

    def copied(self, *names: str) -> list[tuple[str, str]]:
        """Every header of these names, in the message's order."""
        return [pair for pair in self.headers if pair[0] in names]


def written(first: str, headers: list[tuple[str, str]], body: str = "") -> bytes:
    lines = [first, *(f"{_AS_WRITTEN.get(name, name.title())}: {value}" for name, value in headers)]
    if body:
        lines.append("Content-Type: " + ("application/sdp" if body.startswith("v=0") else "message/sipfrag"))
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def parameter(value: str, name: str) -> str:
    found = re.search(rf";\s*{name}=([^;>\s]+)", value)
    return found[1] if found else ""


def uri(value: str) -> str:
    """The URI of a From, To, Contact or Refer-To."""
    found = re.search(r"<([^>]+)>", value)
    return found[1] if found else value.split(";")[0].strip()


def user(address: str) -> str:
    found = re.search(r"sips?:([^@;?>]+)@", address)
    return found[1] if found else ""
