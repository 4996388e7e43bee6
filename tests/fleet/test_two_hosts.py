"""One host sees SIP, another the media: what they say together is what one host says that sees both."""

from __future__ import annotations

import pytest

from tests.kit.halves import frames_of
from tests.kit.replayed import sidecar
from tests.kit.two_hosts import Hosts, alone, comparable

# One of each kind: hunting, hold and re-INVITE, early and late offer, transcoding, losses, IPv6, many calls.
CAPTURES = [
    "short-outbound", "hunted-outbound", "hold-outbound", "early-media-inbound", "late-offer-outbound",
    "transcoded-inbound", "loss-rem2vc", "ipv6-inbound", "twenty-inbound", "gone-inbound", "digits-outbound",
    "forked-inbound", "repeated-outbound",
]  # fmt: skip


@pytest.mark.parametrize("name", CAPTURES)
def test_records_of_two_hosts_are_those_of_one(name: str) -> None:
    side, frames = sidecar(name), frames_of(name)
    hosts = Hosts(side["vc"], side["customer_networks"])
    hosts.play(frames)
    hosts.finish()
    kept = alone(frames, side["vc"], side["customer_networks"])
    assert hosts.records("relay") == comparable(row for summary in kept.summaries for row in summary.media)
    assert hosts.records("proxy") == []
