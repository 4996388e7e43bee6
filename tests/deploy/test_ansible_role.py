"""deploy/ansible played on a booted Debian: installed, played again, configured anew, refused, varied."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import packages
from tests.deploy.clone import TREE, cloned, connected, run
from tests.deploy.machine import boot, needs

pytestmark = pytest.mark.image
PLAYS_S = 500  # seven plays, on a busy machine too


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script inside saw of each play; boots once."""
    needs("systemd-nspawn")
    package = packages.package("deb", tmp_path_factory.mktemp("venv"))
    with cloned(tmp_path_factory.mktemp("ansible")) as root:
        with connected(root):
            run(root, "apt-get install -qq -y --no-install-recommends ansible-core python3-apt", 600)
        (root / TREE / "dist").mkdir()
        shutil.copy(package, root / TREE / "dist")
        return boot(root, Path(__file__).with_name("in_playbook.py"), seconds=PLAYS_S)


def test_role_installs_and_starts_by_its_own_defaults(seen: dict[str, Any]) -> None:
    first = seen["installed"]
    assert first["status"] == 0, first["told"]
    assert first["unit"]["ActiveState"] == "active"
    assert first["unit"]["UnitFileState"] == "enabled"
    assert first["ready"] == "ok", seen["journal"]


def test_role_says_beforehand_what_it_would_do(seen: dict[str, Any]) -> None:
    assert seen["looked"]["status"] == 0, seen["looked"]["told"]
    assert seen["looked"]["config"] == ""


def test_role_changes_nothing_when_played_again(seen: dict[str, Any]) -> None:
    again = seen["again"]
    assert again["status"] == 0, again["told"]
    assert again["changed"] == []
    assert again["unit"] == seen["installed"]["unit"]


def test_new_configuration_is_reloaded_by_the_same_process(seen: dict[str, Any]) -> None:
    configured = seen["configured"]
    assert configured["status"] == 0, configured["told"]
    assert "203.0.113.0/24" in configured["config"]
    assert configured["changed"] == ["sbcwatch : Write the configuration", "sbcwatch : Reload sbcwatch"]
    assert configured["unit"] == seen["again"]["unit"]


def test_faulty_configuration_replaces_none_that_works(seen: dict[str, Any]) -> None:
    faulty = seen["faulty"]
    assert faulty["status"] != 0
    assert "no such setting" in faulty["told"]
    assert faulty["config"] == seen["configured"]["config"]
    assert faulty["unit"] == seen["configured"]["unit"]


def test_variables_restart_the_daemon_and_are_roots_alone(seen: dict[str, Any]) -> None:
    varied = seen["varied"]
    assert varied["status"] == 0, varied["told"]
    assert varied["ready"] == "ok"
    assert varied["mode"] == "0o100600"
    assert varied["unit"]["MainPID"] != seen["configured"]["unit"]["MainPID"]


def test_misnamed_variable_replaces_none_that_works(seen: dict[str, Any]) -> None:
    misnamed = seen["misnamed"]
    assert misnamed["status"] != 0
    assert misnamed["variables"] == seen["varied"]["variables"]
    assert misnamed["unit"] == seen["varied"]["unit"]
