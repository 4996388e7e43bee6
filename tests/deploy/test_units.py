"""The units as written: verified by systemd, scored, and free of what would break capture."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
NAMES = ("sbcwatch.service", "sbcwatch@.service")
WEB = "sbcwatch-web.service"
EXPOSURE_LIMIT = 2.0


class Settings(configparser.RawConfigParser):
    """Keys of a unit, repeated ones joined by a newline."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def settings(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (UNITS / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key] = f"{found[key]}\n{value}" if key in found else value
    return found


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")
    return found


@pytest.mark.parametrize("name", [*NAMES, WEB])
def test_unit_exposure_is_at_most_two(analyze: str, name: str) -> None:
    run = subprocess.run(
        [analyze, "security", "--offline=yes", "--no-pager", str(UNITS / name)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for .*: ([\d.]+)", run.stdout)
    assert level, run.stdout + run.stderr
    assert float(level[1]) <= EXPOSURE_LIMIT


@pytest.mark.parametrize("name", [*NAMES, WEB])
def test_unit_is_verified_without_a_word(analyze: str, name: str, tmp_path: Path) -> None:
    """The program is put where it is on this machine; nothing else is changed."""
    text = (UNITS / name).read_text().replace("/opt/sbcwatch/bin/sbcwatch", "/bin/true")
    path = tmp_path / name.replace("@", "@one")
    path.write_text(text)
    run = subprocess.run(
        [analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    told = [line for line in run.stderr.splitlines() if "sbcwatch" in line]
    assert run.returncode == 0, run.stderr
    assert not told


@pytest.mark.parametrize("name", NAMES)
def test_unit_holds_one_capability_and_the_families_of_capture(name: str) -> None:
    unit = settings(name)
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == "CAP_NET_RAW"
    assert set(unit["RestrictAddressFamilies"].split()) == {
        "AF_PACKET",
        "AF_NETLINK",
        "AF_UNIX",
        "AF_INET",
        "AF_INET6",
    }


@pytest.mark.parametrize("name", NAMES)
def test_unit_has_nothing_that_would_blind_the_capture(name: str) -> None:
    """A user namespace owns no NIC's network; ProcSubset=pid hides /proc/net."""
    assert not {"PrivateUsers", "PrivateNetwork", "ProcSubset", "IPAddressDeny"} & set(settings(name))


@pytest.mark.parametrize("name", NAMES)
def test_unit_names_the_calls_that_system_service_lacks(name: str) -> None:
    unit = settings(name)
    allowed = " ".join(line for line in unit["SystemCallFilter"].splitlines() if not line.startswith("~"))
    for call in (
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
        "seccomp",
        "capset",
    ):
        assert call in allowed.split()
    assert unit["SystemCallErrorNumber"] == "EPERM"


def test_instance_unit_keeps_state_config_and_stream_apart() -> None:
    unit = settings("sbcwatch@.service")
    assert unit["StateDirectory"] == "sbcwatch/%i"
    assert "SBCWATCH_STORE_DIRECTORY=%S/sbcwatch/%i" in unit["Environment"]
    assert "SBCWATCH_LOGS_STREAM={host}-%i" in unit["Environment"]
    assert unit["ExecStart"].endswith("/etc/sbcwatch/%i.toml")


def test_units_differ_in_nothing_else() -> None:
    single, instance = settings("sbcwatch.service"), settings("sbcwatch@.service")
    assert {key for key in single if single[key] != instance[key]} == {
        "Description", "ExecStart", "EnvironmentFile", "Environment", "StateDirectory",
    }  # fmt: skip
    assert set(instance) - set(single) == {"Conflicts"}
    assert set(single) <= set(instance)


def test_unit_of_the_pages_has_no_capability_and_the_daemons_user() -> None:
    unit, daemon = settings(WEB), settings("sbcwatch.service")
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ""
    assert set(unit["RestrictAddressFamilies"].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    # A dynamic user is named as its unit unless it says otherwise: both have one, which owns the store.
    assert unit["User"] == "sbcwatch" == daemon.get("User", "sbcwatch")
    assert unit["StateDirectory"] == daemon["StateDirectory"]
    assert unit["DynamicUser"] == daemon["DynamicUser"] == "yes"
