from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import config, configfile
from agent.errors import ConfigError

SHIPPED = Path(__file__).parent.parent / "config" / "sbcwatch.toml"


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
    for section in ("vc", "capture", "calls", "media", "quality", "cloudwatch", "logs", "store", "limits"):
        assert getattr(read, section) == getattr(defaults, section)


def test_unknown_key_is_told_with_its_line_and_the_nearest_name() -> None:
    assert problems("[capture]\nsnap_lenght = 3\n") == [
        "line 2: capture.snap_lenght: there is no such setting: did you mean snap_length?"
    ]


def test_every_problem_is_told_at_once() -> None:
    found = problems('[capture]\nring_mb = "x"\n[foo]\n[[connectors]]\nregion = "x"\n')
    assert [line.split(":")[0] for line in found] == ["line 2", "line 3", "line 4"]


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
