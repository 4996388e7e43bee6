"""The units really started: systemd boots a Debian root in namespaces and works them."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.machine import ROOT, base, boot, needs, same_python, site_packages

pytestmark = pytest.mark.slow
CAP_NET_RAW = 1 << 13
PROGRAM = """#!/usr/bin/python3
import sys
sys.path[:0] = ["/opt/sbcwatch/lib", "/opt/sbcwatch/packages"]
from agent.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script inside saw; boots once."""
    needs("systemd-nspawn")
    kept = base()
    same_python(kept)
    root = tmp_path_factory.mktemp("machine") / "root"
    subprocess.run(["cp", "-a", "--reflink=auto", str(kept), str(root)], check=True)
    try:
        furnish(root)
        return boot(
            root,
            Path(__file__).with_name("in_machine.py"),
            f"--bind-ro={ROOT / 'agent'}:/opt/sbcwatch/lib/agent",
            f"--bind-ro={site_packages()}:/opt/sbcwatch/packages",
            seconds=150,
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)


def furnish(root: Path) -> None:
    """Units, program, configurations."""
    units = root / "etc/systemd/system"
    for name in ("sbcwatch.service", "sbcwatch@.service", "sbcwatch-web.service"):
        shutil.copy(ROOT / "systemd" / name, units / name)
    # The watchdog's minute would be ours to wait for.
    quick = units / "sbcwatch@two.service.d"
    quick.mkdir()
    (quick / "watchdog.conf").write_text("[Service]\nWatchdogSec=6\n")
    program = root / "opt/sbcwatch/bin/sbcwatch"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (root / "opt/sbcwatch/lib/agent").mkdir(parents=True)
    (root / "opt/sbcwatch/packages").mkdir()
    settings = root / "etc/sbcwatch"
    settings.mkdir()
    (settings / "sbcwatch.toml").write_text('[vc]\naddresses = ["127.0.0.1"]\n')
    (settings / "two.toml").write_text('[vc]\naddresses = ["127.0.0.1"]\n[prometheus]\nport = 9643\n')
    (settings / "bad.toml").write_text("[vc]\nadresses = []\n")


def test_unit_starts_when_the_daemon_says_it_is_ready(seen: dict[str, Any]) -> None:
    assert seen["start"] == [0, ""]
    assert seen["started"]["ActiveState"] == "active"
    assert seen["started"]["SubState"] == "running"


def test_process_has_net_raw_and_no_other_capability(seen: dict[str, Any]) -> None:
    held = seen["privileges"]
    for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(held[kind][0], 16) in (CAP_NET_RAW, 0), kind
    assert int(held["CapBnd"][0], 16) == CAP_NET_RAW
    assert held["NoNewPrivs"] == ["1"]
    assert held["Seccomp"] == ["2"]


def test_daemon_confines_itself_beneath_the_units_filter(seen: dict[str, Any]) -> None:
    told = [str(message) for _, _, message in seen["journal"] if '"cause": "confine"' in str(message)]
    assert any("no capability; no new privileges" in message for message in told), told
    if not any("Landlock" in message for message in told):  # then this kernel has it
        assert any("writes /var/lib/sbcwatch only" in message for message in told), told
    pytest.importorskip("pyseccomp", reason="package pyseccomp is not installed")
    assert any("runs no program" in message for message in told), told


def test_process_runs_as_a_dynamic_user(seen: dict[str, Any]) -> None:
    assert all(61184 <= int(uid) <= 65519 for uid in seen["privileges"]["Uid"])


def test_process_writes_its_state_and_nothing_else(seen: dict[str, Any]) -> None:
    assert any(name.startswith("sbcwatch.sqlite") for name in seen["files"])
    assert seen["write_state"] == 0
    assert seen["write_etc"] != 0
    assert seen["read_home"] != 0


def test_traffic_is_captured_with_what_the_unit_leaves(seen: dict[str, Any]) -> None:
    before, after = seen["frames"]
    assert before >= 0
    assert after > before


def test_reload_keeps_the_process(seen: dict[str, Any]) -> None:
    assert seen["reload"][0] == 0
    assert seen["reloaded"]["MainPID"] == seen["started"]["MainPID"]
    assert seen["reloaded"]["ActiveState"] == "active"
    assert seen["reloaded"]["NRestarts"] == "0"


def test_pages_answer_on_loopback_from_a_unit_without_a_capability(seen: dict[str, Any]) -> None:
    web = seen["web"]
    assert web["start"] == [0, ""]
    assert web["answer"][0] == web["calls"][0] == 200, seen["journal"]
    assert "no call in the store meets that" in web["calls"][1].lower()
    assert "0100007F:25AB" in web["listening"]  # 127.0.0.1:9643
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(web["privileges"][kind][0], 16) == 0, kind
    assert web["privileges"]["NoNewPrivs"] == ["1"]
    assert web["privileges"]["Seccomp"] == ["2"]


def test_pages_read_the_store_as_the_daemons_user_and_write_nothing(seen: dict[str, Any]) -> None:
    web = seen["web"]
    assert web["privileges"]["Uid"] == seen["privileges"]["Uid"]
    assert web["opened"]
    assert set(web["opened"]) == {os.O_RDONLY}
    assert web["write_etc"] != 0
    assert web["read_home"] != 0
    assert web["stop"] == [0, ""]
    assert web["stopped"]["Result"] == "success"


def test_healthcheck_says_alive(seen: dict[str, Any]) -> None:
    assert seen["healthcheck"] == 0


def test_bad_configuration_is_not_started_again(seen: dict[str, Any]) -> None:
    assert seen["bad"]["ActiveState"] == "failed"
    assert seen["bad"]["ExecMainStatus"] == "2"
    assert seen["bad"]["NRestarts"] == "0"
    assert any("did you mean addresses" in str(message) for _, _, message in seen["journal"])


def test_frozen_instance_is_ended_by_the_watchdog_and_comes_back(seen: dict[str, Any]) -> None:
    assert seen["two"] == [0, ""]
    assert seen["thawed"]["NRestarts"] == "1"
    assert seen["thawed"]["ActiveState"] == "active"
    assert any(name.startswith("sbcwatch.sqlite") for name in seen["instance_files"])
    assert any("Watchdog timeout" in str(message) for _, _, message in seen["journal"])


def test_stop_is_orderly(seen: dict[str, Any]) -> None:
    assert seen["stop"] == [0, ""]
    assert seen["stopped"]["Result"] == "success"
    assert seen["stopped"]["ExecMainStatus"] == "0"
    assert seen["stop_seconds"] < 20
    assert seen["link"], "the unit file says that this link is left"


def test_log_reaches_the_journal_as_json_with_its_priority(seen: dict[str, Any]) -> None:
    ours = [
        (priority, json.loads(message))
        for unit, priority, message in seen["journal"]
        if unit.startswith("sbcwatch") and isinstance(message, str) and message.startswith("{")
    ]
    assert ours
    assert all({"time", "level", "cause", "text"} <= set(record) for _, record in ours)
    assert {priority for priority, record in ours if record["level"] == "info"} == {"6"}
