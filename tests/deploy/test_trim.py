"""A trimmed installation, as the image and the packages have one, does all that the daemon asks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.trim import SERVICES, trim
from tests.deploy.machine import ROOT, site_packages
from tests.kit.board_server import Server, has_server

TRIMMED = ("boto3", "botocore", "dateutil", "redis", "rich", "phonenumbers", "pygments", "textual")
LINKED = {*SERVICES, "ec2"}  # of botocore's 400: linking all takes half a minute
CLIENTS = f"""
import boto3
for service in {sorted(SERVICES)}:
    boto3.client(service, region_name="eu-west-1")
"""
BOARD = """
import sys
import redis.cluster
from agent.fleet.valkey import ValkeyBoard
from agent.model.claim import Claim
board = ValkeyBoard(sys.argv[1], ["192.0.2.1"], lambda: 0, user="host", password_file=sys.argv[2])
told = Claim("t", "call", "leg", "proxy", 1, valid_from_ns=0, side="customer", connector="", ours="")
board.tell("192.0.2.1", told)
board.step(1)
board.step(1)
assert not board.fault, board.fault
assert [each.claim for each in board.hear()] == [told]
print(redis.__file__)
"""
NUMBERS = """
from agent.summary.identity import country_of
assert country_of("+442079460110", None) == "GB"
"""
SCREEN = """
import asyncio
from textual.app import App
from textual.widgets import DataTable, Footer, Input, Static
class Screen(App):
    def compose(self):
        yield from (DataTable(), Input(), Static("x"), Footer())
    def on_mount(self):
        self.exit(0)
app = Screen()
asyncio.run(app.run_async(headless=True))
assert app.return_value == 0
"""


def left_out(folder: str, names: list[str]) -> set[str]:
    """What is not linked of a folder."""
    if folder.endswith("botocore/data"):
        return {name for name in names if Path(folder, name).is_dir()} - LINKED
    return {"__pycache__"}


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees of links to the packages that are trimmed; all others are this installation's."""
    site = tmp_path_factory.mktemp("site-packages")
    for name in TRIMMED:
        shutil.copytree(site_packages() / name, site / name, ignore=left_out, copy_function=os.symlink)
    shutil.copytree(ROOT / "agent", site / "agent", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    trim(site)
    assert {path.name for path in site.glob("botocore/data/*/")} == SERVICES
    return site


def run(trimmed: Path, code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(trimmed), str(ROOT)]}\n{code}", *arguments],
        cwd="/", capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_client_that_stays_is_made(trimmed: Path) -> None:
    run(trimmed, CLIENTS)


def test_claim_goes_by_a_board(trimmed: Path, tmp_path: Path) -> None:
    if not has_server():
        pytest.skip("no redis-server")
    server = Server(tmp_path)
    try:
        assert run(trimmed, BOARD, server.url, str(tmp_path / "password")).startswith(str(trimmed))
    finally:
        server.stop()


def test_selftest_is_right_uncompiled(trimmed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBCWATCH_NO_COMPILED", "1")
    monkeypatch.delenv("SBCWATCH_REQUIRE_COMPILED", raising=False)
    told = run(trimmed, "from agent.cli import main; raise SystemExit(main(['selftest']))")
    assert "numbers: right" in told


def test_country_of_a_number_is_known(trimmed: Path) -> None:
    run(trimmed, NUMBERS)


def test_screen_of_top_is_drawn(trimmed: Path) -> None:
    run(trimmed, SCREEN)
