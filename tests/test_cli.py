"""The front door: options anywhere on the line, help, readers that go away, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli, uncompiled
from agent.commands import completion
from agent.commands.examples import EXAMPLES
from tests.kit import manual

ROOT = Path(__file__).parent.parent
CUSTOMER, REMOTE = (f"pcaps/loss-vc2cust-{side}.pcap" for side in ("customer", "remote"))
SBC = "10.10.0.1"
COMMAND = [sys.executable, "-m", "agent"]


def ran(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **more}
    )


def piped(command: str) -> subprocess.CompletedProcess[str]:
    """A command of a shell that fails where any part of its pipe does."""
    line = f"set -o pipefail; {sys.executable} -m agent {command}"
    return subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True)


def test_compiled_required_and_absent_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBCWATCH_REQUIRE_COMPILED", "1")
    monkeypatch.setattr(uncompiled, "status", lambda: {"agent.media.rtp.loop_cy": False})
    assert cli.main(["selftest"]) == 2
    assert "agent.media.rtp.loop_cy: not compiled: install a C compiler" in capsys.readouterr().err


def test_compiled_required_and_there_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBCWATCH_REQUIRE_COMPILED", "1")
    monkeypatch.setattr(uncompiled, "status", lambda: {"agent.media.rtp.loop_cy": True})
    assert cli.main(["selftest"]) == 0


@pytest.mark.parametrize("before", [[], ["help"], ["--config", "x.toml"]])
def test_unknown_command_is_bad_usage_and_names_the_nearest(
    before: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*before, "raply"]) == 2
    assert "there is no command 'raply': did you mean replay?" in capsys.readouterr().err


def test_no_command_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([])
    assert end.value.code == 2


@pytest.mark.parametrize(
    "line",
    [
        f"replay {CUSTOMER} {REMOTE} --vc {SBC} --json --customer 10.10.0.0/24",
        f"--vc {SBC} replay {CUSTOMER} --json --customer=10.10.0.0/24 {REMOTE}",
        f"--json --vc={SBC} replay --customer 10.10.0.0/24 -- {CUSTOMER} {REMOTE}",
        f"--customer 10.10.0.0/24 --json replay {CUSTOMER} --vc {SBC} {REMOTE}",
    ],
)
def test_options_stand_anywhere_on_the_line(line: str) -> None:
    options = cli._options(line.split())
    assert options.command.endswith(":replay_command")
    assert (options.files, options.vc, options.customer, options.json) == (
        [CUSTOMER, REMOTE],
        [SBC],
        ["10.10.0.0/24"],
        True,
    )


def test_value_that_is_a_commands_name_is_no_command() -> None:
    options = cli._options(["--store", "run", "replay", CUSTOMER])
    assert (options.command.partition(":")[2], options.store) == ("replay_command", "run")


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_every_command_has_examples_that_parse_and_are_in_its_help(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["help", name]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert EXAMPLES[name]
    for line in EXAMPLES[name]:
        assert line in shown
        words = line.split("|")[-1].split(">")[0].split()
        assert words[:1] == ["sbcwatch"]
        assert cli._options(words[1:]).command == cli._COMMANDS[name][0]


def test_manual_and_completion_are_the_parsers() -> None:
    assert manual.PAGE.read_text() == manual.manual(), "run: make manual"
    for shell in cli.SHELLS:
        assert completion.script(shell).read_text() == manual.completion(shell), "run: make manual"


def test_completion_of_bash_completes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    asked = '; COMP_WORDS=(sbcwatch rep); COMP_CWORD=1; _shtab_sbcwatch; echo "${COMPREPLY[@]}"'
    script = capsys.readouterr().out + asked
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["replay", "report"]


# A terminal of its own, in which somebody types what is given and presses Tab.
ZSH = """zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "fpath=($PWD \\$fpath); autoload -Uz compinit; compinit -u -D; PS1=rea''dy"
zpty -r z shown '*ready*'
zpty -w -n z "$1"$'\\t\\t'
zpty -r z shown "*$2*"
print -r -- $shown
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_of_zsh_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "zsh"]) == 0
    (tmp_path / "_sbcwatch").write_text(capsys.readouterr().out)
    command = ["zsh", "-f", "-c", ZSH, "zsh", "sbcwatch rep", "verdict first"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert re.findall(r"(re\w+) +-- ", done.stdout) == ["replay", "report"]


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_of_fish_completes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish"]) == 0
    script = capsys.readouterr().out + '\ncomplete -C "sbcwatch rep"; complete -C "sbcwatch replay --cus"'
    done = subprocess.run(
        ["fish", "-N", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["replay", "report", "--customer"]


def test_config_prints_the_shipped_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config"]) == 0
    assert capsys.readouterr().out == (ROOT / "config/sbcwatch.toml").read_text()


@pytest.mark.parametrize(
    "command",
    [
        f"replay {CUSTOMER}",
        f"replay {CUSTOMER} --json",
        f"streams {CUSTOMER}",
        f"report {CUSTOMER} -o -",
        "config",
        "--help",
    ],
)
def test_reader_that_goes_away_is_no_error(command: str) -> None:
    done = piped(f"{command} | head -c 1")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", [f"replay {CUSTOMER}", f"replay {CUSTOMER} --json", "config"])
def test_output_on_a_full_disk_is_one_line(command: str) -> None:
    done = piped(f"{command} > /dev/full")
    assert done.returncode == 3
    assert "sbcwatch: output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["aws alarms --hosts", "fleet schema --hosts", "calls --limit"])
@pytest.mark.parametrize("count", ["0", "-3", "two"])
def test_count_that_is_none_is_bad_usage(
    command: str, count: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*command.split(), count])
    assert exit_.value.code == 2
    assert f"'{count}' will not do: write a number of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", [f"replay {CUSTOMER}", f"replay {CUSTOMER} --json", "config"])
def test_output_that_the_caller_closed_is_no_error(command: str, closed: str) -> None:
    done = piped(f"{command} {closed}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "sides are unknown" not in done.stdout


@pytest.mark.parametrize("command", [f"replay {CUSTOMER}", f"top --once {CUSTOMER}", "help replay"])
def test_terminal_of_another_encoding_shows_what_it_can(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = piped(f"{command} --vc {SBC}" if CUSTOMER in command else command).stdout
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = piped(f"{command} --vc {SBC}" if CUSTOMER in command else command)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"\d+", done.stdout) == re.findall(r"\d+", whole)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_ctrl_c_prints_what_was_read(form: list[str]) -> None:
    captured = (ROOT / CUSTOMER).read_bytes()
    arguments = [*COMMAND, "replay", "-", "--vc", SBC, "--customer", "10.10.0.0/24", *form]
    process = subprocess.Popen(
        arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(captured[:-1])  # more than a pipe holds: it is being read
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    shown, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"stopped by Ctrl-C: the figures are of the first" in said
    assert (b'"type":"capture"' if form else b"SIP messages") in shown
