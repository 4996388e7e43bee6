from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import get_args

import pytest

from agent.commands import check_config
from agent.config import load as configfile
from agent.config import settings as config
from agent.config.checks import refused
from agent.errors import ConfigError
from agent.summary import media_flags_cy

SHIPPED = Path(__file__).parents[2] / "config" / "sbcwatch.toml"


def problems(text: str, **environment: str) -> list[str]:
    return [str(problem) for problem in configfile.read(text, environment)[1]]


def test_shipped_file_is_what_the_settings_say() -> None:
    assert SHIPPED.read_text() == configfile.shipped(), "run: make config"


def test_shipped_file_read_with_every_line_enabled_equals_the_defaults() -> None:
    text = re.sub(r"(?m)^#(\w+ =|\[\[)", r"\1", SHIPPED.read_text())
    read, wrong = configfile.read(text, {})
    assert not wrong
    assert read is not None
    defaults = config.Config()
    defaults.capture.tunnels = (config.TunnelSettings(kind="vxlan"),)  # the example
    for section in ("vc", "capture", "calls", "media", "quality", "cloudwatch", "logs", "store", "limits"):
        assert getattr(read, section) == getattr(defaults, section)


def test_defaults_pass_all_checks_which_nothing_but_a_file_or_variable_asks_for() -> None:
    defaults = config.Config()
    assert not [*configfile._check(defaults), *refused(defaults)]


def test_unknown_key_is_told_with_its_line_and_the_nearest_name() -> None:
    assert problems("[capture]\nsnap_lenght = 3\n") == [
        "line 2: capture.snap_lenght: there is no such setting: did you mean snap_length?"
    ]


def test_every_problem_is_told_at_once() -> None:
    found = problems('[capture]\nring_mb = "x"\n[foo]\n[[connectors]]\nregion = "x"\n')
    assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 4"]


def test_what_types_cannot_say_is_told_beside_what_they_can() -> None:
    text = (
        '[capture]\nring_mb = "x"\n[vc]\naddresses = ["nonsense"]\n'
        '[[connectors]]\nregion = "x"\n[[connectors]]\nid = "a b"\n'
    )
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["line 2", "capture.ring_mb"],
        ["line 4", "vc.addresses"],
        ["line 5", "connectors[0].id"],
        ["line 8", "connectors[1].id"],
    ]


def test_value_that_cannot_be_read_is_told_once() -> None:
    assert len(problems("[calls]\njoin_window = 9.0\n[capture]\nlateness = true\n")) == 1


def test_syntax_error_is_told_with_its_line() -> None:
    assert problems("[capture\n")[0].startswith("line 1: syntax:")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[vc]\naddresses = ["nonsense"]\n', '"nonsense" is no IP address'),
        ('[[connectors]]\nid = "a"\ncustomer_networks = ["10.0.0.0/99"]\n', "is no network"),
        ('[[connectors]]\nid = "a"\n[[connectors]]\nid = "a"\n', "is there twice"),
        ('[[connectors]]\nid = "a b"\n', "will not do"),
        ("[capture]\nlateness = 1.0\n", "must be more than calls.join_window"),
        ('[capture]\nmedia_ports = "9-1"\n', "write it as first-last"),
        ('[cloudwatch]\nnamespace = "AWS/Mine"\n', "reserved"),
        ("[logs]\nretention_days = 2\n", "must be one of"),
        ("[calls]\nretry_window = 0\n", "Expected `float` > 0"),
    ],
)
def test_bad_value_is_told(text: str, part: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert part in found[0]
    assert found[0].startswith("line ")


def test_environment_overrides_the_file_and_lists_split_at_commas() -> None:
    read, wrong = configfile.read(
        "[capture]\nring_mb = 8\n",
        {
            "SBCWATCH_CAPTURE_RING_MB": "16",
            "SBCWATCH_CAPTURE_INTERFACES": "eth0, eth1",
            "SBCWATCH_NO_COMPILED": "1",
        },
    )
    assert not wrong
    assert read is not None
    assert read.capture.ring_mb == 16
    assert read.capture.interfaces == ("eth0", "eth1")


def test_unknown_key_in_the_environment_is_told() -> None:
    assert "SBCWATCH_CAPTURE_RING" in problems("", SBCWATCH_CAPTURE_RING="1")[0]


def test_missing_file_is_one_line_with_the_fix() -> None:
    with pytest.raises(
        ConfigError, match=r"no-such\.toml: No such file or directory: name a readable TOML file"
    ):
        configfile.load("no-such.toml", {})


# -- a configuration of the version before


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if these settings had been called otherwise: within a section, across sections, in a row."""
    names = {
        "capture.ring_size": "capture.ring_mb",
        "media.plc": "quality.plc",
        "metrics.prefix": "cloudwatch.namespace",
        "connectors.networks": "connectors.customer_networks",
    }
    monkeypatch.setattr(configfile, "RENAMED", names)


@pytest.mark.usefixtures("renamed")
def test_old_names_work_and_are_told_with_their_lines() -> None:
    text = """[capture]
ring_size = 8
[media]
plc = false
[metrics]
prefix = "Mine"
[[connectors]]
id = "a"
[[connectors]]
id = "b"
networks = ["192.0.2.0/24"]
"""
    warnings: list[configfile.Problem] = []
    read, wrong = configfile.read(text, {}, warnings)
    assert not wrong
    assert read is not None
    assert (read.capture.ring_mb, read.quality.plc, read.cloudwatch.namespace) == (8, False, "Mine")
    assert [connector.customer_networks for connector in read.connectors] == [(), ("192.0.2.0/24",)]
    assert [str(warning) for warning in warnings] == [
        "line 2: capture.ring_size: is capture.ring_mb now: rename it",
        "line 4: media.plc: is quality.plc now: rename it",
        "line 6: metrics.prefix: is cloudwatch.namespace now: rename it",
        "line 11: connectors[1].networks: is connectors.customer_networks now: rename it",
    ]


@pytest.mark.usefixtures("renamed")
def test_old_variable_works_and_is_told() -> None:
    warnings: list[configfile.Problem] = []
    read, wrong = configfile.read("", {"SBCWATCH_CAPTURE_RING_SIZE": "16"}, warnings)
    assert not wrong
    assert read is not None
    assert read.capture.ring_mb == 16
    assert [str(warning) for warning in warnings] == [
        "SBCWATCH_CAPTURE_RING_SIZE: is SBCWATCH_CAPTURE_RING_MB now: rename it"
    ]


@pytest.mark.usefixtures("renamed")
def test_old_and_new_name_together_are_refused() -> None:
    assert problems("[capture]\nring_size = 8\nring_mb = 9\n") == [
        "line 2: capture.ring_size: is capture.ring_mb now, which is set too: remove this one"
    ]


@pytest.mark.usefixtures("renamed")
def test_bad_value_under_an_old_name_is_told_on_its_line() -> None:
    assert problems('[capture]\nring_size = "x"\n')[0].startswith("line 2: capture.ring_mb: Expected `int`")


@pytest.mark.usefixtures("renamed")
def test_check_config_prints_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text("[capture]\nring_size = 8\n")
    options = argparse.Namespace(file=str(path), json=False, strict=False, elsewhere=True)
    assert check_config.check_command(options) == 0
    said = capsys.readouterr().out
    assert f"warning: {path}: line 2: capture.ring_size: is capture.ring_mb now: rename it\n" in said
    assert "watching: all interfaces" in said


def test_renamed_settings_lead_to_settings_and_from_none() -> None:
    for old, new in configfile.RENAMED.items():
        section, key = new.split(".")
        assert key in configfile._fields(configfile._fields(config.Config)[section].type), new
        assert not hasattr(getattr(config.Config(), old.split(".")[0], None), old.split(".")[1]), old


def test_what_is_wrong_with_carriers_and_fleet_is_told() -> None:
    text = (
        '[fleet]\nhost = "a b"\n'
        '[[carriers]]\nid = "a"\nnetworks = ["198.51.100.0/24", "x"]\ndomains = ["sip.a"]\n'
        '[[carriers]]\nid = "a"\nnetworks = ["198.51.100.0/24"]\n'
        '[[carriers]]\nid = "b c"\ndomains = ["SIP.A"]\n'
    )
    assert [line.split(": ", 1)[1] for line in problems(text)] == [
        'fleet.host: "a b" will not do: letters, digits and . _ - only, 64 at most',
        'carriers[0].networks: "x" is no network: write it as 192.0.2.0/24',
        'carriers[1].id: "a" is there twice: put both into one table',
        'carriers[2].id: "b c" will not do: letters, digits and . _ - / # only',
        'carriers[2].domains: "sip.a" is a\'s already: it can have one carrier only',
    ]


def test_file_of_an_editor_that_marks_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text('[vc]\naddresses = ["192.0.2.1"]\n', encoding="utf-8-sig")
    assert configfile.load(path, {}).vc.addresses == ("192.0.2.1",)


def test_flags_that_may_trigger_are_those_of_media_records() -> None:
    defined = re.findall(r"(?m)^(\w+_\w+) +[A-Z.]", media_flags_cy.__doc__ or "")
    of_calls = {"answer_unseen", "unsignalled"}
    assert set(get_args(config.Flag)) == {*defined, *of_calls}
