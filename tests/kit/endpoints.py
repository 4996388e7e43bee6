"""What the phones in the lab said of their calls, beside what was published of them.

The SBC relays RTCP end to end, so a phone speaks of the whole path to the other phone: its round trip is that
of both sides together, its loss that of both stretches, and its jitter what our side of it reports to us.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.kit.replayed import Replayed, scenario, sidecar, sidecars

# Side of the phone: (published towards the vc, published away from it) of what it received and what it sent.
RECEIVED = {"customer": ("RemoteToVc", "VcToCustomer"), "remote": ("CustomerToVc", "VcToRemote")}
SENT = {"customer": ("CustomerToVc", "VcToRemote"), "remote": ("RemoteToVc", "VcToCustomer")}

# Phones print tenths of milliseconds, and only their last value; what is published is a minute's mean of the
# two to twelve that they sent. baresip's jitter takes in telephone-events, which lift single ones by far.
RTT_MS, RTT_SHARE = 1.5, 0.02
JITTER_MS, JITTER_SHARE = 1.5, 0.35
EVENTS = ("digits-outbound",)


@dataclass(frozen=True)
class Judged:
    name: str
    side: str
    what: str
    published: float | None
    phone: float
    tolerance: float

    @property
    def apart(self) -> float:
        return abs(self.published - self.phone) if self.published is not None else float("inf")


def told() -> list[str]:
    """Scenarios whose phones reported."""
    return [name for name in sidecars() if any(sidecar(name)["truth"]["reports"].values())]


def judged(name: str) -> list[Judged]:
    """Every figure of every phone of a scenario."""
    found = []
    got, truth = scenario(name), sidecar(name)["truth"]
    swing_ms = truth["network"].get("jitter_ms") or 0
    for side, reports in truth["reports"].items():
        if len(reports) != 1:
            continue
        (report,) = reports
        rtts = [mean(got, f"RTTBetweenVcAnd{which}") for which in ("Customer", "Remote")]
        # The B2BUA's own time between its sockets is in a phone's round trip and in none of ours.
        if None not in rtts and sidecar(name).get("sbc") != "b2bua":
            whole = sum(value for value in rtts if value is not None) / 1000
            # A delay that swings by so much each way moves a single round trip by twice that.
            limit = RTT_MS + RTT_SHARE * report["rtt_ms"] + 2 * swing_ms
            what = "RTT ms, swinging" if swing_ms else "RTT ms"
            found.append(Judged(name, side, what, whole, report["rtt_ms"], limit))
        for way, stretches in (("received", RECEIVED[side]), ("sent", SENT[side])):
            lost = sum(got.total(f"{stretch}PacketsLost") or 0 for stretch in stretches)
            # RFC 3550 lets duplicates bring a phone's count below zero; nothing published is.
            found.append(Judged(name, side, f"{way} lost", lost, max(0, report[f"lost_{way}"]), 0))
            if name in EVENTS:
                continue
            value = report[f"jitter_{way}_ms"]
            limit = JITTER_MS + JITTER_SHARE * value
            found.append(Judged(name, side, f"{way} jitter ms", _ms(got, stretches[1]), value, limit))
            # The stretch that jitters is watched from its end: what we measure there is what the phone feels.
            if way == "received" and (not swing_ms or side == "remote"):
                found.append(Judged(name, side, "measured jitter ms", _ms(got, stretches[0]), value, limit))
    return found


def _ms(got: Replayed, stretch: str) -> float | None:
    jitter_us = mean(got, f"{stretch}Jitter")
    return None if jitter_us is None else jitter_us / 1000


def mean(got: Replayed, metric: str) -> float | None:
    """Of all samples in all minutes."""
    values = got.samples(metric)
    return sum(values) / len(values) if values else None


def table(found: Iterable[Judged]) -> str:
    """Figure by figure: how many were held against the phones, and how far apart they are at most."""
    found = list(found)
    lines = ["| figure | compared | greatest difference | tolerance there |", "| --- | --- | --- | --- |"]
    for kind in dict.fromkeys(each.what for each in sorted(found, key=lambda each: each.what)):
        of_kind = [each for each in found if each.what == kind]
        worst = max(of_kind, key=lambda each: each.apart)
        digits = 0 if kind.endswith("lost") else 1
        lines.append(f"| {kind} | {len(of_kind)} | {worst.apart:.{digits}f} | {worst.tolerance:.{digits}f} |")
    return "\n".join(lines)
