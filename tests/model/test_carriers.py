"""A leg's remote peer and its carrier."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.settings import CarrierSettings, Config
from agent.model.sides import Carrier, Sides
from tests.kit.conversation import ALICE, BOB, BOB2, VC, Conversation, Heard, sdp

CARRIERS = [
    CarrierSettings(id="one", networks=("198.51.100.0/24",), domains=("sip.one.example",)),
    CarrierSettings(id="two", networks=(f"{BOB2}/32",), domains=("sip.two.example",)),
    CarrierSettings(id="named", domains=("SIP.named.example",)),
]
STRANGER = "203.0.113.77"


@pytest.mark.parametrize(
    ("address", "hosts", "carrier"),
    [
        (BOB, (), "one"),
        (BOB2, (), "two"),  # the longest prefix
        (BOB, ("sip.two.example",), "one"),  # anybody can write a host
        (STRANGER, ("", "x.example", "sip.NAMED.example"), "named"),
        (STRANGER, (), ""),
        ("2001:db8::1", (), ""),
    ],
)
def test_carrier_is_by_address_then_by_host(address: str, hosts: tuple[str, ...], carrier: str) -> None:
    rows = [Carrier(c.id, c.networks, c.domains) for c in CARRIERS]
    assert Sides(carriers=rows).carrier(address, hosts) == carrier


def played(talk: Conversation, until: float = 70) -> Heard:
    return talk.play(until=until)


def talk(carriers: list[CarrierSettings] = CARRIERS) -> Conversation:
    return Conversation(Config(carriers=carriers))


def carriers(heard: Heard, name: str) -> dict[str, Any]:
    """A metric by carrier over all minutes."""
    totals: dict[str, Any] = {}
    for summary in heard.summaries:
        for carrier, values in summary.connectors[0].carriers.items():
            totals[carrier] = totals.get(carrier, 0) + (values[name] or 0)
    return totals


def answered(call: Any, at: float, vc_port: int, far: tuple[str, int]) -> None:
    call.outgoing.ok(at, sdp=sdp(*far))
    call.incoming.ok(at + 0.01, sdp=sdp(VC, vc_port - 1000))
    call.ack(at + 0.1)


def test_records_and_metrics_of_a_call_say_whose_it_is() -> None:
    scene = talk()
    call = scene.proxied(ALICE, BOB)
    call.incoming.invite(0, sdp=sdp(ALICE, 4000))
    call.outgoing.invite(0.01, sdp=sdp(VC, 6000))
    answered(call, 1, 6000, (BOB, 7000))
    scene.rtp(2, (BOB, 7000), (VC, 6000), seconds=5)
    heard = played(scene)
    assert heard.call["carrier"] == heard.media[0]["carrier"] == "one"
    assert carriers(heard, "RemoteToVcRtpPackets") == {"": 0, "one": 250, "two": 0, "named": 0}
    assert carriers(heard, "OutboundCallsAnswered") == {"": 0, "one": 1, "two": 0, "named": 0}
    assert carriers(heard, "OutboundCallsActive") == {"": 0, "one": 1, "two": 0, "named": 0}


def test_call_that_hunts_belongs_to_the_carrier_that_answers_and_each_keeps_its_packets() -> None:
    scene = talk()
    incoming = scene.leg(ALICE, VC, call_id="in", from_tag="a")
    first = scene.leg(VC, BOB, call_id="o1", from_tag="b")
    second = scene.leg(VC, BOB2, call_id="o2", from_tag="c")
    incoming.invite(0, sdp=sdp(ALICE, 4000))
    first.invite(0.1, sdp=sdp(VC, 6000))
    first.respond(0.5, 183, sdp=sdp(BOB, 7000))
    scene.rtp(0.6, (BOB, 7000), (VC, 6000), seconds=2)
    first.respond(3, 503)
    second.invite(3.1, sdp=sdp(VC, 6002))
    second.ok(4, sdp=sdp(BOB2, 7002))
    incoming.ok(4.1, sdp=sdp(VC, 5000))
    incoming.ack(4.2)
    second.ack(4.2)
    scene.rtp(5, (BOB2, 7002), (VC, 6002), seconds=4, ssrc=9)
    heard = played(scene)
    assert heard.call["carrier"] == "two"
    assert carriers(heard, "RemoteToVcRtpPackets") == {"": 0, "one": 100, "two": 200, "named": 0}
    assert heard.total("RemoteToVcRtpPackets") == 300


def test_failed_call_belongs_to_the_last_carrier_tried() -> None:
    scene = talk()
    call = scene.proxied(ALICE, BOB2)
    call.invite(0)
    call.respond(1, 503)
    heard = played(scene)
    assert heard.call["carrier"] == "two"
    assert carriers(heard, "OutboundCallFailures") == {"": 0, "one": 0, "two": 1, "named": 0}


def test_call_from_an_unknown_address_is_named_by_its_from_host() -> None:
    scene = talk()
    leg = scene.leg(STRANGER, VC, from_host="sip.named.example")
    leg.invite(0)
    leg.respond(1, 404)
    assert played(scene).call["carrier"] == "named"


def test_without_carriers_nothing_is_split_and_records_say_null() -> None:
    scene = talk([])
    call = scene.proxied(ALICE, BOB)
    call.invite(0)
    call.respond(1, 503)
    heard = played(scene)
    assert heard.call["carrier"] is None
    assert heard.connector().carriers == {}


def test_what_is_unknown_of_the_connector_is_unknown_of_every_carrier() -> None:
    scene = talk()
    scene.rtp(1, (BOB, 7000), (VC, 6000), seconds=2)  # belongs to nobody
    heard = played(scene)
    assert heard.value("RemoteToVcRtpPackets") is None
    assert {v["RemoteToVcRtpPackets"] for v in heard.connector().carriers.values()} == {None}
