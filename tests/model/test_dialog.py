"""Dialogs of a leg, and the ways of messages."""

from __future__ import annotations

import pytest

from agent.model.call_cy import MAX_DIALOGS, Leg, Passage, Way, way_of


def leg(**more: object) -> Leg:
    values = {"call_id": "c", "from_tag": "a", "way": "incoming", "peer": "192.0.2.1", "side": "customer"}
    return Leg(**(values | {"invite_ns": 0, "cseq": 1} | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("passage", "from_caller", "way"),
    [
        ("towards", True, "incoming"),
        ("away", True, "outgoing"),
        ("towards", False, "outgoing"),
        ("away", False, "incoming"),
    ],
)
def test_who_sent_it_and_how_it_crosses_the_edge_tell_the_way(
    passage: Passage, from_caller: bool, way: Way
) -> None:
    assert way_of(passage, from_caller) == way


@pytest.mark.parametrize(
    ("side", "way", "direction"),
    [
        ("customer", "incoming", "outbound"),
        ("customer", "outgoing", "inbound"),
        ("remote", "incoming", "inbound"),
        ("remote", "outgoing", "outbound"),
        (None, "incoming", None),
        ("customer", "internal", None),
    ],
)
def test_direction_is_the_callers_side(side: object, way: object, direction: object) -> None:
    assert leg(side=side, way=way).direction == direction


def test_leg_whose_invite_was_not_seen_has_no_direction() -> None:
    assert leg(whole=False).direction is None


def test_bye_ends_its_dialog_only() -> None:
    one = leg()
    for tag in ("b1", "b2"):
        one.dialog(tag).confirmed = True
    one.dialog("b2").ended = True
    assert one.up
    one.dialog("b1").ended = True
    assert not one.up
    assert one.was_up


def test_invented_tags_are_bounded_and_do_not_push_out_a_dialog_that_is_up() -> None:
    one = leg()
    one.dialog("real").confirmed = True
    for number in range(1000):
        one.dialog(f"t{number}")
    assert len(one.dialogs) <= MAX_DIALOGS
    assert one.dialogs["real"].up
