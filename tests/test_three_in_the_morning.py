"""The walk at 3 a.m., on a call that is up: from what somebody said to whose network it is, in three steps.

The lab's `loss-vc2cust` call, longer than on its capture so that a minute closes while it is up; kamailio,
rtpengine, two baresips, the daemon on the sbc's interfaces, the pages in a process of their own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="package playwright is not installed")

from playwright.sync_api import expect

from tests.kit.browsing import CHROMIUM, chromium, served, watched
from tests.lab import SCENARIOS, Lab, plays, why_not
from tests.lab.processes import wait_until
from tests.lab.truth import Truth

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,  # a minute has to close while the call is up
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]
BEFORE_S = 25  # of the call, before its minute closes
SECONDS = 60
CONFIG = """
[[connectors]]
id = "lab-trunk"
region = "eu-lab-1"
customer_networks = {customers}
default = true
[vc]
addresses = {vc}
[store]
directory = "{state}"
"""


@dataclass
class Night:
    """A call that is up and loses packets; `at`: when it began, as a person says it."""

    store: Path
    at: str
    played: Future[Truth]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    if reason := why_not():
        pytest.skip(f"the lab cannot run here: {reason}")
    folder = tmp_path_factory.mktemp("night")
    scenario = SCENARIOS["loss-vc2cust"]
    longer = replace(scenario, play=partial(plays.talk, seconds=SECONDS, lossy=("vc2cust",)))
    with Lab() as lab, ThreadPoolExecutor(1) as pool:
        config = folder / "sbcwatch.toml"
        customers, vc = json.dumps(lab.customer_networks), json.dumps(lab.vc_addresses)
        config.write_text(CONFIG.format(customers=customers, vc=vc, state=folder / "state"))
        command = [sys.executable, "-m", "agent", "run", "--config", str(config)]
        command += [word for name in lab.interfaces for word in ("--interface", name)]
        watcher = lab.start_in_sbc(command, folder / "sbcwatch.log")
        wait_until(lambda: "watching" in watcher.text(), "the daemon", 20)
        time.sleep((60 - BEFORE_S - time.time()) % 60)
        began_s = time.time()
        played = pool.submit(lab.run, longer)
        yield Night(folder / "state", time.strftime("%H:%M", time.gmtime(began_s)), played)
        played.result()
        assert watcher.stop(20) == 0, watcher.text()


def test_live_call_is_found_and_its_network_named_in_three_steps(night: Night) -> None:
    with served(night.store) as base, chromium() as browser, watched(browser, base) as page:
        page.goto(base)
        wait_until(lambda: bool(calls(night)), "the call", 20, poll_s=0.5)
        # 1: what was said, typed where the cursor stands.
        page.keyboard.type(f"the call from +44 20 7946 0110 at {night.at} was choppy")
        page.keyboard.press("Enter")
        found = page.locator("tr[data-call] a")
        expect(found).to_have_count(1)
        found.click()  # 2
        # 3: read.
        expect(page.locator(".live")).to_have_text("live")
        expect(page.locator(".verdict")).to_contain_text("its media is told when a minute closes")
        # The page reads itself anew.
        expect(page.locator(".lane.bad")).to_have_count(1, timeout=1_000 * (BEFORE_S + 25))
        expect(page.locator(".verdict")).to_contain_text("of packets lost between the vc and the customer")
        # Of the remote side it may say that packets came late: the lab's host is busy.
        expect(page.locator(".verdict")).not_to_contain_text(re.compile("lost between the [^,]*remote"))
        assert not night.played.done()
        one_command_says_the_same(night, page.locator(".verdict li").first.inner_text())
        # The page follows the call to its end by itself.
        expect(page.locator(".live")).to_have_count(0, timeout=90_000)
        expect(page.locator("main[data-refresh]")).to_have_count(0, timeout=90_000)  # its last minute closed
        page_and_kernel_agree(night, page.locator(".lane.bad").inner_text())


def one_command_says_the_same(night: Night, verdict: str) -> None:
    """`sbcwatch call 0110 --since 15:42`: one step, its first line the page's."""
    text = sbcwatch("call", "0110", "--since", night.at, store=night.store)
    paragraph = " ".join(text.split("\n\n")[0].split())
    first = verdict.removeprefix("bad:").strip(" .\n")
    assert paragraph.startswith(first), text
    assert "no end seen yet" in text
    (call,) = calls(night)
    assert call["from_user"] == "+442079460110"


def page_and_kernel_agree(night: Night, lane: str) -> None:
    """What the kernel dropped between the vc and the customer, and nobody else."""
    dropped = night.played.result()["rtp"]["vc2cust"]["dropped"]
    assert f"{dropped} of" in lane
    whole = json.loads(sbcwatch("call", "0110", "--json", store=night.store))
    lost = {way: its["lost"] for way, its in whole["path"]["directions"].items()}
    assert lost == {"cust2vc": 0, "vc2cust": dropped, "rem2vc": 0, "vc2rem": 0}
    assert whole["verdict"]["networks"][0] == "customer"


def calls(night: Night) -> list[dict[str, Any]]:
    lines = sbcwatch("calls", "--number", "0110", "--json", store=night.store).splitlines()
    return [json.loads(line) for line in lines]


def sbcwatch(*words: str, store: Path) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "agent", *words, "--store", str(store)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout
