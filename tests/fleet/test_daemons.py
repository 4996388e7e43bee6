"""Two daemons with a board write what one daemon writes that sees it all: the same frames, field by field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest

from tests.fleet.daemons import SECOND_NS, Fleet, shifted
from tests.kit.board_server import Server, has_server
from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import OTHERWISE, is_sip

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
Records = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not has_server():
        pytest.skip("no redis-server")
    made = Server(tmp_path_factory.mktemp("server"))
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
    yield {name: {kind: host.archived(kind) for kind in OTHERWISE} for name, host in fleet.hosts.items()}


def alike(kind: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without the fields that say otherwise, in one order."""
    kept = [{name: value for name, value in row.items() if name not in OTHERWISE[kind]} for row in rows]
    return sorted(kept, key=repr)


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


def by_minute(rows: list[dict[str, Any]]) -> dict[tuple[int, int, str], dict[str, Any]]:
    return {(row["event_timestamp"], row["part"], row["voice_connector_id"]): row for row in rows}


def known(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Values of several hosts as one host's. Each is known on one of them at most."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        values = [part[name] for part in parts if part.get(name) is not None]
        assert len(values) <= 1, name
        found[name] = values[0] if values else None
    return found


def causes(row: dict[str, Any]) -> set[str]:
    return {because["cause"] for because in row["unknown_because"]}


def test_metrics_of_each_minute_are_those_of_one_host(archives: dict[str, Records]) -> None:
    proxy, relay, both = (by_minute(archives[name]["metrics"]) for name in ("proxy", "relay", "both"))
    assert alike("metrics", proxy.values()) == alike("metrics", both.values())
    assert alike("metrics", relay.values()) == alike("metrics", both.values())
    counted = 0
    for minute, one in both.items():
        parts = proxy[minute], relay[minute]
        assert known(*(part["values"] for part in parts)) == one["values"]
        counted += sum(value for value in one["values"].values() if isinstance(value, int))
        for carrier, values in one["carriers"].items():
            assert known(*(part["carriers"][carrier] for part in parts)) == values
        assert known(*(part["extras"] for part in parts)) == one["extras"]
        assert set(proxy[minute]["coverage"].values()) == {None}
        assert relay[minute]["coverage"] == {
            way: share if share is None else round(share, 6) for way, share in one["coverage"].items()
        }
        said = causes(one)
        assert causes(proxy[minute]) == said | {"media_elsewhere"}
        assert causes(relay[minute]) == said | {"signalling_elsewhere"}
    assert counted > 10_000
