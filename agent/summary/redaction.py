"""Removes secrets from SIP messages: the one way from captured octets to text that a person reads.

Most messages have nothing to remove, which `first_look_cy` sees. `secret_removal` has the rules. It is
imported for the first message that needs them: its expressions take 5 ms to compile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agent.summary.first_look_cy import FirstLook
from agent.summary.secret_names import ENCODINGS, SECRET_HEADERS
from agent.wire.sip.message_cy import COMPACT

if TYPE_CHECKING:
    from agent.summary.secret_removal import SecretRemoval


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
        self._first_look = FirstLook(names, keeps_bodies=mode != "headers")
        self._removal: SecretRemoval | None = None

    def text(self, data: bytes) -> str:
        """The message as text for people; octets that are no UTF-8 become U+FFFD. Twice gives the same."""
        if self._mode == "whole" or self._first_look.is_plain(data):
            return data.decode("utf-8", "replace")
        if self._removal is None:
            from agent.summary.secret_removal import SecretRemoval

            self._removal = SecretRemoval(self._secret, keeps_bodies=self._mode != "headers")
        return self._removal.text(data)
