"""docs/fleet.md: its costs are what the commands beside them print, and its SQL runs.

`python -m tests.provision.test_fleet_page` writes the costs there again.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.sinks.archive import ArchiveSink, Folder
from agent.store.codec import pack
from agent.store.outbox import OutboxRow
from agent.summary.catalog import AMAZON_CDR
from tests.kit.records import bundled

PAGE = Path(__file__).parents[2] / "docs" / "fleet.md"
_ROW = re.compile(r"^(\| [\d,]+ \|.*\|) ([\d,]+) (\| `(--config .*)` \|)$", re.MULTILINE)


def _rows() -> list[tuple[str, str]]:
    """(arguments, USD) of each row of the table."""
    return [(found[4], found[2]) for found in _ROW.finditer(PAGE.read_text())]


def _files(folder: Path) -> None:
    for name, text in re.findall(
        r"^```toml\n# (\w+\.toml)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        (folder / name).write_text(text)


def usd(arguments: str, folder: Path) -> str:
    """What the command prints as the whole, in whole dollars."""
    _files(folder)
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        assert main(["cost", *arguments.split()]) == 0
    return f"{float(printed.getvalue().split()[-1].replace(',', '')):,.0f}"


def test_page_has_a_row_for_each_size_of_fleet() -> None:
    hosts = {(re.search(r"--hosts (\d+)", arguments) or [0, "1"])[1] for arguments, _ in _rows()}
    assert hosts == {"1", "10", "200", "1000"}


@pytest.mark.parametrize(("arguments", "said"), _rows())
def test_cost_in_the_table_is_what_the_command_beside_it_prints(
    arguments: str, said: str, tmp_path: Path
) -> None:
    assert usd(arguments, tmp_path) == said


def test_archive_costs_a_tenth_of_the_log_at_a_thousand_hosts() -> None:
    costs = {arguments: float(said.replace(",", "")) for arguments, said in _rows()}
    large = [cost for arguments, cost in costs.items() if "--hosts 1000" in arguments]
    assert max(large) > 10 * min(large)


def _archive(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = bundled()[kind]
    sink = ArchiveSink(Folder(folder), host="sbc-1")
    for draft in sink.encode([OutboxRow(1, "c", 0, 0, kind, "", len(rows), pack(rows))]):
        sink.send(draft.target, draft.items)
    return rows


def _sql(begin: str) -> str:
    return next(
        text
        for text in re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if text.startswith(begin)
    )


def test_view_with_amazons_names_reads_the_archive(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = _archive(tmp_path, "calls")
    database = duckdb.connect()
    database.sql("CREATE SCHEMA sbcwatch")
    database.sql(
        "CREATE VIEW sbcwatch.sbcwatch_calls AS SELECT * FROM read_json("
        f"'{tmp_path}/kind=calls/**/*.jsonl.gz', hive_partitioning = true)"
    )
    database.sql(_sql("CREATE VIEW amazon_cdr"))
    answer = database.sql("SELECT * FROM amazon_cdr")
    known = {name for name, field in AMAZON_CDR.items() if field}
    assert set(answer.columns) == known
    found = {
        row[answer.columns.index("CallId")]: dict(zip(answer.columns, row, strict=True))
        for row in answer.fetchall()
    }
    for row in rows:
        one = found[row["call_id"]]
        assert one["Status"] == ("Completed" if row["outcome"] == "answered" else "Failed")
        assert one["BillableDurationSeconds"] == row["duration_seconds"]
        assert one["StartTimeEpochSeconds"] == row["invite_ns"] // 10**9
        assert one["Direction"] == row["direction"].capitalize()


def test_question_of_athena_gives_each_carriers_share(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = [row | {"carrier": "one"} for row in bundled()["media"]]
    sink = ArchiveSink(Folder(tmp_path), host="sbc-1")
    at_ns = 1_795_996_440 * 10**9
    for draft in sink.encode([OutboxRow(1, "c", at_ns, 0, "media", "", len(rows), pack(rows))]):
        sink.send(draft.target, draft.items)
    database = duckdb.connect()
    database.sql("CREATE SCHEMA sbcwatch")
    database.sql(
        "CREATE VIEW sbcwatch.sbcwatch_media AS SELECT * REPLACE (CAST(dt AS varchar) AS dt) FROM read_json("
        f"'{tmp_path}/kind=media/**/*.jsonl.gz', hive_partitioning = true)"
    )
    ((carrier, share),) = database.sql(_sql("SELECT carrier")).fetchall()
    known = [row for row in rows if row["vc2rem_packets_lost"] is not None]
    assert carrier == "one"
    assert share == pytest.approx(
        sum(row["vc2rem_packets_lost"] for row in known) / sum(row["vc2rem_rtp_packets"] for row in known)
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        costs = PAGE.read_text()
        PAGE.write_text(_ROW.sub(lambda row: f"{row[1]} {usd(row[4], Path(made))} {row[3]}", costs))
