"""Media that no SIP explains: a call in the index, found by address and flag, with what is unknown said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.replay import CollectedMinutes, verdict_lines
from agent.store import Store
from agent.store.call_index import rebuild
from agent.store.call_query import CallQuery
from agent.store.reader import StoreReader
from agent.story.gather import gather
from agent.story.verdict import verdict
from agent.summary.records import CallRecords
from tests.kit.conversation import ALICE, VC, Conversation, Heard
from tests.kit.pages import ask, site_of

PHONE, OURS = (ALICE, 4000), (VC, 5000)
SAID = "No SIP explains this media of"


def played(seconds: float = 90.0) -> Heard:
    """Two streams both ways, over a minute's end."""
    talk = Conversation()
    talk.rtp(1, PHONE, OURS, ssrc=1, seconds=seconds)
    talk.rtp(1, OURS, PHONE, ssrc=2, seconds=seconds)
    return talk.play()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    kept = Store(folder / "sbcwatch.sqlite")
    for summary in played().summaries:
        kept.commit(summary)
    kept.close()
    return folder


def only(folder: Path, **query: object) -> CallRecords:
    reader = StoreReader(folder / "sbcwatch.sqlite")
    (call,) = reader.search(CallQuery(**query)).calls  # type: ignore[arg-type]
    found = reader.call(call.id)
    reader.close()
    assert found is not None
    return found.records


def test_media_without_sip_is_one_call_with_all_its_minutes(store: Path) -> None:
    records = only(store)
    assert len(records.media) == 2
    assert records.call["outcome"] == "unsignalled"
    assert records.call["invite_ns"] is None
    assert records.call["call_ids"] == []


@pytest.mark.parametrize(
    "query", [{"address": ALICE}, {"flags": ("unsignalled",)}, {"outcome": "unsignalled"}]
)
def test_it_is_found_by_what_is_known_of_it(store: Path, query: dict[str, object]) -> None:
    assert len(only(store, **query).media) == 2


def test_what_is_unknown_of_it_is_said(store: Path) -> None:
    assert [one.words for one in verdict(only(store)).statements if one.kind == "unknown"][-1].startswith(
        "no SIP explains this media of "
    )


def test_it_is_not_up_for_ever(store: Path) -> None:
    reader = StoreReader(store / "sbcwatch.sqlite")
    found = reader.search(CallQuery(live=True)).calls
    reader.close()
    assert found == []


def test_its_page_and_its_command_say_the_same(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transaction = only(store).call["transaction_id"]
    site = site_of(store)
    answer = ask(site.app(), f"/call-id/{transaction}")
    page = ask(site.app(), answer.headers["location"]).text
    site.close()
    assert SAID in page
    assert 'class="live"' not in page
    assert main(["call", transaction, "--store", str(store)]) == 0
    printed = capsys.readouterr().out
    assert "no SIP explains this media" in " ".join(printed.split())
    assert f"transaction {transaction}" in printed
    assert main(["calls", "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "unsignalled"


def test_index_made_anew_has_it_too(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "sbcwatch.sqlite"
    path.write_bytes((store / "sbcwatch.sqlite").read_bytes())
    kept = Store(path)

    def work(connection: object) -> None:
        for table in ("call_index", "call_keys", "row_calls"):
            connection.execute(f"DELETE FROM {table}")  # type: ignore[attr-defined]
        rebuild(connection)  # type: ignore[arg-type]

    kept._volume.write(work)
    kept.close()
    assert len(only(tmp_path).media) == 2


def test_report_of_a_capture_without_sip_tells_of_it() -> None:
    (records,) = gather(played().summaries)
    assert len(records.media) == 2
    assert "no sip explains" in verdict(records).text.lower()


def test_replay_of_a_capture_without_sip_says_whose_loss_it_is() -> None:
    heard = played()
    for summary in heard.summaries:
        for record in summary.media:
            record["cust2vc_packets_lost"] = 500
    kept = CollectedMinutes()
    kept.summaries = heard.summaries
    lines = verdict_lines(kept)
    assert lines[1].startswith("- to -, before the capture, ")
    assert "lost between the customer and the vc" in " ".join(lines)
