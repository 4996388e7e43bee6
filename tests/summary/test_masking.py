from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.summary.masking import Masking
from tests.kit.cpu_time import takes_less

ROOT = Path(__file__).parents[2]
MASK = Masking(b"a host's key")
BOB, NUMBER = MASK.user("bob"), MASK.user("+442079460110")
QUOTED = MASK.user('B, \\"b\\" S')
QUOTE_BOB = MASK.user('"bob"')
X = MASK.user("x")
PLACE = MASK.user("<https://lis.example/bob>;inserted-by=h")
CLAIMS = MASK.user("eyJi")
ROUTE = "Route: <sip:192.0.2.1;lr>, <sip:example.com:5060;lr>"
VIA = "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1234567"
TOKEN = re.compile(r"n-[0-9a-f]{12}")


def test_token_is_keyed_and_stable() -> None:
    assert TOKEN.fullmatch(BOB)
    assert MASK.user("bob") == BOB != Masking(b"another").user("bob")
    assert MASK.user("") == ""


@pytest.mark.parametrize("same", ["442079460110", "+44-20-7946-0110", "+44 (20) 7946.0110"])
def test_number_has_one_token_however_it_is_written(same: str) -> None:
    assert MASK.user(same) == NUMBER


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("INVITE sip:+442079460110@h SIP/2.0", f"INVITE sip:{NUMBER}@h SIP/2.0"),
        ("To: <sips:bob:secret@h:5061;transport=tls>", f"To: <sips:{BOB}@h:5061;transport=tls>"),
        ("To: <sip:+442079460110;phone-context=+44@h;user=phone>", f"To: <sip:{NUMBER}@h;user=phone>"),
        ("From: bob <sip:bob@h>;tag=1", f"From: {BOB} <sip:{BOB}@h>;tag=1"),
        ('From: "bob" <sip:bob@h>;tag=1', f'From: "{BOB}" <sip:{BOB}@h>;tag=1'),
        ('f:"B, \\"b\\" S"<sip:10.0.0.1>', f'f:"{QUOTED}" <sip:10.0.0.1>'),
        ('From: "+44 20 7946 0110" <sip:bob@h>', f'From: "{NUMBER}" <sip:{BOB}@h>'),
        ('From: "bob" < sip:bob@h>;tag=1', f'From: "{BOB}" < sip:{BOB}@h>;tag=1'),
        ('From: "bob"<im:x@h>, bob <urn:service:sos>', f'From: "{BOB}" <im:{X}@h>, {BOB} <urn:service:sos>'),
        ("From: B, b <sip:x@h>;tag=1", f"From: {MASK.user('B, b')} <sip:{X}@h>;tag=1"),
        ("Contact: sip:x@h;q=1, bob <sip:bob@i>", f"Contact: sip:{X}@h;q=1, {BOB} <sip:{BOB}@i>"),
        ('From: "bob" sip:bob@h', f'From: "{BOB}" sip:{BOB}@h'),
        ("Geolocation:\r\n bob", f"Geolocation:{BOB}"),
        ("X: tel:%2B442079460110", f"X: tel:{NUMBER}"),
        ("X: tel:4%342079460110", f"X: tel:{NUMBER}"),
        ("X: sms:+442079460110", f"X: sms:{NUMBER}"),
        ("X: <tel:1234567;  phone-context = \"+442079460110\">",
         f"X: <tel:{MASK.user('1234567')};  phone-context = \"{NUMBER}\">"),
        ("X: <sip: b ob@h>", f"X: <sip: {MASK.user('b ob')}@h>"),
        ("X: <sip :bob@example.com@h>", f"X: <sip :{MASK.user('bob@example.com')}@h>"),
        ('X: <sip:"bob"@h;x=y@z>', f"X: <sip:{QUOTE_BOB}@h;x=y@z>"),
        ("Refer-To: <sip:x@h?P-Asserted-Identity=%22bob%22%20%3Csip%3Abob%40h%3E&Subject=a%20b>",
         f"Refer-To: <sip:{X}@h?P-Asserted-Identity=%22{BOB}%22%20%3Csip%3A{BOB}%40h%3E&Subject=a%20b>"),
        ("Refer-To: <sip:x@h?From=tel%3A%2B442079460110>", f"Refer-To: <sip:{X}@h?From=tel%3A{NUMBER}>"),
        ("X: %3Csip%3Abob%40h%3E", f"X: %3Csip%3A{BOB}%40h%3E"),
        ("X: Digest username=bob, realm=h", f"X: Digest username={BOB}, realm=h"),
        (" O = bob 1 1 IN IP4 192.0.2.1", f" O = {BOB} 1 1 IN IP4 192.0.2.1"),
        ("s=-\rp=+44 20 7946 0110\rt=0 0", f"s=-\rp={NUMBER}\rt=0 0"),
        ('Contact: "bob" <h:5060>', f'Contact: "{BOB}" <h:5060>'),
        ("Geolocation: <https://lis.example/bob>;inserted-by=h", f"Geolocation: {PLACE}\r\n"),
        ("geolocation :<https://lis.example/bob>;inserted-by=h\r\n , <cid:bob>", "geolocation :n-"),
        ("Identity: eyJh.eyJi.<removed>;info=<h>", f"Identity: eyJh.{CLAIMS}.<removed>;info=<h>"),
        ("From: sip:bob@h;tag=1", f"From: sip:{BOB}@h;tag=1"),
        ("P-Asserted-Identity: <tel:+44-20-7946-0110>", f"P-Asserted-Identity: <tel:{NUMBER}>"),
        ("P-Asserted-Identity: bob <sip:bob@h>, <tel:+442079460110>",
         f"P-Asserted-Identity: {BOB} <sip:{BOB}@h>, <tel:{NUMBER}>"),
        ("Contact: <sip:x@h>;q=1,bob <sip:bob@i>", f"Contact: <sip:{X}@h>;q=1,{BOB} <sip:{BOB}@i>"),
        ("To: <sip:442079460110;user=phone>", f"To: <sip:{NUMBER};user=phone>"),
        ("Refer-To: <sip:h?Referred-By=sip%3Abob%40h>", f"Refer-To: <sip:h?Referred-By=sip%3A{BOB}%40h>"),
        ('Authorization: Digest username="bob",', f'Authorization: Digest username="{BOB}",'),
        ("o=bob 1 1 IN IP4 192.0.2.1", f"o={BOB} 1 1 IN IP4 192.0.2.1"),
        ("p=+44 20 7946 0110", f"p={NUMBER}"),
        # What is nobody's stays.
        ("o=- 1 1 IN IP4 192.0.2.1", "o=- 1 1 IN IP4 192.0.2.1"),
        (ROUTE, ROUTE),
        (VIA, VIA),
    ],
)  # fmt: skip
def test_people_of_a_line_are_masked(line: str, masked: str) -> None:
    text = MASK.message(f"X: y\r\n{line}\r\n")[0]
    assert text.startswith("X: y\r\n" + masked)
    assert "bob" not in text
    assert "0110" not in text


def test_digits_of_a_number_go_wherever_they_stand() -> None:
    text, call_id = MASK.message(
        "INVITE sip:+442079460110@h SIP/2.0\r\nCall-ID: x00442079460110y@h\r\nX-DID: %2B442079460110\r\n",
        "x00442079460110y@h",
    )
    assert "442079460110" not in text
    assert call_id == f"x00{NUMBER}y@h"
    assert f"Call-ID: {call_id}\r\nX-DID: {NUMBER}\r\n" in text


def test_short_number_is_masked_as_user_only() -> None:
    text = MASK.message("SIP/2.0 100 Trying\r\nTo: <sip:100@h>\r\nCSeq: 100 INVITE\r\n")[0]
    assert text == f"SIP/2.0 100 Trying\r\nTo: <sip:{MASK.user('100')}@h>\r\nCSeq: 100 INVITE\r\n"


def test_call_id_without_a_number_is_the_messages_own() -> None:
    assert MASK.message("To: <sip:+442079460110@h>\r\n", "c92938e1@h")[1] == "c92938e1@h"


@pytest.mark.parametrize(
    "piece",
    [
        "sip:",
        '\\"',
        '"<sip:',
        "<sip:",
        "sip:1",
        "tel:1",
        ";ext=a",
        "sip%3a",
        "\no=",
        "eyJ.",
        "eyJ-",
        "\nGeolocation:",
        ",a<sip:",
        "111111",
    ],
)
def test_hostile_message_takes_no_long_time(piece: str) -> None:
    text = "From: " + piece * (65_535 // len(piece)) + '"<sip:+442079460110@h>'
    assert takes_less(1.0, lambda: MASK.message(text))


def test_replay_with_masking_tells_nobody(tmp_path: Path) -> None:
    config = tmp_path / "sbcwatch.toml"
    config.write_text("[privacy]\nmask_numbers = true\n")
    run = subprocess.run(
        [sys.executable, "-m", "agent", "replay", "pcaps/loss-vc2cust-customer.pcap",
         "pcaps/loss-vc2cust-remote.pcap", "--vc", "10.10.0.1", "--vc", "10.20.0.1", "--customer",
         "10.10.0.0/24", "--json", "--config", str(config)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    plain = {"442079460110", "12065550110"}
    assert not any(number in run.stdout for number in plain)
    people = {(row["from_sip_user"], row["to_sip_user"]) for row in rows if row["type"] in ("media", "call")}
    assert len(people) == 1
    caller, called = people.pop()
    assert TOKEN.fullmatch(caller)
    assert TOKEN.fullmatch(called)
    invite = next(row["sip_message"] for row in rows if row.get("sip_message", "").startswith("INVITE"))
    assert f"sip:{called}@" in invite
    assert f"<sip:{caller}@" in invite
    (media, *_) = (row for row in rows if row["type"] == "media")
    assert (media["from_country"], media["to_country"]) == ("GB", "US")
    assert {row["call_id"] for row in rows if row["type"] == "sip"} == set(media["call_ids"])
