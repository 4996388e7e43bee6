"""The facts that the engine gives out. Each belongs to the minute of its `stamp_ns` (capture time, ns)."""

from __future__ import annotations

from msgspec import Struct

from agent.model.attempt_cy import Outcome
from agent.model.call_cy import Call, CountedAttempt, Leg
from agent.model.endpoint_view import EndpointView
from agent.model.sides import Connector
from agent.model.stream_minute_cy import ReportsMinute, StreamMinute
from agent.model.unseen import Cause, Sight


class MessageSeen(Struct, gc=False):
    """A SIP message to or from the vc. `connector` where no leg knows it; `status` 0 for requests.

    `to_vc` None: nobody knows who the vc is.
    """

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    call_id: str
    status: int
    data: bytes
    src: str = ""
    dst: str = ""
    to_vc: bool | None = None


class Attempted(Struct):
    stamp_ns: int
    account: CountedAttempt


class Concluded(Struct):
    """An attempt's one outcome. `failure`: the status counts as one by configuration."""

    stamp_ns: int
    account: CountedAttempt
    outcome: Outcome
    failure: bool


class Throttled(Struct):
    stamp_ns: int
    account: CountedAttempt


class Tallied(Struct, gc=False):
    """One more of an extra count, of a leg's connector or, where there is no leg, of `connector`."""

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    name: str


class Measured(Struct, gc=False):
    """One sample of an extra distribution; the unit ends `name`."""

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    name: str
    value: float


class MediaHeard(Struct, gc=False):
    """What streams did and what legs counted of RTCP, each in the minute of its own `stamp_ns`.

    One event, for a minute's close has tens of thousands.
    """

    streams: list[StreamMinute]
    reports: list[ReportsMinute]


class RoundTrip(Struct):
    """One RTT between the vc and the far end of `leg`, microseconds.

    `source`: rtcp, or xr (RFC 3611), which serves where sender reports tell nothing. `end_to_end`: measured
    by an endpoint over a stream that the SBC only relays, so it covers both sides.
    """

    stamp_ns: int
    leg: Leg
    rtt_us: float
    source: str = "rtcp"
    end_to_end: bool = False


class FarEnd(Struct):
    """What the far end of `leg` says of its own reception."""

    stamp_ns: int
    leg: Leg
    view: EndpointView


class FarEndFlag(Struct):
    """What the far end of `leg` claims is not plausible, or says that it hears nothing.

    `flag` stands in the media record. `voids_rtt`: its round trips of this minute so far were false too.
    """

    stamp_ns: int
    leg: Leg
    flag: str
    voids_rtt: bool = False


class CallsUp(Struct):
    """Calls answered and not over at the end of the minute that `stamp_ns` starts."""

    stamp_ns: int
    accounts: list[CountedAttempt]
    unknown: int


class CallOver(Struct):
    """A call is decided: over, never answered, or left standing when the capture ended."""

    stamp_ns: int
    call: Call


class Unseen(Struct, gc=False):
    """Frames were missed, or met and not understood, from `stamp_ns` to `until_ns`.

    `count`: how many, None where nobody knows. `connector`: whose they would be, None where nobody knows.
    `direction`: of media, as in the catalog, "" where it may be any. `detail`: words for the operator's line,
    as "128 bytes" where the capture cut.
    """

    stamp_ns: int
    until_ns: int
    sight: Sight
    cause: Cause
    count: int | None = 1
    connector: Connector | None = None
    direction: str = ""
    detail: str = ""


class MinuteClosed(Struct):
    """The minute that starts at `stamp_ns` takes no more facts. `complete`: watched up to its end.

    `sip_shed`: SIP messages that were not parsed since the close before, being above their source's budget.
    `from_ns`, `until_ns`: watched between these times; `until_ns` None: to the minute's end.
    """

    stamp_ns: int
    complete: bool
    sip_shed: int = 0
    from_ns: int = 0
    until_ns: int | None = None


class MinutesSkipped(Struct):
    """The minutes from `stamp_ns` to before `until_ns` were not watched."""

    stamp_ns: int
    until_ns: int


Event = (
    MessageSeen
    | Attempted
    | Concluded
    | Throttled
    | Tallied
    | Measured
    | MediaHeard
    | RoundTrip
    | FarEnd
    | FarEndFlag
    | CallsUp
    | CallOver
    | MinuteClosed
    | MinutesSkipped
    | Unseen
)
