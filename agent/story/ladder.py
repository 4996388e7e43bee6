"""The ladder of a call: every message of all its legs by time, from whom to whom."""

from __future__ import annotations

import msgspec

from agent.summary.records import CallRecords


class LadderStep(msgspec.Struct):
    """One message. `src`, `dst`: addresses; "" where an older store does not say. `side`: the far end's.

    `to_vc`: whether it came to the vc (None: unknown, or the vc at both ends). `repeated`: sent before, word
    by word.
    """

    stamp_ns: int
    call_id: str
    label: str  # "INVITE", "180 Ringing"
    text: str  # the message as it was logged
    src: str = ""
    dst: str = ""
    side: str | None = None
    to_vc: bool | None = None
    has_sdp: bool = False
    repeated: bool = False


def ladder(records: CallRecords) -> list[LadderStep]:
    """Steps in order of time."""
    steps = []
    for message in records.messages:
        text = message["sip_message"]
        line = text.split("\r\n", 1)[0].split("\n", 1)[0]
        label = line[8:].strip() if line.upper().startswith("SIP/2.0 ") else line.split(" ", 1)[0]
        stamp_ns = message.get("stamp_ns") or int(message["event_timestamp"]) * 1_000_000
        steps.append(
            LadderStep(
                stamp_ns,
                message["call_id"],
                label[:64],
                text,
                message.get("src") or "",
                message.get("dst") or "",
                message.get("side"),
                message.get("to_vc"),
                "application/sdp" in text.lower(),
            )
        )
    return steps
