"""Two daemons with a board write what one daemon writes that sees it all: the same frames, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.daemons import SECOND_NS, Fleet, shifted
from tests.kit.board_server import Server, has_server
from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import OTHERWISE, Records, alike, assert_minutes_alike, is_sip

ROOT = Path(__file__).parents[2]
pytest.importorskip("redis")
pytestmark = pytest.mark.slow
# One of each kind; all are of one SBC, with the same addresses.
CAPTURES = [
    "answered-outbound", "hold-outbound", "hunted-outbound", "early-media-inbound", "late-offer-outbound",
    "transcoded-inbound", "loss-rem2vc", "loss-vc2cust", "ipv6-inbound", "twenty-inbound", "gone-inbound",
    "digits-outbound", "forked-inbound", "busy-inbound", "cancelled-outbound", "throttled-outbound",
]  # fmt: skip
CARRIER = """
[[carriers]]
id = "carrier-1"
networks = ["10.20.0.0/24", "fd00:20::/64"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not has_server():
        pytest.skip("no redis-server")
    made = Server(tmp_path_factory.mktemp("server"))
    yield made
    made.stop()


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    if not has_server():
        pytest.skip("no redis-server")
    (tmp_path / "server").mkdir()
    made = Server(tmp_path / "server")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def archives(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Records]:
    """What three daemons archived of all captures: `proxy` sees SIP, `relay` media, `both` all."""
    side = sidecar(CAPTURES[0])
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), side["vc"], side["customer_networks"], server)
    try:
        fleet.add("proxy", is_sip, [], CARRIER)
        fleet.add("relay", lambda frame: not is_sip(frame), side["vc"], CARRIER)
        fleet.add("both", lambda frame: True, None, CARRIER)
        for name in CAPTURES:
            frames = frames_of(name)
            fleet.play(shifted(frames, fleet.now_ns + SECOND_NS - frames[0].stamp_ns))
            fleet.wait(15)
        fleet.finish()
    finally:
        fleet.end()
    return {name: {kind: host.archived(kind) for kind in OTHERWISE} for name, host in fleet.hosts.items()}


@pytest.mark.parametrize(
    ("kind", "host", "other"),
    [("media", "relay", "proxy"), ("calls", "proxy", "relay"), ("sip", "proxy", "relay")],
)
def test_records_are_those_of_one_host_field_by_field(
    archives: dict[str, Records], kind: str, host: str, other: str
) -> None:
    assert len(archives["both"][kind]) >= len(CAPTURES) - 3 * (kind == "media")
    assert alike(kind, archives[host][kind]) == alike(kind, archives["both"][kind])
    assert archives[other][kind] == []


def test_call_records_lack_of_media_what_the_table_says_and_nothing_else(
    archives: dict[str, Records],
) -> None:
    whole = {row["transaction_id"]: row for row in archives["both"]["calls"]}
    for row in archives["proxy"]["calls"]:
        one = whole[row["transaction_id"]]
        assert [flag for flag in row["flags"] if flag != "media_elsewhere"] == one["flags"]
        for name in ("codec", "worst_direction", "last_rtp_ns"):
            assert row[name] is None
        for name in ("loss_runs", "late_histogram"):
            assert set(row[name].values()) <= {None}
    assert any(row["codec"] for row in whole.values())


def test_metrics_of_each_minute_are_those_of_one_host(archives: dict[str, Records]) -> None:
    both = archives["both"]["metrics"]
    assert_minutes_alike(archives["proxy"]["metrics"], archives["relay"]["metrics"], both)
    counted = sum(value for row in both for value in row["values"].values() if isinstance(value, int))
    assert counted > 10_000


@pytest.mark.parametrize("ahead_s", [5, -5])
def test_clocks_five_seconds_apart_change_no_figure_and_are_told(
    fresh_server: Server, tmp_path: Path, ahead_s: int
) -> None:
    side = sidecar("answered-outbound")
    fleet = Fleet(tmp_path, side["vc"], side["customer_networks"], fresh_server)
    try:
        fleet.add("proxy", is_sip, [])
        relay = fleet.add("relay", lambda frame: not is_sip(frame), side["vc"], ahead_s=ahead_s)
        both = fleet.add("both", lambda frame: True)
        frames = frames_of("answered-outbound")
        fleet.play(shifted(frames, fleet.now_ns + 10 * SECOND_NS - frames[0].stamp_ns))
        fleet.finish()
    finally:
        fleet.end()
    (row,), (one,) = relay.archived("media"), both.archived("media")
    for name, value in one.items():
        if name not in ("host", "record_id", "start_ts", "event_timestamp") and "_timeline" not in name:
            assert row[name] == value, name
    (line,) = (line for line in relay.lines("board") if "clock" in line)
    assert line.startswith(f"claims of proxy arrive {ahead_s:.1f} s after they were sent")


def test_two_probes_at_one_mirror_port_add_up_to_one(fresh_server: Server, tmp_path: Path) -> None:
    side = sidecar("twenty-inbound")
    fleet = Fleet(tmp_path, side["vc"], side["customer_networks"], fresh_server)
    try:
        for name, media in (("probe-1", []), ("probe-2", []), ("alone", None)):
            fleet.add(name, lambda frame: True, media)
        frames = frames_of("twenty-inbound")
        fleet.play(shifted(frames, fleet.now_ns + SECOND_NS - frames[0].stamp_ns))
        fleet.finish()
    finally:
        fleet.end()
    totals = {name: totals_of(host.archived("metrics")) for name, host in fleet.hosts.items()}
    probes = [totals["probe-1"], totals["probe-2"]]
    assert totals["alone"] in probes
    assert Counter() in probes
    (told,) = (name for name, its in totals.items() if not its)
    (line,) = (line for line in fleet.hosts[told].lines("unseen") if "another host" in line)
    assert "let one host alone capture this traffic" in line


def totals_of(rows: list[dict[str, Any]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found.update({name: value for name, value in row["values"].items() if isinstance(value, int)})
    return +found


def test_fields_that_say_otherwise_stand_in_the_page_on_fleets() -> None:
    page = (ROOT / "docs" / "fleet.md").read_text()
    for kind, fields in OTHERWISE.items():
        for name, reason in fields.items():
            assert f"| {kind} | `{name}` | {reason} |" in page
