"""Ids that every host finds for itself: of calls, of records, of the key behind them."""

from __future__ import annotations

import uuid
from hashlib import blake2b
from typing import Any

from agent.config.settings import CallSettings, Config, ConnectorSettings, Privacy
from agent.summary.identity import key_id_of
from agent.summary.records import Summary
from tests.kit.conversation import ALICE, BOB, CAROL, VC, Conversation, Heard, sdp

KEY = b"a key that the whole fleet has got"
ENDS = {ALICE: (ALICE, 4000), BOB: (BOB, 7000)}


def bridged(talk: Conversation, *, incoming: bool = True, media: bool = True) -> None:
    """A B2BUA's call: its legs share no Call-ID and no tag, and join by their users."""
    leg = talk.leg(ALICE, VC, call_id="in", from_tag="a")
    out = talk.leg(VC, BOB, call_id="out", from_tag="b")
    if incoming:
        leg.invite(0, sdp=sdp(ALICE, 4000))
    out.invite(0.1, sdp=sdp(VC, 6000))
    out.ok(1, sdp=sdp(BOB, 7000))
    if incoming:
        leg.ok(1.1, sdp=sdp(VC, 5000))
        leg.ack(1.2)
    out.ack(1.2)
    if media:
        talk.rtp(2, (ALICE, 4000), (VC, 5000), seconds=65)
        talk.rtp(2, (BOB, 7000), (VC, 6000), seconds=65, ssrc=8)
    if incoming:
        leg.bye(80)
    out.bye(80.1)


def played(config: Config | None = None, *, key: bytes = KEY, host: str = "sbc-1", **how: Any) -> Heard:
    talk = Conversation(config)
    bridged(talk, **how)
    return talk.play(until=130, key=key, host=host)


def ids(heard: Heard) -> set[Any]:
    return {row["transaction_id"] for row in (*heard.media, *heard.calls, *heard.sip)}


def test_every_record_of_a_call_has_its_transaction_id_host_and_key_id() -> None:
    heard = played()
    (call,) = heard.calls
    assert str(uuid.UUID(call["transaction_id"])) == call["transaction_id"]
    of_call = [row for row in heard.sip if row["call_id"] == "in"]
    assert {row["transaction_id"] for row in (*heard.media, *of_call)} == {call["transaction_id"]}
    rows = [*heard.media, *heard.calls, *heard.sip]
    assert {row["host"] for row in rows} == {"sbc-1"}
    assert {row["key_id"] for row in rows} == {key_id_of(KEY)}


def test_transaction_id_is_of_key_connector_call_id_from_tag_and_cseq_alone() -> None:
    text = b"\0".join((b"default", b"in", b"a", b"1"))
    expected = uuid.UUID(bytes=blake2b(text, key=KEY).digest()[:16])
    assert played().call["transaction_id"] == str(expected)


def test_another_host_finds_the_same_id_by_its_own_part_of_the_call() -> None:
    with_media, without = played(), played(media=False, host="sbc-2")
    assert with_media.call["transaction_id"] == without.call["transaction_id"]
    assert without.call["host"] == "sbc-2"


def test_another_key_or_connector_gives_another_id() -> None:
    other = Config(connectors=[ConnectorSettings(id="trunk", default=True)])
    found = {
        played().call["transaction_id"],
        played(key=KEY[::-1]).call["transaction_id"],
        played(other).call["transaction_id"],
    }
    assert len(found) == 3


def test_challenged_invite_keeps_the_id_of_its_first_one() -> None:
    talk = Conversation()
    leg = talk.leg(ALICE, VC, call_id="in", from_tag="a")
    leg.invite(0)
    leg.respond(0.1, 407)
    leg.ack(0.2, failed=True)
    leg.invite(0.3, cseq=2)
    leg.ok(1)
    leg.ack(1.1)
    leg.bye(2)
    heard = talk.play(until=70, key=KEY)
    assert len(ids(heard)) == 1


def test_messages_of_no_call_have_no_transaction_id() -> None:
    talk = Conversation()
    talk.leg(ALICE, VC).request(0, "OPTIONS", tag="")
    assert [row["transaction_id"] for row in talk.play(until=70).sip] == [None]


def test_media_records_say_start_codec_peer_and_an_id_of_their_own() -> None:
    heard = played()
    first, second = heard.media[:2]
    assert first["start_ts"] == second["start_ts"] == heard.call["invite_ns"] // 1_000_000
    assert first["codec"] == "PCMU"
    assert first["peer_media"] == {"cust": f"{ALICE}:4000", "rem": f"{BOB}:7000"}
    record_ids = [row["record_id"] for row in (*heard.media, *played(host="sbc-2").media)]
    assert len(set(record_ids)) == len(record_ids) == 4
    assert [row["record_id"] for row in played().media] == record_ids[:2]


def test_far_addresses_are_tokens_where_people_are_masked() -> None:
    heard = played(Config(privacy=Privacy(mask_numbers=True)))
    (token, other) = heard.media[0]["peer_media"].values()
    assert token.startswith("n-")
    assert token != other
    assert heard.call["transaction_id"] == played().call["transaction_id"]


def test_masked_ids_without_a_key_are_of_one_run_only() -> None:
    config = Config(privacy=Privacy(mask_numbers=True))
    assert ids(played(config, key=b"")).isdisjoint(ids(played(config, key=b"")))


def test_two_records_of_one_call_in_one_connector_are_told_apart() -> None:
    config = Config(connectors=[ConnectorSettings(id="trunk", default=True)])
    talk = Conversation(config, customers=("192.0.2.0/24", "203.0.113.0/24"))
    call = talk.proxied(ALICE, CAROL)
    call.invite(0)
    call.ok(1)
    for a, b in (((ALICE, 4000), (VC, 5000)), ((CAROL, 7000), (VC, 6000))):
        leg = call.incoming if a[0] == ALICE else call.outgoing
        leg.request(1.2, "INVITE", sdp=sdp(ALICE, 4000) if a[0] == ALICE else sdp(VC, 6000))
        leg.reply(1.3, 200, "INVITE", sdp=sdp(VC, 5000) if a[0] == ALICE else sdp(CAROL, 7000))
        talk.rtp(2, a, b, seconds=5)
    rows = talk.play(until=70, key=KEY).media
    assert len(rows) == 2
    assert len({row["transaction_id"] for row in rows}) == 1
    assert len({row["record_id"] for row in rows}) == 2


def test_later_part_of_a_minute_has_record_ids_of_its_own() -> None:
    row = {"record_id": "r", "part": 0}
    ids_by_part = set()
    for part in range(3):
        summary = Summary(0, 0, True, [], [dict(row)], [], [])
        summary.become_part(part)
        assert summary.media[0]["part"] == summary.part == part
        ids_by_part.add(summary.media[0]["record_id"])
    assert len(ids_by_part) == 3


def test_media_without_signalling_has_an_id_a_pair_of_sockets() -> None:
    talk = Conversation(Config(calls=CallSettings()))
    for port, ssrc in ((4000, 1), (4002, 3)):
        talk.rtp(0, (ALICE, port), (VC, port + 1000), seconds=5, ssrc=ssrc)
        talk.rtp(0, (VC, port + 1000), (ALICE, port), seconds=5, ssrc=ssrc + 1)
    rows = talk.play(until=70, key=KEY).media
    assert len({row["transaction_id"] for row in rows}) == len(rows) == 2
    assert {row["start_ts"] for row in rows} == {None}
