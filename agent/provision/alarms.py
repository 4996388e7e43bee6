"""The alarms: the meaning of each, the reason for its threshold, and the treatment of missing data.

An alarm is metric math over catalog metrics, for each connector. A share is judged only where there were
enough calls: a single bad call at night wakes nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from agent.config.settings import Config
from agent.provision import metric
from agent.provision.quotas import ALARM_DESCRIPTION
from agent.summary.catalog import DIRECTIONS, HOST_MINUTES, SIDES

# The far end measures the loss of packets that the vc sends; the vc measures the loss of packets that it
# receives. Only the latter are missing from the packets counted.
TOWARDS_VC = ("cust2vc", "rem2vc")
OF_CARRIERS = ("loss-rem2vc", "loss-vc2rem")  # the alarms that a carrier has as well
USERS_OWN = frozenset({480, 486, 600, 603})  # RFC 6076 3.4: outcomes that no network failed at
Missing = Literal["breaching", "notBreaching", "ignore"]


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """One alarm.

    `inputs` are (id, metric, statistic). `value` is arithmetic over the ids, in the syntax of CloudWatch and
    Prometheus alike. Where `enough` is not met there is too little to judge, and `otherwise` takes its place.
    It goes off when `datapoints` of the last `periods` periods are `comparison` `threshold`.
    """

    key: str
    what: str
    why: str
    inputs: tuple[tuple[str, str, str], ...]
    value: str
    enough: str
    otherwise: str
    comparison: Literal["<", ">"]
    threshold: float
    datapoints: int
    periods: int
    missing: Missing
    missing_why: str
    period_s: int = 60
    section: str = ""  # of the runbook; empty: the key

    @property
    def expression(self) -> str:
        """Metric math of CloudWatch."""
        return f"IF({self.enough}, {self.value}, {self.otherwise})" if self.enough else self.value

    def renamed(self, names: Mapping[str, str]) -> str:
        """The expression with other ids for its inputs."""
        return re.sub(r"\b[a-z]\w*\b", lambda word: names.get(word[0], word[0]), self.expression)

    def runbook(self, url: str) -> str:
        """The address of this alarm's section in the runbook; `url`: the runbook's own address."""
        return f"{url or INSTALLED_RUNBOOK}#{self.section or self.key}"

    def description(self, url: str = "", brief: bool = False) -> str:
        """At most 1,024 characters, as CloudWatch requires; `brief`: without the reason."""
        see = f" See {self.runbook(url)}"
        missing = self.missing if brief else self.missing_why
        text = f"{self.what} {'' if brief else self.why + ' '}Missing data: {missing}"
        return text[: ALARM_DESCRIPTION - len(see)] + see


INSTALLED_RUNBOOK = "file:///usr/share/doc/sbcwatch/runbook.md"
QUIET = "no calls is no fault; a silent agent has an alarm of its own."


def rules(config: Config, hosts: int = 1) -> Iterator[AlarmRule]:
    """The alarms of one connector on `hosts` hosts."""
    for side, (suffix, _, words) in SIDES.items():
        mos, rtt = metric(f"MOSBetweenVcAnd{suffix}"), metric(f"RTTBetweenVcAnd{suffix}")
        yield AlarmRule(
            f"mos-{side}",
            f"Mean MOS {words} is below 3.6.",
            "G.107 Annex B: at R 70 (MOS 3.60) some users begin to be dissatisfied. Minutes with fewer than "
            "5 samples count as good.",
            (("mos", mos, "Average"), ("n", mos, "SampleCount")),
            "mos", "n >= 5", "4.4",
            "<", 3.6, 3, 5, "notBreaching", QUIET,
        )  # fmt: skip
        yield AlarmRule(
            f"mos-worst-{side}",
            f"One in ten directions of calls has a MOS below 3.1 {words}.",
            "A mean hides a tenth of all callers, and the direction that somebody hung up on: each direction "
            "of a call is a sample of its own. G.107 Annex B: below 3.1 (R 60) many users are dissatisfied. "
            "Judged from 20 samples a minute.",
            (("p10", mos, "p10"), ("n", mos, "SampleCount")),
            "p10", "n >= 20", "4.4",
            "<", 3.1, 3, 5, "notBreaching", QUIET,
        )  # fmt: skip
        yield AlarmRule(
            f"rtt-{side}",
            f"Mean round-trip time {words} is above 300 ms.",
            "G.114: up to 150 ms one way is fine for most users.",
            (("rtt", rtt, "Average"), ("n", rtt, "SampleCount")),
            "rtt", "n >= 5", "0",
            ">", 300_000, 3, 5, "notBreaching", QUIET,
        )  # fmt: skip
    for direction, (prefix, words) in DIRECTIONS.items():
        jitter = metric(f"{prefix}Jitter")
        yield AlarmRule(
            f"jitter-{direction}",
            f"Mean jitter {words} is above 30 ms.",
            "Half of a 60 ms jitter buffer: beyond it packets begin to come too late to be played.",
            (("jitter", jitter, "Average"), ("n", jitter, "SampleCount")),
            "jitter", "n >= 5", "0",
            ">", 30_000, 3, 5, "notBreaching", QUIET,
        )  # fmt: skip
        sent = "(packets + lost)" if direction in TOWARDS_VC else "packets"
        yield AlarmRule(
            f"loss-{direction}",
            f"More than 2 % of RTP packets {words} are lost.",
            "G.113 App. I: at 2 % random loss G.729 falls from MOS 4.0 to 3.7, and G.711 without "
            "concealment from 4.4 to 3.1. Judged from 15,000 packets a minute (five calls); of streams whose "
            "loss is unknown the packets count and the loss does not, so that the share is a lower bound.",
            (
                ("lost", metric(f"{prefix}PacketsLost"), "Sum"),
                ("packets", metric(f"{prefix}RtpPackets"), "Sum"),
            ),
            f"lost / {sent}", "packets >= 15000", "0",
            ">", 0.02, 3, 5, "notBreaching", QUIET,
        )  # fmt: skip
    yield from _calls(config, hosts)
    yield AlarmRule(
        "silent",
        f"Fewer than {hosts} of {hosts} hosts sent this connector's minute.",
        "Every host sends a 1 for each minute that it watched to its end, some 75 s after the minute began; "
        "one that starts again and again sends no more than one. "
        "Five minutes leave room for a restart; what an outage of AWS held back is sent later.",
        (("sent", metric(HOST_MINUTES), "Sum"),),
        "sent", "", "",
        "<", hosts, 5, 5, "breaching", "breaching, for silence is what this alarm is about.",
    )  # fmt: skip


def _calls(config: Config, hosts: int) -> Iterator[AlarmRule]:
    users = set(config.calls.not_failures) >= USERS_OWN
    threshold = 0.1 if users else 0.5
    reason = (
        "Busy, declined and unreachable users do not count as failures (RFC 6076), so one in ten is news."
        if users
        else "Busy, declined and unreachable users count as failures, and half of all attempts end so on "
        "many trunks; set calls.not_failures = [480, 486, 600, 603] for a threshold of 10 %."
    )
    for way in ("Inbound", "Outbound"):
        yield AlarmRule(
            f"failures-{way.lower()}",
            f"More than {threshold:.0%} of {way.lower()} call attempts fail.",
            f"{reason} Judged from 20 attempts in five minutes.",
            (
                ("failed", metric(f"{way}CallFailures"), "Sum"),
                ("attempts", metric(f"{way}CallAttempts"), "Sum"),
            ),
            "failed / attempts", "attempts >= 20", "0",
            ">", threshold, 2, 2, "notBreaching", QUIET, 300,
        )  # fmt: skip
    finals = [(f"c{n}", metric(f"Sip{n}xxCodes"), "Sum") for n in range(2, 7)]
    yield AlarmRule(
        "5xx",
        "More than 5 % of final SIP responses are 5xx.",
        "A server fault that callers notice before they report it; retransmitted responses count too. Judged "
        "from 20 final responses a minute.",
        tuple(finals),
        "c5 / (c2 + c3 + c4 + c5 + c6)", "c2 + c3 + c4 + c5 + c6 >= 20", "0",
        ">", 0.05, 3, 5, "notBreaching", QUIET,
    )  # fmt: skip
    active = "(inbound + outbound)"
    yield AlarmRule(
        "active-collapse",
        "Active calls fell to less than half within a minute.",
        "Calls end one by one; half of at least 20 at once is a trunk, an SBC or a power supply. DIFF needs "
        "the minute before, so three minutes are looked at and one is enough. Both minutes must be there "
        "from all hosts: one that is late is no calls that ended.",
        (
            ("inbound", metric("InboundCallsActive"), "Sum"),
            ("outbound", metric("OutboundCallsActive"), "Sum"),
            ("beats", metric(HOST_MINUTES), "SampleCount"),
        ),
        f"{active} / ({active} - DIFF{active})",
        f"beats >= {hosts} AND beats - DIFF(beats) >= {hosts} AND {active} - DIFF{active} >= 20", "1",
        "<", 0.5, 1, 3, "notBreaching", "a host that stopped is told by the alarm on silence.",
    )  # fmt: skip


DROPS = AlarmRule(
    "capture-drops",
    "The capture of at least one host missed frames.",
    "Loss that the capture made is never reported as loss in the network, but what it missed is counted "
    "nowhere: one frame is one too many.",
    (("drops", metric("CaptureDrops"), "Sum"),),
    "drops", "", "",
    ">", 0, 3, 5, "notBreaching", "a silent agent has an alarm of its own.",
)  # fmt: skip


STUCK = AlarmRule(
    "stuck-delivery",
    "A minute waits to be delivered for more than 15 minutes.",
    "The store keeps what AWS does not take for a day (store.keep_hours), then it is lost for AWS. An outage "
    "of minutes is no news; a denied group or an expired role is.",
    (("waiting", metric("UndeliveredSeconds"), "Maximum"),),
    "waiting", "", "",
    ">", 900, 3, 5, "notBreaching", "where nothing at all is delivered, the alarm on silence tells.",
)  # fmt: skip


def agent_rules(hosts: int) -> tuple[AlarmRule, ...]:
    """The alarms on the agents themselves. One serves all hosts, and its reason names the hosts."""
    return (
        AlarmRule(
            "host-silent",
            "A host sends nothing, or not each minute.",
            "Each agent sends its own figures once a minute. The alarm names hosts that were heard in the "
            "last three hours; the alarm hosts-missing goes on for those that are gone for longer.",
            (("beats", metric("Frames"), "SampleCount"),),
            "beats", "", "",
            "<", 3, 2, 2, "breaching", "breaching, for silence is what this alarm is about.", 300,
        ),
        AlarmRule(
            "hosts-missing",
            f"Fewer than {hosts} hosts sent their own figures.",
            "It counts hosts without their names, so it knows those as well that never came.",
            (("beats", metric("Frames"), "SampleCount"),),
            "beats", "", "",
            "<", hosts, 5, 5, "breaching", "breaching, for silence is what this alarm is about.",
            60,
        ),
        DROPS,
        STUCK,
    )  # fmt: skip
