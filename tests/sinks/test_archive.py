"""The archive keeps each record once, whatever becomes of answers, processes and the service."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import random
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from agent.model.units import MINUTE_NS
from agent.sinks.archive import LEVEL, ArchiveSink, Folder, Shelf
from agent.sinks.aws.s3 import Bucket
from agent.sinks.delivery import Delivery
from agent.sinks.verdict import ErrorRule, Verdict
from agent.store import Store
from agent.store.codec import pack, unpack
from agent.store.outbox import OutboxRow
from agent.summary.records import ConnectorMinute, Summary
from tests.kit.replayed import scenario

T0 = 1_795_996_440 * 10**9  # six minutes before midnight
KINDS = ("media", "calls", "sip", "metrics")


def record(kind: str, minute: int, connector: str, number: int) -> dict[str, Any]:
    return {
        "voice_connector_id": connector,
        "event_timestamp": (T0 + minute * MINUTE_NS) // 1_000_000,
        "record": f"{kind}-{minute}-{connector}-{number}",
        "sip_message": "INVITE sip:x\r\n\u2028\ud83d\ude00" if kind == "sip" else None,
    }


def summary(minute: int) -> Summary:
    def rows(kind: str) -> list[dict[str, Any]]:
        return [record(kind, minute, c, n) for c in ("a", "b", "unassigned") for n in range(3)]

    metrics = [ConnectorMinute("a", "r", {"Sip2xxCodes": minute}, {})]
    return Summary(T0 + minute * MINUTE_NS, 0, True, metrics, rows("media"), rows("calls"), rows("sip"))


class Killed(BaseException):
    """The process ends here."""


class Unlucky:
    """A shelf whose answers get lost, that refuses, and that sees the process die."""

    def __init__(self, shelf: Shelf, draw: random.Random) -> None:
        self.shelf = shelf
        self.draw = draw
        self.met: Counter[str] = Counter()

    def put(self, name: str, body: bytes) -> None:
        what = self.draw.choice(("refused", "lost before", "lost", "lost", "killed", "well", "well"))
        self.met[what] += 1
        if what == "refused":
            answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
            raise ClientError(answer, "PutObject")  # type: ignore[arg-type]
        if what != "lost before":
            self.shelf.put(name, body)
        if what.startswith("lost"):
            raise ReadTimeoutError(endpoint_url="x")
        if what == "killed":
            raise Killed

    def verdict(self, error: BaseException) -> Verdict:
        if isinstance(error, ReadTimeoutError):
            return Verdict("ReadTimeoutError", ErrorRule.UNKNOWN)
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "SlowDown":
            return Verdict("SlowDown", ErrorRule.THROTTLED)
        return self.shelf.verdict(error)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="archive")
        yield client


def in_bucket(client: Any) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="archive")
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {key: client.get_object(Bucket="archive", Key=key)["Body"].read() for key in keys}


def in_folder(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def lines(objects: dict[str, bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for body in objects.values() for line in gzip.decompress(body).split(b"\n")[:-1]]


def delivered(path: Path, shelf: Shelf, minutes: int, now_ns: int) -> int:
    """Commit and deliver minute by minute, starting again after each kill; how often that was."""
    kills = 0
    store: Store | None = None
    delivery: Delivery | None = None
    minute = 0
    while store is None or minute < minutes or store.outbox.depth("archive")[0]:
        if store is None:
            store = Store(path)
            sink = ArchiveSink(shelf, host="sbc-1", prefix="p")
            store.outbox.register({sink.name: sink.kinds})
            delivery = Delivery(
                store.outbox, sink, host="h", random=random.Random(1).random, monotonic=lambda: 0.0
            )
        assert delivery is not None
        if minute < minutes:
            store.commit(summary(minute))
            minute += 1
        try:
            for _ in range(6):
                wait = delivery.deliver_once(now_ns)
                now_ns += int(wait * 1e9)
        except Killed:
            kills += 1
            store.close()
            store = None
    store.close()
    return kills


def expected(minutes: int) -> Counter[str]:
    return Counter(
        f"{kind}-{minute}-{c}-{n}"
        for kind in ("media", "calls", "sip")
        for minute in range(minutes)
        for c in "ab"
        for n in range(3)
    )


def check(objects: dict[str, bytes], minutes: int) -> None:
    found = lines(objects)
    assert Counter(line["record"] for line in found if "record" in line) == expected(minutes)
    metrics = sorted(line["values"]["Sip2xxCodes"] for line in found if "values" in line)
    assert metrics == list(range(minutes))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bucket_has_each_record_once_whatever_happens(seed: int, bucket: Any, tmp_path: Path) -> None:
    shelf = Unlucky(Bucket(bucket, "archive"), random.Random(seed))
    kills = delivered(tmp_path / "s.sqlite", shelf, 12, T0 + 13 * MINUTE_NS)
    assert kills
    assert {"refused", "lost before", "lost", "killed"} <= set(shelf.met)
    check(in_bucket(bucket), 12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_folder_has_each_record_once_whatever_happens(seed: int, tmp_path: Path) -> None:
    shelf = Unlucky(Folder(tmp_path / "archive"), random.Random(seed))
    assert delivered(tmp_path / "s.sqlite", shelf, 12, T0 + 13 * MINUTE_NS)
    objects = in_folder(tmp_path / "archive")
    check(objects, 12)
    assert not [name for name in objects if Path(name).name.startswith(".")]


def test_full_folder_keeps_the_batch_leaves_no_piece_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path / "s.sqlite")
    sink = ArchiveSink(Folder(tmp_path / "archive"), host="sbc-1")
    store.outbox.register({sink.name: sink.kinds})
    delivery = Delivery(store.outbox, sink, host="h", random=lambda: 1.0, monotonic=lambda: 0.0)
    store.commit(summary(0))
    with monkeypatch.context() as patched:
        patched.setattr("agent.sinks.archive.os.fsync", full)
        for n in range(5):
            delivery.deliver_once(T0 + (n + 2) * MINUTE_NS)
    assert in_folder(tmp_path / "archive") == {}
    for _ in range(20):
        delivery.deliver_once(T0 + 20 * MINUTE_NS)
    check(in_folder(tmp_path / "archive"), 1)
    refused, well = delivery.take_notices()
    assert "No space left on device" in refused
    assert well == "archive: delivering again"
    assert delivery.counters(T0)["maybe_duplicate"] == 0
    store.close()


def test_object_that_is_there_is_taken_and_not_written_again(bucket: Any) -> None:
    shelf = Bucket(bucket, "archive")
    shelf.put("x", b"1")
    with pytest.raises(ClientError) as refused:
        shelf.put("x", b"2")
    assert shelf.verdict(refused.value) == Verdict("PreconditionFailed", ErrorRule.TAKEN)
    assert in_bucket(bucket) == {"x": b"1"}


def row(kind: str, minute: int, body: bytes, connector: str = "a") -> OutboxRow:
    return OutboxRow(1, connector, T0 + minute * MINUTE_NS, 0, kind, "", 1, body)


def test_names_are_partitions_by_kind_day_hour_and_host(tmp_path: Path) -> None:
    sink = ArchiveSink(Folder(tmp_path), host="a/b=c", prefix="/p/q/")
    body = pack([{"x": 1}])
    drafts = sink.encode([row("media", 0, body), row("media", 6, body), row("sip", 0, body)])
    assert [draft.target.rsplit("/", 1)[0] for draft in drafts] == [
        "p/q/kind=media/dt=2026-11-29/hour=23/host=a_b_c",
        "p/q/kind=media/dt=2026-11-30/hour=00/host=a_b_c",
        "p/q/kind=sip/dt=2026-11-29/hour=23/host=a_b_c",
    ]
    first, digest = drafts[0].target.rsplit("/", 1)[1].removesuffix(".jsonl.gz").split("-")
    assert int(first) == T0
    assert len(digest) == 32
    assert sink.encode([row("media", 0, body)])[0].target == drafts[0].target  # the same bytes, the same name


def test_connector_unassigned_stays_on_the_host(tmp_path: Path) -> None:
    sink = ArchiveSink(Folder(tmp_path), host="h")
    assert sink.encode([row("media", 0, pack([{}]), "unassigned")]) == []


def varied(record: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Another call's record: other numbers, other names."""
    made = dict(record)
    for name, value in record.items():
        if type(value) in (int, float) and value and name not in ("event_timestamp", "part"):
            made[name] = (
                value + draw.randrange(100) if type(value) is int else round(value * draw.random(), 1)
            )
    for name in ("transaction_id", "record_id", "call_id", "endpoint_id"):
        made[name] = f"{draw.getrandbits(128):032x}"
    return made


def test_archiving_costs_little_more_than_compressing_alone(tmp_path: Path) -> None:
    """Rows to objects, through the batch in the store, into a folder, in turns with zlib on the same octets.

    `benchmarks.fleet` has the records a CPU-second of a fleet's mix, and its floor of 30,000.
    """
    draw = random.Random(1)
    body = pack([varied(scenario("loss-vc2cust").media[0], draw) for _ in range(1_500)])
    sink = ArchiveSink(Folder(tmp_path), host="h")
    rows = [row("media", n, body) for n in range(2)]
    text = zlib.decompress(body) * 2
    spent, alone = [], []
    for _ in range(5):
        began = time.process_time()
        for draft in sink.encode(rows):
            with contextlib.suppress(FileExistsError):
                sink.send(draft.target, unpack(pack(draft.items, draft.level)))
        spent.append(time.process_time() - began)
        began = time.process_time()
        zlib.compress(text, LEVEL)
        alone.append(time.process_time() - began)
    print(f"{3_000 / min(spent):,.0f} records a CPU-second, {min(spent) / min(alone):.2f} of zlib alone")
    assert min(spent) <= 3 * min(alone)


def test_duckdb_reads_a_folder_in_one_line(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    delivered(tmp_path / "s.sqlite", Folder(tmp_path / "archive"), 8, T0 + 9 * MINUTE_NS)
    query = (
        f"SELECT hour, count(*) FROM read_json('{tmp_path}/archive/p/kind=media/**/*.jsonl.gz', "
        "hive_partitioning=true) WHERE voice_connector_id = 'a' GROUP BY hour ORDER BY hour DESC"
    )
    assert [(int(hour), count) for hour, count in duckdb.sql(query).fetchall()] == [(23, 18), (0, 6)]


@pytest.mark.parametrize(
    ("code", "status", "rule"),
    [
        ("PreconditionFailed", 412, ErrorRule.TAKEN),
        ("ConditionalRequestConflict", 409, ErrorRule.THROTTLED),
        ("SlowDown", 503, ErrorRule.THROTTLED),
        ("InternalError", 500, ErrorRule.UNKNOWN),
        ("RequestTimeout", 400, ErrorRule.UNKNOWN),
        ("NoSuchBucket", 404, ErrorRule.SETTINGS),
        ("AccessDenied", 403, ErrorRule.CREDENTIALS),
        ("RequestTimeTooSkewed", 403, ErrorRule.CLOCK),
    ],
)
def test_error_of_s3_means_what_its_code_says(code: str, status: int, rule: ErrorRule) -> None:
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert Bucket(None, "b").verdict(ClientError(answer, "PutObject")).rule is rule  # type: ignore[arg-type]
