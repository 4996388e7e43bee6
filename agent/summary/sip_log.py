"""The SIP log: which messages have a record, and how many a second. Those beyond are counted as ever.

A flood fills the log first of all, and the log costs most. Failures (final responses from 400 on) are what
people look for: they have as much room again, and the last of it is never taken by anything else.

While the host cannot follow, messages are logged by their start line alone: who asked what, and the answer.
"""

from __future__ import annotations

from typing import Any

from agent.model.events import MessageSeen
from agent.model.sides import Connector
from agent.summary.identity import Identity, users_of
from agent.summary.redaction import Redaction

SECOND_NS = 1_000_000_000
ASK_AGAIN_NS = SECOND_NS  # how often messages that wait are asked whether their connector is decided
MAX_WAITING = 65_536  # messages that wait for their connector to be decided: a flood of one call alone


class SipLog:
    """`rate` messages a second of capture time; 0: no bound."""

    def __init__(
        self, rate: int = 0, identity: Identity | None = None, redaction: Redaction | None = None
    ) -> None:
        """`redaction`: what of a logged message stays."""
        self.rate = rate
        self._identity = identity or Identity()
        self._redaction = redaction or Redaction()
        self.messages: list[MessageSeen] = []
        self._waiting: list[MessageSeen] = []  # of legs whose connector is not decided
        self._asked_ns = 0
        self.unlogged = self.unlogged_failures = 0
        self.level = 0  # of overload (`agent.daemon.overload`)
        self.cut = 0  # messages logged without headers and body
        self._second = 0
        self._logged = self._failures = 0

    def add(self, message: MessageSeen) -> None:
        """Keep a message for its record, where there is room."""
        if self.takes(message.status, message.stamp_ns, len(self._waiting)):
            if message.connector is None and (message.leg is None or message.leg.connector is None):
                message.data = self._redaction.text(message.data).encode()  # a checkpoint has it
            self.messages.append(message)

    def rows(self) -> list[dict[str, Any]]:
        """Records whose connector is decided, drained; the others are asked again once a second."""
        newest_ns = self.messages[-1].stamp_ns if self.messages else 0
        if newest_ns - self._asked_ns >= ASK_AGAIN_NS:
            return self.decided(newest_ns)
        fresh, self.messages = self.messages, []
        return self._rows(fresh)

    def decided(self, now_ns: int) -> list[dict[str, Any]]:
        """The same, those that wait included."""
        self._asked_ns = now_ns
        seen, self.messages, self._waiting = self.kept(), [], []
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
            elif owner.log_sip:
                rows.append(self._row(seen, owner))
        return rows

    def _row(self, seen: MessageSeen, connector: Connector) -> dict[str, Any]:
        call_id = seen.call_id
        message = self._redaction.text(self.text(seen.data, seen.status))
        if self._identity.masking is not None:
            users = users_of(seen.leg.call) if seen.leg is not None else ()
            message, call_id = self._identity.masking.message(message, call_id, users)
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

    def takes(self, status: int, stamp_ns: int, waiting: int) -> bool:
        """Whether a message (`status` 0: a request) is logged; `waiting`: how many wait undecided."""
        failure = status >= 400
        most = 2 * MAX_WAITING if failure else MAX_WAITING
        if (not self.rate or self._has_room(failure, stamp_ns)) and waiting < most:
            return True
        self.unlogged += 1
        if failure:
            self.unlogged_failures += 1
        return False

    def _has_room(self, failure: bool, stamp_ns: int) -> bool:
        """Count one more of its second."""
        second = stamp_ns // SECOND_NS
        if second > self._second:
            self._second, self._logged, self._failures = second, 0, 0
        if failure:
            self._failures += 1
            return self._failures <= self.rate
        self._logged += 1
        return self._logged <= self.rate

    def text(self, data: bytes, status: int) -> bytes:
        """What is logged of a message: all of it, or its start line."""
        if self.level == 0 or (self.level == 1 and status >= 400):
            return data
        self.cut += 1
        return data[: data.find(b"\n") + 1]
