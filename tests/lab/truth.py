"""What happened in a scenario, says everyone but sbcwatch: kernel counters, the SBC's log, the endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from .baresip import Summary
from .counters import CLASSES, DIRECTIONS, Count, payload_octets
from .network import NET4, NET6
from .processes import LabError
from .sbc import Logged

Direction = Literal["inbound", "outbound"]
OUTCOMES = ("answered", "failed", "cancelled", "redirected")
Truth = dict[str, Any]
_CUSTOMERS = (NET4["customer"], NET6["customer"])


@dataclass(frozen=True)
class Expect:
    """What a scenario is meant to do; a lab that does anything else has no truth to tell."""

    outcome: Literal["answered", "failed", "cancelled", "redirected"] = "answered"
    status: int | None = 200  # the caller's final response; None: it never got one
    attempts: int = 1
    throttles: int = 0


def calls(log: Iterable[Logged]) -> list[dict[str, Any]]:
    """The SBC's log as calls, one for each Call-ID of an incoming leg, in order of their INVITEs.

    `call_ids`, where the SBC is a B2BUA: the dialogs that it gave to the call, in their order.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in log:
        if line.event == "invite" and line.call_id not in found:
            found[line.call_id] = {
                "call_id_incoming": line.call_id,
                "from_user": line.from_user,
                "to_user": line.to_user,
                "direction": "outbound" if line.peer.startswith(_CUSTOMERS) else "inbound",
                "status": None,
                "invite_at": line.at,
                "answered_at": None,
                "ended_at": None,
            }
        call = found.get(line.call_id)
        if call is None:
            continue
        if line.event == "final" or (line.event == "answer" and call["answered_at"] is None):
            call["status"] = line.status
        if line.event == "answer" and call["answered_at"] is None:
            call["answered_at"] = line.at
        if line.event == "bye":
            call["ended_at"] = line.at
        if line.event == "leg":
            call.setdefault("call_ids", [line.call_id]).append(line.leg)
    for call in found.values():
        call["outcome"] = outcome(call["status"])
        start, end = call["answered_at"], call["ended_at"]
        call["answered_seconds"] = round(end - start, 3) if start and end else None
    return list(found.values())


def outcome(status: int | None) -> str:
    """No final response at all is a failure too (Timer B)."""
    if status is None:
        return "failed"
    if status < 300:
        return "answered"
    if status < 400:
        return "redirected"
    return "cancelled" if status == 487 else "failed"


def check(found: list[dict[str, Any]], expected: Expect) -> None:
    """Raises LabError unless the SBC's log tells what the scenario meant to do."""
    seen = [(call["outcome"], call["status"]) for call in found]
    if seen != [(expected.outcome, expected.status)] * expected.attempts:
        raise LabError(f"expected {expected}, but the SBC logged {seen}")


def tell(
    direction: Direction,
    expected: Expect,
    log: Iterable[Logged],
    counted: Mapping[str, Count],
    version: int,
    dropped: Mapping[str, int],
    summaries: Mapping[str, list[Summary]],
) -> Truth:
    """The `truth` of a sidecar; pcaps/README.md says what each key means."""
    found = calls(log)
    check(found, expected)

    def split(those: list[dict[str, Any]]) -> dict[str, int]:
        return {way: sum(call["direction"] == way for call in those) for way in get_args(Direction)}

    truth: Truth = {"attempts": split(found)}
    for name in OUTCOMES:
        truth[name] = split([call for call in found if call["outcome"] == name])
    truth["throttles"] = {"inbound": 0, "outbound": 0, direction: expected.throttles}
    truth["responses"] = {
        f"{digit}xx": sum(counted[f"{way}_{digit}xx"].packets for way in DIRECTIONS) for digit in CLASSES
    }
    truth["responses_per_direction"] = {
        way: {f"{digit}xx": counted[f"{way}_{digit}xx"].packets for digit in CLASSES} for way in DIRECTIONS
    }
    truth["calls"] = found
    for kind in ("rtp", "rtcp"):
        truth[kind] = {}
        for way in DIRECTIONS:
            count = counted[f"{way}_{kind}"]
            truth[kind][way] = {"packets": count.packets, "bytes": payload_octets(count, version)}
    for way in DIRECTIONS:
        truth["rtp"][way]["dropped"] = dropped.get(way, 0)
    truth["reports"] = {side: [asdict(each) for each in lines] for side, lines in summaries.items()}
    truth["network"] = {"delay_ms": 0, "jitter_ms": 0}
    truth["active_until"] = None
    return truth


def total(truths: Iterable[Truth]) -> Truth:
    """Several scenarios' truths as one: counts add, lists are joined. For a run that watched them all."""
    result: Truth = {}
    for truth in truths:
        for key in (
            "attempts",
            *OUTCOMES,
            "throttles",
            "responses",
            "responses_per_direction",
            "rtp",
            "rtcp",
        ):
            result[key] = _add(result.get(key, {}), truth[key])
        result["calls"] = result.get("calls", []) + truth["calls"]
    return result


def _add(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    keys = [*a, *(key for key in b if key not in a)]
    return {
        key: _add(a.get(key, {}), b[key]) if isinstance(b.get(key), dict) else a.get(key, 0) + b.get(key, 0)
        for key in keys
    }
