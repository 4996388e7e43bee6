"""The 3 a.m. walk by command line, and what `calls`, `minutes` and `call` print."""

from __future__ import annotations

import csv
import io
import json
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import cli
from agent.commands.calls import moment_ns, query_of, span_ns
from agent.errors import ConfigError

ROOT = Path(__file__).parents[2]
NOW_NS = 1_795_448_580 * 10**9  # 2026-11-23T15:43:00Z


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The call that the customer's network bit, replayed into a store."""
    folder = str(tmp_path_factory.mktemp("store"))
    files = [str(ROOT / f"pcaps/loss-vc2cust-{side}.pcap") for side in ("customer", "remote")]
    sides = ["--vc", "10.10.0.1", "--vc", "10.20.0.1", "--customer", "10.10.0.0/24"]
    assert cli.main(["replay", *files, *sides, "--store", folder]) == 0
    return folder


def test_at_3_a_m_one_line_leads_from_the_number_to_the_network(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """ "The call from +44 20 7946 0110 at 15:42 was choppy.\""""
    line = ["call", "+44 20 7946 0110", "--since", "2026-11-23T15:40", "--until", "2026-11-23T15:45"]
    assert cli.main([*line, "--store", store]) == 0
    printed = capsys.readouterr().out
    first = " ".join(printed.split("\n\n")[0].split())
    assert first == (
        "2.1 % of packets lost between the vc and the customer, 15:42:36 to 15:42:58, as the customer's own "
        "RTCP reports; the remote side is clean; nothing was lost inside the SBC."
    )
    assert "vc -> customer 1103 23 2.1 %" in " ".join(printed.split())
    assert "loss_on_exit: 2.1 % lost from the vc to the customer" in " ".join(printed.split())
    assert printed.count("BYE") == 2
    assert all(len(row) <= 80 for row in printed.splitlines())


@pytest.mark.parametrize("said", ["0110", "c92938e13da25690", "!!:XLFVo1N8M16LMl6VZ1X3NC**"])
def test_any_call_id_or_last_digits_name_the_call(
    store: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["call", said, "--store", store, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["verdict"]["networks"] == ["customer"]
    assert len(whole["records"]["messages"]) == 13
    assert whole["path"]["directions"]["vc2cust"]["lost"] == 23


def test_calls_and_minutes_in_every_form(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calls", "--store", store, "--number", "0110", "--worse-than", "4.2"]) == 0
    assert "+442079460110" in capsys.readouterr().out
    assert cli.main(["calls", "--store", store, "--loss-over", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["directions"]["vc2cust"]["lost"] == 23
    assert cli.main(["calls", "--store", store, "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["from_user"], row["vc2cust_lost"]) == ("+442079460110", "23")
    assert cli.main(["minutes", "--store", store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attempts"] == 1
    assert cli.main(["minutes", "--store", store, "--number", "0110", "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["vc2cust_lost"] == "23"


@pytest.mark.parametrize(
    "line",
    [
        ["calls", "--number", "0199"],
        ["calls", "--flag", "one_way_audio"],
        ["calls", "--since", "1h"],
        ["minutes", "--connector", "nobody"],
        ["call", "nobody"],
    ],
)
def test_nothing_found_is_status_1(store: str, line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*line, "--store", store]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["call", "0110"], "the Call-ID or number '0110' from 2026-11-24"),
        (["call", "c92938e13da25690"], "from 2026-11-24"),
        (["calls", "--number", "0110"], "no call in the store meets that from 2026-11-24"),
        (["report", "--number", "0110", "-o", "-"], "no call meets that from 2026-11-24"),
        (["report", "--call", "0110", "-o", "-"], "no call meets that from 2026-11-24"),
    ],
)
def test_call_that_the_times_alone_leave_out_is_named(
    store: str, line: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*line, "--since", "2026-11-24", "--store", store]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "the newest at another time began 2026-11-23 15:42:36" in err


def test_nothing_at_any_time_names_the_times_alone(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    times = ["--since", "2026-11-23T15:00", "--until", "2026-11-23T16:00"]
    assert cli.main(["call", "99999", *times, "--store", store]) == 1
    err = capsys.readouterr().err
    assert err.endswith("number '99999' from 2026-11-23 15:00:00 to 2026-11-23 16:00:00 UTC\n")


def test_no_store_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calls", "--store", str(tmp_path)]) == 2
    assert "no store" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("90m", 1_795_448_580 - 5_400),
        ("15:42", 1_795_448_520),
        ("15:44", 1_795_448_640 - 86_400),
        ("2026-11-23T15:42", 1_795_448_520),
        ("2026-11-23T16:42+01:00", 1_795_448_520),
        ("2026-11-23", 1_795_392_000),
    ],
)
def test_times_are_read_as_people_say_them(said: str, seconds: int) -> None:
    assert moment_ns(said, NOW_NS) == seconds * 10**9


def test_time_that_is_none_is_bad_usage() -> None:
    with pytest.raises(ConfigError, match="is no time"):
        moment_ns("yesterday", NOW_NS)


@pytest.mark.parametrize(
    ("since", "until", "minutes"),
    [("15:40", "15:45", 5), ("23:50", "00:10", 20), ("2h", "15:50", 128), ("2026-11-29T15:00", "15:45", 45)],
)
def test_until_is_the_next_such_time_after_since(since: str, until: str, minutes: int) -> None:
    options = Namespace(since=since, until=until)
    now_ns = int(datetime(2026, 11, 29, 15, 42, tzinfo=UTC).timestamp()) * 10**9
    since_ns, until_ns = span_ns(options, now_ns)
    assert since_ns is not None
    assert until_ns is not None
    assert (until_ns - since_ns) / 60e9 == minutes


@pytest.mark.parametrize("until", ["2026-11-29T15:00", "2026-11-29T16:00", "16:00", "2h"])
def test_span_that_ends_before_it_begins_is_refused(until: str) -> None:
    options = Namespace(since="2026-11-29T16:00", until=until)
    now_ns = int(datetime(2026, 11, 29, 16, 1, tzinfo=UTC).timestamp()) * 10**9
    with pytest.raises(ConfigError, match="is not after --since"):
        span_ns(options, now_ns)


@pytest.mark.parametrize("command", ["calls", "minutes"])
@pytest.mark.parametrize("since", ["9000-01-01", "99999999d", "0001-01-01"])
def test_time_that_no_store_holds_is_no_fault(store: str, command: str, since: str) -> None:
    assert cli.main([command, "--since", since, "--store", store]) in (0, 1)


@pytest.mark.parametrize("said", ["10.10.0.10:5060", "::ffff:10.10.0.10", "[::ffff:10.10.0.10]:5060"])
def test_address_is_found_as_people_write_it(store: str, said: str) -> None:
    assert cli.main(["calls", "--address", said, "--store", store]) == 0


def test_flag_may_have_spaces() -> None:
    options = cli.parser().parse_args(["calls", "--flag", "One way-audio"])
    assert query_of(options).flags == ("one_way_audio",)
