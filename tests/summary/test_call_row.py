"""What a call's record says of the whole call's media."""

from __future__ import annotations

import pytest

from agent.model.call_cy import LegMediaTotals
from agent.summary.call_row_cy import worst_direction
from tests.kit.scene import CUST, REM, VC2CUST, VC2REM, Scene


def test_call_row_says_codec_and_worst_direction_of_all_its_minutes() -> None:
    scene = Scene()
    scene.call()
    scene.rtp(0.2, CUST, VC2CUST, 0xB, [n for n in range(1, 5001) if n % 20])
    scene.rtp(0.2, REM, VC2REM, 0xC, range(1, 5001))
    scene.bye(102.0)
    played = scene.play()
    (over,) = [row for summary in played.summaries for row in summary.calls]
    assert set(played.field("codec")) == {"PCMA"}
    assert over["codec"] == "PCMA"
    assert over["worst_direction"] == "cust2vc"


def test_call_without_media_has_no_codec_and_no_worst_direction() -> None:
    scene = Scene()
    scene.call()
    scene.bye(10.0)
    (over,) = [row for summary in scene.play().summaries for row in summary.calls]
    assert over["codec"] is None
    assert over["worst_direction"] is None


@pytest.mark.parametrize(
    ("heard", "lost", "worst"),
    [
        ({}, {}, None),
        ({"cust2vc": (4.0, 100), "rem2vc": (3.0, 100)}, {"cust2vc": 50, "rem2vc": 0}, "rem2vc"),
        ({"cust2vc": (4.0, 100), "rem2vc": (4.0, 100)}, {"cust2vc": 5, "rem2vc": 6}, "rem2vc"),
        ({"cust2vc": (4.0, 100), "rem2vc": (4.0, 100)}, {"cust2vc": 0, "rem2vc": 0}, None),
        ({"cust2vc": (None, 900), "rem2vc": (None, 90)}, {"cust2vc": 20, "rem2vc": 10}, "rem2vc"),
        ({"cust2vc": (4.0, 100), "vc2cust": (None, 90)}, {"cust2vc": 0, "vc2cust": 80}, "cust2vc"),
        ({"cust2vc": (None, 100), "vc2cust": (None, 0)}, {"cust2vc": None, "vc2cust": None}, None),
    ],
)
def test_worst_direction_is_by_score_then_by_share_of_loss(
    heard: dict[str, tuple[float | None, int]], lost: dict[str, int | None], worst: str | None
) -> None:
    totals = LegMediaTotals()
    totals.lost = lost
    totals.heard = {
        way: (("PCMA",), 10 if mos else 0, 10 * mos if mos else 0.0, known)
        for way, (mos, known) in heard.items()
    }
    assert worst_direction(totals) == worst
