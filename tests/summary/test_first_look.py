"""A first look calls no message plain that has something to remove, and finds words wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import uncompiled
from agent.summary import first_look_cy, redaction
from agent.summary.first_look_cy import Words
from agent.summary.redaction import Redaction
from agent.summary.secret_names import ENCODINGS, SDP_WORDS, SECRET_HEADERS
from agent.summary.secret_names import WORDS as SECRET_WORDS
from agent.summary.secret_removal import SecretRemoval
from agent.wire.sip.message_cy import COMPACT

SOURCE = uncompiled.sources("agent.summary.first_look_cy")[0]
WORDS = (b"?", b"://", b"auth", b"api", b"pn-prid")
SEARCH = Words(WORDS)
PIECES = [
    b"a",
    b"u",
    b"th",
    b"AUT",
    b"H",
    b":",
    b"//",
    b"ap",
    b"i",
    b"I",
    b"?",
    b"pn-",
    b"prid",
    b"\x00",
    b"\xff",
]


@pytest.mark.parametrize("data", [b"?", b"x?", b"://", b"AuTh", b"xxAPI", b"pn-prid=1"])
def test_word_at_either_end_is_found(data: bytes) -> None:
    assert SEARCH.are_in(data)


@pytest.mark.parametrize("data", [b"", b"a", b"aut", b":/", b"ap\xe9", b"\x21pi", b"pn-pri"])
def test_half_a_word_is_none(data: bytes) -> None:
    assert not SEARCH.are_in(data)


@given(st.lists(st.sampled_from(PIECES)).map(b"".join))
def test_search_finds_what_single_searches_find(data: bytes) -> None:
    assert SEARCH.are_in(data) == any(word in data.lower() for word in WORDS)


CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "sip"
HEAD = (
    b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
    b'From: "Alice" <sip:alice@example.com:5060;transport=udp>;tag=a1\r\nTo: <sip:bob@example.com>\r\n'
    b"Call-ID: c1@192.0.2.1\r\nCSeq: 1 INVITE\r\nContact: <sip:[2001:db8::1]:5060;lr>, sip:h:5060\r\n"
)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    b"m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)
PLAIN = [
    HEAD + b"Content-Length: 0\r\n\r\n",
    HEAD + b"Content-Type: application/sdp\r\n\r\n" + SDP,
    HEAD + b"Subject: x\r\nc : application/sdp\r\nP-Asserted-Identity: <tel:+1555>\r\n\r\n" + SDP,
    HEAD.replace(b"INVITE sip:bob@example.com SIP/2.0", b"sip/2.0 200 OK", 1) + b"\r\n",
]
BASES = [*PLAIN, *(path.read_bytes() for path in sorted(CORPUS.iterdir()))]
HEADERS = [*SECRET_HEADERS, *ENCODINGS, *COMPACT, *COMPACT.values(), "X-Y.z_1", "X+Y", "X-Secret", ""]
ATTRIBUTES = [
    "rtpmap", "fmtp", "ptime", "maxptime", "mptime", "sendrecv", "sendonly", "recvonly", "inactive", "mid",
    "label", "rtcp", "rtcp-mux", "rtcp-fb", "rtcp-key", "ssrc", "ssrc-group", "midx", "setup", "crypto",
    "key-mgmt", "ice-pwd", "identity", "candidate", "acap",
]  # fmt: skip
VALUES = ["", ":1 x", ":1 key:x", " x", "x", ":1 cr\xffypto:1 x"]
LINES = [
    *(f"{name}{colon} x" for name in HEADERS for colon in (":", " :", "\t:", "  :", "", "\xa0:", "\r\n :")),
    *(f"Contact: <{uri}>" for uri in (
        "sip:a:b@h", "sips:a:b@h", "sip \t:a:b@h", "sip:h:1", "sip:h:123456", "sip:h:1;x=@", "sip:h:1;x:y@h",
        "sip:[::1]", "sip:[::1]:5060", "sip:[::1]:b@h", "sip:[::1];x@h", "sip:[::1]:1;b@h", "sip:[::1",
        "tel:1:2",
    )),
    "Content-Type: application/sdp", "c: text/plain", "X: application/sdp", "Subject:", ": x", "",
    "Contact: sip:[::1] x", "Contact: sip:h:1 x",
    *(f"{letter}=x" for letter in "abcdefghijklmnopqrstuvwxyzAK1"),
    *(f"a={name}{rest}" for name in ATTRIBUTES for rest in VALUES),
]  # fmt: skip
OCTETS = [
    b"\r", b"\n", b"\r\n", b"\r\n ", b"\n\t", b"\r\n\r\n", b" ", b":", b"@", b"<", b">", b";", b"&", b"[",
    b"]", b"=", b"?", b"%", b"://", b"sip:", b"SIPS :", b"sip:h:", b":5060", b":5060;", b"SIP/2.0",
    b" SIP/2.0", b"\x00", b"\xff", *(word.encode() for word in SECRET_WORDS), b"inline",
]  # fmt: skip


def mutated(count: int) -> Iterator[bytes]:
    """Plain messages with each line in each part, and any with up to four changes, the same each time."""
    for data in PLAIN:
        for part in (b"CSeq:", b"o=", b"a=sendrecv"):
            for line in LINES:
                yield data.replace(part, line.encode("latin-1") + b"\r\n" + part, 1)
    random = Random(1)
    for _ in range(count):
        data = random.choice(BASES)
        for change in random.choices(
            ("insert", "remove", "replace", "swap case", "line"), k=random.randrange(5)
        ):
            at = random.randrange(len(data))
            if change == "insert":
                data = data[:at] + random.choice(OCTETS) + data[at:]
            elif change == "remove":
                data = data[:at] + data[at + random.choice((1, 1, 2, 8, 200)) :]
            elif change == "replace":
                data = data[:at] + random.randbytes(1) + data[at + 1 :]
            elif change == "swap case":
                data = data[:at] + data[at:].swapcase()
            else:
                at = data.find(b"\n", at) + 1
                data = data[:at] + random.choice(LINES).encode("latin-1") + b"\r\n" + data[at:]
            data = data or HEAD
        yield data


class Expressions:
    """The first look as a few searches: what it looks for, said once more."""

    SECOND_COLON = re.compile(rb"sips?[ \t]*+:(?!\[[0-9a-f:.]*+\][:;>\r])[^<>@:\r\n]*+:(?!\d{1,5}[;>?\r])")
    OTHER_SDP_LINE = re.compile(
        rb"\r\n(?![b-jl-z]=|a=(?:rtpmap|fmtp|m?a?x?ptime|sendrecv|sendonly|recvonly|inactive|rtcp|ssrc|mid|label)\b)"
    )
    TYPES = re.compile(rb"\r\n(?:content-type|c) ?:")

    def __init__(self, removed: list[str], *, keeps_bodies: bool) -> None:
        known = "|".join(map(re.escape, removed)).encode()
        self.other_header = re.compile(rb"\r\n(?!(?!(?:%b) ?:)[a-z0-9._-]++ ?:)" % known)
        self.keeps_bodies = keeps_bodies

    def is_plain(self, data: bytes) -> bool:
        low = data.lower()
        if any(word.encode() in low for word in ("?", "%", "://", "inline", *SECRET_WORDS)):
            return False
        if self.SECOND_COLON.search(low):
            return False
        end = low.find(b"\r\n\r\n")
        body, lines = end + 4, low.count(b"\r\n")
        if end < 0 or lines != low.count(b"\n") or lines != low.count(b"\r"):
            return False
        if self.other_header.search(low, 0, end):
            return False
        if not low.startswith(b"sip/2.0 ") and not low.startswith(b" sip/2.0", low.find(b"\r") - 8):
            return False
        if body == len(low):
            return True
        if not self.keeps_bodies or len(self.TYPES.findall(low)) != 1 or b": application/sdp\r\n" not in low:
            return False
        is_sdp = low.startswith(b"v=", body) and low.endswith(b"\r\n")
        return is_sdp and not self.OTHER_SDP_LINE.search(low, body, len(low) - 2)


# What those let pass and no plain message has: the rules remove it, or something much like it.
UNUSUAL = [
    re.compile(rb"\r\n(?:content-type|c) ?:(?! application/sdp\r)"),
    re.compile(rb"sips?[ \t]*+:\[[0-9a-f:.]*+\]:(?!\d{1,5}[;>\r])"),
    re.compile(rb"sips?[ \t]*+:(?:\[[0-9a-f:.]*+\](?::\d{1,5})?|[^<>@:\r\n]*+:\d{1,5});[^<>\r\n]*[:@]"),
    re.compile(rb"\r\n\r\n(?s:.*)(?:%b)" % "|".join(SDP_WORDS).encode()),
    re.compile(rb"\r\na=[^\r]*[^\t\x20-\x7e\r]"),
    re.compile(
        rb"\r\na=(?!(?:(?:max)?ptime|rtcp-(?:mux|fb|xr|rsize)|ssrc-group)(?![\w.-]))(?:[max]*ptime|[a-z]+[._-])"
    ),
]


@pytest.mark.parametrize("module", [first_look_cy, SOURCE], ids=["compiled", "uncompiled"])
@pytest.mark.parametrize(
    ("mode", "headers"), [("redacted", ()), ("redacted", ("s", "X-Y.z_1")), ("headers", ())]
)
def test_message_is_plain_where_searches_find_nothing_and_nothing_would_be_removed(
    mode: str, headers: tuple[str, ...], module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction, "FirstLook", module.FirstLook)
    look = Redaction(mode, headers)._first_look
    monkeypatch.setattr(redaction, "FirstLook", Expressions)
    expected = Redaction(mode, headers)._first_look
    longs = {COMPACT.get(name, name.lower()) for name in headers}
    removal = SecretRemoval({*SECRET_HEADERS, *longs}, keeps_bodies=mode != "headers")
    plain = 0
    for data in mutated(3_000):
        if look.is_plain(data):
            plain += 1
            assert expected.is_plain(data), data
            assert removal.text(data) == data.decode("utf-8", "replace"), data
        else:
            assert not expected.is_plain(data) or any(unusual.search(data.lower()) for unusual in UNUSUAL), (
                data
            )
    assert plain > 100
