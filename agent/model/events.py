"""The events that the engine gives out. Each belongs to the minute of its `stamp_ns` (capture time, ns)."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from agent.model.attempt_cy import Outcome
from agent.model.call_cy import Call, CountedAttempt, Leg
from agent.model.endpoint_view import EndpointView
from agent.model.sides import Connector
from agent.model.stream_minute_cy import ReportsMinute, StreamMinute
from agent.model.unseen import Cause, Sight


class MessageSeen(Struct, gc=False):
    """A SIP message to or from the vc.

    `connector`: where no leg knows it. `status`: 0 for requests. `to_vc`: None where the vc is not known.
    `counts`: False for a response of somebody whom the vc never asked.
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
    counts: bool = True


class Attempted(Struct):
    stamp_ns: int
    account: CountedAttempt


class Concluded(Struct):
    """The one outcome of an attempt. `failure`: whether the configuration counts the status as a failure."""

    stamp_ns: int
    account: CountedAttempt
    outcome: Outcome
    failure: bool


class Throttled(Struct):
    stamp_ns: int
    account: CountedAttempt


class Tallied(Struct, gc=False):
    """So many more of an extra count, for a leg's connector or, where there is no leg, for `connector`."""

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    name: str
    times: int = 1


class Measured(Struct, gc=False):
    """One sample of an extra distribution. Its unit is the end of `name`."""

    stamp_ns: int
    leg: Leg | None
    connector: Connector | None
    name: str
    value: float


class MediaHeard(Struct, gc=False):
    """Minutes of streams, and the RTCP that legs counted, each in the minute of its own `stamp_ns`.

    It is one event for all of them, because a minute's close has tens of thousands.
    """

    streams: list[StreamMinute]
    reports: list[ReportsMinute]


class RoundTrip(Struct):
    """One round-trip time between the vc and the far end of `leg`, microseconds.

    `source`: rtcp, or xr (RFC 3611), which is used where sender reports give no round trip. `end_to_end`: an
    endpoint measured it over a stream that the SBC only relays, so it covers both sides.
    """

    stamp_ns: int
    leg: Leg
    rtt_us: float
    source: str = "rtcp"
    end_to_end: bool = False


class FarEnd(Struct):
    """The far end's own view of its reception on `leg`."""

    stamp_ns: int
    leg: Leg
    view: EndpointView


class FarEndFlag(Struct):
    """A report of the far end of `leg` is not plausible, or says that it receives nothing.

    `flag` stands in the media record. `voids_rtt`: its round trips of this minute so far were wrong too.
    """

    stamp_ns: int
    leg: Leg
    flag: str
    voids_rtt: bool = False


class CallsUp(Struct):
    """Calls answered and not over at the end of the minute that `stamp_ns` starts.

    `claimed`: those that another host counts, and those of them that ended without any RTP here.
    """

    stamp_ns: int
    accounts: list[CountedAttempt]
    unknown: int
    claimed: list[Call] = []

    def calls(self) -> Iterator[Call]:
        """All of them but the unknown."""
        for account in self.accounts:
            yield account.leg.call
        yield from self.claimed


class CallOver(Struct):
    """A call is decided: it is over, was never answered, or was still up when the capture ended."""

    stamp_ns: int
    call: Call


class Unseen(Struct, gc=False):
    """Frames were missed, or seen and not understood, from `stamp_ns` to `until_ns`.

    `count`: how many, None where unknown. `connector`: whose they would be, None where unknown. `direction`:
    of media, as in the catalog, "" where it may be any. `detail`: words for the operator's line, as "128
    bytes" where the capture cut.
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
    """The minute that starts at `stamp_ns` takes no more events. `complete`: it was watched up to its end.

    `sip_shed`: SIP messages since the last close that were not parsed because their source was above its
    limit. `from_ns`, `until_ns`: the time that was watched; `until_ns` None: to the minute's end.
    """

    stamp_ns: int
    complete: bool
    sip_shed: int = 0
    from_ns: int = 0
    until_ns: int | None = None


class MinutesSkipped(Struct):
    """The minutes from `stamp_ns` up to `until_ns` (not included) were not watched."""

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
