# cython: language_level=3
"""The media record: one call in one minute, both sides of it (37 fields of the media log, then extras).

Extras, None where unknown (`<dir>`: cust2vc, vc2cust, rem2vc, vc2rem; `<side>`: cust, rem):

    host, transaction_id, key_id       who saw it; the call's id on all hosts, and the key behind it
    record_id, part                    this record's own id; which part of its minute it is
    start_ts                           the call's INVITE, milliseconds since the epoch
    carrier                            who carries the call at its remote end
    codec                              what its audio streams are coded with: one, or several joined by "/"
    peer_media                         the far end's media socket by <side>
    call_ids, flags                    every leg's Call-ID; what is remarkable (summary/media_flags_cy.py)
    side_flags                         flags by side (customer, remote), where a side has any; None: none has
    page                               where the call's page opens ([web] public_url)
    vc_lost                            gaps that are new where streams leave the vc: its own loss
    <field>_source                     rtp: measured here; rtcp, xr: the far end's report; assumed: MOS with
                                       the configured delay, for no round trip was known
    <dir>_packets_lost_total           loss since the call began, as far as it is known
    <dir>_ssrc_gap, _timebase_changes  numbers that another SSRC stood in for; timestamps that began anew
    <dir>_packets_known                of the packets: those whose loss is known. Away from the vc the spans
                                       between two reports
    <dir>_packets_unknown, _discarded  missed perhaps by the capture; too late for the modelled jitter buffer
    <dir>_burst_density, _gap_density  losses and discards in bursts / packets in bursts; same for gaps
    <dir>_bursts                       bursts that ended in this minute (RFC 3611 4.7.2, Gmin 16)
    <dir>_loss_runs                    runs of lost packets that ended: of 1, 2 ... 9, of 10 or more in a row;
                                       None where loss is not measured here
    <dir>_late_histogram               audio packets late by 50, 70, 90, 120, 150, 200, 300 ms, each up to the
                                       next, against the jitter buffer's baseline; None as above
    <dir>_timeline                     six slots of 10 s (summary/timeline_cy.py); None: no stream ran
    rtt_btwn_.._timeline               the same slots: mean round trip, microseconds, of the reports in each
    vc2<side>_relayed                  the SBC passes on what it gets, so the far end's jitter is the path's
    jitter_buffer                      the modelled one behind the MOS: "fixed 60 ms", "adaptive to 200 ms"
    mos_directions                     MOS of each direction that is known
    mos_codec_assumed_btwn_..          whether Ie or Bpl of a codec is our assumption (quality/codecs.py)
    r_btwn_.., mos_wb_btwn_..          the rating behind the MOS; MOS on the wideband scale (G.107.1)
    mos_worst_btwn_.., r_worst_btwn_.. the worse of a side's two directions
    rtt_end_to_end_<side>              microseconds, as an endpoint measured it over a relayed stream
    far_end_<side>                     the far end's view of its reception (model/endpoint_view.py), source xr
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import cython

from agent.model.call_cy import Leg
from agent.model.names import UNSIGNALLED
from agent.model.sides import Connector, Socket
from agent.model.stream_minute_cy import ReportsMinute, StreamMinute
from agent.model.units import MINUTE_NS
from agent.summary.call_minute_cy import CallMinute, Calls
from agent.summary.call_row_cy import joined
from agent.summary.catalog import MEDIA_FIELDS
from agent.summary.direction_totals_cy import DirectionFigures, MediaTotals
from agent.summary.identity import Identity, record_id
from agent.summary.media_columns import MEDIA_COLUMNS, OWN
from agent.summary.media_flags_cy import flag_side
from agent.summary.rows import Rows
from agent.summary.side_totals_cy import CUSTOMER, REMOTE, Row, SideFigures
from agent.summary.timeline_cy import ALL_WATCHED

_DIRECTIONS = (CUSTOMER.to_vc, CUSTOMER.away, REMOTE.to_vc, REMOTE.away)
_TOTALS = {places.direction: places.total for places in _DIRECTIONS}


def _blank() -> Row:
    """The values of a record in which nothing happened."""
    row: Row = [None] * len(MEDIA_COLUMNS)
    for places in _DIRECTIONS:
        for at in (places.packets, places.bytes, places.rtcp_packets, places.rtcp_bytes, places.lost):
            row[at] = 0
        for at in (places.total, places.known, places.unknown, places.discarded):
            row[at] = 0
        for at in (places.bursts, places.ssrc_gap, places.timebase_changes):
            row[at] = 0
    return row


# Between the record's own columns.
_FIGURES = _blank()[CUSTOMER.to_vc.packets : len(MEDIA_FIELDS)]
_EXTRAS = _blank()[len(MEDIA_FIELDS) + len(OWN) :]


def records(
    calls: Calls,
    media: Mapping[Connector, MediaTotals],
    fallback: Connector,
    identity: Identity,
    end_ns: cython.longlong,
    until_ns: cython.longlong,
    *,
    vc_seen: bool,
    carriers: Mapping[tuple[Connector, str], MediaTotals] | None = None,
    watched: int = ALL_WATCHED,
) -> Rows:
    """The media records of a minute; what their calls had is added to their connector's `media`.

    `carriers` is given what calls had at the remote end, by connector and carrier.
    `end_ns`: the minute's end; `until_ns`: how far it was watched; `watched`: a bit for each 10 s of it that
    was. To be asked once: totals move on.
    """
    rows: list[Row] = []
    call_minute: CallMinute
    view: CallView
    for call_minute in calls.values():
        first: Connector | None = None
        for view in views(call_minute, vc_seen):
            connector: Connector = view.owner.connector or fallback
            is_second: cython.bint = connector is first  # both ends are customers of one connector
            first = connector
            view.add_to(media[connector])
            if carriers is not None:
                for carrier, remote in view.remotes().items():
                    remote.add_to(carriers[connector, carrier])
            row = view.row(connector, end_ns, until_ns, identity, watched, is_second)
            if row is not None and connector.log_media:
                rows.append(row)
    return Rows(MEDIA_COLUMNS, rows, partial(finish, identity))


def finish(identity: Identity, record: dict[str, Any]) -> None:
    """Completes a record when it is read for the first time."""
    record["record_id"] = record_id(
        record["transaction_id"], record["event_timestamp"], record["host"], record["record_id"]
    )
    record["peer_media"] = {end: identity.socket(*peer) for end, peer in record["peer_media"].items()}


def views(call_minute: CallMinute, vc_seen: cython.bint = True) -> list[CallView]:
    """A call's minute as each of its connectors sees it. To be asked once: totals move on."""
    unsignalled: cython.bint = UNSIGNALLED in call_minute.call.flags
    if unsignalled and not call_minute.streams and not call_minute.reports:
        return []  # an SDP has taken its streams over
    if vc_seen and not unsignalled:  # nobody knows on which other leg its streams came in
        call_minute.lose()
    return [
        CallView(call_minute, owner, customers, remotes)
        for owner, customers, remotes in call_minute.call.views()
    ]


@cython.no_gc
@cython.cclass
class CallView:
    """One call in one minute in the eyes of the connector that owns leg `owner`."""

    def __init__(self, call_minute: CallMinute, owner: Leg, customers: list[Leg], remotes: list[Leg]) -> None:
        self.owner = owner
        self.call_minute = call_minute
        self.customer = SideFigures(CUSTOMER, customers)
        self.remote = SideFigures(REMOTE, remotes)
        sides: dict[Leg | None, SideFigures] = {}
        for leg in customers:
            sides[leg] = self.customer
        for leg in remotes:
            sides[leg] = self.remote
        side: SideFigures | None
        stream_minute: StreamMinute
        for stream_minute in call_minute.streams:
            side = sides.get(stream_minute.leg)
            if side is not None and stream_minute.to_vc is not None:
                side.direction(stream_minute.to_vc).add(stream_minute)
        counts: ReportsMinute
        for counts in call_minute.reports:
            side = sides.get(counts.leg)
            if side is not None and counts.packets_towards:
                side.direction(True).add_reports(counts.packets_towards, counts.bytes_towards)
            if side is not None and counts.packets_away:
                side.direction(False).add_reports(counts.packets_away, counts.bytes_away)
        self.customer.finish(call_minute)
        self.remote.finish(call_minute)

    def remotes(self) -> dict[str, SideFigures]:
        """The remote side by carrier: nearly always one. A call that hunted has what each one's legs had."""
        leg: Leg
        legs: dict[str, list[Leg]] = {}
        for leg in self.remote.legs:
            legs.setdefault(leg.carrier, []).append(leg)
        if len(legs) < 2:
            return dict.fromkeys(legs, self.remote)
        return {
            carrier: CallView(self.call_minute, self.owner, [], remotes).remote
            for carrier, remotes in legs.items()
        }

    def row(
        self,
        connector: Connector,
        end_ns: cython.longlong,
        until_ns: cython.longlong,
        identity: Identity,
        watched: cython.int,
        is_second: cython.bint = False,
    ) -> Row | None:
        """The media record's values. None where the minute had no media of a known side and none is missed.

        `is_second`: its connector has one of this call already.
        """
        call, customer, remote = self.call_minute.call, self.customer, self.remote
        flags: set[str] = set(call.flags)
        start_ns: cython.longlong = end_ns - MINUTE_NS
        sided: dict[str, list[str]] | None = None
        side: SideFigures
        for side in (customer, remote):
            own: set[str] = set(side.flags) if side.flags else set()
            if side.legs:
                flag_side(own, call, side.legs, side.to_vc, side.away, start_ns, until_ns)
            if own:
                flags |= own
                if sided is None:
                    sided = {}
                sided[side.places.side] = sorted(own)
        customer.count(self.owner.media_totals)
        remote.count(self.owner.media_totals)
        # Of a call that was never heard here nobody knows whether it is silent: its media may be elsewhere.
        is_dead: cython.bint = "dead_air" in flags and call.last_rtp_ns > 0
        if not customer.some() and not remote.some() and not is_dead:
            return None
        lead: Leg = call.lead
        # Both are asked of `identity` where the call does not know them yet: two calls of Python's for each.
        who: tuple[Any, ...] = call.who or identity.of(call)
        call_ids, from_user, from_country, to_user, to_country, endpoint_id = who[0]
        ids: dict[str, str] = who[1]
        transaction_id: str = ids.get(connector.id) or identity.transaction_id(call, connector)
        row: Row = [
            connector.id,
            end_ns // 1_000_000,
            call_ids[0] if call_ids else None,
            from_user,
            from_country,
            to_user,
            to_country,
            endpoint_id,
            connector.region,
            *_FIGURES,
            identity.host,
            transaction_id,
            identity.key_id,
            is_second,  # with the others it makes the `record_id` (`finish`)
            0,
            lead.invite_ns // 1_000_000 if lead.whole else None,
            (call.carrier() or None) if remote.legs else None,
            self.codec(),
            self.peers(),
            call_ids,
            sorted(flags) if flags else [],
            sided,
            self.call_minute.vc_lost,
            None,
            None,
            identity.page(call_ids, transaction_id) if identity.public_url else None,
            *_EXTRAS,
        ]
        for direction, total in self.owner.media_totals.lost.items():
            row[_TOTALS[direction]] = total
        customer.put(row, watched)
        remote.put(row, watched)
        return row

    def codec(self) -> str | None:
        """The codecs of both sides."""
        codecs: list[str] = []
        figures: DirectionFigures
        for figures in (self.customer.to_vc, self.customer.away, self.remote.to_vc, self.remote.away):
            if figures.codec and figures.codec not in codecs:
                codecs.append(figures.codec)
        return joined(codecs)

    def peers(self) -> dict[str, Socket]:
        """The far end's media socket by side."""
        side: SideFigures
        peers: dict[str, Socket] = {}
        for side in (self.customer, self.remote):
            peer = side.to_vc.peer or side.away.peer
            if peer is not None:
                peers[side.places.short] = peer
        return peers

    def add_to(self, totals: MediaTotals) -> None:
        """Give the connector's metrics what this call had."""
        self.customer.add_to(totals)
        self.remote.add_to(totals)
