"""Links from records to a call's page: where `[web] public_url` says that the pages open."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config.settings import Config, ConnectorSettings, WebSettings
from agent.provision.dashboard import dashboard_body
from agent.provision.grafana import dashboard
from agent.provision.queries import definitions
from agent.summary.identity import Identity
from tests.kit.conversation import ALICE, VC, Conversation, Heard, sdp

URL = "https://noc.example/sbc"


def played(public_url: str, *, signalled: bool = True) -> Heard:
    talk = Conversation(Config(web=WebSettings(public_url=public_url)))
    talk.rtp(1, (ALICE, 4000), (VC, 5000), ssrc=1)
    talk.rtp(1, (VC, 5000), (ALICE, 4000), ssrc=2)
    if signalled:
        alice = talk.leg(ALICE, VC, call_id="call/1@host")
        alice.invite(0, sdp=sdp(ALICE, 4000))
        alice.ok(0.5, sdp=sdp(VC, 5000))
        alice.bye(10)
    return talk.play()


def rows(heard: Heard) -> list[dict[str, Any]]:
    return [row for summary in heard.summaries for row in (*summary.media, *summary.calls)]


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
def test_each_record_of_a_call_says_where_its_page_opens(url: str) -> None:
    found = rows(played(url))
    assert len(found) >= 2
    assert {row["page"] for row in found} == {f"{URL}/call-id/call%2F1%40host"}


def test_without_an_address_of_the_pages_there_is_no_link() -> None:
    assert {row["page"] for row in rows(played(""))} == {None}


def test_media_without_sip_links_by_its_transaction_id() -> None:
    (row,) = rows(played(URL, signalled=False))
    assert row["page"] == f"{URL}/call-id/{row['transaction_id']}"


def test_marks_of_the_wire_stay_inside_a_link() -> None:
    page = Identity(public_url=URL).page(['a b"><script>?q=1#x\r\n'], "")
    assert page == f"{URL}/call-id/a%20b%22%3E%3Cscript%3E%3Fq%3D1%23x%0D%0A"


def config(public_url: str) -> Config:
    made = Config(
        connectors=[ConnectorSettings(id="trunk-1", region="eu-central-1")],
        web=WebSettings(public_url=public_url),
    )
    made.cloudwatch.enabled = made.logs.enabled = True
    return made


def test_saved_queries_of_bad_calls_list_the_pages() -> None:
    texts = {query.name: text for query, _, text in definitions(config(URL))}
    assert "latest(page) as call_page" in texts["worst calls by MOS"]
    assert "latest(page) as call_page" in texts["calls heard one way only"]
    assert not any("latest(page)" in text for _, _, text in definitions(config("")))


def test_dashboards_link_to_the_worst_calls_of_a_connector() -> None:
    texts = [
        widget["properties"]["markdown"]
        for widget in dashboard_body(config(URL), "eu-central-1")["widgets"]
        if widget["type"] == "text"
    ]
    assert any(f"[worst calls]({URL}/calls?q=connector%3Atrunk-1&sort=mos)" in text for text in texts)
    assert dashboard(URL)["links"][0]["url"] == f"{URL}/calls?sort=mos"
    assert dashboard()["links"] == []
