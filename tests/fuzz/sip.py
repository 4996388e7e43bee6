"""Any bytes are a SIP message or a WireError, and nothing else.

Of a message every attribute can be read, identifiers are text that any log or JSON takes, bytes beyond
Content-Length change nothing, and its text for the log is redacted once and for all.
"""

from __future__ import annotations

import json

import atheris

with atheris.instrument_imports(include=["agent.wire", "agent.summary"]):
    from agent.summary.redaction import Redaction
    from agent.wire import sip
    from agent.wire.sip import quality_report

from agent.errors import WireError

REDACTION = Redaction()
READ = (
    "from_user", "from_host", "to_user", "to_host", "uri_user", "uri_host", "contact", "refer_to",
    "session_seconds", "replaces", "content_type", "content_length",
)  # fmt: skip


def check(data: bytes) -> None:
    sip.looks_like_sip(data)
    text = REDACTION.text(data)
    assert REDACTION.text(text.encode()) == text
    try:
        message = sip.parse(data)
    except WireError:
        return
    identity = (message.method, message.call_id, message.from_tag, message.to_tag, message.branch)
    json.dumps([getattr(message, name) for name in READ] + list(identity), ensure_ascii=False).encode()
    assert message.call_id
    assert message.is_request == (message.status == 0)
    assert message.status == 0 or 100 <= message.status <= 699
    assert 0 <= message.cseq <= 0xFFFF_FFFF
    assert len(message.body) <= len(data)
    assert message.sdp is None or len(message.sdp) <= len(message.body)
    for name in ("via", "contact", "refer-to"):
        message.values(name)
    for name in quality_report.HEADERS[:2]:
        if value := message.header(name):
            quality_report.rtp_stat(value)
    quality_report.parse(message.body)
    if message.content_length == len(message.body):
        again = sip.parse(data + b"INVITE trailing\r\n\r\n")
        assert (again.body, again.call_id, again.cseq) == (message.body, message.call_id, message.cseq)


if __name__ == "__main__":
    from tests.fuzz.run import run

    run("sip", check)
