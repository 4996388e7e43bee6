"""What the wire says is shown, by every command, and never obeyed: no markup, no escape, no link."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from agent.cli import main
from agent.commands.calls import write_csv
from agent.commands.tables import add, show, stream_table
from agent.summary.printable import printable
from tests.kit.capture_files import START_NS, Packet, pcap
from tests.kit.conversation import frame, sdp

VC, CUSTOMER = ("192.0.2.1", 5060), ("198.51.100.1", 5060)
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
FORMS = ("--json", "--csv")
HOSTILE = [
    "alice[/x]",
    "[link=https://evil.example]x[/link]",
    "[bold red]",
    "[/]",
    "\\[",
    ":skull:",
    "<script>alert(1)</script>",
    "<a href=https://evil.example>x</a>",
    "\x1b]8;;https://evil.example\x07x",
    "\x1b[2J",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\u200bb\ufeff",
    "&amp;&lt;",
]


def call(text: str) -> list[Packet]:
    """One answered call whose From, Call-ID, User-Agent and reason phrase are `text`."""
    head = (
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK{n}\r\n"
        "From: {text} <sip:{user}@198.51.100.1>;tag=1\r\n"
        "To: <sip:{user}@192.0.2.1>;tag=2\r\nCall-ID: {text}\r\nCSeq: {n} {method}\r\nUser-Agent: {text}\r\n"
    )
    user = "".join(c for c in text if c not in "<>@ ;:/")
    packets = []

    def send(at: float, start: str, method: str, n: int, *, back: bool = False, body: str = "") -> None:
        lines = head.format(n=n, text=text, user=user, method=method)
        if method == "INVITE" and not back:
            lines = lines.replace(";tag=2", "")
        if body:
            lines += "Content-Type: application/sdp\r\n"
        data = f"{start}\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        ends = (VC, CUSTOMER) if back else (CUSTOMER, VC)
        packets.append(Packet(START_NS + int(at * 1e9), frame(*ends, data)))

    send(0, f"INVITE sip:{user}@192.0.2.1 SIP/2.0", "INVITE", 1, body=sdp(CUSTOMER[0], 4000))
    send(1, f"SIP/2.0 200 {text}", "INVITE", 1, back=True, body=sdp(VC[0], 4002))
    send(1.1, "ACK sip:x@192.0.2.1 SIP/2.0", "ACK", 1)
    send(20, "BYE sip:x@192.0.2.1 SIP/2.0", "BYE", 2)
    send(20.1, f"SIP/2.0 200 {text}", "BYE", 2, back=True)
    return packets


@pytest.fixture(params=HOSTILE)
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "hostile.pcap"
    path.write_bytes(pcap(call(request.param)))
    return path


def test_hostile_text_is_shown_by_every_command_and_obeyed_by_none(
    capture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = capture.parent
    sides = ["--vc", VC[0], "--customer", "198.51.100.0/24"]
    assert main(["replay", str(capture), *sides, "--store", str(folder / "store")]) == 0
    shown = capsys.readouterr().out
    assert "answered (bye)" in shown
    assert not OBEYED.search(shown)
    assert main(["streams", str(capture), *sides]) == 0
    page = folder / "page.html"
    assert main(["report", str(capture), *sides, "-o", str(page)]) == 0
    html = page.read_text()
    assert "answered (200)" in html
    assert not OBEYED.search(html)
    assert "<a " not in html
    assert "<img" not in html
    assert "<script" not in html
    config = folder / "sbcwatch.toml"
    config.write_text(f'[store]\ndirectory = "{folder / "store"}"\n')
    monkeypatch.setattr(time, "time_ns", lambda: START_NS + 120_000_000_000)
    capsys.readouterr()
    assert main(["top", "--once", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "answered" in shown
    assert not OBEYED.search(shown)
    for command in (
        ["replay", "--json", str(capture), *sides],
        ["streams", "--json", str(capture), *sides],
        *([what, "--store", str(folder / "store"), form] for what in ("calls", "minutes") for form in FORMS),
    ):
        assert main(command) == 0
        shown = capsys.readouterr().out.replace("\r\n", "\n")
        assert not OBEYED.search(shown), command


def test_json_of_a_call_has_escapes_and_says_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\x7f\x9b31m\u202e\U000e0041Zoë"
    capture, store = tmp_path / "hostile.pcap", str(tmp_path / "store")
    capture.write_bytes(pcap(call(text)))
    assert (
        main(["replay", str(capture), "--vc", VC[0], "--customer", "198.51.100.0/24", "--store", store]) == 0
    )
    capsys.readouterr()
    assert main(["call", text, "--store", store, "--json"]) == 0
    shown = capsys.readouterr().out
    assert not OBEYED.search(shown)
    assert "Zoë" in shown
    assert text in json.dumps(json.loads(shown), ensure_ascii=False)


@pytest.mark.parametrize("cell", ["=1+1", "@x", "-1+1", "+44 1|x", " =1", "\t=1"])
def test_cell_that_a_spreadsheet_takes_for_a_formula_is_quoted(
    cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv([{"a": cell, "b": "+442079460110", "c": "x\x1b[2J", "d": -1}])
    assert capsys.readouterr().out == f"a,b,c,d\r\n'{printable(cell)},+442079460110,x\\x1b[2J,-1\r\n"


@pytest.mark.parametrize("text", HOSTILE)
def test_cell_at_a_terminal_is_text_and_never_a_link(text: str) -> None:
    table = stream_table([])
    add(table, text, *["x"] * 11)
    out = io.StringIO()
    show([table], Console(file=out, force_terminal=True, width=300, color_system="truecolor"))
    assert printable(text) in re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())
    assert "\x1b]8" not in out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 電話 😀", "Zoë 電話 😀"),
        ("a\x1b[2J\x9b\x00\n", "a\\x1b[2J\\x9b\\x00\\n"),
        ("\u202e\u2066\ufeff\ud800", "\\u202e\\u2066\\ufeff\\ud800"),
    ],
)
def test_what_is_obeyed_is_written_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
