"""Removes secrets from SIP messages: the one way from captured octets to text that a person reads.

Most messages have nothing to remove, and are known by a few searches. `secret_removal` has the rules. It is
imported for the first message that needs them: its expressions take 5 ms to compile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.summary.secret_names import ENCODINGS, SECRET_HEADERS, WORDS
from agent.summary.words_cy import Words
from agent.wire.sip.message_cy import COMPACT

if TYPE_CHECKING:
    from agent.summary.secret_removal import SecretRemoval

# A message without secrets has none of these ...
_SUSPECT = Words(word.encode() for word in ("?", "%", "://", "inline", *WORDS))
_SECOND_COLON = re.compile(
    rb"sips?[ \t]*+:(?!\[[0-9a-f:.]*+\][:;>\r])[^<>@:\r\n]*+:(?!\d{1,5}[;>?\r])"
)  # a port's may be
# ... and each line is of a known form.
_OTHER_SDP_LINE = re.compile(
    rb"\r\n(?![b-jl-z]=|a=(?:rtpmap|fmtp|m?a?x?ptime|sendrecv|sendonly|recvonly|inactive|rtcp|ssrc|mid|label)\b)"
)
_TYPES = re.compile(rb"\r\n(?:content-type|c) ?:")


class Redaction:
    """Removes parts of a message by `mode`: "whole" changes nothing, "headers" removes each body.

    `headers`: names of further headers whose values are removed, in any case, long or compact.
    """

    def __init__(self, mode: str = "redacted", headers: Iterable[str] = ()) -> None:
        self._mode = mode
        asked = (name.strip().lower() for name in headers)
        self._secret = {*SECRET_HEADERS, *(COMPACT.get(name, name) for name in asked)}
        names = [*self._secret, "identity", *ENCODINGS]
        names += [short for short, long in COMPACT.items() if long in names]
        known = "|".join(map(re.escape, names)).encode()
        self._removal: SecretRemoval | None = None
        self._other_header = re.compile(rb"\r\n(?!(?!(?:%b) ?:)[a-z0-9._-]++ ?:)" % known)

    def text(self, data: bytes) -> str:
        """The message as text for people; octets that are no UTF-8 become U+FFFD. Twice gives the same."""
        if self._mode == "whole" or self._is_plain(data):
            return data.decode("utf-8", "replace")
        if self._removal is None:
            from agent.summary.secret_removal import SecretRemoval

            self._removal = SecretRemoval(self._secret, keeps_bodies=self._mode != "headers")
        return self._removal.text(data)

    def _is_plain(self, data: bytes) -> bool:
        """Whether there is nothing to remove: a message with SDP or no body, in a usual form."""
        if _SUSPECT.are_in(data):
            return False
        low = data.lower()
        if _SECOND_COLON.search(low):
            return False
        end = low.find(b"\r\n\r\n")
        body, lines = end + 4, low.count(b"\r\n")
        if (
            end < 0
            or lines != low.count(b"\n")
            or lines != low.count(b"\r")
            or self._other_header.search(low, 0, end)
        ):
            return False
        if not low.startswith(b"sip/2.0 ") and not low.startswith(b" sip/2.0", low.find(b"\r") - 8):
            return False
        if body == len(low):
            return True
        if self._mode == "headers" or len(_TYPES.findall(low)) != 1 or b": application/sdp\r\n" not in low:
            return False
        is_sdp = low.startswith(b"v=", body) and low.endswith(b"\r\n")
        return is_sdp and not _OTHER_SDP_LINE.search(low, body, len(low) - 2)
