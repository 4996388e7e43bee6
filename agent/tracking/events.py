"""The facts that tracking gives out. Each belongs to the minute of its `stamp_ns` (capture time, ns)."""

from __future__ import annotations

from dataclasses import dataclass

from agent.tracking.call import Account, Call
from agent.tracking.dialog import Leg
from agent.tracking.quality import Score
from agent.tracking.sides import Connector, Socket
from agent.tracking.transaction import Outcome


@dataclass(slots=True)
class MessageSeen:
    """A SIP message to or from the vc. `connector` where no leg knows it; `status` 0 for requests."""

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    call_id: str
    status: int
    data: bytes


@dataclass(slots=True)
class Attempted:
    stamp_ns: int
    account: Account


@dataclass(slots=True)
class Concluded:
    """An attempt's one outcome. `failure`: the status counts as one by configuration."""

    stamp_ns: int
    account: Account
    outcome: Outcome
    failure: bool


@dataclass(slots=True)
class Throttled:
    stamp_ns: int
    account: Account


@dataclass(slots=True)
class StreamMinute:
    """One stream in one minute. `lost` and `jitter_us` are None where nobody knows.

    Towards the vc they are measured here; away from it they are the far end's reports (`source` says so).
    `sent_lost` counts gaps in what left the vc; `weight` is the packets behind `score`.
    """

    stamp_ns: int
    leg: Leg | None
    towards: bool | None
    src: Socket
    dst: Socket
    ssrc: int
    payload_type: int
    codec: str
    first_ns: int
    last_ns: int
    packets: int
    bytes: int
    lost: int | None
    unknown: int
    duplicates: int
    reordered: int
    discarded: int
    gaps: int
    jitter_us: float | None
    jitter_mean_us: float | None
    jitter_count: int
    jitter_max_us: float | None
    source: str | None
    score: Score | None
    burst_ratio: float
    assumed: bool


@dataclass(slots=True)
class ReportsMinute:
    """RTCP of one leg in one minute, one way: UDP packets and their payload bytes."""

    stamp_ns: int
    leg: Leg | None
    towards: bool | None
    packets: int
    bytes: int


@dataclass(slots=True)
class RoundTrip:
    """One RTT between the vc and the far end of `leg`, microseconds."""

    stamp_ns: int
    leg: Leg
    rtt_us: float


@dataclass(slots=True)
class CallsUp:
    """Calls answered and not over at the end of the minute that `stamp_ns` starts."""

    stamp_ns: int
    accounts: list[Account]
    unknown: int


@dataclass(slots=True)
class CallOver:
    """A call is decided: over, never answered, or left standing when the capture ended."""

    stamp_ns: int
    call: Call


@dataclass(slots=True)
class MinuteClosed:
    """The minute that starts at `stamp_ns` takes no more facts. `complete`: watched up to its end."""

    stamp_ns: int
    complete: bool


Event = (
    MessageSeen
    | Attempted
    | Concluded
    | Throttled
    | StreamMinute
    | ReportsMinute
    | RoundTrip
    | CallsUp
    | CallOver
    | MinuteClosed
)
