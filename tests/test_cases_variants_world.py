"""Combinations of what the world's equipment does, each with the value that its own sender would state."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.cases.checks import Near, total
from tests.cases.media_calls import FAR, MEDIA, NEAR, VC, Scene
from tests.cases.packets import Stamped
from tests.cases.variant import Variant, check, named

SIDES = ("--vc", VC, "--customer", "192.0.2.0/24")
GOOD = Near(4.341, 0.0011)  # PCMU of 20 ms, no loss, 100 ms assumed

# -- numbers that a sender leaves out


def skipping(count: int, ticks: int, pause: float = 0.0) -> list[Stamped]:
    """Ten seconds; the sender goes on `count` numbers further, its clock by `ticks`, after `pause`."""
    scene = Scene()
    scene.call(21)
    scene.rtp(range(500))
    scene.rtp(range(500 + count, 1000 + count), at=MEDIA + 10 + pause, stamp=80_000 + ticks)
    return scene.frames


def pictures(count: int) -> list[Stamped]:
    """300 packets of video a second, of which `count` in a row never come."""
    scene = Scene()
    scene.call(10, media="video", types="97", lines=("rtpmap:97 H264/90000",))
    for number in (*range(1500), *range(1500 + count, 3000)):
        scene.rtp([number], at=MEDIA + number / 300, kind=97, stamp=number // 10 * 3000, src=FAR, dst=NEAR)
    return scene.frames


SKIPPED = "DESIGN 4: a jump is no loss; neither time nor the sender's clock had room for these numbers"
DROPPED = "RFC 3550 A.3: the timestamps of what is missing passed, so it was sent"
SKIPS: tuple[Variant, ...] = (
    *(
        (
            f"skips-{count}-numbers-and-{ticks}-ticks",
            partial(skipping, count, ticks),
            (
                total("RemoteToVcPacketsLost", 0, SKIPPED),
                total("RemoteToVcRtpPackets", 1000, SKIPPED),
                total("MOSBetweenVcAndRemote", GOOD, SKIPPED),
            ),
        )
        for count, ticks in ((100, 0), (750, 0), (2900, 0), (750, 2_000_000_000), (750, -30_000))
    ),
    *(
        (
            f"{count}-numbers-never-come",
            partial(skipping, count, count * 160, count * 0.02),
            (total("RemoteToVcPacketsLost", count, DROPPED),),
        )
        for count in (10, 100, 500)
    ),
    (
        "queue-drops-its-tail",
        partial(skipping, 100, 16_000),
        (total("RemoteToVcPacketsLost", 100, DROPPED),),
    ),
    (
        "clock-stands-in-an-outage",
        partial(skipping, 100, 0, 2.0),
        (total("RemoteToVcPacketsLost", 100, DROPPED),),
    ),
    ("video-outage", partial(pictures, 100), (total("RemoteToVcPacketsLost", 100, DROPPED),)),
)


@pytest.mark.parametrize("variant", SKIPS, ids=named)
def test_skip_variant(variant: Variant, tmp_path: Path) -> None:
    check(variant, tmp_path, SIDES)
