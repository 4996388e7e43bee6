"""The search box: words of a person become conditions on calls."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.store.call_query import CallQuery
from agent.web.searching import understand

NOW = datetime(2026, 11, 29, 16, 0, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def found(text: str) -> dict[str, Any]:
    """The conditions that differ from a query's defaults."""
    query, plain = understand(text, CallQuery(), NOW_NS).query, CallQuery()
    names = CallQuery.__struct_fields__
    return {name: getattr(query, name) for name in names if getattr(query, name) != getattr(plain, name)}


MINUTE = {"since_ns": at("2026-11-29T15:42"), "until_ns": at("2026-11-29T15:43")}
HOUR_BEFORE = {"since_ns": at("2026-11-28T15:00"), "until_ns": at("2026-11-28T15:01")}
RANGE = {"since_ns": at("2026-11-29T15:40"), "until_ns": at("2026-11-29T15:46")}
PAIR = {"number": "+442079460110", "other_number": "+12065550110"}
SECOND = {"since_ns": at("2026-11-29T15:42:20"), "until_ns": at("2026-11-29T15:42:21")}


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", {}),
        ("0110", {"number": "0110"}),
        ("...0110", {"number": "0110"}),
        ("\u20260110", {"number": "0110"}),
        ("+44 20 7946 0110", {"number": "+442079460110"}),
        ("(020) 7946-0110", {"number": "02079460110"}),
        ("n-0123456789ab", {"number": "n-0123456789ab"}),
        ("alice", {"number": "alice"}),
        ("15:42", MINUTE),
        ("15:42:20", SECOND),
        ("16:30", {"since_ns": at("2026-11-28T16:30"), "until_ns": at("2026-11-28T16:31")}),
        ("2026-11-28", {"since_ns": at("2026-11-28"), "until_ns": at("2026-11-29")}),
        ("2026-11-28 15:42", {"since_ns": at("2026-11-28T15:42"), "until_ns": at("2026-11-28T15:43")}),
        ("2026-11-28T15:42Z", {"since_ns": at("2026-11-28T15:42"), "until_ns": at("2026-11-28T15:43")}),
        ("2h", {"since_ns": at("2026-11-29T14:00")}),
        ("198.51.100.7", {"address": "198.51.100.7"}),
        ("2001:db8:0::1", {"address": "2001:db8::1"}),
        ("[2001:db8::1]", {"address": "2001:db8::1"}),
        ("one_way_audio", {"flags": ("one_way_audio",)}),
        ("flag:held dead_air", {"flags": ("held", "dead_air")}),
        ("mos<3.5", {"worse_than": 3.5}),
        ("loss>2%", {"loss_over": 0.02}),
        ("status:486", {"status": 486}),
        ("connector:trunk-berlin carrier:acme", {"connector": "trunk-berlin", "carrier": "acme"}),
        ("live", {"live": True}),
        ("c92938e13da25690", {"call_id": "c92938e13da25690"}),
        ("3848276298220188511@atlanta.example.com", {"call_id": "3848276298220188511@atlanta.example.com"}),
        ("!!:XLFVo1N8M16LMl6VZ1X3NC**", {"call_id": "!!:XLFVo1N8M16LMl6VZ1X3NC**"}),
        ("the call from ...0110 at 15:42 was choppy", {"number": "0110", **MINUTE}),
        ("call from 020 7946 0110 yesterday 3pm", {"number": "02079460110", **HOUR_BEFORE}),
        ("+44 (0)20 7946-0110", {"number": "+442079460110"}),
        ("\u202a+44\u201120\u20117946\u20110110\u202c", {"number": "+442079460110"}),
        ("tel:+442079460110", {"number": "+442079460110"}),
        ("<sip:0110@10.10.0.1;user=phone>", {"number": "0110"}),
        ("from +442079460110 to +12065550110", PAIR),
        ("+442079460110 \u2192 +12065550110", PAIR),
        ("from:+442079460110 to: +12065550110", PAIR),
        ("2 calls from 0110", {"number": "0110"}),
        ("0110 at 1542", {"number": "0110", **MINUTE}),
        ("3:42 p.m.", MINUTE),
        ("15:42Z", MINUTE),
        ("15:42 UTC", MINUTE),
        ("2026-11-29T15:42:20.5+00:00", SECOND),
        ("2026-11-29T17:42:20+02:00", SECOND),
        ("29.11.2026 15:42", MINUTE),
        ("29 Nov 15:42", MINUTE),
        ("15:42 on Nov 29th", MINUTE),
        ("15:42 today", MINUTE),
        ("yesterday", {"since_ns": at("2026-11-28"), "until_ns": at("2026-11-29")}),
        ("between 15:40 and 15:45", RANGE),
        ("15:40\u201315:45", RANGE),
        ("since 15:42", {"since_ns": MINUTE["since_ns"]}),
        ("before 15:42", {"until_ns": MINUTE["since_ns"]}),
        ("23:50 to 00:10", {"since_ns": at("2026-11-28T23:50"), "until_ns": at("2026-11-29T00:11")}),
        ("in the last 2 hours", {"since_ns": at("2026-11-29T14:00")}),
        ("120 minutes ago", {"since_ns": at("2026-11-29T14:00")}),
        ("one-way audio", {"flags": ("one_way_audio",)}),
        ("flag: one way audio", {"flags": ("one_way_audio",)}),
        ("MOS < 3,5", {"worse_than": 3.5}),
        ("loss > 2 %", {"loss_over": 0.02}),
        ("call-id: abc@host", {"call_id": "abc@host"}),
        ("[2001:db8::7]:5060", {"address": "2001:db8::7"}),
        ("198.51.100.7:5060", {"address": "198.51.100.7"}),
        ("::ffff:198.51.100.7", {"address": "198.51.100.7"}),
        ("Marcus 12@host", {"call_id": "12@host"}),
        ("3pm-0110@host", {"call_id": "3pm-0110@host"}),
        ("0110 15:42 one_way_audio", {"number": "0110", "flags": ("one_way_audio",), **MINUTE}),
    ],
)
def test_text_becomes_conditions(text: str, conditions: dict[str, Any]) -> None:
    assert found(text) == conditions


@pytest.mark.parametrize(
    "text",
    ["99:99", "2026-13-40", "9999-99-99T99:99", "status:x", "address:x", "\x1b[2J", "\u202e", "%", "'"],
)
def test_text_that_is_nothing_is_no_error(text: str) -> None:
    assert understand(text, CallQuery(), NOW_NS)


def test_words_that_say_nothing_are_named() -> None:
    assert understand("call from 0110 choppy", CallQuery(), NOW_NS).ignored == ["call", "from", "choppy"]


@pytest.mark.parametrize("text", ["2026-11-31", "9999-12-31", "28/11/2026", "198.51.100.0/24"])
def test_word_that_nobody_can_take_is_named_and_no_number(text: str) -> None:
    understood = understand(f"0110 {text}", CallQuery(), NOW_NS)
    assert understood.ignored == [text]
    assert understood.query.number == "0110"


def test_words_beside_a_time_are_used() -> None:
    assert not understand("0110 between 15:40 and 15:45", CallQuery(), NOW_NS).ignored


def test_span_over_midnight_names_both_days() -> None:
    assert understand("23:50 to 00:10", CallQuery(), NOW_NS).words == [
        "up from 2026-11-28 23:50:00 to 2026-11-29 00:11:00 UTC"
    ]


def test_words_say_what_was_looked_for() -> None:
    words = understand("0110 15:42", CallQuery(), NOW_NS).words
    assert words == ["number ending in 0110", "up at 2026-11-29 15:42 UTC"]


def test_span_of_the_query_stays_where_the_text_names_none() -> None:
    query = CallQuery(since_ns=at("2026-11-29T15:00"), until_ns=at("2026-11-29T16:00"))
    found = understand("0110", query, NOW_NS)
    assert (found.query.since_ns, found.query.until_ns) == (query.since_ns, query.until_ns)
    assert found.words == ["number ending in 0110"]
