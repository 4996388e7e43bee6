"""The documentation's commands run, its configurations are taken, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from agent import cli
from agent.config.load import read

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/sbc").glob("*.md"))]
MARK = "<!-- run: by tests/test_docs.py -->"
# Captures that the commands name, and what stands for them here.
CAPTURES = {
    "customer.pcap": "loss-vc2cust-customer.pcap",
    "remote.pcap": "loss-vc2cust-remote.pcap",
    "access.pcap": "answered-outbound-customer.pcap",
    "core.pcap": "answered-outbound-remote.pcap",
}


def blocks(head: str) -> list[tuple[str, str]]:
    """(page, text) of each fenced block that begins with `head`."""
    fence = re.compile(rf"^{re.escape(head)}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(str(page.relative_to(ROOT)), text) for page in PAGES for text in fence.findall(page.read_text())]


@pytest.mark.parametrize(("page", "commands"), blocks(f"{MARK}\n```sh"))
def test_commands_of_a_page_run(page: str, commands: str, tmp_path: Path) -> None:
    for name, capture in CAPTURES.items():
        shutil.copy(ROOT / "pcaps" / capture, tmp_path / name)
    program = tmp_path / "bin" / "sbcwatch"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m agent "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (page, done.stdout[-500:], done.stderr)
    assert "Traceback" not in done.stderr


def test_commands_are_marked_in_readme_and_docs() -> None:
    assert {page for page, _ in blocks(f"{MARK}\n```sh")} >= {"README.md", "docs/configuration.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_that_a_page_names_exist(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text().replace("\\\n", " ")
    printed = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^(?:\S*/)?(sbcwatch [^\n]+)", printed, re.MULTILINE)
    for line in [*lines, *re.findall(r"`(sbcwatch [^`]+)`", text)]:
        words = shlex.split(re.split(r"[|>#;]", line)[0])
        with suppress(SystemExit):  # a page may leave out a name or a number
            cli._options(words[1:])
        said = capsys.readouterr().err
        assert "unrecognized arguments" not in said, line
        assert "invalid choice" not in said, line


@pytest.mark.parametrize(("page", "text"), blocks("```toml"))
def test_configuration_of_a_page_is_taken(page: str, text: str) -> None:
    config, problems = read(text, {})
    assert config is not None, [str(problem) for problem in problems]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
