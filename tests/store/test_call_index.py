"""Calls in the store: found by whatever is known of them, kept as long as they should be, made from records
alone.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from agent.config.settings import Config, ConnectorSettings
from agent.errors import ConfigError
from agent.model.units import MINUTE_NS
from agent.store import Store
from agent.store.call_index import PER_MS, user_key
from agent.store.call_query import CallQuery
from agent.store.reader import IndexedCall, StoreReader
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import Summary
from tests.kit.conversation import ALICE, BOB, Conversation
from tests.kit.minutes import SECOND_NS, T0, connector, sip_row

DAY_NS = 86_400 * SECOND_NS


def call(number: int, at: float = 0.0, **more: Any) -> dict[str, Any]:
    """A `call` record: answered at once, over after 30 s."""
    start_ns = T0 + round(at * SECOND_NS)
    return {
        "call_id": f"call-{number}",
        "call_ids": [f"call-{number}", f"call-{number}-b"],
        "voice_connector_id": "vc1",
        "direction": "inbound",
        "from_sip_user": f"+4420794601{number:02}",
        "to_sip_user": "+12065550110",
        "invite_ns": start_ns,
        "answer_ns": start_ns + SECOND_NS,
        "end_ns": start_ns + 30 * SECOND_NS,
        "status": 200,
        "outcome": "answered",
        "end_reason": "bye",
        "ended_by": "customer",
        "customer_peer": "192.0.2.10",
        "remote_peer": "198.51.100.20",
        "flags": [],
        "setup_ms": 1_000.0,
    } | more


def media(number: int, minute: int = 0, **more: Any) -> dict[str, Any]:
    """A media record: 1,000 packets each way, nothing lost."""
    row: dict[str, Any] = {
        "voice_connector_id": "vc1",
        "event_timestamp": (T0 + (minute + 1) * MINUTE_NS) // 1_000_000,
        "call_id": f"call-{number}",
        "call_ids": [f"call-{number}"],
        "from_sip_user": f"+4420794601{number:02}",
        "to_sip_user": "+12065550110",
        "flags": [],
        "mos_directions": dict.fromkeys(DIRECTIONS, 4.3),
    }
    for way in DIRECTIONS:
        row |= {f"{way}_rtp_packets": 1_000, f"{way}_packets_lost": 0}
    return row | more


def part(minute: int, calls: list[Any] | None = None, rows: list[Any] | None = None, **more: Any) -> Summary:
    start_ns = T0 + minute * MINUTE_NS
    return Summary(start_ns, 0, True, [connector()], rows or [], calls or [], [], **more)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "s.sqlite")


def found(store: Store, **query: Any) -> list[str]:
    """First Call-IDs of the page."""
    reader = StoreReader(store._volume.path)
    page = reader.search(CallQuery(**query))
    reader.close()
    return [its.call_id for its in page.calls]


def only(store: Store) -> IndexedCall:
    (its,) = StoreReader(store._volume.path).search(CallQuery()).calls
    return its


@pytest.mark.parametrize(
    "query",
    [
        {"number": "0107"},
        {"number": "+44 20 7946 0107"},
        {"number": "020 7946 0107"},  # as another network writes it
        {"number": "+1 206 555 0110", "other_number": "0107"},
        {"number": "020 7946 0107", "other_number": "0012065550110"},
        {"call_id": "call-7"},
        {"call_id": "call-7-b"},
        {"address": "192.0.2.77"},
        {"transaction_id": "x-7"},
        {"connector": "vc7"},
        {"carrier": "acme"},
        {"host": "sbc-7"},
        {"direction": "outbound"},
        {"outcome": "failed"},
        {"status": 503},
        {"end_reason": "timer"},
        {"ended_by": "vc"},
        {"codec": "G729"},
        {"flags": ("one_way_audio",)},
        {"worse_than": 3.5},
        {"loss_over": 0.05},
        {"setup_over_ms": 8_000},
        {"since_ns": T0 + 650 * SECOND_NS},
        {"number": "0107", "connector": "vc7", "flags": ("one_way_audio",), "worse_than": 3.0},
    ],
    ids=str,
)
def test_call_is_found_by_whatever_is_known_of_it(store: Store, query: dict[str, Any]) -> None:
    odd = call(
        7, 640, customer_peer="192.0.2.77", transaction_id="x-7", voice_connector_id="vc7", carrier="acme",
        host="sbc-7", direction="outbound", outcome="failed", status=503, end_reason="timer", ended_by="vc",
        codec="G729", setup_ms=9_000.0, flags=["one_way_audio"],
    )  # fmt: skip
    bad = media(7, 10, voice_connector_id="vc7", vc2cust_packets_lost=100, mos_directions={"vc2cust": 2.5})
    others = [call(number, number) for number in range(7)]
    store.commit(part(0, others, [media(number) for number in range(7)]))
    store.commit(part(10, [odd], [bad]))
    assert found(store, **query) == ["call-7"]


def test_pair_is_of_two_users(store: Store) -> None:
    store.commit(part(0, [call(7, 1)]))
    assert found(store, number="0107", other_number="107") == []


def test_pages_give_every_call_once_in_order(store: Store) -> None:
    store.commit(part(0, [call(n, n / 2) for n in range(57)]))
    reader = StoreReader(store._volume.path)
    seen: list[str] = []
    query = CallQuery(limit=10)
    while True:
        page = reader.search(query)
        seen += [its.call_id for its in page.calls]
        if not page.next:
            break
        query = CallQuery(limit=10, after=page.next)
    assert seen == [f"call-{n}" for n in reversed(range(57))]


@pytest.mark.parametrize(("sort", "worst"), [("mos", "call-3"), ("loss", "call-5")])
def test_worst_comes_first_and_pages_go_on_from_it(store: Store, sort: Any, worst: str) -> None:
    rows = [media(n) for n in range(9)]
    rows[3]["mos_directions"] = {"cust2vc": 1.5}
    rows[5]["rem2vc_packets_lost"] = 400
    rows[6]["rem2vc_packets_lost"] = 40
    store.commit(part(0, [call(n, n) for n in range(9)], rows))
    reader = StoreReader(store._volume.path)
    page = reader.search(CallQuery(sort=sort, limit=1))
    assert page.calls[0].call_id == worst
    after = reader.search(CallQuery(sort=sort, limit=1, after=page.next)).calls
    assert [its.call_id for its in after] == (["call-6"] if sort == "loss" else ["call-8"])


def test_call_in_progress_is_there_and_grows_with_its_minutes(store: Store) -> None:
    up = call(1, end_ns=None, end_reason=None)
    store.commit(part(0, [], [media(1)], live=[up]))
    first = only(store)
    assert (first.end_ns, first.outcome, first.directions["cust2vc"].packets) == (None, "answered", 1_000)
    assert found(store, live=True) == ["call-1"]
    lossy = media(1, 1, vc2cust_packets_lost=50, mos_directions={"vc2cust": 3.1, "cust2vc": 4.3})
    store.commit(part(1, [], [lossy]))
    store.commit(part(2, [call(1, end_ns=T0 + 130 * SECOND_NS)], []))
    its = only(store)
    assert its.id == first.id
    assert its.end_ns == T0 + 130 * SECOND_NS
    assert (its.directions["vc2cust"].lost, its.directions["vc2cust"].expected) == (50, 2_000)
    assert its.mos_worst == 3.1
    assert found(store, live=True) == []


def test_news_of_a_call_is_found_before_its_minute_and_stays_one_call(store: Store) -> None:
    ringing = call(1, answer_ns=None, end_ns=None, end_reason=None, outcome="pending", status=None)
    store.keep(news=[ringing], now_ns=T0 + 5 * SECOND_NS)
    assert found(store, number="0110", live=True, until_ns=T0 + SECOND_NS) == ["call-1"]
    store.keep(news=[call(1, end_ns=None, end_reason=None)], now_ns=T0 + 10 * SECOND_NS)
    assert (only(store).outcome, only(store).seen_ns) == ("answered", T0 + 10 * SECOND_NS)
    reader = StoreReader(store._volume.path)
    assert (reader.newest_ns(), reader.known_ns()) == (None, T0 + 10 * SECOND_NS)
    store.keep(news=[call(1)], now_ns=T0 + 35 * SECOND_NS)
    assert found(store, live=True) == []
    store.commit(part(0, [call(1)], [media(1)]))
    assert (only(store).end_ns, only(store).directions["cust2vc"].packets) == (T0 + 30 * SECOND_NS, 1_000)


def test_news_that_waited_for_the_disk_takes_nothing_back(store: Store) -> None:
    """News and a minute that ended later are written together."""
    ringing = call(1, answer_ns=None, end_ns=None, end_reason=None, outcome="pending", status=None)
    store.keep([part(0, [call(1)])], news=[ringing], now_ns=T0 + MINUTE_NS)
    assert (only(store).outcome, only(store).status, only(store).end_reason) == ("answered", 200, "bye")


def test_calls_of_one_millisecond_are_as_many_as_a_flood_makes(store: Store, tmp_path: Path) -> None:
    """Each batch fills more than a millisecond's ids, and its neighbours have calls already."""
    count = 3 * PER_MS
    store.commit(part(0, [call(9_000, 0.001), call(9_001, 0.002)]))
    store.keep(news=[call(number) for number in range(count)], now_ns=T0 + 5 * SECOND_NS)
    store.keep(news=[call(number) for number in range(count // 2, 2 * count)], now_ns=T0 + 10 * SECOND_NS)
    store.commit(part(1, [call(number, 0.001) for number in range(2 * count, 3 * count)]))
    stored = sqlite3.connect(tmp_path / "s.sqlite").execute("SELECT call_ids FROM call_index").fetchall()
    assert len(stored) == len(set(stored)) == 3 * count + 2


def test_call_id_used_again_is_another_call(store: Store) -> None:
    store.commit(part(0, [call(1)]))
    store.commit(part(60, [call(1, 3_600)]))
    assert found(store, call_id="call-1") == ["call-1", "call-1"]


def test_unknown_loss_stays_unknown(store: Store) -> None:
    store.commit(part(0, [call(1)], [media(1, vc2cust_packets_lost=None)]))
    its = only(store).directions
    assert (its["vc2cust"].lost, its["vc2cust"].loss) == (None, None)
    assert its["cust2vc"].loss == 0


def test_call_of_two_connectors_counts_its_packets_once(store: Store) -> None:
    store.commit(part(0, [call(1)], [media(1), media(1, voice_connector_id="vc2")]))
    assert only(store).directions["cust2vc"].packets == 1_000


def test_masked_user_is_found_by_its_token_and_by_no_digits(store: Store) -> None:
    token = "n-0123456789ab"
    store.commit(part(0, [call(1, from_sip_user=token)]))
    assert found(store, number=token) == ["call-1"]
    assert found(store, number="789ab") == []
    assert found(store, number="56789") == []


def test_connector_that_logs_no_media_has_nobody_in_the_index(store: Store) -> None:
    quiet = ConnectorSettings(id="vc1", customer_networks=("192.0.2.0/24",), log_media=False)
    talk = Conversation(Config(connectors=[quiet]))
    leg = talk.proxied(ALICE, BOB)
    leg.invite(0)
    leg.ok(1)
    leg.ack(1.1)
    leg.bye(30)
    for summary in talk.play(until=120).summaries:
        store.commit(summary)
    assert found(store, call_id="call-1") == ["call-1"]
    assert found(store, number="0001") == found(store, address=ALICE) == []
    assert only(store).from_user is None


@pytest.mark.parametrize("hostile", ["\ud800\x1b[31m", "x" * 70_000, "%_'\"; DROP TABLE rows", "\x00"])
def test_whatever_the_wire_wrote_is_text(store: Store, hostile: str) -> None:
    row = call(1, from_sip_user=hostile, customer_peer=hostile, flags=[hostile])
    row["call_ids"] = [hostile]
    store.commit(part(0, [row]))
    assert len(only(store).from_user or "") <= 128
    assert found(store, number="0110") != []
    assert found(store, number="%") == found(store, number="_") == []


def test_store_without_an_index_gets_one_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    store = Store(path)
    store.commit(part(0, [call(1)], [media(1)]))
    store.save_checkpoint(None, [sip_row(T0, 1)], now_ns=T0)
    store.close()
    with sqlite3.connect(path) as connection:
        for table in ("call_index", "call_keys", "row_calls", "minute_index"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version=1")
    with pytest.raises(ConfigError, match="call index"):
        StoreReader(path)
    store = Store(path)
    assert found(store, number="0101") == ["call-1"]
    whole = StoreReader(path).call(only(store).id)
    assert whole is not None
    assert (len(whole.records.media), len(whole.records.messages)) == (1, 1)


def test_calls_of_a_full_disk_are_indexed_when_it_takes_writes_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store._volume._degrade("for the test")
    store._volume.recover = lambda: False  # type: ignore[method-assign]
    store.commit(part(0, [call(1)], [media(1)]))
    assert found(store) == []
    del store._volume.recover
    store.commit(part(1, [call(2, 60)], [media(2, 1)]))
    assert found(store) == ["call-2", "call-1"]
    assert found(store, number="0101") == ["call-1"]


def test_call_whole_has_its_records_and_no_others(store: Store) -> None:
    store.commit(part(0, [call(n, n / 100) for n in range(600)], [media(n) for n in range(600)]))
    store.save_checkpoint(None, [sip_row(T0, n) for n in range(700)], now_ns=T0)
    reader = StoreReader(store._volume.path)
    (known,) = reader.search(CallQuery(call_id="call-417")).calls
    whole = reader.call(known.id)
    assert whole is not None
    assert [row["call_id"] for row in whole.records.media] == ["call-417"]
    assert [row["call_id"] for row in whole.records.messages] == ["call-417"]
    assert whole.records.call["call_id"] == "call-417"
    assert reader.call(1) is None


def test_sip_goes_after_a_day_and_calls_after_fourteen(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.commit(part(0, [call(1)], [media(1)]))
    store.save_checkpoint(None, [sip_row(T0, 1)], now_ns=T0)
    reader = StoreReader(tmp_path / "s.sqlite")
    store.commit(part(1), now_ns=T0 + 2 * DAY_NS)
    whole = reader.call(only(store).id)
    assert whole is not None
    assert (len(whole.records.media), len(whole.records.messages)) == (1, 0)
    store.commit(part(2), now_ns=T0 + 15 * DAY_NS)
    assert found(store) == []
    with store._volume.disk.read() as connection:
        left = [
            connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for name in ("call_index", "call_keys", "row_calls")
        ]
    assert left == [0, 0, 0]


def test_full_store_lets_the_oldest_calls_go_after_their_records(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite", max_bytes=700_000)
    for minute in range(40):
        numbers = range(minute * 50, minute * 50 + 50)
        calls = [call(n, minute * 60 + n / 1000) for n in numbers]
        store.commit(part(minute, calls, [media(n, minute) for n in numbers]))
    assert store.counters()["evicted_index"] > 0
    left = found(store, limit=1_000)
    assert left[0] == "call-1999"
    assert "call-0" not in left
    assert store.counters()["bytes"] < 1_000_000


def test_overview_has_each_connector_minute_by_minute(store: Store) -> None:
    for minute in range(4):
        rows = [media(1, minute, carrier="acme", rem2vc_packets_lost=250)]
        store.commit(part(minute, [call(minute, carrier="acme", outcome="failed")], rows))
    reader = StoreReader(store._volume.path)
    (series,) = reader.overview(T0, T0 + 10 * MINUTE_NS)
    assert (series.name, len(series.points), series.points[0].attempts) == ("vc1", 4, 2)
    (series,) = reader.overview(T0, T0 + 10 * MINUTE_NS, "carrier", minutes=2)
    assert [(its.attempts, its.failures, its.loss["rem2vc"]) for its in series.points] == [(2, 2, 0.2)] * 2


def test_reader_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no store"):
        StoreReader(tmp_path / "none.sqlite")


def test_last_digits_are_the_beginning_of_a_key() -> None:
    assert user_key("+44 20 7946 0110").startswith(user_key("0110"))
    assert user_key("alice;phone-context=x") == user_key("ALICE")
