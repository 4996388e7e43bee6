"""The pages of a store: the facts on them, and what the wire wrote is shown and never obeyed."""

from __future__ import annotations

import re
import sqlite3
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from agent.cli import main
from agent.store.call_index import call_id_key
from agent.store.call_query import CallQuery
from agent.store.reader import StoreReader
from agent.story.verdict import verdict
from agent.summary.printable import printable
from tests.kit.capture_files import START_NS, Packet, pcap
from tests.kit.conversation import frame, sdp
from tests.kit.pages import Answer, ask, site_of, stored

ID = "c92938e13da25690"
VERDICT = "2.1 % of packets lost between the vc and the customer"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*7 }}{% include 'page.html' %}",
    "\x1b[2J",
    "\u202egnp.exe",
    "javascript:alert(1)",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("store"))


def opened(folder: Path, query: str) -> Answer:
    """The page of the first call that a search lists."""
    app = site_of(folder).app()
    listed = ask(app, f"/calls?q={query}")
    link = re.search(r'href="(/call/\d+)"', listed.text)
    assert link is not None
    return ask(app, link[1])


def test_sentence_leads_to_the_verdict_in_two_steps(store: Path) -> None:
    page = opened(store, "the+call+from+...0110+at+15:42+was+choppy")
    assert VERDICT in page.text
    assert page.text.index(VERDICT) < page.text.index('id="path"')
    assert "The remote side is clean" in page.text


@pytest.mark.parametrize(
    "query", ["0110", "c92938e13da25690", "10.10.0.10", "15:42", "loss>1%25", "connector:default"]
)
def test_call_is_found_by_each_kind_of_word(store: Path, query: str) -> None:
    assert "+442079460110" in ask(site_of(store).app(), f"/calls?q={query}").text


@pytest.mark.parametrize(
    "query", ["0110+to+5550110", "call+from+020+7946+0110+at+3:42+pm", "15:42Z", "between+15:40+and+15:43"]
)
def test_call_is_found_as_people_say_it(store: Path, query: str) -> None:
    assert "+442079460110" in ask(site_of(store).app(), f"/calls?q={query}").text


@pytest.mark.parametrize("query", ["0110+to+0111", "0110+yesterday", "before+15:42"])
def test_call_is_not_found_by_what_it_was_not(store: Path, query: str) -> None:
    assert "No call in the store meets that" in ask(site_of(store).app(), f"/calls?q={query}").text


@pytest.mark.parametrize("call_id", ["1732894523-4711", "abc_def", "15:42:20", "10.0.0.1", "live", "a b"])
def test_call_id_of_any_form_is_found(tmp_path: Path, call_id: str) -> None:
    stored(tmp_path)
    connection = sqlite3.connect(tmp_path / "sbcwatch.sqlite")
    connection.execute("UPDATE call_keys SET key = ? WHERE key = ?", (call_id_key(call_id), call_id_key(ID)))
    connection.commit()
    connection.close()
    assert "+442079460110" in ask(site_of(tmp_path).app(), f"/calls?q={quote(call_id)}").text


def test_half_a_call_id_is_said_to_find_nothing(store: Path) -> None:
    assert "half of one finds nothing" in ask(site_of(store).app(), "/calls?q=c92938e1").text


def test_search_without_an_answer_says_so(store: Path) -> None:
    assert "No call in the store meets that" in ask(site_of(store).app(), "/calls?q=99999").text


def test_path_picture_has_a_state_for_each_direction(store: Path) -> None:
    lanes = re.findall(r'class="lane (\w+) \w+" data-lane="(\w+)"', opened(store, "0110").text)
    states = {way: state for state, way in lanes}
    assert states == {"cust2vc": "good", "vc2cust": "bad", "rem2vc": "good", "vc2rem": "good"}


def test_ladder_has_every_message_whole(store: Path) -> None:
    page = opened(store, "0110")
    assert page.text.count('<details class="step"') == 13
    assert "INVITE sip:+12065550110@10.20.0.1 SIP/2.0" in page.text
    assert "a=rtpmap:8 PCMA/8000" in page.text


def test_call_as_json_has_verdict_and_records(store: Path) -> None:
    app = site_of(store).app()
    link = re.search(r'href="(/call/\d+)"', ask(app, "/calls?q=0110").text)
    assert link is not None
    answer = ask(app, f"{link[1]}/call.json")
    body = msgspec.json.decode(answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert VERDICT in body["text"]
    assert body["records"]["media"][0]["vc2cust_packets_lost"] == 23


def test_call_id_of_a_record_leads_to_the_page(store: Path) -> None:
    answer = ask(site_of(store).app(), "/call-id/c92938e13da25690")
    assert answer.status == 303
    assert answer.headers["location"].startswith("/call/")
    assert ask(site_of(store).app(), "/call-id/none").status == 404


def test_evidence_is_offered_where_it_is(store: Path, tmp_path: Path) -> None:
    kept = tmp_path / "call.pcapng"
    kept.write_bytes(b"pcapng")
    with_some = site_of(store, evidence=lambda call_ids: kept).app()
    link = re.search(r'href="(/call/\d+)"', ask(with_some, "/calls?q=0110").text)
    assert link is not None
    assert f'{link[1]}/evidence.pcapng"' in ask(with_some, link[1]).text
    assert ask(with_some, f"{link[1]}/evidence.pcapng").body == b"pcapng"
    without = site_of(store).app()
    assert "evidence.pcapng" not in ask(without, link[1]).text
    assert ask(without, f"{link[1]}/evidence.pcapng").status == 404


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/call/1", f"/call/{1 << 70}", "/call/1/call.json", "/static/../app.py", "/call-id/x"],
)
def test_page_that_is_not_there_is_a_404_of_ours(store: Path, path: str) -> None:
    assert ask(site_of(store).app(), path).status == 404


@pytest.mark.parametrize("after", ["x", "1:2:3:x", "9" * 40, ":", "1e400:5", "%00"])
def test_mark_that_is_none_is_refused(store: Path, after: str) -> None:
    assert ask(site_of(store).app(), f"/calls?after={after}&sort=mos").status in (200, 400)


@pytest.mark.parametrize("path", ["/", "/calls", "/nothing", "/login", "/static/page.css"])
def test_every_answer_has_the_policy(store: Path, path: str) -> None:
    headers = ask(site_of(store).app(), path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_pages_write_nothing_into_the_store(store: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in store.iterdir()}
    opened(store, "0110")
    ask(site_of(store).app(), "/")
    assert {path.name: path.stat().st_mtime_ns for path in store.iterdir()} == before


def test_store_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    app = site_of(stored(tmp_path)).app()
    assert "+442079460110" in ask(app, "/calls").text
    (tmp_path / "sbcwatch.sqlite").rename(tmp_path / "aside.sqlite")
    gone = ask(app, "/calls")
    assert (gone.status, "The store could not be read" in gone.text) == (503, True)
    stored(tmp_path, "busy-inbound-customer.pcap", "busy-inbound-remote.pcap")
    assert "failed 486" in ask(app, "/calls").text


def test_overview_says_how_old_its_newest_minute_is(store: Path) -> None:
    assert re.search(r"the newest minute is \d+ days old", ask(site_of(store).app(), "/").text)


@pytest.mark.parametrize("query", ["0110", "02079460110", "from+0044+20+79460110+to+0012065550110"])
def test_thousands_of_calls_are_paged_one_after_the_other(tmp_path: Path, query: str) -> None:
    stored(tmp_path)
    _multiply(tmp_path / "sbcwatch.sqlite", 120)
    app = site_of(tmp_path).app()
    seen: list[str] = []
    target = f"/calls?q={query}"
    while target:
        page = ask(app, target).text
        seen += re.findall(r'data-call="(\d+)"', page)
        link = re.search(r'rel="next" href="([^"]+)"', page)
        target = link[1].replace("&amp;", "&") if link else ""
    assert len(seen) == len(set(seen)) == 121
    assert seen == sorted(seen, key=int, reverse=True)


def _multiply(path: Path, times: int) -> None:
    """The one call of a store so many times more."""
    connection = sqlite3.connect(path)
    (number,) = connection.execute("SELECT id FROM call_index").fetchone()
    names = [row[1] for row in connection.execute("PRAGMA table_info(call_index)") if row[1] != "id"]
    for step in range(1, times + 1):
        connection.execute(
            f"INSERT INTO call_index (id, {', '.join(names)}) SELECT ?, {', '.join(names)} "
            "FROM call_index WHERE id=?",
            (number - step * 64, number),
        )
        connection.execute(
            "INSERT INTO call_keys SELECT key, ? FROM call_keys WHERE call=?", (number - step * 64, number)
        )
    connection.commit()
    connection.close()


class _Tags(HTMLParser):
    """Tags, and attributes that run something, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.runs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.runs += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.runs += [
            value for name, value in attrs if name in ("href", "src") and "script:" in (value or "") if value
        ]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
def test_hostile_text_is_shown_and_not_obeyed(tmp_path: Path, text: str) -> None:
    (tmp_path / "call.pcap").write_bytes(pcap(_call(text)))
    options = ["--vc", "192.0.2.1", "--customer", "198.51.100.0/24", "--store", str(tmp_path / "store")]
    assert main(["replay", str(tmp_path / "call.pcap"), *options]) == 0
    app = site_of(tmp_path / "store").app()
    pages = [ask(app, "/"), ask(app, f"/calls?q={msgspec.json.encode(text).hex()}"), ask(app, "/calls")]
    link = re.search(r'href="(/call/\d+)"', pages[-1].text)
    assert link is not None
    pages += [ask(app, link[1]), ask(app, f"{link[1]}/report.html")]
    for page in pages:
        assert page.status == 200
        assert not OBEYED.search(page.text.replace("\n", "")), page.text
        tags = _Tags()
        tags.feed(page.text)
        assert not tags.runs
        assert not tags.tags & {"img", "iframe", "object", "embed", "a href"}
        assert page.text.count("<script") == page.text.count('<script src="/static/page.js" defer>')
    assert printable(text) in unescape(pages[3].text)


def _call(text: str) -> list[Packet]:
    """An answered call whose names and agents are `text`."""
    ends = ("198.51.100.1", 5060), ("192.0.2.1", 5060)
    packets = []
    for number, (start, to_vc, body) in enumerate(
        [
            ("INVITE sip:bob@192.0.2.1 SIP/2.0", True, sdp("198.51.100.1", 4000)),
            (f"SIP/2.0 200 {text}", False, sdp("192.0.2.1", 5000)),
            ("ACK sip:bob@192.0.2.1 SIP/2.0", True, ""),
            ("BYE sip:bob@192.0.2.1 SIP/2.0", True, ""),
        ]
    ):
        method = start.split()[0] if to_vc else "INVITE"
        lines = [
            start,
            "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK1",
            f'From: "{text}" <sip:{"".join(c for c in text if c not in " <>@:;")}@198.51.100.1>;tag=1',
            "To: <sip:bob@192.0.2.1>" + (";tag=2" if number else ""),
            f"Call-ID: {text}",
            f"CSeq: {1 if method != 'BYE' else 2} {method}",
            f"User-Agent: {text}",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        data = ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
        packets.append(Packet(START_NS + number * 10**9, frame(*(ends if to_vc else ends[::-1]), data)))
    return packets


def test_call_whose_media_records_are_gone_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path)
    connection = sqlite3.connect(tmp_path / "sbcwatch.sqlite")
    connection.execute("DELETE FROM rows WHERE kind = 'media'")
    connection.commit()
    connection.close()
    page = opened(tmp_path, "0110").text
    assert "The records of its media are no longer kept" in page
    assert "The records of 1103 packets" in page
    assert "none of its media was seen" not in page
    assert 'class="lane none' not in page
    assert main(["call", "0110", "--store", str(tmp_path)]) == 0
    assert re.search(r"vc -> customer +- +- +- +- +- +-", capsys.readouterr().out)


def test_call_with_a_part_of_its_media_is_judged_by_no_whole(store: Path) -> None:
    reader = StoreReader(store / "sbcwatch.sqlite")
    stored_call = reader.call(reader.search(CallQuery()).calls[0].id)
    reader.close()
    assert stored_call is not None
    assert not stored_call.records.forgotten
    stored_call.records.forgotten = {"cust2vc": 1104}
    words = verdict(stored_call.records).text
    assert "20.0 % of its media are no longer kept" in words
    assert "clean" not in words
    assert "inside the SBC" not in words


@pytest.mark.parametrize(
    "target",
    [
        "q=9999-12-31",
        "q=since+9999-12-31",
        "q=status:99999999999999999999",
        "q=0110&after=:99999999999999999999",
    ],
)
def test_figure_that_no_store_holds_is_no_fault(store: Path, target: str) -> None:
    assert ask(site_of(store).app(), f"/calls?{target}").status == 200
