"""`sbcwatch report`: the call's page as one file, from a capture or the store."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from agent.cli import main
from agent.model.units import MINUTE_NS
from agent.store.call_query import CallQuery
from agent.store.reader import StoreReader
from agent.summary.records import CallRecords
from agent.summary.redaction import Redaction
from agent.web.call_picture import call_picture
from agent.web.report import report_page
from tests.kit.pages import LOSS, VC, stored
from tests.kit.replayed import PCAPS

VERDICT = "2.1 % of packets lost between the vc and the customer"
FILES = [str(PCAPS / name) for name in LOSS]
LARGEST = 500_000  # octets of the report of a ten-minute call


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("store"))


def written(tmp_path: Path, *options: str) -> str:
    path = tmp_path / "report.html"
    assert main(["report", *options, "-o", str(path)]) == 0
    return path.read_text()


def test_capture_of_one_call_gives_its_page(tmp_path: Path) -> None:
    page = written(tmp_path, *FILES, *VC)
    assert VERDICT in page
    assert page.count('<details class="step"') == 13
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "<script" not in page
    assert "url(" not in page


def test_page_without_sides_shows_media_by_address(tmp_path: Path) -> None:
    page = re.sub(r"<[^>]*>", " ", written(tmp_path, *FILES, "--vc", "10.10.0.1"))
    seen = re.findall(r"([\d.]+):\d+ +([\d.]+):\d+ +PCMA +(\d+) +(\d+) +[\d.]+ +[\d.]+ ", page)
    assert "Media by address, as it passed the capture" in page
    assert seen == [("10.10.0.10", "10.10.0.1", "1104", "0"), ("10.10.0.1", "10.10.0.10", "1103", "0")]
    assert "Media by address" not in written(tmp_path, *FILES, *VC)


@pytest.mark.parametrize(
    "options",
    [("--call", "c92938e13da25690"), ("--call", "0110"), ("--number", "0110", "--since", "2026-11-23T15:42")],
)
def test_call_of_the_store_is_named_by_id_or_number(
    tmp_path: Path, store: Path, options: tuple[str, ...]
) -> None:
    assert VERDICT in written(tmp_path, "--store", str(store), *options)


def test_call_that_is_not_there_is_no(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    assert main(["report", "--store", str(store), "--call", "nobody", "-o", str(path)]) == 1
    assert not path.exists()
    assert capsys.readouterr().err == "sbcwatch: no call meets that\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "name a capture FILE"),
        ((*FILES, "--format", "pdf", "-o", "-"), "a PDF is written to a file"),
        ((*FILES, "-o", "/no/such/folder/x.html"), "name a file that can be written"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    output = () if "-o" in options else ("-o", str(tmp_path / "x"))
    assert main(["report", *options, *output]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert words in lines[-1]


def test_capture_of_many_calls_gives_an_index_with_the_worst_first(tmp_path: Path) -> None:
    names = ["twenty-inbound-customer.pcap.gz", "twenty-inbound-remote.pcap.gz"]
    names += ["throttled-inbound-customer.pcap", "throttled-inbound-remote.pcap"]
    page = written(tmp_path, *(str(PCAPS / name) for name in [*LOSS, *names]), *VC)
    rows = re.findall(r"<tr><td>.*?</tr>", page, re.DOTALL)
    assert len(rows) == 22
    assert VERDICT in rows[0]
    assert "503 Service Unavailable, said by the SBC itself" in rows[1]
    assert page.count('<article id="call-') == 10
    assert len(set(re.findall(r' id="([^"]+)"', page))) == len(re.findall(r' id="([^"]+)"', page))


def test_secrets_of_a_message_are_not_in_a_report(store: Path) -> None:
    message = "INVITE sip:bob@192.0.2.1 SIP/2.0\r\nCall-ID: a\r\n"
    message += "Authorization: Digest username=bob, response=secret\r\n\r\n"
    records = _long_call(store, minutes=1)
    records.messages[0]["sip_message"] = message
    kept = report_page([call_picture(records, None)], source="x")
    redacted = report_page([call_picture(records, Redaction())], source="x")
    assert "response=secret" in kept
    assert "response=secret" not in redacted
    assert "Authorization: &lt;removed&gt;" in redacted


def test_report_of_ten_minutes_is_small_enough_to_mail(store: Path) -> None:
    page = report_page([call_picture(_long_call(store, minutes=10, messages=60), Redaction())], source="x")
    assert len(page.encode()) <= LARGEST


def test_report_of_endless_signalling_stays_small_and_says_so(store: Path) -> None:
    page = report_page([call_picture(_long_call(store, minutes=10, messages=5_000), Redaction())], source="x")
    assert len(page.encode()) <= 2 * LARGEST
    assert "4700 more are not shown" in page


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (Debian: chromium)")
def test_report_is_printed_as_pdf(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    assert main(["report", *FILES, *VC, "--format", "pdf", "-o", str(path)]) == 0
    assert path.read_bytes()[:5] == b"%PDF-"


def _long_call(store: Path, minutes: int, messages: int = 1) -> CallRecords:
    """The bundled call, so many minutes long, with so many messages of a usual length."""
    reader = StoreReader(store / "sbcwatch.sqlite")
    stored_call = reader.call(reader.search(CallQuery(limit=1)).calls[0].id)
    reader.close()
    assert stored_call is not None
    its = stored_call.records
    end_ns = its.call["invite_ns"] + minutes * MINUTE_NS
    media = [
        its.media[0] | {"event_timestamp": its.media[0]["event_timestamp"] + minute * 60_000}
        for minute in range(minutes)
    ]
    text = its.messages[0]["sip_message"] + "a=x-long:y\r\n" * 40
    sip = [
        its.messages[0] | {"stamp_ns": its.call["invite_ns"] + step * 10**9, "sip_message": text}
        for step in range(messages)
    ]
    return CallRecords(its.call | {"end_ns": end_ns}, media, sip)
