"""RTP and SIP by every route: no count that needs what passed unseen is a published 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from agent.config.settings import Config, MediaSettings
from tests.kit.conversation import ALICE, BOB, VC, Conversation, sdp

FAR, OURS, ELSEWHERE = (BOB, 6000), (VC, 5000), "10.0.0.77"
Route = Callable[[], Conversation]


def answered(media: str) -> Conversation:
    """A customer's call whose media the vc says is at `media`; no RTP of it."""
    talk = Conversation()
    leg = talk.leg(ALICE, VC)
    leg.invite(0, sdp=sdp(ALICE, 4000))
    leg.ok(1, sdp=sdp(media, 5000))
    return talk


def streams(*ways: tuple[tuple[str, int], tuple[str, int]], config: Config | None = None) -> Conversation:
    talk = Conversation(config)
    for ssrc, (src, dst) in enumerate(ways, 1):
        talk.rtp(1, src, dst, ssrc=ssrc)
    return talk


NULL = Config(media=MediaSettings(unsignalled="null"))
# The route, and the directions in which media passed or may have passed.
ROUTES: dict[str, tuple[Route, tuple[str, ...]]] = {
    "one way to the vc": (partial(streams, (FAR, OURS)), ("RemoteToVc",)),
    "one way from the vc": (partial(streams, (OURS, FAR)), ("VcToRemote",)),
    "one way from a customer": (partial(streams, ((ALICE, 4000), OURS)), ("CustomerToVc",)),
    "both ways, by address": (partial(streams, (FAR, OURS), (OURS, FAR)), ("RemoteToVc", "VcToRemote")),
    "both ways, not to be counted": (
        partial(streams, (FAR, OURS), (OURS, FAR), config=NULL),
        ("RemoteToVc", "VcToRemote"),
    ),
    "a relay elsewhere": (partial(answered, ELSEWHERE), ("CustomerToVc", "VcToCustomer")),
    "a host that sees SIP alone": (partial(answered, VC), ("CustomerToVc", "VcToCustomer")),
}


@pytest.mark.parametrize("name", ROUTES)
def test_media_that_passed_is_counted_or_null_and_never_0(name: str) -> None:
    route, directions = ROUTES[name]
    heard = route().play(until=55)
    for direction in directions:
        for figure in ("RtpPackets", "RtpBytes"):
            assert heard.value(direction + figure) != 0, (name, direction + figure)
    minute = heard.connector()
    if any(minute.values[f"{direction}RtpPackets"] is None for direction in directions):
        assert minute.unknown_because


def test_loss_of_what_passed_unseen_is_null_too() -> None:
    for name in ("one way to the vc", "both ways, not to be counted"):
        assert ROUTES[name][0]().play().value("RemoteToVcPacketsLost") is None
