"""Messages from third addresses, held until the vc confirms them (`agent/model/trust.py`).

A dialog's peer may move to another address (a phone changes its network, a farm answers from another host).
So a message from an address that the vc has not dealt with on the leg waits: a request for the vc's 2xx, a
final response to an INVITE for the vc's ACK (RFC 3261 13.2.2.4, 17.1.1.3). Other messages change nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from agent.wire.sip.message_cy import Message

MAX_HELD = 256  # anybody can send them: the oldest goes
MAX_BYTES = 8_192  # a longer one is not worth its memory
Key = tuple[str, str, int, str, str]


class Unproven:
    """Held messages, each with its source address."""

    def __init__(self) -> None:
        self.held: OrderedDict[Key, tuple[Message, str]] = OrderedDict()  # oldest first

    def hold(self, message: Message, src: str) -> None:
        if len(message.data) > MAX_BYTES:
            return
        method = message.method if message.is_request else "ACK"
        self.held[_key(message, method)] = message, src
        if len(self.held) > MAX_HELD:
            self.held.popitem(last=False)

    def taken_up(self, message: Message) -> tuple[Message, str] | None:
        """The held messages that this message of the vc confirms: a 2xx its request, an ACK a response."""
        if message.is_request and message.method != "ACK":
            return None
        if not message.is_request and not 200 <= message.status < 300:
            return None
        return self.held.pop(_key(message, message.method), None)


def _key(message: Message, method: str) -> Key:
    return message.call_id, method, message.cseq, message.from_tag, message.to_tag
