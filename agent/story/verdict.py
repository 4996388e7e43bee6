"""The verdict: a call's records as sentences that say whose network it was, and what nobody knows.

Nobody is accused of what was not measured: a direction without a report is unknown and says why, and loss
beside packets that the capture missed is said with that doubt.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

from agent.story.path import CallPath, DirectionPath, Network, path_of
from agent.summary.records import CallRecords

NOTABLE = 0.005  # share of packets lost from which a direction is named as what was heard
BETWEEN = {
    "cust2vc": ("from the customer to the vc", "the customer"),
    "vc2cust": ("between the vc and the customer", "the customer"),
    "rem2vc": ("from the remote side to the vc", "the remote side"),
    "vc2rem": ("between the vc and the remote side", "the remote side"),
}
Kind = Literal["bad", "good", "unknown", "note"]


class Statement(msgspec.Struct):
    """One thing said. `network`: whose it is, None where nobody's; `direction`: of media, where it is about
    one.
    """

    kind: Kind
    words: str
    network: Network | None = None
    direction: str | None = None


class CallVerdict(msgspec.Struct):
    """`networks`: those accused, the worst first; empty where all is well or nothing is known."""

    statements: list[Statement]
    networks: list[Network]

    @property
    def text(self) -> str:
        """One paragraph."""
        return " ".join(f"{one.words[0].upper()}{one.words[1:]}." for one in self.statements)


def verdict(records: CallRecords) -> CallVerdict:
    """What a call's records come to, the worst first."""
    path = path_of(records)
    statements = [*_losses(path)]
    bad = [one for one in statements if one.kind == "bad"]
    networks: list[Network] = []
    for one in bad:
        if one.network is not None and one.network not in networks:
            networks.append(one.network)
    return CallVerdict(statements, networks)


def _losses(path: CallPath) -> list[Statement]:
    """Each direction that lost, worst first; then the sides that are clean; then the vc."""
    found: list[Statement] = []
    by_loss = sorted(path.directions.values(), key=lambda its: its.loss or 0.0, reverse=True)
    for its in by_loss:
        if its.loss is not None and its.loss >= NOTABLE:
            found.append(Statement("bad", _loss(its), its.network, its.direction))
    for its in by_loss:
        if its.packets and its.lost is None:
            words = f"nobody knows what was lost {BETWEEN[its.direction][0]}"
            found.append(Statement("unknown", words, its.network, its.direction))
    for network, words in (("customer", "the customer's side"), ("remote", "the remote side")):
        ways = [its for its in by_loss if its.network == network and its.packets]
        if ways and all(its.loss is not None and its.loss < NOTABLE for its in ways):
            found.append(Statement("good", f"{words} is clean"))
    if path.vc_lost == 0 and any(its.packets for its in by_loss):
        found.append(Statement("good", "nothing was lost inside the SBC"))
    elif path.vc_lost:
        found.append(Statement("bad", f"{path.vc_lost} packets were lost inside the SBC", "vc"))
    return found


def _loss(its: DirectionPath) -> str:
    where, who = BETWEEN[its.direction]
    source = "as measured here" if its.source == "rtp" else f"as {who}'s own RTCP reports"
    spans = [span for span in its.spans if span.lost]
    when = f"{clock(spans[0].start_ns)} to {clock(spans[-1].end_ns)}, " if spans else ""
    assert its.loss is not None
    return f"{its.loss:.1%} of packets lost {where}, ".replace("%", " %") + when + source


def clock(stamp_ns: int) -> str:
    """A time of day, UTC, as `15:42:20`."""
    return datetime.fromtimestamp(stamp_ns // 1_000_000_000, UTC).strftime("%H:%M:%S")
