"""Every bundled capture against its sidecar: the endpoints' own logs, kernel counters and reports."""

from __future__ import annotations

import pytest

from tests.kit.replayed import outcomes, scenario, sidecar, sidecars

DIRECTIONS = {
    "cust2vc": "CustomerToVc",
    "vc2cust": "VcToCustomer",
    "rem2vc": "RemoteToVc",
    "vc2rem": "VcToRemote",
}
COUNTS = {"attempts": "CallAttempts", "answered": "CallsAnswered", "failed": "CallFailures"}

LOGGED_NS = 50_000_000  # what lies between a message on the wire and the line in the log

captures = pytest.mark.parametrize("name", sidecars())


@captures
def test_calls_are_the_endpoints_own(name: str) -> None:
    truth, got = sidecar(name)["truth"], scenario(name)
    for what, metric in COUNTS.items():
        for direction in ("inbound", "outbound"):
            assert got.total(direction.capitalize() + metric) == truth[what][direction], (what, direction)
    assert got.total("Throttles") == sum(truth["throttles"].values())
    seen = outcomes(got)
    for what in ("cancelled", "redirected", "answered"):
        assert seen[what] == sum(truth[what].values()), what


@captures
def test_each_call_has_its_outcome_and_status(name: str) -> None:
    truth, got = sidecar(name)["truth"], scenario(name)
    rows = {row["call_id"]: row for row in got.calls}
    assert len(got.calls) == len(truth["calls"])
    for call in truth["calls"]:
        row = rows[call["call_id_incoming"]]
        assert row["outcome"] == call["outcome"]
        assert row["status"] == call["status"]
        assert row["from_sip_user"] == call["from_user"]
        assert row["to_sip_user"] == call["to_user"]
        assert row["direction"] == call.get("direction", sidecar(name)["direction"])


@captures
def test_call_has_the_legs_and_the_end_that_the_sbc_logged(name: str) -> None:
    rows = {row["call_id"]: row for row in scenario(name).calls}
    for call in sidecar(name)["truth"]["calls"]:
        row = rows[call["call_id_incoming"]]
        if "call_ids" in call:
            assert row["call_ids"] == call["call_ids"]
        if call["answered_at"] and call["ended_at"]:
            for what in ("answer", "end"):
                logged_ns = call[f"{what}ed_at"] * 1e9
                assert abs(row[f"{what}_ns"] - logged_ns) < LOGGED_NS, what


@captures
def test_responses_per_class_are_those_on_the_wire(name: str) -> None:
    truth, got = sidecar(name)["truth"], scenario(name)
    for status, count in truth["responses"].items():
        assert got.total(f"Sip{status}Codes") == count, status


@captures
def test_rtp_and_rtcp_per_direction_are_the_kernels_count(name: str) -> None:
    truth, got = sidecar(name)["truth"], scenario(name)
    copies = 0  # a packet that the network sent twice keeps its IP identification: the kernel counts it twice
    for direction, prefix in DIRECTIONS.items():
        for kind, metric in (("rtp", "Rtp"), ("rtcp", "Rtcp")):
            expected = truth[kind][direction]
            twice = expected["packets"] - (got.total(f"{prefix}{metric}Packets") or 0)
            octets = expected["bytes"] - (got.total(f"{prefix}{metric}Bytes") or 0)
            assert twice >= 0, (direction, kind)
            assert (octets == 172 * twice) if kind == "rtp" else (octets == twice == 0), (direction, kind)
            copies += twice
    assert copies in (0, got.capture["duplicate_frames"])


@captures
def test_loss_is_what_the_kernel_dropped(name: str) -> None:
    truth, got = sidecar(name)["truth"], scenario(name)
    for direction, prefix in DIRECTIONS.items():
        lost = got.total(f"{prefix}PacketsLost")
        if lost is None:
            assert truth["rtp"][direction]["packets"]
            assert direction.startswith("vc2")
            assert not any(side for side in truth["reports"].values()), f"{direction}: reports told the loss"
        else:
            assert lost == truth["rtp"][direction]["dropped"], direction


@captures
def test_nothing_is_rejected_or_late(name: str) -> None:
    capture = scenario(name).capture
    assert capture["rejects"] == {}
    assert capture["late_frames"] == 0
    assert capture["frames"] > 0
