"""The JSON of `replay` and `streams`, which scripts rely on; no way of giving the files may change it."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.commands import json_lines, replay
from agent.config.settings import Config
from tests.kit.replayed import PCAPS, scenario, sidecar, sidecars

Row = dict[str, Any]
# From the document that lists Amazon's metrics and log fields, in its order.
CALLS = ("CallAttempts", "CallFailures", "CallsAnswered", "CallsActive")
FLOWS = ("RtpPackets", "RtpBytes", "RtcpPackets", "RtcpBytes", "PacketsLost", "Jitter")
METRICS = [
    *(way + name for way in ("Inbound", "Outbound") for name in CALLS),
    "Throttles",
    *(f"Sip{digit}xxCodes" for digit in "123456"),
    *(way + name for way in ("CustomerToVc", "VcToCustomer") for name in FLOWS),
    "RTTBetweenVcAndCustomer",
    "MOSBetweenVcAndCustomer",
    *(way + name for way in ("RemoteToVc", "VcToRemote") for name in FLOWS),
    "RTTBetweenVcAndRemote",
    "MOSBetweenVcAndRemote",
]
SAMPLES = {name for name in METRICS if name.endswith("Jitter") or name.startswith(("RTT", "MOS"))}
FLOW_FIELDS = ("rtp_packets", "rtp_bytes", "rtcp_packets", "rtcp_bytes", "packets_lost", "jitter")
MEDIA = [
    *("voice_connector_id", "event_timestamp", "call_id", "from_sip_user", "from_country"),
    *("to_sip_user", "to_country", "endpoint_id", "aws_region"),
    *(f"{way}_{name}" for way in ("cust2vc", "vc2cust") for name in FLOW_FIELDS),
    *("rtt_btwn_vc_and_cust", "mos_btwn_vc_and_cust"),
    *(f"{way}_{name}" for way in ("rem2vc", "vc2rem") for name in FLOW_FIELDS),
    *("rtt_btwn_vc_and_rem", "mos_btwn_vc_and_rem"),
]
MEDIA_EXTRAS = {
    "part",
    "flags",
    "vc_lost",
    "call_ids",
    *(
        f"{field}_source"
        for field in MEDIA
        if field.endswith(("_packets_lost", "_jitter")) or "btwn" in field
    ),
    *(f"{way}_packets_lost_total" for way in ("cust2vc", "vc2cust", "rem2vc", "vc2rem")),
}
SIP = ["voice_connector_id", "aws_region", "event_timestamp", "call_id", "sip_message"]
CALL = [
    *("call_id", "call_ids", "voice_connector_id", "direction", "from_sip_user", "to_sip_user"),
    *("invite_ns", "answer_ns", "end_ns", "status", "outcome", "end_reason", "flags", "diverted_from"),
]
CAPTURE = ["frames", "bytes", "rejects", "drops", "tunnels", "late_frames", "duplicate_frames"]
STREAM = [
    *("src", "src_port", "dst", "dst_port", "ssrc", "payload_type", "codec", "packets", "bytes", "lost"),
    *("duplicates", "reordered", "jitter_mean_us", "jitter_max_us", "first_ns", "last_ns"),
    *("call_id", "direction"),
]
TYPES = ("metrics", "media", "sip", "call", "capture")

every = pytest.mark.parametrize("name", sidecars())
# Classic captures whose records can be cut and moved here, with what makes a cut hard in each.
CUT = (
    "loss-vc2cust",
    "jitter-outbound",
    "gone-inbound",
    "hold-outbound",
    "digits-outbound",
    "forked-inbound",
)


def lines(paths: list[str], *, vc: list[str], customers: list[str]) -> list[Row]:
    """What `replay --json` prints."""
    written: list[bytes] = []
    source = replay.open_files(paths, Config())
    pipeline = replay.prepare(Config(), vc=vc, customers=customers)
    keeper = json_lines.JsonLines(written.append)
    replay.replay(source, pipeline, keeper)
    keeper.line(json_lines.capture_row(source, pipeline))
    return [json.loads(line) for line in written]


def of(name: str, paths: list[Path]) -> list[Row]:
    side = sidecar(name)
    return lines([str(path) for path in paths], vc=side["vc"], customers=side["customer_networks"])


def files(name: str) -> list[Path]:
    return [PCAPS / file for file in sidecar(name)["files"]]


@cache
def printed(name: str) -> list[Row]:
    return of(name, files(name))


def unordered(told: list[Row]) -> list[str]:
    """Lines without their order: a SIP line is printed once its connector is known, so batches decide it."""
    return sorted(json.dumps(row) for row in told)


def rows(name: str, kind: str) -> list[Row]:
    return [row for row in printed(name) if row["type"] == kind]


# --- the contract


def test_there_are_43_metrics_37_media_fields_and_5_sip_fields() -> None:
    assert (len(METRICS), len(MEDIA), len(SIP)) == (43, 37, 5)
    assert (len(set(METRICS)), len(set(MEDIA))) == (43, 37)


@every
def test_types_are_the_five_and_capture_comes_once_and_last(name: str) -> None:
    types = [row["type"] for row in printed(name)]
    assert set(types) <= set(TYPES)
    assert types.count("capture") == 1
    assert types[-1] == "capture"


@every
def test_metrics_have_the_43_names_and_nothing_but_numbers_or_null(name: str) -> None:
    assert rows(name, "metrics")
    for row in rows(name, "metrics"):
        assert list(row)[:7] == [
            *("type", "timestamp", "voice_connector_id", "region", "values", "coverage", "part"),
        ]
        assert list(row["values"]) == METRICS
        assert type(row["timestamp"]) is int
        assert row["timestamp"] % 60_000 == 0
        assert type(row["part"]) is int
        for metric, value in row["values"].items():
            if value is None:
                continue
            if metric in SAMPLES:
                assert list(value) == ["sum", "count", "min", "max"], metric
                assert type(value["count"]) is int, metric
                assert value["count"] > 0, metric
                least, most = value["min"] * value["count"], value["max"] * value["count"]
                assert least - 1e-6 <= value["sum"] <= most + 1e-6, metric
            else:
                assert type(value) is int, metric
                assert value >= 0, metric


@every
def test_media_has_the_37_fields_first_then_extras(name: str) -> None:
    for row in rows(name, "media"):
        assert list(row)[1:38] == MEDIA
        assert row.keys() >= MEDIA_EXTRAS
        assert type(row["event_timestamp"]) is int
        assert row["event_timestamp"] % 60_000 == 0  # the minute's end
        assert row["call_id"] in row["call_ids"]
        assert isinstance(row["flags"], list)
        for field in MEDIA[9:]:
            if field.endswith(("_packets", "_bytes")):
                assert type(row[field]) is int, field
            elif field.endswith("_lost"):
                assert row[field] is None or type(row[field]) is int, field
            else:
                assert row[field] is None or type(row[field]) in (int, float), field
            source = row.get(f"{field}_source")
            assert source in ("rtp", "rtcp", "xr", "assumed", None), field


@every
def test_sip_has_the_5_fields_and_the_frames_own_time(name: str) -> None:
    frames_ms = range(2**63)
    for row in rows(name, "sip"):
        assert list(row) == ["type", *SIP]
        assert type(row["event_timestamp"]) is int
        assert row["event_timestamp"] in frames_ms
        assert row["sip_message"].endswith("\r\n\r\n") or "\r\n\r\n" in row["sip_message"]
        assert f"\r\nCall-ID: {row['call_id']}\r\n" in row["sip_message"]


@every
def test_call_and_capture_have_their_fields_in_order(name: str) -> None:
    for row in rows(name, "call"):
        assert list(row)[1 : 1 + len(CALL)] == CALL
        assert row["direction"] in ("inbound", "outbound", None)
        assert row["outcome"] in ("answered", "failed", "cancelled", "redirected", "pending")
        assert row["end_reason"] in ("bye", "timer", "silence", None)
        for field in ("invite_ns", "answer_ns", "end_ns", "status"):
            assert row[field] is None or type(row[field]) is int
    (capture,) = rows(name, "capture")
    assert list(capture) == ["type", *CAPTURE]
    assert isinstance(capture["rejects"], dict)
    assert all(
        type(capture[field]) is int for field in ("frames", "bytes", "late_frames", "duplicate_frames")
    )
    assert capture["drops"] is None or type(capture["drops"]) is int


@every
def test_streams_have_their_fields_in_order(name: str) -> None:
    for row in scenario(name).streams:
        assert list(row)[: len(STREAM)] == STREAM
        assert type(row["ssrc"]) is int
        assert row["direction"] in ("cust2vc", "vc2cust", "rem2vc", "vc2rem", None)
        whole = (
            "src_port",
            "dst_port",
            "packets",
            "bytes",
            "lost",
            "duplicates",
            "reordered",
            "first_ns",
            "last_ns",
        )
        assert all(type(row[field]) is int for field in whole)


def test_command_prints_what_the_functions_give() -> None:
    name = "short-inbound"
    side = sidecar(name)
    sides = [
        *(f"--vc={vc}" for vc in side["vc"]),
        *(f"--customer={net}" for net in side["customer_networks"]),
    ]
    command = [sys.executable, "-m", "agent", "replay", *map(str, files(name)), *sides, "--json"]
    done = subprocess.run(command, capture_output=True, cwd=PCAPS.parent, check=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == printed(name)
    assert done.stderr == b""


# --- unknown is null


def test_values_nobody_could_see_are_null_and_seen_zeros_are_0() -> None:
    """A call without RTCP: what the far end alone knows stays unknown; a class that did not occur is 0."""
    (row,) = rows("short-inbound", "metrics")
    values = row["values"]
    assert values["VcToCustomerRtpPackets"] > 0
    assert values["VcToCustomerPacketsLost"] is None
    assert values["VcToCustomerJitter"] is None
    assert values["RTTBetweenVcAndCustomer"] is None
    assert values["CustomerToVcPacketsLost"] == 0
    assert values["CustomerToVcRtcpPackets"] == 0
    assert values["Sip6xxCodes"] == 0
    assert values["Throttles"] == 0
    # The capture ended before the minute did.
    assert values["InboundCallsActive"] is None


def test_unknown_sides_leave_sided_metrics_null_and_count_sip() -> None:
    told = lines([str(path) for path in files("short-inbound")], vc=[], customers=[])
    for row in (row for row in told if row["type"] == "metrics"):
        for metric, value in row["values"].items():
            assert (value is None) != metric.startswith("Sip"), metric
    responses = sum(sidecar("short-inbound")["truth"]["responses"].values())
    counted = sum(
        value
        for row in told
        if row["type"] == "metrics"
        for metric, value in row["values"].items()
        if metric.startswith("Sip")
    )
    assert counted == responses


def test_minute_without_media_has_zero_counts_and_no_samples() -> None:
    (row,) = rows("busy-inbound", "metrics")
    for metric, value in row["values"].items():
        if metric in SAMPLES or metric.endswith("CallsActive"):
            assert value is None, metric
        elif metric.endswith(("RtpPackets", "RtpBytes", "RtcpPackets", "RtcpBytes", "PacketsLost")):
            assert value == 0, metric


# --- no way of giving the files changes a number


@cache
def records(path: Path) -> tuple[bytes, tuple[bytes, ...]]:
    """Header and records of a classic little-endian capture."""
    data = path.read_bytes()
    assert data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"), f"{path.name} is no classic capture"
    at, found = 24, []
    while at < len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at:end])
        at = end
    return data[:24], tuple(found)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(CUT), side=st.integers(0, 1), share=st.floats(0, 1))
def test_capture_cut_anywhere_into_two_files_gives_the_same(
    name: str, side: int, share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = files(name)
    header, found = records(paths[side])
    cut = round(share * len(found))
    folder = tmp_path_factory.mktemp("cut")
    halves = [folder / "first.pcap", folder / "second.pcap"]
    halves[0].write_bytes(header + b"".join(found[:cut]))
    halves[1].write_bytes(header + b"".join(found[cut:]))
    assert unordered(of(name, [*halves, paths[1 - side]])) == unordered(printed(name))


def moved(path: Path, target: Path, seconds: int) -> Path:
    header, found = records(path)
    shifted = [struct.pack("<I", struct.unpack_from("<I", each)[0] + seconds) + each[4:] for each in found]
    target.write_bytes(header + b"".join(shifted))
    return target


def without_times(row: Row, seconds: int) -> Row:
    """The row with its times moved back."""
    back = dict(row)
    back.pop("record_id", None)  # it is of this minute
    for field, value in row.items():
        if value is None:
            continue
        if field in ("timestamp", "event_timestamp", "start_ts"):
            back[field] = value - seconds * 1000
        elif field.endswith("_ns"):
            back[field] = value - seconds * 1_000_000_000
    return back


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("minutes", [1, 60 * 24 * 365, -7])
def test_capture_moved_by_whole_minutes_changes_only_times(name: str, minutes: int, tmp_path: Path) -> None:
    seconds = 60 * minutes
    paths = [moved(path, tmp_path / path.name, seconds) for path in files(name)]
    back = [without_times(row, seconds) for row in of(name, paths)]
    assert unordered(back) == unordered([without_times(row, 0) for row in printed(name)])


@pytest.mark.parametrize("name", [name for name in sidecars() if len(sidecar(name)["files"]) == 2])
def test_order_of_the_files_does_not_matter(name: str) -> None:
    assert unordered(of(name, files(name)[::-1])) == unordered(printed(name))


@pytest.mark.parametrize("name", CUT)
def test_gzip_changes_nothing(name: str, tmp_path: Path) -> None:
    zipped = [tmp_path / f"{path.name}.gz" for path in files(name)]
    for path, target in zip(files(name), zipped, strict=True):
        target.write_bytes(gzip.compress(path.read_bytes(), 1))
    assert of(name, zipped) == printed(name)


def test_one_side_on_standard_input_changes_nothing() -> None:
    name = "loss-vc2cust"
    side = sidecar(name)
    first, second = files(name)
    sides = [
        *(f"--vc={vc}" for vc in side["vc"]),
        *(f"--customer={net}" for net in side["customer_networks"]),
    ]
    command = [sys.executable, "-m", "agent", "replay", "-", str(second), *sides, "--json"]
    done = subprocess.run(
        command, input=first.read_bytes(), capture_output=True, cwd=PCAPS.parent, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == printed(name)
