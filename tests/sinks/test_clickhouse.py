"""ClickHouse has each record once, and so have its roll-ups: against the engine itself, answers lost."""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from agent.commands import fleet
from agent.errors import SinkError
from agent.model.units import MINUTE_NS
from agent.provision.grafana_clickhouse import dashboard
from agent.provision.volume import CLICKHOUSE_BYTES
from agent.sinks.clickhouse import ClickHouse, ClickHouseError, ClickHouseSink
from agent.sinks.clickhouse_schema import COLUMNS, schema
from agent.sinks.delivery import Delivery
from agent.sinks.verdict import ErrorRule
from agent.store import Store
from agent.store.codec import pack, to_json, unpack
from agent.store.outbox import OutboxRow
from agent.summary.catalog import DIRECTIONS
from agent.summary.records import Summary
from tests.kit.records import of_other_calls
from tests.kit.replayed import scenario

session = pytest.importorskip("chdb.session")
pytestmark = pytest.mark.slow
T0 = 1_795_996_440 * 10**9  # six minutes before midnight


class Engine:
    """ClickHouse's own engine behind its HTTP interface, as much of it as we use."""

    def __init__(self, folder: Path) -> None:
        self.session = session.Session(str(folder))
        self.lock = Lock()
        self.draw = random.Random(1)
        self.unlucky = False
        self.met: Counter[str] = Counter()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *words: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                options = dict(parse_qsl(urlsplit(self.path).query))
                lot = engine.draw.choice(("lost", "before", "well", "well")) if engine.unlucky else "well"
                engine.met[lot] += 1
                status, answer, code = 200, b"", ""
                if lot != "before":
                    try:
                        answer = engine.run(options, body)
                    except Exception as error:
                        status, answer = 500, str(error).encode()
                        code = next((word for word in str(error).split("Code: ")[1:]), "").split(".")[0]
                if lot in ("lost", "before"):
                    self.close_connection = True
                    return
                self.send_response(status)
                if code:
                    self.send_header("X-ClickHouse-Exception-Code", code)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def run(self, options: dict[str, str], body: bytes) -> bytes:
        query = options.pop("query", "")
        names = {name[6:]: options.pop(name) for name in list(options) if name.startswith("param_")}
        if query:
            head, _, tail = query.partition(" FORMAT ")
            options.pop("wait_end_of_query", None)
            given = ", ".join(f"{name}='{value}'" for name, value in options.items())
            query = f"{head} SETTINGS {given} FORMAT {tail} "
        text = query + body.decode()
        with self.lock:
            return bytes(
                self.session.query(text, "TSV", params=names).bytes()
                if names
                else self.session.query(text, "TSV").bytes()
            )

    def number(self, query: str) -> int:
        return int(self.run({}, query.encode()).split()[0])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        self.session.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("clickhouse"))
    yield made
    made.close()


@pytest.fixture
def server(engine: Engine) -> ClickHouse:
    engine.unlucky = False
    engine.run({}, b"DROP DATABASE IF EXISTS sbcwatch")
    for statement in schema("sbcwatch", 2, replicated=False):
        engine.run({}, statement.encode())
    return ClickHouse(engine.url, "sbcwatch")


def varied(record: dict[str, Any], draw: random.Random, minute: int = 0) -> dict[str, Any]:
    made = dict(record)
    for name, value in record.items():
        if type(value) in (int, float) and value and name not in ("event_timestamp", "part"):
            made[name] = (
                value + draw.randrange(100) if type(value) is int else round(value * draw.random(), 1)
            )
    for name in ("transaction_id", "record_id"):
        digits = f"{draw.getrandbits(128):032x}"
        made[name] = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    made["call_id"] = f"{draw.getrandbits(64):016x}"
    made["carrier"] = draw.choice(("one", "two", None))
    made["event_timestamp"] = (T0 + (minute + 1) * MINUTE_NS) // 1_000_000
    return made


def summaries(minutes: int) -> list[Summary]:
    draw, heard = random.Random(2), scenario("loss-vc2cust")
    made = []
    for minute in range(minutes):
        media = [varied(heard.media[0], draw, minute) for _ in range(10)]
        named = [{name: row[name] for name in ("transaction_id", "call_id")} for row in media]
        calls = [heard.calls[0] | names for names in named]
        stamp_ms = media[0]["event_timestamp"] - 1
        sip = [
            heard.sip[0]
            | {"stamp_ns": T0 + minute * MINUTE_NS + n, "event_timestamp": stamp_ms}
            | {"transaction_id": names["transaction_id"]}
            for n, names in enumerate(named)
        ]
        made.append(Summary(T0 + minute * MINUTE_NS, 0, True, [], media, calls, sip))
    return made


def delivered(server: ClickHouse, path: Path, parts: list[Summary]) -> None:
    store = Store(path)
    sink = ClickHouseSink(server, host="sbc-1")
    store.outbox.register({sink.name: sink.kinds})
    loop = Delivery(store.outbox, sink, host="h", random=random.Random(1).random, monotonic=lambda: 0.0)
    now_ns = T0 + 60 * MINUTE_NS
    for part in parts:
        store.commit(part)
        for _ in range(3):
            now_ns += int(loop.deliver_once(now_ns) * 1e9)
    for _ in range(2_000):
        if not store.outbox.depth(sink.name)[0]:
            break
        now_ns += int(loop.deliver_once(now_ns) * 1e9)
    assert not store.outbox.depth(sink.name)[0], (loop.errors(), loop.take_notices())
    store.close()


def test_tables_and_roll_ups_have_each_record_once_though_answers_are_lost(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    parts = summaries(12)
    engine.unlucky = True
    delivered(server, tmp_path / "s.sqlite", parts)
    engine.unlucky = False
    assert engine.met["lost"] > 5
    for kind in ("media", "calls", "sip"):
        assert engine.number(f"SELECT count() FROM sbcwatch.{kind}") == 120, (
            kind
        )  # not one twice, FINAL or not
    media = [row for part in parts for row in part.media]
    for name, column in (("carrier_minute", "carrier"), ("connector_minute", "voice_connector_id")):
        assert engine.number(f"SELECT sum(records) FROM sbcwatch.{name}") == 120
        lost = sum(row["vc2cust_packets_lost"] or 0 for row in media)
        assert engine.number(f"SELECT sum(vc2cust_packets_lost) FROM sbcwatch.{name}") == lost
        assert engine.number(f"SELECT uniqExact({column}) FROM sbcwatch.{name}") == len(
            {row[column] for row in media}
        )


class Killed(BaseException):
    """The process ends here."""


class Mortal(ClickHouse):
    """Every third insert the process is killed, before it or after it in turns."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "sbcwatch")
        self.inserts = 0
        self.killed: list[str] = []

    def insert(self, table: str, token: str, gzipped: bytes) -> None:
        self.inserts += 1
        if self.inserts % 3:
            return super().insert(table, token, gzipped)
        when = ("before", "after")[len(self.killed) % 2]
        if when == "after":
            super().insert(table, token, gzipped)
        self.killed.append(when)
        raise Killed


def test_kill_between_the_insert_and_its_mark_leaves_each_record_once(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    mortal, parts = Mortal(engine.url), summaries(12)
    sink = ClickHouseSink(mortal, host="sbc-1")
    now_ns, waiting = T0 + 60 * MINUTE_NS, list(parts)
    for _ in range(200):
        store = Store(tmp_path / "s.sqlite")
        store.outbox.register({sink.name: sink.kinds})
        loop = Delivery(store.outbox, sink, host="h", random=lambda: 1.0, monotonic=lambda: 0.0)
        try:
            while waiting or store.outbox.depth(sink.name)[0]:
                if waiting:
                    store.commit(waiting.pop(0))
                now_ns += int(loop.deliver_once(now_ns) * 1e9) + 10**9
            break
        except Killed:
            pass
        finally:
            duplicates = store.outbox.totals(sink.name).get("maybe_duplicate", 0)
            store.close()
    assert {"before", "after"} <= set(mortal.killed)
    assert duplicates == len(mortal.killed)
    for kind in ("media", "calls", "sip"):
        assert engine.number(f"SELECT count() FROM sbcwatch.{kind}") == 120
    for name in ("carrier_minute", "connector_minute"):
        assert engine.number(f"SELECT sum(records) FROM sbcwatch.{name}") == 120


def test_unknown_stays_null_and_no_packets_of_it_count_as_known(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    (part,) = summaries(1)
    for row in part.media:
        row["vc2rem_packets_lost"] = None
    delivered(server, tmp_path / "s.sqlite", [part])
    assert engine.number("SELECT count() FROM sbcwatch.media WHERE vc2rem_packets_lost IS NULL") == 10
    assert engine.number("SELECT sum(vc2rem_known_packets) FROM sbcwatch.carrier_minute") == 0


def test_fleet_commands_find_a_call_rank_carriers_and_forget_a_person(
    engine: Engine, server: ClickHouse, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    parts = summaries(2)
    parts[0].media[0]["from_sip_user"] = "n-0123456789ab"
    parts[0].sip[3]["sip_message"] = "INVITE sip:n-0123456789ab@h SIP/2.0"
    delivered(server, tmp_path / "s.sqlite", parts)
    config = tmp_path / "c.toml"
    config.write_text(f'[clickhouse]\nurl = "{engine.url}"\n')

    def asked(what: str, **options: Any) -> tuple[int, str]:
        options = {"config": str(config), "what": what, **options}
        status = fleet.fleet_command(argparse.Namespace(**options))
        return status, capsys.readouterr().out

    wanted = parts[0].media[0]
    for name in ("transaction_id", "call_id"):
        status, out = asked("call", id=wanted[name])
        assert status == 0
        assert {row["type"] for row in map(json.loads, out.splitlines())} >= {"call", "media"}
    assert asked("call", id="nobody's' OR 1=1")[0] == 1
    monkeypatch.setattr(time, "time", lambda: T0 / 1e9 + 600)
    status, out = asked("carriers", since="1h")
    assert "one" in out
    assert "two" in out
    assert asked("forget", token="n-0123456789ab")[0] == 0
    assert engine.number("SELECT count() FROM sbcwatch.media FINAL") == 19
    assert engine.number("SELECT count() FROM sbcwatch.sip FINAL") == 19


def test_forgetting_a_short_number_deletes_no_message_of_others(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    base = next(of_other_calls("sip", 1, random.Random(5), T0))
    texts = (
        "INVITE sip:100@h SIP/2.0", "SIP/2.0 200 OK\r\nFrom: <tel:100>;tag=1",
        "SIP/2.0 180\r\nTo: <SIP:100@h:5060>",
        "SIP/2.0 100 Trying\r\nCSeq: 100 INVITE\r\nContent-Length: 100", "INVITE sip:1001@h SIP/2.0",
        "INVITE sip:+49100@h SIP/2.0",
    )  # fmt: skip
    for n, text in enumerate(texts):
        row = base | {"sip_message": text, "stamp_ns": T0 + n}
        engine.run({}, b"INSERT INTO sbcwatch.sip FORMAT JSONEachRow " + to_json(row))
    config = tmp_path / "c.toml"
    config.write_text(f'[clickhouse]\nurl = "{engine.url}"\n')
    assert fleet.fleet_command(argparse.Namespace(config=str(config), what="forget", token="100")) == 0
    assert engine.number("SELECT count() FROM sbcwatch.sip") == 3
    assert engine.number("SELECT count() FROM sbcwatch.sip WHERE match(sip_message, 'sip:100@')") == 0


def test_call_record_without_any_time_is_kept_from_now_on(engine: Engine, server: ClickHouse) -> None:
    row = scenario("loss-vc2cust").calls[0] | dict.fromkeys(
        ("end_ns", "answer_ns", "invite_ns", "last_rtp_ns")
    )
    engine.run({}, b"INSERT INTO sbcwatch.calls FORMAT JSONEachRow " + to_json(row))
    engine.run({}, b"OPTIMIZE TABLE sbcwatch.calls FINAL")
    assert engine.number("SELECT count() FROM sbcwatch.calls WHERE at > now() - 600") == 1


def test_calls_over_are_counted_once_though_two_hosts_saw_them(engine: Engine, server: ClickHouse) -> None:
    row = scenario("loss-vc2cust").calls[0]
    for host in ("sbc-1", "sbc-2"):
        engine.run({}, b"INSERT INTO sbcwatch.calls FORMAT JSONEachRow " + to_json(row | {"host": host}))
    (panel,) = [one for one in dashboard("sbcwatch")["panels"] if one["title"].startswith("Calls over")]
    query = panel["targets"][0]["rawSql"].replace("$__interval_ms", "15000").replace("$__timeFilter(at)", "1")
    (answer,) = engine.run({}, f"{query} FORMAT JSONEachRow".encode()).splitlines()
    assert float(json.loads(answer)["value"]) == 1


def test_roll_ups_count_a_call_once_that_two_hosts_saw(engine: Engine, server: ClickHouse) -> None:
    row = scenario("loss-vc2cust").media[0]
    for host, flags in (("sbc-1", []), ("sbc-2", ["seen_twice", "late_media"])):
        its = row | {"host": host, "flags": flags, "record_id": f"00000000-0000-0000-0000-{host[-1]:0>12}"}
        engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(its))
    assert engine.number("SELECT count() FROM sbcwatch.media") == 2
    for table in ("carrier_minute", "connector_minute"):
        assert engine.number(f"SELECT sum(records) FROM sbcwatch.{table}") == 1
        packets = engine.number(f"SELECT sum(cust2vc_rtp_packets) FROM sbcwatch.{table}")
        assert packets == row["cust2vc_rtp_packets"]


def test_schema_replaces_the_query_of_an_older_roll_up(engine: Engine, server: ClickHouse) -> None:
    for view in ("carrier_minute", "connector_minute"):
        (query,) = (
            text for text in schema("sbcwatch") if text.startswith(f"ALTER TABLE sbcwatch.{view}_view")
        )
        old = re.sub(r"\nWHERE NOT has.*", "", query)
        assert old != query
        engine.run({}, old.encode())
    for statement in schema("sbcwatch", replicated=False):
        engine.run({}, statement.encode())
    row = scenario("loss-vc2cust").media[0] | {"flags": ["seen_twice"]}
    engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(row))
    assert engine.number("SELECT sum(records) FROM sbcwatch.connector_minute") == 0


def test_archive_loaded_again_beside_its_views_changes_no_figure(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    parts = summaries(2)
    delivered(server, tmp_path / "s.sqlite", parts)
    views = ("carrier_minute_view", "connector_minute_view")
    for view in views:
        engine.run({}, f"DETACH TABLE sbcwatch.{view}".encode())
    lines = b"\n".join(to_json(row) for part in parts for row in part.media)
    engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + lines)
    for view in views:
        engine.run({}, f"ATTACH TABLE sbcwatch.{view}".encode())
    assert engine.number("SELECT count() FROM sbcwatch.media FINAL") == 20
    assert engine.number("SELECT sum(records) FROM sbcwatch.carrier_minute") == 20
    assert engine.number("SELECT count() FROM sbcwatch.call_minute WHERE seen_twice") == 0


def test_every_field_of_a_record_has_a_column() -> None:
    heard = scenario("loss-vc2cust")
    for kind, rows in (("media", heard.media), ("calls", heard.calls)):
        assert set(rows[0]) <= set(COLUMNS[kind]), set(rows[0]) - set(COLUMNS[kind])


def test_window_of_a_replicated_fleet_holds_all_hosts_and_their_longest_retry() -> None:
    text = "\n".join(schema("x", 200))
    assert text.count("replicated_deduplication_window = 4032000") == 5
    assert "ReplicatedReplacingMergeTree" in text


def test_direction_of_a_call_is_taken_from_the_host_that_knows_it(engine: Engine, server: ClickHouse) -> None:
    """Three hosts: one relays the customer's leg, one the carrier's, one sees the carrier's too."""
    base = next(of_other_calls("media", 1, random.Random(5), T0))
    quiet: dict[str, Any] = {f"{way}_rtp_packets": 0 for way in DIRECTIONS} | {
        f"{way}_packets_lost": 0 for way in DIRECTIONS
    }
    quiet |= {"mos_btwn_vc_and_cust": None, "mos_btwn_vc_and_rem": None, "vc2rem_jitter": None}
    rows: list[dict[str, Any]] = [
        {"cust2vc_rtp_packets": 1_500, "cust2vc_packets_lost": 4, "mos_btwn_vc_and_cust": 4.0},
        {"cust2vc_rtp_packets": 1_400, "cust2vc_packets_lost": 3, "mos_btwn_vc_and_cust": 4.0, "part": 1},
        {
            "vc2rem_rtp_packets": 2_900,
            "vc2rem_packets_lost": 7,
            "mos_btwn_vc_and_rem": 3.0,
            "vc2rem_jitter": 900.0,
        },
        {"vc2rem_rtp_packets": 3_000, "vc2rem_packets_lost": None},
    ]
    hosts = ("sbc-1", "sbc-1", "sbc-2", "sbc-3")
    for n, (row, host) in enumerate(zip(rows, hosts, strict=True)):
        row = base | quiet | row | {"host": host, "record_id": f"00000000-0000-0000-0000-{n:012}"}
        engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(row))
    got = json.loads(engine.run({}, b"SELECT * FROM sbcwatch.call_minute FORMAT JSONEachRow"))
    assert (int(got["cust2vc_rtp_packets"]), int(got["cust2vc_packets_lost"])) == (2_900, 7)  # parts add up
    assert (int(got["vc2rem_rtp_packets"]), int(got["vc2rem_packets_lost"])) == (2_900, 7)  # the known one
    assert got["vc2rem_jitter"] == 900.0
    assert (got["mos_cust"], got["mos_rem"]) == (4.0, 3.0)
    assert got["seen_twice"]
    assert sorted(got["hosts"]) == ["sbc-1", "sbc-2", "sbc-3"]
    engine.run({}, b"DELETE FROM sbcwatch.media WHERE host = 'sbc-3'")
    got = json.loads(engine.run({}, b"SELECT * FROM sbcwatch.call_minute FORMAT JSONEachRow"))
    assert not got["seen_twice"]


def test_call_minute_of_a_time_reads_its_hours_alone(engine: Engine, server: ClickHouse) -> None:
    for day in range(5):
        row = next(of_other_calls("media", 1, random.Random(day), T0 - day * 86_400 * 10**9))
        engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(row))
    since = f"hour >= toStartOfHour(toDateTime({T0 // 10**9 - 600}, 'UTC'))"
    assert engine.number(f"SELECT count() FROM sbcwatch.call_minute WHERE {since}") == 1
    told = engine.run({}, f"EXPLAIN indexes = 1 SELECT * FROM sbcwatch.call_minute WHERE {since}".encode())
    assert "Granules: 1/5" in told.decode()


@pytest.mark.parametrize(("interval_ms", "buckets"), [(15_000, 6), (90_000, 3), (180_000, 2)])
def test_rate_is_the_same_whatever_the_width_of_a_bucket(
    engine: Engine, server: ClickHouse, interval_ms: int, buckets: int
) -> None:
    """Six minutes of the same traffic: buckets of 90 s would have one minute and two by turns."""
    start_ns = 1_795_996_800 * 10**9  # midnight
    for n in range(6):
        row = next(of_other_calls("media", 1, random.Random(1), start_ns + n * MINUTE_NS))
        row["record_id"] = f"00000000-0000-0000-0000-{n:012}"
        engine.run(
            {},
            b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(row | {"cust2vc_rtp_packets": 3_000}),
        )
    (panel,) = [one for one in dashboard("sbcwatch")["panels"] if one["title"].startswith("RTP packets")]
    query = (
        panel["targets"][0]["rawSql"]
        .replace("$__interval_ms", str(interval_ms))
        .replace("$__timeFilter(minute)", "1")
    )
    lines = engine.run({}, f"{query} FORMAT JSONEachRow".encode()).splitlines()
    assert [float(json.loads(line)["cust2vc"]) for line in lines] == [3_000.0] * buckets


def test_direction_that_no_host_knows_stays_null(engine: Engine, server: ClickHouse) -> None:
    row = next(of_other_calls("media", 1, random.Random(5), T0)) | {"vc2cust_packets_lost": None}
    engine.run({}, b"INSERT INTO sbcwatch.media FORMAT JSONEachRow " + to_json(row))
    assert engine.number("SELECT count() FROM sbcwatch.call_minute WHERE vc2cust_packets_lost IS NULL") == 1


def test_schema_widens_tables_of_an_older_version(engine: Engine, server: ClickHouse) -> None:
    engine.run({}, b"ALTER TABLE sbcwatch.calls DROP COLUMN duration_seconds, DROP COLUMN aws_region")
    row = to_json(scenario("loss-vc2cust").calls[0])
    for statement in schema("sbcwatch", 2, replicated=False):
        engine.run({}, statement.encode())
    engine.run({}, b"INSERT INTO sbcwatch.calls FORMAT JSONEachRow " + row)
    assert engine.number("SELECT count() FROM sbcwatch.calls WHERE duration_seconds > 0") == 1


def test_every_query_of_the_dashboard_answers_with_what_its_panel_says(
    engine: Engine, server: ClickHouse, tmp_path: Path
) -> None:
    parts = summaries(3)
    delivered(server, tmp_path / "s.sqlite", parts)
    answers = {}
    for panel in dashboard("sbcwatch")["panels"]:
        query = panel["targets"][0]["rawSql"].replace("$__interval_ms", "15000")
        query = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= toDateTime(0)", query)
        query = query.replace("$__fromTime", "toDateTime(0)").replace("$__toTime", "toDateTime(4000000000)")
        assert "$" not in query
        lines = engine.run({}, f"{query} FORMAT JSONEachRow".encode()).splitlines()
        answers[panel["title"]] = [json.loads(line) for line in lines]
        timed = panel["type"] == "timeseries"
        assert (panel["targets"][0]["format"] == 0) is timed
        assert all(("time" in row) is timed for row in answers[panel["title"]])
        assert len(lines) <= 50
    media = [row for part in parts for row in part.media]
    worst = answers["Packets lost, share, by carrier: the ten worst"]
    for carrier in ("one", "two"):
        own = [row for row in media if row["carrier"] == carrier]
        lost = sum(row["rem2vc_packets_lost"] + row["vc2rem_packets_lost"] for row in own)
        sent = sum(
            row["rem2vc_rtp_packets"] + row["rem2vc_packets_lost"] + row["vc2rem_rtp_packets"] for row in own
        )
        assert next(row["value"] for row in worst if row["carrier"] == carrier) == pytest.approx(lost / sent)
    packets = answers["RTP packets a minute, as hosts counted them"]
    assert len(packets) == 3
    first = [row for row in media if row["event_timestamp"] == media[0]["event_timestamp"]]
    assert float(packets[0]["cust2vc"]) == sum(row["cust2vc_rtp_packets"] for row in first)
    assert answers["Calls over, a minute, by outcome"]


def test_floors_of_speed_and_size(engine: Engine, server: ClickHouse) -> None:
    """20,000 records a CPU-second of ours, 120 bytes a record on the engine's disk."""
    draw, record = random.Random(3), scenario("loss-vc2cust").media[0]
    body = pack([varied(record, draw) for _ in range(10_000)])
    row = OutboxRow(1, "default", T0, 0, "media", "", 10_000, body)
    sink = ClickHouseSink(server, host="h")
    began = time.thread_time()
    (draft,) = sink.encode([row])
    sink.send(draft.target, unpack(pack(draft.items, draft.level)))
    spent = time.thread_time() - began
    engine.run({}, b"OPTIMIZE TABLE sbcwatch.media FINAL")
    used = engine.number(
        "SELECT sum(data_compressed_bytes) FROM system.parts "
        "WHERE active AND database='sbcwatch' AND table='media'"
    )
    print(f"{10_000 / spent:,.0f} records a CPU-second, {used / 10_000:.0f} bytes a record")
    assert engine.number("SELECT count() FROM sbcwatch.media") == 10_000
    assert used / 10_000 <= 120
    assert 10_000 / spent >= 20_000


@pytest.mark.parametrize("kind", CLICKHOUSE_BYTES)
def test_record_on_the_disk_is_as_long_as_the_cost_says(
    engine: Engine, server: ClickHouse, kind: str
) -> None:
    rows = list(of_other_calls(kind, 6_000, random.Random(3), T0))
    engine.run(
        {}, f"INSERT INTO sbcwatch.{kind} FORMAT JSONEachRow ".encode() + b"\n".join(map(to_json, rows))
    )
    engine.run({}, f"OPTIMIZE TABLE sbcwatch.{kind} FINAL".encode())
    used = engine.number(
        "SELECT sum(data_compressed_bytes) FROM system.parts "
        f"WHERE active AND database = 'sbcwatch' AND table = '{kind}'"
    )
    assert pytest.approx(used / len(rows), rel=0.1) == CLICKHOUSE_BYTES[kind]


@pytest.mark.parametrize(
    ("status", "code", "rule"),
    [
        (404, 60, ErrorRule.SETTINGS),
        (403, 516, ErrorRule.CREDENTIALS),
        (500, 252, ErrorRule.THROTTLED),
        (503, 0, ErrorRule.THROTTLED),
        (502, 0, ErrorRule.UNKNOWN),
        (400, 27, ErrorRule.REFUSED),
        (500, 999, ErrorRule.UNKNOWN),
    ],
)
def test_error_means_what_its_code_says(status: int, code: int, rule: ErrorRule) -> None:
    sink = ClickHouseSink(ClickHouse("http://127.0.0.1:1", "x"), host="h")
    assert sink.verdict(ClickHouseError(status, code, "")).rule is rule


def test_server_that_is_not_there_has_taken_nothing() -> None:
    server = ClickHouse("http://127.0.0.1:1", "x")
    with pytest.raises(Exception, match="refused") as raised:
        server.ask("SELECT 1")
    assert ClickHouseSink(server, host="h").verdict(raised.value).rule is ErrorRule.UNREACHED


def test_day_without_the_server_is_made_up_for_each_record_once_in_two_lines(tmp_path: Path) -> None:
    """A batch is inserted with one token, however often: the engine drops the second."""

    class Away(ClickHouse):
        def __init__(self) -> None:
            super().__init__("http://127.0.0.1:1", "sbcwatch")
            self.is_up = False
            self.taken: dict[str, bytes] = {}

        def insert(self, table: str, token: str, gzipped: bytes) -> None:
            if not self.is_up:
                raise ClickHouseError(503, 0, "Service Unavailable")
            assert self.taken.setdefault(token, gzipped) == gzipped

    server = Away()
    store = Store(tmp_path / "s.sqlite")
    sink = ClickHouseSink(server, host="sbc-1")
    store.outbox.register({sink.name: sink.kinds})
    loop = Delivery(store.outbox, sink, host="h", random=lambda: 1.0, monotonic=lambda: 0.0)
    template = summaries(1)[0]
    minutes = 24 * 60
    for minute in range(minutes):
        now_ns = T0 + minute * MINUTE_NS
        media = [
            row | {"event_timestamp": now_ns // 1_000_000 + 60_000, "record_id": f"{minute}-{n}"}
            for n, row in enumerate(template.media[:1])
        ]
        store.commit(Summary(now_ns, 0, True, [], media, [], []))
        loop.deliver_once(now_ns + 2 * MINUTE_NS)
    server.is_up = True
    now_ns = T0 + (minutes + 10) * MINUTE_NS
    while loop.counters(now_ns)["depth"]:
        loop.deliver_once(now_ns)
        now_ns += 10**9
    lines = [line for body in server.taken.values() for line in gzip.decompress(body).splitlines()]
    ids = [json.loads(line)["record_id"] for line in lines]
    assert sorted(ids) == sorted(f"{minute}-0" for minute in range(minutes))
    assert [line.partition(":")[2].split()[0] for line in loop.take_notices()] == ["503:", "delivering"]
    store.close()


@pytest.mark.parametrize(("url", "name"), [("ftp://x", "x"), ("http://x/path", "x"), ("http://x", "a b")])
def test_address_or_name_that_will_not_do_is_refused(url: str, name: str) -> None:
    with pytest.raises(SinkError):
        ClickHouse(url, name)
