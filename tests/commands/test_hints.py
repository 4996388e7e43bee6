"""The line that says what to set: who was seen, ready to copy; a phone is never the SBC."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.cli import main
from agent.commands.hints import likely_sbc, sides_hint
from agent.model.sides import Sides
from tests.kit.conversation import ALICE, BOB, VC, Conversation

PCAPS = Path(__file__).parents[2] / "pcaps"
SBC = "10.10.0.1"


def test_address_that_calls_pass_is_proposed_with_the_peers_ready_to_copy() -> None:
    ends = {("192.0.2.7", SBC): 12, (SBC, "198.51.100.9"): 12, ("192.0.2.8", SBC): 1}
    line = sides_hint(Sides(), {SBC: 24, "192.0.2.8": 1}, ends)
    assert "the SBC looks like 10.10.0.1 (25 of 25 legs or streams pass it)" in line
    assert "192.0.2.7, 198.51.100.9" in line
    assert line.endswith("--vc 10.10.0.1 --customer 192.0.2.0/24")


def test_known_vc_without_customer_names_the_peers() -> None:
    line = sides_hint(Sides([SBC]), {}, {("192.0.2.7", SBC): 1})
    assert "looks like" not in line
    assert line.endswith("--vc 10.10.0.1 --customer 192.0.2.0/24")


def test_phone_with_two_proxies_is_never_the_sbc() -> None:
    assert likely_sbc({}, {("192.0.2.7", SBC): 5, ("192.0.2.7", "10.10.0.2"): 5}) == []
    assert "name the SBC's addresses with --vc" in sides_hint(Sides(), {}, {("192.0.2.7", SBC): 5})


def test_one_side_with_many_phones_shows_the_sbc() -> None:
    assert likely_sbc({}, {(f"192.0.2.{n}", SBC): 1 for n in range(3)}) == [SBC]


def test_conversation_without_any_address_shows_its_proxy() -> None:
    talk = Conversation(vc=(), customers=())
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    heard = talk.play()
    signalling = heard.pipeline.engine.signalling
    assert likely_sbc(signalling.suspects, signalling.ends) == [VC]
    line = sides_hint(heard.pipeline.sides, signalling.suspects, signalling.ends)
    assert f"--vc {VC} --customer " in line


def test_without_a_customer_sided_figures_are_null_and_codes_are_counted() -> None:
    talk = Conversation(customers=())
    call = talk.proxied(ALICE, BOB)
    call.invite(0)
    call.ok(1)
    heard = talk.play()
    assert heard.total("Sip2xxCodes") == 2
    values = heard.connector().values
    assert {value for name, value in values.items() if not name.startswith("Sip")} == {None}


@pytest.mark.parametrize("name", ["loss-vc2cust", "any-inbound", "forked-inbound"])
def test_capture_without_any_address_shows_quality_by_address_and_the_options_to_copy(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(path) for path in sorted(PCAPS.glob(f"{name}-*.pcap*"))]
    assert main(["replay", *files]) == 0
    shown, said = capsys.readouterr()
    assert "Media by address" in shown
    figures = r"\S+ +\d+ +\d+ +(\d+\.\d\d|-) +(\d\.\d\d|-) +\S+"
    assert re.search(r"10\.10\.0\.1[01]:\d+ +10\.10\.0\.1:\d+ +" + figures, shown)
    assert "Media by side" not in shown
    assert re.search(r"the SBC looks like 10\.10\.0\.1 and 10\.20\.0\.1 \((\d) of \1 legs", said)
    options = said[said.rindex("--vc 10.10.0.1") :].split()
    assert main(["replay", *files, *options]) == 0  # ready to copy
    assert "Media by side" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["loss-vc2cust-customer.pcap", "busy-inbound-customer.pcap"])
def test_one_leg_alone_proposes_nobody(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(PCAPS / name)]) == 0
    said = capsys.readouterr().err
    assert "looks like" not in said
    assert "(seen: 10.10.0.1, 10.10.0.10)" in said


def test_networks_that_nothing_tells_apart_are_each_a_command() -> None:
    line = sides_hint(Sides([SBC]), {}, {("192.0.2.7", SBC): 1, (SBC, "198.51.100.7"): 9})
    assert line.endswith(
        "Which network is the customer's? "
        "--vc 10.10.0.1 --customer 192.0.2.0/24, or --vc 10.10.0.1 --customer 198.51.100.0/24"
    )


def test_network_of_most_addresses_is_the_command_and_the_others_are_named() -> None:
    line = sides_hint(
        Sides([SBC]), {}, {("192.0.2.7", SBC): 1, ("192.0.2.8", SBC): 1, (SBC, "198.51.100.7"): 9}
    )
    assert line.endswith(
        "With 192.0.2.0/24 as the customer's network (it may be 198.51.100.0/24): "
        "--vc 10.10.0.1 --customer 192.0.2.0/24"
    )
