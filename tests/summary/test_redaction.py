"""The SIP log is the whole message less its secrets, however they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.summary.redaction import Redaction
from agent.summary.secret_names import SECRET_HEADERS
from agent.summary.secret_removal import REMOVED, SecretRemoval
from tests.kit.cpu_time import takes_less
from tests.kit.examples import examples

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "sip"
REDACTION = Redaction()
SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)


def message(
    *headers: str, body: str = "", kind: str = "", start: str = "INVITE sip:bob@example.com SIP/2.0"
) -> str:
    lines = [
        start,
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport",
        'From: "Alice" <sip:alice@example.com:5060;transport=udp>;tag=a1',
        "To: <sip:bob@example.com>",
        "Call-ID: c1@192.0.2.1",
        "CSeq: 1 INVITE",
        *headers,
        *([f"Content-Type: {kind}"] if kind else []),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def logged(text: str, redaction: Redaction = REDACTION) -> str:
    shown = redaction.text(text.encode("latin-1"))
    assert redaction.text(shown.encode()) == shown, "twice is another than once"
    return shown


@pytest.mark.parametrize(
    "text",
    [
        message(),
        message(body=SDP, kind="application/sdp"),
        message("P-Asserted-Identity: <tel:+1555>", "Allow: INVITE", body=SDP, kind="application/sdp"),
        message("Subject: a folded\r\n  one: with a colon", "X-Author: kept"),
        message('WWW-Authenticate: Digest realm="x", qop="auth"', start="SIP/2.0 401 Unauthorized"),
        message("Contact: <sip:[2001:db8::1]:5060>, <sip:h:5060;lr>, <sip:h?Replaces=a%40b%3Bto-tag%3D1>"),
        message("Refer-To: <sip:bob@h?Replaces=a%40b>", "History-Info: <sip:a@h?Reason=SIP%3Bcause%3D302>"),
        message("Subject: Authorization: no header", "User-Agent: Ring 1.0 (token)"),
        message(body="SIP/2.0 200 OK\r\n", kind="message/sipfrag;version=2.0"),
        message(body="VQSessionReport: CallTerm\r\nLocalMetrics:\r\nQualityEst:MOSLQ=4.2\r\n",
                kind="application/vq-rtcpxr"),
        message(body=f'--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--\r\n',
                kind='multipart/mixed;boundary="b"'),
        message(body=SDP + "a=setup:active\r\n", kind="application/sdp"),
    ],
)  # fmt: skip
def test_message_without_secrets_stays_as_it_is(text: str) -> None:
    assert logged(text) == text


def test_octets_that_are_no_utf8_are_replaced_and_names_in_utf8_stay() -> None:
    assert "\r\nSubject: \ufffd\r\n" in REDACTION.text(message("Subject: \xff").encode("latin-1"))
    named = message().replace("Alice", "Zoë")
    assert REDACTION.text(named.encode()) == named


DIGEST = 'Digest username="SECRET", response="SECRET", uri="sip:SECRET"'


@pytest.mark.parametrize(
    "line",
    [
        f"Authorization: {DIGEST}",
        f"authorization:{DIGEST}",
        f"PROXY-AUTHORIZATION \t: {DIGEST}",
        f"Authentication-Info: rspauth={DIGEST}",
        f"Proxy-Authentication-Info: rspauth={DIGEST}",
        f"Authorization\r\n : {DIGEST}",
        f"Authorization\r\n \r\n\t: {DIGEST}",
        f"Authorization\r: {DIGEST}",
        f"Authorization:\r\n {DIGEST}",
        "Authorization: Digest\r\n\tSECRET,\r\n SECRET: SECRET\r\n  SECRET",
        f"Authorization\xa0: {DIGEST}",
        f"Authorization\xc2\xa0: {DIGEST}",
        f"\xc2\xa0Authorization: {DIGEST}",
        f"\xa0 Authorization: {DIGEST}",
        f" Authorization: {DIGEST}",
        f"\x00Author\x00ization: {DIGEST}",
        f"Author\xe2\x80\x8bization: {DIGEST}",
        f"Subject: x\rAuthorization: {DIGEST}",
        f"Subject: x\nAuthorization: {DIGEST}\nX: y",
        "Authorization: Digest x\rSECRET\rSECRET: SECRET",
        "Authorization: Digest x,\r\n\xa0SECRET=SECRET",
        'Authorization: Digest x,\r\nSECRET="SECRET", uri="sip:SECRET"',
        f"X: y\r\r\nAuthorization: {DIGEST}\r\r\nX: z",
        'Identity: "SECRET=="',
        "y: eyJhbGciOiJFUzI1NiJ9.eyJvcmlnIjp7fX0.SECRET;info=<https://c.example/x.pem>;ppt=shaken",
        "Identity: ..SECRET;info=<https://c.example/x.pem>, a.b.SECRET;info=<https://c.example/x.pem>",
        "Identity: SECRET\r\n SECRET;info=<https://c.example/x>",
        "Contact: <sip:alice:SECRET@h>",
        "Contact: sip:alice:SECRET@h:5060;expires=60",
        "Refer-To: <sips:alice:SECRET@h;transport=tls>",
        "Route: <sip:h;lr>,<sip:p:SECRET@SECRET@h;lr>",
        "Route: <sip:alice:SEC RET SECRET@h;lr>",
        "Route: <sip:alice:\r\n SECRET@h;lr>",
        "Referred-By: <sip:b@h?Referred-By=%3Csip%3Ac%3ASECRET%40d%3E>",
        "Refer-To: <sip:b@h?Authorization=Digest%20SECRET&Subject=x>",
        "Refer-To: <sip:b@h?Proxy%2DAuthorization=SECRET>",
        "Refer-To: <sip:b@h?Subject=x&body=SECRET>",
        "Refer-To: <sip:b@h?Refer-To=%3Csip%3Ac%40d%3FAuthorization%3DSECRET%3E>",
        "Call-Info: <https://user:SECRET@h/x@y:z>;purpose=icon",
        "Alert-Info: <http://user:SECRET@h>,<sip:a:SECRET@h>",
        "Contact: <sip:alice@h;auth=SECRET>;q=1",
        'Contact: <sip:alice@h>;token="SECRET \\" SECRET";q=1',
        "Call-Info: <https://h/x?access_token=SECRET&x=y>",
        "Contact: sip:\xc3\xa0:\xc3\xa0SECRET@h",
        "Contact: <sip:alice@h;auth=\xc3\xa0SECRET>",
        # Names that say so, whoever made them up.
        "X-Auth-Token: SECRET",
        "X-API-Key : SECRET",
        "Cookie: a=SECRET",
        "P-Media-Authorization: SECRET",
        f"Proxy_Authorization: {DIGEST}",
        f"X-Authorization:\r\n {DIGEST}",
        "Contact: <sip:alice@h;access-token=SECRET;x-client-secret=SECRET>",
        "Contact: <sip:alice@h;pn-provider=apns;pn-prid=SECRET>",
        "Contact: <sip:alice@h;%74oken=SECRET>",
        "Contact: <sip:alice@h>;token\r\n =\r\n SECRET",
        "Call-Info: <https://h/x?X-Amz-Credential=SECRET&X-Amz-Signature=SECRET>",
        "Call-Info: <https://h/x#token=SECRET>",
        # Credentials in another header.
        'X-Copy: Digest realm="x", response="SECRET"',
        'X-Copy: Authorization: Digest realm="x",response = SECRET',
        "X-Copy: Bearer SECRET",
        'WWW-Authenticate: Digest realm="x", nonce="n", ik="SECRET", ck="SECRET"',
        "Author\r\n ization: Digest SECRET",
        # URIs.
        "Contact: <sip :alice:SECRET@h>",
        "X: sip%3Aalice%3ASECRET%40h",
        "Refer-To: <sip:b@h?Authorization%3DSECRET>",
        "Refer-To: <sip:b@h?Authorization:SECRET>",
        "Refer-To: <sip:b@h?a=b;Authorization=SECRET>",
        'Refer-To: sip:b@h?Authorization="x SECRET"',
        "Refer-To: <sip:b@h?X-Token=SECRET>",
    ],
)  # fmt: skip
def test_secret_of_a_header_is_removed(line: str) -> None:
    shown = logged(message(line, "Subject: kept"))
    assert "SECRET" not in shown
    assert shown.startswith("INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch")
    assert shown.endswith("Subject: kept\r\nContent-Length: 0\r\n\r\n")


def test_what_is_no_secret_stays_beside_it() -> None:
    shown = logged(
        message(
            "Authorization: Digest x",
            "Identity: aa.bb.cc;info=<https://c.example/x.pem>;ppt=shaken",
            "Refer-To: <sip:bob:pw@h;user=phone?Subject=x&Authorization=y>;q=1",
            start="REGISTER sip:alice:pw@example.com SIP/2.0",
        )
    )
    assert shown.startswith("REGISTER sip:alice:***@example.com SIP/2.0\r\n")
    assert "\r\nAuthorization: <removed>\r\n" in shown
    assert "\r\nIdentity: aa.bb.<removed>;info=<https://c.example/x.pem>;ppt=shaken\r\n" in shown
    assert "\r\nRefer-To: <sip:bob:***@h;user=phone?Subject=x&Authorization=***>;q=1\r\n" in shown


@pytest.mark.parametrize(
    ("line", "stays"),
    [
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:SECRET|2^20|1:4 FEC_KEY=inline:SECRET",
         "a=crypto:1 AES_CM_128_HMAC_SHA1_80 <removed>"),
        ("a=crypto:1 AES_CM_128\tinline:SECRET", "a=crypto:1 AES_CM_128\t<removed>"),
        (" A = Crypto : 1 AES inline:SECRET", " A = Crypto : 1 AES <removed>"),
        ("a=cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 inline:SECRET",
         "a=cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 <removed>"),
        ("a=crypto:SECRET", "a=crypto:<removed>"),
        ("a=acap:1 crypto:1 AES inline:SECRET", "a=acap:1 crypto:1 AES <removed>"),
        ("a=acap:2 key-mgmt:mikey SECRET", "a=acap:2 key-mgmt:<removed>"),
        ("k=clear:SECRET", "k=<removed>"),
        ("K = base64:SECRET", "K =<removed>"),
        ("a=key-mgmt:mikey SECRET", "a=key-mgmt:<removed>"),
        ("a=ice-pwd:SECRET", "a=ice-pwd:<removed>"),
        ("a=ice-pwd: SECRET", "a=ice-pwd:<removed>"),
        ("a=candidate:1 1 SECRET UDP 0.83 192.0.2.1 4000", "a=candidate:1 1 <removed>"),
        ("a=x-thing:inline:SECRET", "a=x-thing:inline:<removed>"),
        ("u=https://user:SECRET@h/", "u=https://user:***@h/"),
        ("a=ice-pwd=SECRET", "a=ice-pwd=<removed>"),
        ("a=ice-pwd SECRET", "a=ice-pwd <removed>"),
        ("a=ice\x00-pwd:SECRET", "a=ice-pwd:<removed>"),
        ("\xa0a=\xc2\xa0crypto:1 A inline:SECRET", "a=crypto:1 A <removed>"),
        ("a=srtp-key:SECRET", "a=srtp-key:<removed>"),
        ("a=x-credential:SECRET", "a=x-credential:<removed>"),
        ("a=identity:SECRET", "a=identity:<removed>"),
        ("a=cpar: a=ice-pwd:SECRET", "a=cpar: a=ice-pwd:<removed>"),
        ("a=cparmin:k=clear:SECRET", "a=cparmin:k=<removed>"),
        ("SECRET", "<removed>"),
        ("Authorization: SECRET", "<removed>"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_secret_of_a_session_description_is_removed(line: str, stays: str, end: str) -> None:
    body = SDP.replace("\r\n", end)
    shown = logged(message(body=f"{body}{line}{end}a=ptime:20{end}", kind="application/sdp"))
    assert shown.endswith(f"\r\n\r\n{body}{stays}{end}a=ptime:20{end}")


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host",
        "a=fingerprint:sha-256 AB:CD",
        "a=ice-ufrag:x",
    ],
)
def test_public_lines_of_a_session_description_stay(line: str) -> None:
    text = message(body=f"{SDP}{line}\r\na=ice-pwd:x\r\n", kind="application/sdp")
    assert logged(text) == text.replace("pwd:x", f"pwd:{REMOVED}")


@pytest.mark.parametrize(
    ("kind", "body", "removed"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "application/dtmf-relay, 24 bytes"),
        ("application/dtmf", "5", "application/dtmf, 1 bytes"),
        ("TEXT/plain;charset=utf-8", "Signal", "text/plain, 6 bytes"),
        ("application/pidf+xml", "<x>Signal</x>", "application/pidf+xml, 13 bytes"),
        ("", "Signal", "unknown, 6 bytes"),
        ("<Signal>", "Signal", "unknown, 6 bytes"),
        ("application/sdp", "Signal=5\r\n", "application/sdp, 10 bytes"),
        ("application/sdp\r\nContent-Type: text/plain", SDP + "s=Signal", None),
        ("application/sdp\r\nc: text/plain", SDP + "s=Signal", None),
        ("multipart/mixed", "Signal", "multipart/mixed, 6 bytes"),
        ("multipart/mixed;boundary=b", "Signal", None),
        ("\xa0application/dtmf-relay", "Signal=5", None),
    ],
)
def test_body_that_is_no_signalling_is_replaced_by_its_type_and_length(
    kind: str, body: str, removed: str | None
) -> None:
    shown = logged(message(body=body, kind=kind)).partition("\r\n\r\n")[2]
    assert re.fullmatch(r"<removed [a-z+/-]+, \d+ bytes>(\r\n)?", shown), shown
    if removed is not None:
        assert shown.strip() == f"<removed {removed}>"


def test_parts_of_multipart_are_each_by_their_own_type_nested_too() -> None:
    inner = (
        "--in\r\nContent-Type: text/plain\r\n\r\nSECRET\r\n"
        f"--in\r\nc: application/sdp\r\n\r\n{SDP}k=SECRET\r\n\r\n--in--"
    )
    body = (
        "SECRET before\r\n--out \r\nContent-Type: multipart/alternative;\r\n boundary=in\r\n\r\n"
        + inner
        + "\r\n"
        "--out\r\nContent-Type: application/pidf+xml\r\nAuthorization: SECRET\r\n\r\n<SECRET/>\r\n"
        "--out\r\n\r\nSECRET: of no type\r\n"
        "--out\r\nContent-Type: message/sipfrag\r\n\r\nINVITE sip:a:SECRET@h SIP/2.0\r\n"
        "Proxy-Authorization: SECRET\r\n\r\n"
        "--out--\r\nSECRET after"
    )
    shown = logged(message(body=body, kind='multipart/mixed; boundary="out"'))
    assert "SECRET" not in shown
    assert SDP + "k=<removed>\r\n" in shown
    assert "INVITE sip:a:***@h SIP/2.0\r\nProxy-Authorization: <removed>\r\n" in shown
    assert "\r\n\r\n<removed application/pidf+xml, 9 bytes>\r\n--out\r\n" in shown
    assert shown.count("<removed text/plain, 6 bytes>") == 1


@pytest.mark.parametrize(
    ("header", "stays"),
    [
        ("Content-Transfer-Encoding: quoted-printable", False),
        ("Content-Transfer-Encoding : BASE64", False),
        ("Content-Encoding: gzip", False),
        ("e: deflate", False),
        ("Content-Transfer-Encoding: 8BIT", True),
        ("Content-Encoding: identity", True),
    ],
)
def test_body_that_is_encoded_is_removed_for_nobody_looked_into_it(header: str, stays: bool) -> None:
    body = f"{SDP}a=ic=65-pwd:SECRET\r\n"
    part = f"--b\r\nContent-Type: application/sdp\r\n{header}\r\n\r\n{body}\r\n--b--\r\n"
    for shown in (
        logged(message(header, body=body, kind="application/sdp")),
        logged(message(body=part, kind="multipart/mixed;boundary=b")),
    ):
        assert ("SECRET" in shown) is stays
        assert (f"<removed application/sdp, {len(body)} bytes>" in shown) is not stays


def test_configured_header_is_removed_in_a_uri_too() -> None:
    redaction = Redaction("redacted", ("P-Asserted-Identity",))
    shown = logged(message("Refer-To: <sip:b@h?P-Asserted-Identity=SECRET&Subject=x>"), redaction)
    assert "<sip:b@h?P-Asserted-Identity=***&Subject=x>" in shown


def test_depth_of_nesting_is_bounded() -> None:
    body = "SECRET"
    for _ in range(200):
        body = f"Content-Type: message/sipfrag\r\n\r\n{body}"
    assert "SECRET" not in logged(message(body=body, kind="message/sipfrag"))


def test_message_cut_by_the_snap_length_leaves_nothing_of_a_secret() -> None:
    whole = message(f"Authorization: {DIGEST}", body=f"{SDP}a=ice-pwd:SECRET\r\n", kind="application/sdp")
    for size in range(20, len(whole)):
        assert "SECR" not in logged(whole[:size])


@pytest.mark.parametrize("uri", ["<sip:alice:SECRET@h>", "sip:alice:SECRET@h", "<https://alice:SECRET@h>"])
def test_password_before_the_at_that_the_snap_length_cut_is_removed(uri: str) -> None:
    whole = message(f"Contact: {uri}")
    at = whole.index("SECRET")
    for size in range(at + 1, len(whole[:at]) + 7):
        shown = logged(whole[:size])
        assert shown.endswith("alice:***")


def test_configured_headers_are_removed_in_any_spelling() -> None:
    redaction = Redaction("redacted", ("Subject", "P-Asserted-Identity", "f"))
    shown = logged(message("s: SECRET", "subJECT : SECRET", "P-Asserted-Identity: <tel:SECRET>"), redaction)
    assert "SECRET" not in shown
    assert "Alice" not in shown
    assert "\r\ns: <removed>\r\n" in shown


def test_headers_alone_and_whole_messages_can_be_chosen() -> None:
    text = message("Authorization: SECRET", body=SDP, kind="application/sdp")
    headers = logged(text, Redaction("headers"))
    assert headers.endswith(f"\r\n\r\n<removed application/sdp, {len(SDP)} bytes>")
    assert "Authorization: <removed>" in headers
    assert logged(text, Redaction("whole")) == text
    plain = message(body=SDP, kind="application/sdp")
    assert logged(plain, Redaction("headers")).endswith(" bytes>")


PIECES = [
    "sip:", "@", ":", "a", "<", ">", ";token=", "?", "&body=", "%3a", "%40", "\r", "\n", "\r\n", " ",
    "\t", "\xa0", '"',
    "Authorization", "Identity", "y", "Content-Type", "application/sdp", "text/plain",
    "multipart/mixed;boundary=b",
    "--b", "v=0", "k=", "a=crypto:1 A ", "inline:", "https://", "/", "[", "]", "5060", ".", ",", "=",
    "INVITE x SIP/2.0",
    "message/sipfrag",
]  # fmt: skip


@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.booleans(), st.sampled_from(["", *PIECES])
)
@settings(max_examples=examples(600), deadline=None)
def test_short_cut_changes_no_text(piece: str, is_body: bool, kind: str) -> None:
    """What the first look calls plain has nothing to remove; and redacted twice is as redacted once."""
    text = message(body=piece, kind=kind) if is_body else message(f"X: {piece}")
    data = text.encode("latin-1")
    if REDACTION._first_look.is_plain(data):
        assert SecretRemoval({*SECRET_HEADERS}).text(data) == data.decode("utf-8", "replace")
    shown = REDACTION.text(data)
    assert REDACTION.text(shown.encode()) == shown


@given(st.sampled_from(sorted(CORPUS.iterdir())).map(Path.read_bytes), st.data())
@settings(max_examples=examples(300), deadline=None)
def test_any_octets_are_shown_and_twice_is_as_once(data: bytes, draw: st.DataObject) -> None:
    for _ in range(draw.draw(st.integers(0, 4))):
        at = draw.draw(st.integers(0, len(data)))
        data = data[:at] + draw.draw(st.binary(max_size=4)) + data[at + draw.draw(st.integers(0, 8)) :]
    shown = REDACTION.text(data)
    assert REDACTION.text(shown.encode()) == shown


@pytest.mark.parametrize("place", ["X: {}", "Identity: {}", "Content-Type: {}", "{}", "\r\n{}"])
@pytest.mark.parametrize(
    "piece", [*PIECES, "sip:a:", "<sip:", "sip:a@", "\r\n ", "a?b=c&", '\\"', ';token="', "%253a", "a=a:1 "]
)
def test_hostile_message_of_64_kib_takes_linear_time(place: str, piece: str) -> None:
    data = message(place.format(piece * (65_000 // len(piece))), "Authorization: x").encode("latin-1")
    assert takes_less(0.5, lambda: REDACTION.text(data))
