"""The ladder of a call: every message of all its legs by time, with sender and receiver."""

from __future__ import annotations

import re

import msgspec

from agent.summary.records import CallRecords

_HEADER = {
    name: re.compile(rf"^(?:{names})[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
    for name, names in (
        ("cseq", "CSeq"),
        ("via", "Via|v"),
        ("contact", "Contact|m"),
        ("content_type", "Content-Type|c"),
        ("user_agent", "User-Agent"),
        ("retry_after", "Retry-After"),
        ("reason", "Reason"),
    )
}
_BRANCH = re.compile(r";[ \t]*branch[ \t]*=[ \t]*([^;, \t\r\n]+)", re.IGNORECASE)
MAX_LABEL = 64


class LadderStep(msgspec.Struct):
    """One message. `src`, `dst`: addresses; "" in an older store. `side`: the far end's.

    `to_vc`: whether it came to the vc (None: unknown, or the vc at both ends). `status` 0: a request of
    `method`; of a response `method` is that of its request. `repeated`: it was sent before.
    """

    stamp_ns: int
    call_id: str
    label: str  # "INVITE", "180 Ringing"
    text: str  # the message as it was logged
    method: str
    status: int = 0
    cseq: int = 0
    branch: str = ""
    src: str = ""
    dst: str = ""
    side: str | None = None
    to_vc: bool | None = None
    repeated: bool = False

    def header(self, name: str) -> str:
        """The first value of one of the known headers; "" where the message has none."""
        found = _HEADER[name].search(self.text.partition("\r\n\r\n")[0])
        return found[1].strip() if found else ""

    @property
    def sdp(self) -> str:
        """Its session description, "" where it has none."""
        head, _, body = self.text.partition("\r\n\r\n")
        return body if "application/sdp" in head.lower() else ""


def ladder(records: CallRecords) -> list[LadderStep]:
    """Steps in order of time."""
    steps = []
    seen: set[tuple[str, ...]] = set()
    for message in records.messages:
        step = _step(message)
        key = (step.src, step.dst, step.call_id, step.label, str(step.cseq), step.method, step.branch)
        step.repeated = key in seen and bool(step.branch)
        seen.add(key)
        steps.append(step)
    return steps


def _step(message: dict[str, object]) -> LadderStep:
    text = str(message["sip_message"])
    line = text.split("\n", 1)[0].strip()
    is_response = line.upper().startswith("SIP/2.0 ")
    label = line[8:].strip() if is_response else line.split(" ", 1)[0]
    stamp_ns = message.get("stamp_ns") or int(str(message["event_timestamp"])) * 1_000_000
    to_vc, side = message.get("to_vc"), message.get("side")
    step = LadderStep(
        int(str(stamp_ns)),
        str(message["call_id"]),
        label[:MAX_LABEL],
        text,
        label,
        src=str(message.get("src") or ""),
        dst=str(message.get("dst") or ""),
        side=None if side is None else str(side),
        to_vc=None if to_vc is None else bool(to_vc),
    )
    number, _, method = step.header("cseq").partition(" ")
    step.cseq = int(number) if number.isascii() and number.isdigit() and len(number) < 12 else 0
    if is_response:
        step.method, step.status = method.strip(), int(label[:3]) if re.match("[0-9]{3}", label) else 0
    branch = _BRANCH.search(step.header("via"))
    step.branch = branch[1] if branch else ""
    return step
