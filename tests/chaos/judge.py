"""What the strict CloudWatch stored, once, held against the ledger."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any

from tests.chaos.ledger import Ledger
from tests.kit.strict_aws import StrictAws

CONNECTOR = "lab-trunk"
SIP_GROUP = f"/aws/ChimeVoiceConnectorSipMessages/{CONNECTOR}"
MEDIA_GROUP = f"/aws/ChimeVoiceConnectorLogs/{CONNECTOR}"


class Union(StrictAws):
    """A strict CloudWatch that keeps every request which it stored, and knows which came again."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.taken: dict[str, dict[str, Any]] = {}
        self.again = 0  # requests stored twice that hold anything but zeros
        self._keeping = threading.Lock()

    def handle(self, service: str, operation: str, request: dict[str, Any], size: int) -> tuple[Any, str]:
        answer = super().handle(service, operation, request, size)
        if operation in ("PutMetricData", "PutLogEvents") and answer[1] not in ("hang", "reset"):
            key = json.dumps(request, sort_keys=True)
            with self._keeping:
                if key in self.taken and _counts(request):
                    self.again += 1
                self.taken[key] = request
        return answer

    def totals(self) -> Counter[str]:
        """Sum of every count over all minutes."""
        totals: Counter[str] = Counter()
        for request in self.taken.values():
            for datum in request.get("MetricData", ()):
                if _of_connector(datum) and not datum["MetricName"].endswith("CallsActive"):
                    totals[datum["MetricName"]] += round(_sum(datum))
        return totals

    def active(self) -> dict[float, list[float]]:
        """Minute to the values of CallsActive, both ways together, that were stored for it."""
        found: dict[float, list[float]] = {}
        for request in self.taken.values():
            for datum in request.get("MetricData", ()):
                if _of_connector(datum) and datum["MetricName"].endswith("CallsActive"):
                    found.setdefault(float(datum["Timestamp"]), []).append(_sum(datum))
        return found

    def events(self, group: str) -> list[dict[str, Any]]:
        return [
            json.loads(event["message"])
            for request in self.taken.values()
            if request.get("logGroupName") == group
            for event in request["logEvents"]
        ]


def _of_connector(datum: dict[str, Any]) -> bool:
    return [(d["Name"], d["Value"]) for d in datum.get("Dimensions") or []] == [
        ("VoiceConnectorId", CONNECTOR)
    ]


def _sum(datum: dict[str, Any]) -> float:
    values = datum["Values"] if "Values" in datum else [datum["Value"]]
    counts = datum.get("Counts") or [1.0] * len(values)
    return float(sum(v * c for v, c in zip(values, counts, strict=True)))


def _counts(request: dict[str, Any]) -> bool:
    return "logEvents" in request or any(_sum(datum) for datum in request["MetricData"])


def judge(aws: Union, ledger: Ledger, maybe_duplicate: int) -> list[str]:
    """Every way in which what is stored is not the truth within its bound."""
    faults = []
    totals = aws.totals()
    for name, (least, most) in sorted(ledger.bounds().items()):
        if not least <= totals[name] <= most:
            faults.append(f"{name}: {totals[name]} stored, between {least} and {most} expected")
    for name in sorted(totals.keys() - ledger.bounds().keys()):
        if totals[name] and name.endswith(("Attempts", "Answered", "Failures", "Codes", "Throttles", "Lost")):
            faults.append(f"{name}: {totals[name]} stored, none expected")
    stored = Counter(str(row["call_id"]) for row in aws.events(SIP_GROUP))
    more = {call_id: n for call_id, n in stored.items() if n > ledger.messages[call_id]}
    if more:
        faults.append(
            f"SIP messages stored more often than sent: {len(more)} calls, {list(more.items())[:3]}"
        )
    missing = sum(ledger.messages.values()) - sum(stored.values())
    if missing > ledger.messages_unseen:
        faults.append(f"{missing} SIP messages missing, at most {ledger.messages_unseen} may be")
    rows = Counter(json.dumps(row, sort_keys=True) for row in aws.events(MEDIA_GROUP))
    if rows and max(rows.values()) > 1:
        faults.append(f"media records stored twice: {rows.most_common(2)}")
    if aws.again > maybe_duplicate:
        faults.append(f"{aws.again} requests stored twice, {maybe_duplicate} counted as maybe_duplicate")
    return faults
