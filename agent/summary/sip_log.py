"""The SIP log: which messages have a record, and how many a second. All messages are counted.

A flood fills the log first of all, and the log costs most. People look for failures (final responses from 400
on): they have as much room again, and no other message takes it. While the host cannot follow, messages are
logged by their start line alone.
"""

from __future__ import annotations

from typing import Any

from agent.model.call_cy import Call
from agent.model.events import MessageSeen
from agent.model.sides import Connector
from agent.model.units import SECOND_NS
from agent.summary.identity import Identity, users_of
from agent.summary.redaction import Redaction

ASK_AGAIN_NS = SECOND_NS  # how often messages that wait are asked whether their connector is decided
MESSAGE_BYTES = 1_500  # of one message, on average; of a source's in a second
SPARE_BYTES = 64 << 10  # ... and so much more: a few long ones
LONG_BYTES = 1 << 20  # what all messages of a second may have beyond `MESSAGE_BYTES` each; failures once more
MAX_SOURCES = 16_384
MAX_WAITING_BYTES = 32 << 20
MAX_WAITING = 65_536  # messages that wait for their connector to be decided: a flood of one call alone


class SipLog:
    """`rate` messages a second of capture time; 0: no bound."""

    def __init__(
        self, rate: int = 0, identity: Identity | None = None, redaction: Redaction | None = None
    ) -> None:
        """`redaction`: removes secrets from a logged message."""
        self.rate = rate
        self._identity = identity or Identity()
        self._redaction = redaction or Redaction()
        self.messages: list[MessageSeen] = []
        self._waiting: list[MessageSeen] = []  # of legs whose connector is not decided
        self._asked_ns = 0
        self.unlogged = self.unlogged_failures = 0
        self.level = 0  # of overload (`agent.daemon.overload`)
        self.bodies_left_out = 0  # messages logged without headers and body
        self._second = 0
        self._logged = self._failures = self._long = 0
        self.unlogged_bytes = 0
        self._waiting_bytes = 0
        self._sources: dict[str, list[int]] = {}  # messages and bytes of this second, by the far address

    def add(self, message: MessageSeen) -> None:
        """Keep a message for its record, where there is room."""
        peer = message.dst if message.to_vc is False else message.src
        size = len(message.data)
        if self.takes(message.status, message.stamp_ns, len(self._waiting), size, peer):
            if message.connector is None and (message.leg is None or message.leg.connector is None):
                message.data = self._redaction.text(message.data).encode()  # a checkpoint has it
            self.messages.append(message)

    def rows(self) -> list[dict[str, Any]]:
        """Records whose connector is decided, drained; the others are asked again once a second."""
        newest_ns = self.messages[-1].stamp_ns if self.messages else 0
        if newest_ns - self._asked_ns >= ASK_AGAIN_NS:
            return self.decided(newest_ns)
        ready, self.messages = self.messages, []
        return self._rows(ready)

    def decided(self, now_ns: int) -> list[dict[str, Any]]:
        """As `rows`, with the waiting ones."""
        self._asked_ns = now_ns
        seen, self.messages, self._waiting, self._waiting_bytes = self.kept(), [], [], 0
        return self._rows(sorted(seen, key=lambda message: message.stamp_ns))

    def kept(self) -> list[MessageSeen]:
        """Messages without a record yet, for a checkpoint."""
        return self._waiting + self.messages

    def _rows(self, messages: list[MessageSeen]) -> list[dict[str, Any]]:
        rows = []
        for seen in messages:
            owner = seen.connector or (seen.leg.connector if seen.leg else None)
            if owner is None:
                self._waiting.append(seen)
                self._waiting_bytes += len(seen.data)
            elif owner.log_sip:
                rows.append(self._row(seen, owner))
        return rows

    def _row(self, seen: MessageSeen, connector: Connector) -> dict[str, Any]:
        message, call_id = self.shown(seen)
        return {
            "voice_connector_id": connector.id,
            "aws_region": connector.region,
            "event_timestamp": seen.stamp_ns // 1_000_000,
            "call_id": call_id,
            "sip_message": message,
            "host": self._identity.host,
            "transaction_id": None
            if seen.leg is None
            else self._identity.transaction_id(seen.leg.call, connector),
            "key_id": self._identity.key_id,
            # For the ladder; the log has the fields before alone.
            "stamp_ns": seen.stamp_ns,
            "src": seen.src,
            "dst": seen.dst,
            "to_vc": seen.to_vc,
            "side": seen.leg.side if seen.leg is not None else None,
        }

    def shown(self, seen: MessageSeen) -> tuple[str, str]:
        """A message and its Call-ID in the form for readers: redacted, and masked where people are."""
        call_id = seen.call_id
        message = self._redaction.text(self.text(seen.data, seen.status))
        if self._identity.masking is not None:
            users = users_of(seen.leg.call) if seen.leg is not None else ()
            message, call_id = self._identity.masking.message(message, call_id, users)
        return message, call_id

    def call_ids(self, call: Call) -> list[str]:
        """The Call-IDs of a call in the form of records."""
        return self._identity.of_call(call)[0]

    def user(self, user: str) -> str | None:
        """A user in the form of records."""
        return self._identity.user(user) if user else None

    def takes(self, status: int, stamp_ns: int, waiting: int, size: int = 0, peer: str = "") -> bool:
        """Whether a message (`status` 0: a request) of `size` bytes from or to `peer` is logged.

        `waiting`: how many wait undecided.
        """
        failure = status >= 400
        times = 2 if failure else 1
        if (
            (not self.rate or self._has_room(failure, stamp_ns, size, peer))
            and waiting < times * MAX_WAITING
            and self._waiting_bytes < times * MAX_WAITING_BYTES
        ):
            return True
        self.unlogged += 1
        self.unlogged_bytes += size
        if failure:
            self.unlogged_failures += 1
        return False

    def _has_room(self, failure: bool, stamp_ns: int, size: int, peer: str) -> bool:
        """Count one more of its second. Long messages cost most, so a source has bytes by its messages."""
        second = stamp_ns // SECOND_NS
        if second > self._second:
            self._second, self._logged, self._failures, self._long = second, 0, 0, 0
            self._sources.clear()
        if size > MESSAGE_BYTES or peer in self._sources:
            if peer not in self._sources and len(self._sources) >= MAX_SOURCES:
                return False
            spent = self._sources.setdefault(peer, [0, 0])
            spent[0] += 1
            if spent[1] + size > SPARE_BYTES + spent[0] * MESSAGE_BYTES:
                return False
            more = max(0, size - MESSAGE_BYTES)  # redaction takes as long as a message is
            if self._long + more > LONG_BYTES * (2 if failure else 1):
                return False
            spent[1] += size
            self._long += more
        if failure:
            self._failures += 1
            return self._failures <= self.rate
        self._logged += 1
        return self._logged <= self.rate

    def text(self, data: bytes, status: int) -> bytes:
        """The logged text of a message: all of it, or its start line."""
        if self.level == 0 or (self.level == 1 and status >= 400):
            return data
        self.bodies_left_out += 1
        return data[: data.find(b"\n") + 1]
