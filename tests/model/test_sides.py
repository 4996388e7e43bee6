"""Who is who, and whose a leg is."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.settings import Config, ConnectorSettings, Vc
from agent.model.sides import ONLY, UNASSIGNED, Connector, Sides
from tests.kit.conversation import ALICE, BOB, CAROL, VC, Conversation, sdp

A = Connector("vc-a", domains=("a.example.org",), customer_networks=("192.0.2.0/24",))
B = Connector("vc-b", customer_networks=("192.0.2.128/25", "2001:db8::/32"))


def test_vc_wins_then_the_longest_customer_prefix_and_the_rest_is_remote() -> None:
    sides = Sides(["192.0.2.1"], [A, B])
    assert sides.side("192.0.2.1") == "vc"
    assert (sides.side("192.0.2.10"), sides.by_peer("192.0.2.10")) == ("customer", A)
    assert (sides.side("192.0.2.200"), sides.by_peer("192.0.2.200")) == ("customer", B)
    assert sides.by_peer("2001:db8::1") == B
    assert (sides.side("198.51.100.1"), sides.by_peer("198.51.100.1")) == ("remote", None)


def test_without_a_vc_address_sides_are_unknown() -> None:
    assert Sides([], [A]).side("192.0.2.10") is None
    assert not Sides([], [A]).known


def test_without_connectors_there_is_one_named_default() -> None:
    assert Sides(["10.0.0.1"]).connectors == (ONLY,)
    assert Sides(["10.0.0.1"]).fallback == ONLY


def test_without_a_default_connector_the_rest_is_unassigned() -> None:
    assert Sides(["10.0.0.1"], [A]).fallback == UNASSIGNED


def test_domains_name_a_connector_in_any_case_and_the_services_own_is_always_one() -> None:
    sides = Sides(["10.0.0.1"], [A])
    assert sides.by_host("A.Example.ORG") == A
    assert sides.by_host("vc-a.voiceconnector.chime.aws") == A
    assert sides.by_host("vc-c.voiceconnector.chime.aws") is None


def test_public_addresses_map_what_sdp_names_onto_what_frames_carry() -> None:
    sides = Sides(["203.0.113.1"], public_addresses={"203.0.113.1": "10.0.0.9"})
    assert sides.public == {"203.0.113.1": "10.0.0.9"}
    assert sides.side("10.0.0.9") == "vc"


def test_cache_of_addresses_is_bounded() -> None:
    sides = Sides(["10.0.0.1"])
    for number in range(70_000):
        sides.side(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(sides._cache) <= 65_536


# -- the connector of a leg

CONNECTORS = Config(
    connectors=[
        ConnectorSettings(id="vc-a", domains=("a.example.org",), customer_networks=("192.0.2.0/24",)),
        ConnectorSettings(id="vc-b", domains=("b.example.org",), customer_networks=("203.0.113.0/24",)),
        ConnectorSettings(id="vc-d", default=True),
    ]
)
# One network, two tenants: only domains tell them apart.
SHARED = Config(
    connectors=[
        ConnectorSettings(id="vc-a", domains=("a.example.org",), customer_networks=("203.0.113.0/24",)),
        ConnectorSettings(id="vc-b", domains=("b.example.org",), customer_networks=("203.0.113.0/24",)),
    ]
)


def owner(headers: str = "", caller: str = ALICE, config: Config = CONNECTORS, **names: object) -> str:
    talk = Conversation(config, customers=("198.18.0.0/15",))
    leg = talk.leg(caller, VC, **names)
    leg.invite(0, headers=headers)
    leg.respond(1, 486)
    heard = talk.play(until=130)
    direction = "Inbound" if caller == BOB else "Outbound"
    (row,) = heard.calls
    name: str = row["voice_connector_id"]
    assert heard.counts(direction, name) == (1, 0, 1)
    return name


def test_header_naming_a_configured_connector_comes_first() -> None:
    assert owner("X-VoiceConnector-ID: VC-B\r\n", uri_host="a.example.org", caller=CAROL) == "vc-b"


def test_header_that_names_another_networks_connector_is_ignored_and_counted() -> None:
    assert owner("X-VoiceConnector-ID: VC-B\r\n", uri_host="a.example.org") == "vc-a"


def test_contact_host_names_a_connector_where_nothing_else_does() -> None:
    contact = "Contact: <sip:x@b.example.org:5061;transport=tls>\r\n"
    assert owner(contact, uri_host="pstn.example", caller=CAROL, config=SHARED) == "vc-b"


def test_header_naming_anything_else_is_ignored_and_counted() -> None:
    talk = Conversation(CONNECTORS, customers=())
    leg = talk.leg(ALICE, VC)
    leg.invite(0, headers="X-VoiceConnector-ID: evil/../group\r\n")
    heard = talk.play(until=61)
    assert heard.counts(connector="vc-a")[0] == 1
    assert heard.counters["unknown_connector_header"] == 1
    assert {row.voice_connector_id for row in heard.summaries[0].connectors} == {"vc-a", "vc-b", "vc-d"}


@pytest.mark.parametrize("name", ["uri_host", "from_host"])
def test_a_host_in_the_connectors_domains_comes_second(name: str) -> None:
    for host in ("b.example.org", "vc-b.voiceconnector.chime.aws"):
        names: dict[str, Any] = {name: host}
        assert owner(caller=CAROL, config=SHARED, **names) == "vc-b"


def test_whom_a_stranger_calls_is_believed_and_who_he_says_he_is_is_not() -> None:
    contact = "Contact: <sip:x@b.example.org>\r\n"
    for caller, his in ((ALICE, "vc-a"), ("198.18.0.1", "vc-d")):
        assert owner(caller=caller, uri_host="b.example.org") == "vc-b"
        assert owner(contact, caller=caller, from_host="b.example.org") == his


def test_connector_without_networks_is_named_by_its_customers_anywhere() -> None:
    config = Config(
        connectors=[ConnectorSettings(id="vc-c", domains=("c.example.org",)), *CONNECTORS.connectors]
    )
    assert owner(caller="198.18.0.1", from_host="c.example.org", config=config) == "vc-c"
    assert owner(caller=ALICE, from_host="c.example.org", config=config) == "vc-a"


def test_the_customer_peers_address_comes_third() -> None:
    assert owner() == "vc-a"
    assert owner(caller=CAROL) == "vc-b"


def test_the_other_legs_of_its_call_come_fourth() -> None:
    talk = Conversation(CONNECTORS, customers=())
    call = talk.proxied(BOB, CAROL)
    call.invite(0)
    call.ok(1)
    heard = talk.play(until=61)
    assert heard.counts("Inbound", "vc-b") == (1, 1, 0)
    assert heard.total("Sip2xxCodes", "vc-b") == 2


def test_undecided_leg_goes_to_the_default_at_the_close_of_its_invites_minute_for_good() -> None:
    talk = Conversation(CONNECTORS, customers=("198.18.0.0/15",))
    bob = talk.leg(BOB, VC)
    bob.invite(0)
    bob.trying(0.1)
    carol = talk.leg(VC, CAROL)
    carol.invite(70)  # too late: the minute is closed
    carol.ok(75)
    bob.ok(75.1)
    heard = talk.play(until=130)
    assert heard.counts("Inbound", "vc-d") == (1, 1, 0)
    assert heard.counts("Inbound", "vc-b") == (0, 0, 0)


def test_undecided_leg_without_a_default_goes_to_unassigned() -> None:
    config = Config(connectors=[ConnectorSettings(id="vc-a", customer_networks=("192.0.2.0/24",))])
    assert owner(caller=BOB, config=config) == "unassigned"


def test_log_rows_of_an_undecided_leg_wait_for_its_connector() -> None:
    talk = Conversation(CONNECTORS, customers=())
    bob = talk.leg(BOB, VC)
    bob.invite(0)
    assert talk.play(until=1, finish=False).sip == []
    assert [row["voice_connector_id"] for row in talk.play(until=64).sip] == ["vc-d"]


# -- 1:1 NAT


def test_media_at_the_private_address_belongs_to_the_leg_whose_sdp_names_the_public_one() -> None:
    config = Config(vc=Vc(public_addresses={"203.0.113.99": "10.0.0.1"}))
    talk = Conversation(config)
    leg = talk.leg(ALICE, VC)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    leg.ok(1, sdp=sdp("203.0.113.99", 5000))
    count = talk.rtp(2, ("198.18.0.7", 9999), ("10.0.0.1", 5000))
    assert talk.play().total("CustomerToVcRtpPackets") == count


def test_without_any_customer_everybody_would_be_remote_so_sides_are_unknown() -> None:
    sides = Sides(["10.0.0.1"])
    assert sides.has_vc
    assert not sides.known
    assert (sides.side("192.0.2.10"), sides.side("10.0.0.1")) == (None, "vc")
    assert Sides(["10.0.0.1"], [Connector("a", domains=("a.example",))]).known
    assert Sides(["10.0.0.1"], customer_networks=["192.0.2.0/24"]).known


@pytest.mark.parametrize(
    "named",
    [{"vc": ["::ffff:10.0.0.1"]}, {"customer_networks": ["::ffff:192.0.2.0/120"]}],
    ids=["vc", "customer"],
)
def test_ipv4_written_as_ipv6_is_refused_for_no_frame_would_be_of_it(named: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="is IPv4, and so are its frames"):
        Sides(**named)  # type: ignore[arg-type]
