"""What a call's record says of the whole call's media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.load import read
from agent.config.settings import Config
from agent.model.call_cy import Call, Leg, LegMediaTotals
from agent.summary.call_row_cy import worst_direction
from agent.summary.catalog import AMAZON_CDR, CALL_SCHEMA
from tests.kit.replayed import PCAPS, scenario, sidecar, through
from tests.kit.scene import CUST, CUSTOMER, REM, REMOTE, VC2CUST, VC2REM, Scene


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


def calls(name: str, **settings: Any) -> list[dict[str, Any]]:
    side = sidecar(name)
    config, problems = read(
        f"""[[connectors]]
id = "trunk"
region = "eu-central-1"
customer_networks = {side["customer_networks"]}
default = true
"""
        + "\n".join(f"{key} = {value}" for key, value in settings.items()),
        {},
    )
    assert config is not None, problems
    paths = [str(PCAPS / file) for file in side["files"]]
    return through(paths, vc=side["vc"], customers=side["customer_networks"], config=config).calls


def test_every_field_of_amazons_record_is_one_of_ours_or_said_to_be_unknown() -> None:
    (row,) = calls("answered-outbound")
    assert {name for name in AMAZON_CDR.values() if name} <= set(row)
    assert row["schema_version"] == CALL_SCHEMA
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()
    for theirs, ours in AMAZON_CDR.items():
        (line,) = [line for line in page.splitlines() if line.startswith("|") and f"`{theirs}`" in line]
        assert f"| `{ours}` |" in line if ours else "| none |" in line, theirs


def test_call_record_says_duration_region_and_countries_as_the_media_record_does() -> None:
    (row,) = calls("answered-outbound")
    assert row["duration_seconds"] == pytest.approx((row["end_ns"] - row["answer_ns"]) / 1e9, abs=1e-3)
    assert row["aws_region"] == "eu-central-1"
    heard = scenario("answered-outbound").media[0]
    for name in ("from_sip_user", "from_country", "to_sip_user", "to_country", "transaction_id"):
        assert row[name] == heard[name] or name == "transaction_id"  # another connector: another id


@pytest.mark.parametrize(
    ("name", "seconds"), [("busy-inbound", 0.0), ("cancelled-outbound", 0.0), ("gone-inbound", None)]
)
def test_duration_is_nothing_without_an_answer_and_unknown_without_a_bye(
    name: str, seconds: float | None
) -> None:
    assert [row["duration_seconds"] for row in calls(name)] == [seconds]


def test_connector_that_logs_no_media_has_call_records_that_name_nobody() -> None:
    (row,) = calls("answered-inbound", log_media="false")
    people = [row[name] for name in ("from_sip_user", "to_sip_user", "from_country", "to_country")]
    assert [*people, row["customer_peer"], row["remote_peer"]] == [None] * 6
    assert row["unlogged"] is True
    assert row["call_id"]
    assert row["status"] == 200


def test_call_records_of_masked_people_have_tokens() -> None:
    side = sidecar("answered-inbound")
    config = Config()
    config.privacy.mask_numbers = True
    (row,) = through(
        [str(PCAPS / file) for file in side["files"]],
        vc=side["vc"],
        customers=side["customer_networks"],
        config=config,
    ).calls
    assert row["from_sip_user"].startswith("n-")
    assert row["to_sip_user"].startswith("n-")


def test_call_between_two_customers_has_both_addresses() -> None:
    scene = Scene(customers=("192.0.2.0/24", "198.51.100.0/24"))
    scene.call()
    scene.bye(10.0)
    (over,) = [row for summary in scene.play().summaries for row in summary.calls]
    assert (over["customer_peer"], over["remote_peer"]) == (CUSTOMER, REMOTE)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["incoming", "outgoing", "internal"]),
            st.sampled_from(["customer", "remote", None]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_calls_owner_is_that_of_its_first_view(legs: list[Any]) -> None:
    call = Call()
    for number, (way, side) in enumerate(legs):
        call.adopt(Leg(str(number), "tag", way, "192.0.2.1", side, 0, 1))
    assert call.owner() is call.views()[0][0]
