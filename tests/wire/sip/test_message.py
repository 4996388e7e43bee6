"""SIP as a listener meets it: torture messages after RFC 4475 (`tests/fuzz/corpus/sip`), forms seen live."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Reason, WireError
from agent.wire import sip
from agent.wire.sip.values_cy import Uri
from tests.kit.cpu_time import takes_less
from tests.kit.examples import examples

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "sip"


def torture(name: str) -> bytes:
    return (CORPUS / f"torture-{name}.sip").read_bytes()


def request(
    extra: str = "", *, start: str = "INVITE sip:bob@example.com SIP/2.0", body: bytes = b""
) -> bytes:
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n"
        'From: "Alice" <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\n'
        f"Call-ID: c1@192.0.2.1\r\nCSeq: 1 INVITE\r\n{extra}"
    )
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def with_header(line: str, name: str) -> bytes:
    """The request with one of its headers replaced by `line`."""
    lines = request().split(b"\r\n")
    return b"\r\n".join(line.encode() if part.startswith(name.encode() + b":") else part for part in lines)


# What everyone needs


def test_request_all_plain_fields_are_read():
    message = sip.parse(request("Contact: <sip:alice@192.0.2.1:5060>\r\nUser-Agent: x/1\r\n", body=b"hi"))
    assert message.is_request
    assert (message.method, message.status, message.reason) == ("INVITE", 0, "")
    assert message.uri == "sip:bob@example.com"
    assert (message.call_id, message.from_tag, message.to_tag) == ("c1@192.0.2.1", "a1", "")
    assert (message.cseq, message.cseq_method, message.branch) == (1, "INVITE", "z9hG4bK1")
    assert message.values("via") == ["SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport"]
    assert (message.from_user, message.from_host) == ("alice", "example.com")
    assert (message.to_user, message.to_host) == ("bob", "example.com")
    assert (message.uri_user, message.uri_host) == ("bob", "example.com")
    assert (message.contact, message.header("user-agent")) == ("sip:alice@192.0.2.1:5060", "x/1")
    assert (message.content_length, message.body) == (2, b"hi")


def test_response_takes_its_method_from_cseq():
    text = request(start="SIP/2.0 180 Ringing").replace(b"com>\r\nCall", b"com>;tag=b2\r\nCall")
    message = sip.parse(text)
    assert not message.is_request
    assert (message.method, message.status, message.reason, message.uri) == ("INVITE", 180, "Ringing", "")
    assert message.to_tag == "b2"


@pytest.mark.parametrize("name", ["Via", "From", "To", "Call-ID", "CSeq"])
def test_mandatory_header_missing_or_empty_is_rejected(name):
    for line in ("X-Other: 1", f"{name}:", f"{name}:   "):
        with pytest.raises(WireError) as raised:
            sip.parse(with_header(line, name))
        assert raised.value.reason is Reason.SIP_MISSING_HEADER


@pytest.mark.parametrize(
    "start",
    [
        "",
        "INVITE",
        "INVITE sip:a@b",
        "INVITE sip:a@b HTTP/1.1",
        "HTTP/1.1 200 OK",
        "SIP/2.0 20 OK",
        "SIP/2.0 2000 OK",
        "SIP/2.0 ２００ OK",
        "SIP/2.0 700 Out of range",
        "SIP/2.0",
        "IN VITE sip:a@b SIP/x",
        "<> sip:a@b SIP/2.0",
    ],
)
def test_start_line_that_is_none_is_rejected(start):
    with pytest.raises(WireError) as raised:
        sip.parse(request(start=start))
    assert raised.value.reason is Reason.SIP_START_LINE


@pytest.mark.parametrize(
    "value", ["x INVITE", "1", "-1 INVITE", "4294967296 INVITE", "٣ INVITE", "9" * 5000 + " A"]
)
def test_cseq_that_is_none_is_rejected(value):
    with pytest.raises(WireError) as raised:
        sip.parse(with_header(f"CSeq: {value}", "CSeq"))
    assert raised.value.reason is Reason.SIP_HEADER


def test_cseq_of_32_bits_is_read():
    assert sip.parse(with_header("CSeq: 4294967295 INVITE", "CSeq")).cseq == 4294967295


# Lenience


@pytest.mark.parametrize("version", ["sip/2.0", "SIP/2.0", "SIP/7.0"])
def test_version_in_any_case_and_of_any_number_is_read(version):
    assert sip.parse(request(start=f"{version} 200 OK")).status == 200
    assert sip.parse(request(start=f"INVITE sip:a@b {version}")).uri == "sip:a@b"


def test_leading_crlf_is_skipped():
    assert sip.parse(b"\r\n\r\n" + request()).call_id == "c1@192.0.2.1"


def test_compact_names_and_odd_case_are_read():
    text = request("m: <sip:x@y>\r\nX: 90;Refresher=UAS\r\nK: timer\r\n")
    for long, short in (
        (b"Via", b"v"),
        (b"From", b"F"),
        (b"To", b"t"),
        (b"Call-ID", b"I"),
        (b"CSeq", b"cSeQ "),
    ):
        text = text.replace(long + b":", short + b":")
    message = sip.parse(text.replace(b"Content-Length", b"L"))
    assert (message.call_id, message.from_tag, message.cseq) == ("c1@192.0.2.1", "a1", 1)
    assert (message.contact, message.session_seconds) == ("sip:x@y", 90)
    assert message.header("Supported") == message.header("k") == "timer"
    assert message.header("VIA") == message.headers("v")[0]


def test_bare_lf_and_folded_lines_give_the_same_message():
    text = request("Contact: <sip:a@b>\r\nSubject: one two\r\n", body=b"v=0")
    folded = text.replace(b": ", b":\r\n\t").replace(b"one two", b"one\r\n   two").replace(b"\r\n", b"\n")
    plain, odd = sip.parse(text), sip.parse(folded)
    for name in ("call_id", "from_tag", "branch", "cseq", "contact", "body", "from_user", "content_length"):
        assert getattr(plain, name) == getattr(odd, name)
    assert odd.header("subject") == "one two"


def test_bare_lf_message_with_crlf_blank_line_in_body_keeps_its_body():
    text = request(body=b"one\r\n\r\ntwo").replace(b"\r\n", b"\n", 7)
    head, _, _ = request(body=b"one\r\n\r\ntwo").partition(b"one")
    text = head.replace(b"\r\n", b"\n") + b"one\r\n\r\ntwo"
    assert sip.parse(text).body == b"one\r\n\r\ntwo"


@pytest.mark.parametrize(
    ("value", "tag", "user", "host"),
    [
        ('"A; <x>;tag=no" <sip:u@h>;tag=yes', "yes", "u", "h"),
        ('"A \\"<sip:q@q>;tag=no\\"" <sip:u@h>;x="\\";tag=no";tag=yes', "yes", "u", "h"),
        ("<sip:u@h;tag=inner>;tag=outer", "outer", "u", "h"),
        ("<sip:u@h;tag=inner>", "", "u", "h"),
        ("sip:u@h;tag=bare", "bare", "u", "h"),
        ("sip:u@h ; TAG = spaced ; x", "spaced", "u", "h"),
        ("<sip:u@h>;vintage=old", "", "u", "h"),
        ("Bell, Alexander <sip:u@h>;tag=1", "1", "u", "h"),
        ('"unbalanced <sip:u@h>;tag=1', "1", "u", "h"),
        ("<sip:u:secret@H.Example:5070;transport=tcp>;tag=1", "1", "u", "h.example"),
        ("<sip:%23+1%20x@[2001:DB8::1]:5060>;tag=1", "1", "#+1 x", "2001:db8::1"),
        ("<sips:h>;tag=1", "1", "", "h"),
        ("<sip:+1555;npdi;rn=+1444@gw;user=phone>;tag=1", "1", "+1555", "gw"),
        ("<tel:+1-555;phone-context=+1>;tag=1", "1", "+1-555", ""),
        ("<tel:7042;phone-context=Example.COM>;tag=1", "1", "7042", "example.com"),
        ("<sip:u@dom@sbc;lr>;tag=1", "1", "u@dom", "sbc"),
        ("<urn:service:sos>;tag=1", "1", "", "service"),
        ("<sip:u@h", "", "u", "h"),
        ("*", "", "", ""),
    ],
)
def test_from_value_gives_tag_user_and_host(value, tag, user, host):
    message = sip.parse(with_header(f"From: {value}", "From"))
    assert (message.from_tag, message.from_user, message.from_host) == (tag, user, host)


def test_via_values_joined_by_comma_the_first_is_the_top():
    text = with_header(
        'Via: SIP/2.0/UDP a;x=",";branch=b1, SIP/2.0/TCP b;branch=b2\r\nVia: SIP/2.0/UDP c', "Via"
    )
    message = sip.parse(text)
    assert message.branch == "b1"
    assert [value[-11:] for value in message.values("via")] == ['";branch=b1', "b;branch=b2", "P/2.0/UDP c"]


def test_branch_missing_is_empty_as_from_rfc_2543_senders():
    assert sip.parse(with_header("Via: SIP/2.0/UDP host.example.com", "Via")).branch == ""


def test_identifier_with_bytes_that_are_no_utf8_stays_distinct_and_encodable():
    one, two = (sip.parse(request().replace(b"c1@", byte + b"@")) for byte in (b"\xff", b"\xfe"))
    assert one.call_id != two.call_id
    one.call_id.encode()


def test_header_line_without_colon_spoils_no_neighbour():
    message = sip.parse(request("garbage without colon\r\nSubject: kept\r\n"))
    assert message.header("subject") == "kept"


@pytest.mark.parametrize("count", [1, 40, 46, 47, 48, 49, 50, 51, 200])
def test_header_behind_many_others_is_found(count):
    filler = "".join(f"X-{number}: Subject: no{number}\r\n" for number in range(count))
    message = sip.parse(request(f"S: first\r\n{filler}Subject: second\r\nX-Last: 1\r\nSUBJECT: third\r\n"))
    assert message.headers("subject") == ["first", "second", "third"]
    assert (message.header("x-last"), message.header("x-none")) == ("1", None)


def test_header_absent_is_none_and_empty_list():
    message = sip.parse(request())
    assert (message.header("x-none"), message.headers("x-none"), message.contact) == (None, [], None)
    assert (message.session_seconds, message.replaces, message.refer_to) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1800", 1800),
        ("1800;refresher=uac", 1800),
        ("18 (busy);duration=3600", 18),
        (" 90 ; Refresher = UAS", 90),
        ("x", None),
        ("99999999999999", None),
    ],
)
def test_session_expires_forms(value, expected):
    assert sip.parse(request(f"Session-Expires: {value}\r\n")).session_seconds == expected


def test_replaces_needs_call_id_and_both_tags():
    message = sip.parse(request("Replaces: 98732@h;from-tag=r33th4x0r ;to-tag=ff87ff;early-only\r\n"))
    assert message.replaces == ("98732@h", "ff87ff", "r33th4x0r")
    assert sip.parse(request("Replaces: 98732@h;to-tag=1\r\n")).replaces is None


# Bodies


def test_body_ends_at_content_length():
    assert sip.parse(request(body=b"12345") + b"INVITE next").body == b"12345"


@pytest.mark.parametrize(
    ("value", "body"), [("-5", b"12345"), ("none", b"12345"), ("3", b"123"), ("9", b"12345")]
)
def test_content_length_odd_values(value, body):
    message = sip.parse(request(body=b"12345").replace(b"Length: 5", b"Length: " + value.encode()))
    assert message.body == body
    assert ((message.content_length or 0) > len(message.body)) is (value == "9")


def test_sdp_of_a_multipart_body_is_found_in_any_position_and_depth():
    inner = b"--in\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=deep\r\n--in--\r\n"
    body = (
        b"preamble\r\n--out\r\nContent-Type: text/plain\r\n\r\nhi\r\n"
        b'--out\r\nc: multipart/alternative;\r\n boundary="in"\r\n\r\n' + inner + b"\r\n--out--\r\nepilogue"
    )
    message = sip.parse(request('Content-Type: multipart/mixed; boundary="out"\r\n', body=body))
    assert message.sdp == b"v=0\r\ns=deep"
    assert message.content_type == "multipart/mixed"


def test_sdp_without_content_type_is_believed_when_it_looks_like_one():
    assert sip.parse(request(body=b"v=0\r\n")).sdp == b"v=0\r\n"
    assert sip.parse(request(body=b"hello")).sdp is None
    assert sip.parse(request("Content-Type: text/plain\r\n", body=b"v=0\r\n")).sdp is None
    assert sip.parse(request("Content-Type: Application/SDP;x=y\r\n", body=b"v=0\r\n")).sdp == b"v=0\r\n"


def test_multipart_nested_without_end_is_given_up():
    body = b"".join(
        b"--%d\r\nContent-Type: multipart/mixed;boundary=%d\r\n\r\n" % (level, level + 1)
        for level in range(1200)
    )
    assert sip.parse(request("Content-Type: multipart/mixed;boundary=0\r\n", body=body)).sdp is None


def test_multipart_without_boundary_parameter_is_split_at_its_first_line():
    body = b"--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
    assert sip.parse(request("Content-Type: multipart/mixed\r\n", body=body)).sdp == b"v=0"
    assert sip.parse(request("Content-Type: multipart/mixed\r\n", body=body[2:])).sdp is None


# Cut by the snap length


def test_truncated_in_headers_reads_those_that_are_whole():
    text = request("User-Agent: whole\r\nSubject: cut in the middle\r\n")
    message = sip.parse(text[: text.index(b"the middle")])
    assert (message.header("user-agent"), message.header("subject"), message.body) == ("whole", None, b"")


def test_truncated_before_a_mandatory_header_says_truncated():
    text = request()
    with pytest.raises(WireError) as raised:
        sip.parse(text[: text.index(b"CSeq")])
    assert raised.value.reason is Reason.SIP_TRUNCATED


# RFC 4475: what a listener gets out of each: method, status, Call-ID, from tag, to tag, CSeq


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wsinv", ("INVITE", 0, "wsinv.ndaksdj@192.0.2.1", "98asjd8", "1918181833n", 9)),
        (
            "intmeth",
            ("!interesting-Method0123456789_*+`.%indeed'~", 0, None, "_token~1'+`*%!-.", "", 139122385),
        ),
        ("esc01", ("INVITE", 0, "esc01.239409asdfakjkn23onasd0-3234", "938", "", 234234)),
        (
            "esc02",
            ("RE%47IST%45R", 0, "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf", "f232jadfj23", "", 29344),
        ),
        ("dblreq", ("REGISTER", 0, "dblreq.1234@example.net", "dblreq", "", 7)),
        ("semiuri", ("OPTIONS", 0, "semiuri.1234@example.net", "semiuri", "", 7)),
        ("unreason", ("INVITE", 200, "unreason.1234ksdfak3j2erwedfsASdf", "11141343", "2229", 35)),
        ("noreason", ("INVITE", 100, "noreason.asndj203insdf99223ndf", "39ansfi3", "902jndnke3", 35)),
        ("badinv01", ("INVITE", 0, "badinv01.1234@example.net", "badinv01", "", 7)),
        ("ncl", ("INVITE", 0, "ncl.1234@example.net", "ncl", "", 7)),
        ("quotbal", ("INVITE", 0, "quotbal.1234@example.net", "quotbal", "", 7)),
        ("ltgtruri", ("INVITE", 0, "ltgtruri.1234@example.net", "ltgtruri", "", 7)),
        ("lwsruri", ("INVITE", 0, "lwsruri.1234@example.net", "lwsruri", "", 7)),
        ("lwsstart", ("INVITE", 0, "lwsstart.1234@example.net", "lwsstart", "", 7)),
        ("trws", ("OPTIONS", 0, "trws.1234@example.net", "trws", "", 7)),
        ("baddn", ("OPTIONS", 0, "baddn.1234@example.net", "baddn", "", 7)),
        ("badvers", ("OPTIONS", 0, "badvers.1234@example.net", "badvers", "", 7)),
        ("mismatch01", ("OPTIONS", 0, "mismatch01.1234@example.net", "mismatch01", "", 7)),
        ("multi01", ("INVITE", 0, "multi01.1234@example.net", "multi01", "", 7)),
        ("inv2543", ("INVITE", 0, "inv2543.1717@ift.client.example.com", "", "", 56)),
    ],
)
def test_torture_message_is_tracked(name, expected):
    message = sip.parse(torture(name))
    call_id = message.call_id if expected[2] else None
    found = (message.method, message.status, call_id, message.from_tag, message.to_tag, message.cseq)
    assert found == expected
    assert sip.looks_like_sip(torture(name))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bigcode", Reason.SIP_START_LINE),
        ("scalar02", Reason.SIP_HEADER),
        ("scalarlg", Reason.SIP_HEADER),
        ("insuf", Reason.SIP_MISSING_HEADER),
    ],
)
def test_torture_message_is_rejected(name, reason):
    with pytest.raises(WireError) as raised:
        sip.parse(torture(name))
    assert raised.value.reason is reason


def test_torture_wsinv_details():
    message = sip.parse(torture("wsinv"))
    assert message.branch == "390skdjuw"
    assert len(message.values("via")) == 3
    assert "192.0.2.2" in message.values("via")[0]
    assert message.contact == "sip:jdrosen@example.com"
    assert message.header("newfangledheader") == "newfangled value continued newfangled value"
    assert message.sdp is not None
    assert message.sdp.startswith(b"v=0")


def test_torture_users_are_unescaped_where_printable():
    assert sip.parse(torture("esc01")).to_user == "user"
    assert sip.parse(torture("esc01")).uri_user == "sips:user@example.com"
    assert sip.parse(torture("escnull")).to_user == "null-%00-null"
    assert sip.parse(torture("semiuri")).uri_user == "user;par=u@example.net"


def test_torture_multipart_with_binary_gives_its_sdp():
    assert len(sip.parse(torture("mpart01")).sdp or b"") == 150


def test_torture_content_length_beyond_the_datagram_gives_what_is_there():
    message = sip.parse(torture("clerr"))
    assert (message.content_length or 0) > len(message.body) == 150


# Recognition


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"INVITE sip:a@b SIP/2.0\r\n", True),
        (b"\r\nSIP/2.0 200 OK\r\n", True),
        (b"sip/2.0 100\r\n", True),
        (b"GET / HTTP/1.1\r\n", False),
        (b"\x80\xc8\x00\x06abcd", False),
        (b"\r\n\r\n", False),
        (b"", False),
        (b"SIP/2.0 2000 x", False),
        (b"INVITE sip:a@b", False),
    ],
)
def test_looks_like_sip(data, expected):
    assert sip.looks_like_sip(data) is expected


# Forms that are read by their bytes

LOOKS = re.compile(
    rb"[\r\n]*+(?:SIP/[0-9]\.[0-9] ++[1-6][0-9]{2}(?![0-9])|[A-Za-z0-9.!%*_+`'~-]{1,64}(?= )[^\n]* SIP/)",
    re.IGNORECASE,
)
START_PIECES = [
    b"SIP/2.0",
    b"sip/",
    b" SIP/",
    b" ",
    b"\r\n",
    b"/",
    b"2.0",
    b"200",
    b"7",
    b"\n",
    b"INVITE",
    b"x*" * 31,
    b"a",
    b"\xd3",
]


@given(st.lists(st.sampled_from(START_PIECES) | st.binary(max_size=3), max_size=9).map(b"".join))
@settings(max_examples=examples(1000))
def test_what_looks_like_sip_is_what_the_grammar_says(data):
    assert sip.looks_like_sip(data) == bool(LOOKS.match(data))


@pytest.mark.parametrize("before", [4090, 4091, 4092])
def test_what_looks_like_sip_begins_within_its_first_4096_octets(before):
    line = b"INVITE " + b"a" * (before - 7) + b" SIP/2.0"
    assert sip.looks_like_sip(line) == (before <= 4091)


OTHERS = st.lists(
    st.sampled_from([";epid=1", ";x", ';note="a;tag=no;branch=no"', "; lr", ";tags=no"]), max_size=2
)


@given(
    display=st.sampled_from(["", "Bob ", '"Bob" ', '"a;tag=no" ', '"x > y" ', '"q\\" <" ', "\t"]),
    uri=st.sampled_from(["sip:a@b", "sip:tag@b;tag=no", "sip:a@b;user=phone?x=tag", ""]),
    before=OTHERS.map("".join),
    tag=st.sampled_from(["", ";tag=t1", ";TAG=t1", "; tag = t1", ';tag="t1"', ";tag=t1;tag=t2", " ;tag=t1 "]),
    after=OTHERS.map("".join),
    name=st.sampled_from(["From", "f", "FROM "]),
)
def test_tag_is_found_however_it_is_written(display, uri, before, tag, after, name):
    message = sip.parse(with_header(f"{name}: {display}<{uri}>{before}{tag}{after}", "From"))
    assert message.from_tag == ("t1" if tag else "")
    assert message.header("from") == f"{display}<{uri}>{before}{tag}{after}".strip()


@given(
    before=OTHERS.map("".join),
    branch=st.sampled_from(["", ";branch=z9", ";Branch=z9", "; branch = z9", ';branch="z9"', ";branch=z9 "]),
    after=OTHERS.map("".join),
    more=st.sampled_from(["", ", SIP/2.0/UDP b;branch=no", ',SIP/2.0/UDP b;x="y"']),
)
def test_branch_is_that_of_the_first_via_value(before, branch, after, more):
    message = sip.parse(with_header(f"Via: SIP/2.0/UDP a{before}{branch}{after}{more}", "Via"))
    assert message.branch == ("z9" if branch else "")
    assert message.values("via")[0] == f"SIP/2.0/UDP a{before}{branch}{after}".strip()


START_LINES = [
    "INVITE sip:a@b SIP/2.0", "SIP/2.0 200 OK", "SIP/2.0 180", "SIP/2.0 200OK", "SIP/2.0  486  Busy  Here ",
    "sip/2.0 200 OK", "FOO sip:a SIP/2.0", "BYE  sip:a  SIP/2.0 ", "ACK <sip:a b> SIP/2.0",
    "BYE sip:a sip/2.0", "INVITE  SIP/2.0", "SIP/2.0 099 x", "SIP/2.0 2000 x",
]  # fmt: skip
HEADER_LINES = [
    "Via: SIP/2.0/UDP a;branch=z9", "v:SIP/2.0/UDP b", "From: <sip:a>;tag=1", "f : sip:b;tag=2", "To:",
    "t: <sip:c>", "Call-ID: one", "i:", "I: two", "CSeq: 1 INVITE", "cseq:\t2  BYE", "CSeq: 3\tACK",
    "CSeq: x INVITE", "CSeq: 7 FOO", "Supported: timer", "k: 100rel", "Session-Expires: 1800;refresher=uac",
    "x: 90", "Retry-After: 12345678901", "X-CID: a", "no colon", ": nameless", "Content-Length: 3",
    "\u00a0: x", "To: \u00a0", "Subject: \u00e9\u2028",
]  # fmt: skip
ASKED = [
    "via", "FROM", "to", "t", "Call-ID", "cseq", "supported", "Session-Expires", "X", "retry-after",
    "X-CID", "x-cie", "", "content-length", "l", "subject", "absent",
]  # fmt: skip


def known_of(data):
    """Everything that can be asked of a message but its bytes."""
    try:
        message = sip.parse(data)
    except WireError as error:
        return error.reason
    names = [name for name in dir(message) if not name.startswith("_")]
    values = {
        name: getattr(message, name) for name in names if name not in ("data", "body", "sdp", "truncated")
    }
    headers = {name: (message.header(name), message.headers(name)) for name in ASKED}
    return {name: value for name, value in values.items() if not callable(value)}, headers


@given(start=st.sampled_from(START_LINES), lines=st.permutations(HEADER_LINES), count=st.integers(0, 26))
@settings(max_examples=examples(300), deadline=None)
def test_headers_are_the_same_in_place_and_unfolded(start, lines, count):
    head = "\r\n".join([start, *lines[:count], "Last: x"]) + "\r\n\r\n"
    data = head.encode()
    assert (
        known_of(data)
        == known_of(data.replace(b"\r\n", b"\n"))
        == known_of(data.replace(b" x\r", b"\r\n x\r"))
    )


@given(lines=st.permutations(HEADER_LINES), count=st.integers(0, 26), name=st.sampled_from(ASKED))
@settings(max_examples=examples(300), deadline=None)
def test_header_is_each_line_that_has_its_name(lines, count, name):
    compact = {"v": "via", "f": "from", "t": "to", "i": "call-id", "k": "supported", "l": "content-length"}
    compact |= {"x": "session-expires"}

    def long(text):
        text = text.strip("\0\t ").lower()
        return compact.get(text, text)

    lines = [line for line in lines[:count] if not line.startswith("CSeq")]
    message = sip.parse(request("".join(line + "\r\n" for line in lines)))
    text = message.data.decode().partition("\r\n\r\n")[0].split("\r\n")[1:]
    expected = [
        line.partition(":")[2].strip()
        for line in text
        if ":" in line and long(line.partition(":")[0]) == long(name)
    ]
    assert message.headers(name) == expected
    assert message.header(name) == (expected[0] if expected else None)


# Any bytes


@given(st.binary(max_size=300) | st.sampled_from(sorted(CORPUS.iterdir())).map(Path.read_bytes), st.data())
@settings(max_examples=examples(400), deadline=None)
def test_any_bytes_are_a_message_or_a_wire_error(data, draw):
    for _ in range(draw.draw(st.integers(0, 4))):
        at = draw.draw(st.integers(0, len(data)))
        data = data[:at] + draw.draw(st.binary(max_size=4)) + data[at + draw.draw(st.integers(0, 8)) :]
    sip.looks_like_sip(data)
    try:
        message = sip.parse(data)
    except WireError:
        return
    for name in dir(sip.Message):
        if not name.startswith("_"):
            getattr(message, name)
    message.values("via")


@pytest.mark.parametrize(
    "line",
    [
        "Via: SIP/2.0/UDP a;x=" + '"\\' * 30_000,
        "Via: " + "<" * 60_000,
        "Via: a" + " " * 60_000 + "b",
        "From: " + '"' * 60_001,
        "From: <" + ";tag" * 15_000,
        "To: " + '"\\"' * 20_000 + ",",
        "Call-ID: x\r\n" + " y\r\n" * 15_000,
        "CSeq: 1 " + " " * 60_000 + "INVITE",
    ],
)
def test_hostile_line_of_64_kib_is_read_in_linear_time(line):
    text = with_header(line, line.partition(":")[0])

    def read() -> None:
        sip.looks_like_sip(text)
        with contextlib.suppress(WireError):
            message = sip.parse(text)
            _ = (message.from_user, message.to_user, message.values("via"))

    assert takes_less(1.0, read)


@pytest.mark.parametrize(
    ("cseq", "expected"),
    [
        ("00000000004294967295 INVITE", 4294967295),
        ("4294967296 INVITE", None),
        ("000000000000000000001 INVITE", None),  # more digits than any number needs
        ("99999999999999999999 INVITE", None),
        ("1x INVITE", None),
        ("\u0661 INVITE", None),  # a digit, but not of ASCII
        ("1", None),
    ],
)
def test_cseq_is_a_number_of_32_bits_and_a_method(cseq, expected):
    data = request().replace(b"CSeq: 1 INVITE", f"CSeq: {cseq}".encode())
    if expected is None:
        with pytest.raises(WireError):
            sip.parse(data)
    else:
        assert sip.parse(data).cseq == expected


def test_header_without_a_name_is_found_by_no_other_name():
    message = sip.parse(request(": nameless\r\nSubject: one\r\n"))
    assert (message.header("subject"), message.header("s"), message.header("sub")) == ("one", "one", None)
    assert message.header("") == "nameless"


def test_long_uri_is_read_as_a_short_one():
    user = "u" * 100
    assert sip.parse_uri(f"sip:{user}@Example.com:5070;x") == Uri("sip", user, "example.com", 5070)
    assert sip.parse_uri("sip:u@Example.com:5070;x") == Uri("sip", "u", "example.com", 5070)
