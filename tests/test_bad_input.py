"""Bad input through the command: one clear line with the fix, the right status, nothing read is lost.

`sbcwatch` is the command in this process. Standard input, other users and the daemon want a `process`.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kit.capture_files import pcap, steady
from tests.kit.command import ROOT, run, run_apart
from tests.kit.replayed import PCAPS

GOOD = PCAPS / "short-inbound-customer.pcap"
SIDES = ("--vc", "10.10.0.1", "--customer", "10.10.0.0/24")
BOTH = pytest.mark.parametrize("command", ["replay", "streams"])


def sbcwatch(*arguments: str) -> tuple[int, str, list[str]]:
    """Exit status, stdout and the lines of stderr."""
    status, out, err = run(*arguments)
    return status, out.decode(), err.splitlines()


def process(*arguments: str, stdin: bytes = b"", before: tuple[str, ...] = ()) -> tuple[int, str, list[str]]:
    """The same of the command in a process of its own."""
    status, out, err = run_apart(*arguments, stdin=stdin, before=before)
    return status, out.decode(), err.splitlines()


def record_at(data: bytes, number: int) -> int:
    """Where a classic capture's record begins."""
    at = 24
    for _ in range(number):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    return at


def rows(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def counted(out: str) -> tuple[int, int]:
    """(frames, SIP messages) that replay's JSON tells."""
    told = rows(out)
    return told[-1]["frames"], sum(row["type"] == "sip" for row in told)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A folder of bad captures, made from a good one: 100 whole records, then the fault."""
    data = GOOD.read_bytes()
    at = record_at(data, 100)
    corrupt = bytearray(data)
    corrupt[at + 8 : at + 12] = b"\xff\xff\xff\x7f"
    link = bytearray(data)
    link[20] = 147  # reserved for private use
    files = {
        "truncated.pcap": data[: at + 20],
        "corrupt.pcap": bytes(corrupt),
        "zipped.pcap.gz": gzip.compress(data)[:-3000],
        "empty.pcap": b"",
        "header.pcap": data[:24],
        "half-header.pcap": data[:11],
        "link.pcap": bytes(link),
        "text.pcap": b"this is no capture, it is a letter\n" * 9,
        "other.pcap": pcap(steady(20)),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("truncated.pcap", "copy the file again"),
        ("corrupt.pcap", "repair it"),
        ("zipped.pcap.gz", "copy the file again"),
        ("empty.pcap", "is empty"),
        ("half-header.pcap", "copy it again"),
        ("link.pcap", "capture on another interface"),
        ("text.pcap", "give a pcap or pcapng"),
        ("missing.pcap", "check the path"),
        (".", "name the capture files in it"),
    ],
)
@BOTH
def test_file_that_cannot_be_read_is_one_line_and_status_3(
    command: str, name: str, says: str, bad: Path
) -> None:
    status, _, told = sbcwatch(command, str(bad / name), *SIDES)
    assert status == 3
    assert len(told) == 1
    assert told[0].startswith(f"sbcwatch: {bad}")
    assert says in told[0]


@pytest.mark.parametrize("name", ["truncated.pcap", "corrupt.pcap"])
def test_everything_before_the_fault_is_counted(name: str, bad: Path) -> None:
    data = GOOD.read_bytes()
    whole = bad / "whole.pcap"
    whole.write_bytes(data[: record_at(data, 100)])
    status, expected, told = sbcwatch("replay", str(whole), *SIDES, "--json")
    assert (status, told) == (0, [])
    status, out, told = sbcwatch("replay", str(bad / name), *SIDES, "--json")
    assert status == 3
    assert "the 100 records before it were read" in told[0]
    assert out == expected
    assert counted(out) == (100, 4)


def test_records_before_a_cut_in_gzip_are_counted(bad: Path) -> None:
    status, out, told = sbcwatch("replay", str(bad / "zipped.pcap.gz"), *SIDES, "--json")
    frames, messages = counted(out)
    assert status == 3
    assert f"the {frames} records before it were read" in told[0]
    assert frames > 100
    assert messages >= 4


def test_fault_of_one_file_spares_the_other(bad: Path) -> None:
    status, out, told = sbcwatch("replay", str(bad / "truncated.pcap"), str(GOOD), *SIDES, "--json")
    _, alone, _ = sbcwatch("replay", str(GOOD), *SIDES, "--json")
    assert status == 3
    assert len(told) == 1
    assert counted(out)[0] == 100 + counted(alone)[0]


@BOTH
def test_capture_of_something_else_says_so_and_ends_0(command: str, bad: Path) -> None:
    status, out, told = sbcwatch(command, str(bad / "other.pcap"), *SIDES, "--json")
    assert status == 0
    assert len(told) == 1
    assert "no SIP and no RTP in 20 frames: capture where" in told[0]
    if command == "replay":
        assert counted(out) == (20, 0)


@BOTH
def test_capture_without_frames_says_so_and_ends_0(command: str, bad: Path) -> None:
    status, _, told = sbcwatch(command, str(bad / "header.pcap"), *SIDES)
    assert status == 0
    assert len(told) == 1
    assert "no frames" in told[0]


def test_wrong_vc_address_is_told_apart_from_no_sip() -> None:
    status, _, told = sbcwatch("replay", str(GOOD), "--vc", "192.0.2.77")
    assert status == 0
    assert len(told) == 1
    assert "none to or from 192.0.2.77" in told[0]
    assert "--vc" in told[0]


def test_unknown_sides_name_what_looks_like_the_sbc() -> None:
    status, _, told = sbcwatch("replay", str(PCAPS / "short-inbound-remote.pcap"))
    assert status == 0
    assert len(told) == 1
    assert "--vc" in told[0]
    assert "10.20.0.1" in told[0]


@BOTH
def test_standard_input_reads_as_the_file_does(command: str) -> None:
    assert process(command, "-", *SIDES, "--json", stdin=GOOD.read_bytes()) == sbcwatch(
        command, str(GOOD), *SIDES, "--json"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [("truncated.pcap", "cut short"), ("empty.pcap", "is empty"), ("text.pcap", "no capture")],
)
def test_bad_standard_input_is_one_line_and_status_3(name: str, says: str, bad: Path) -> None:
    status, _, told = process("replay", "-", *SIDES, stdin=(bad / name).read_bytes())
    assert status == 3
    assert len(told) == 1
    assert told[0].startswith("sbcwatch: standard input: ")
    assert says in told[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('[capture]\nintrefaces = ["eth0"]\n', "did you mean interfaces?", id="unknown key"),
        pytest.param('[capture]\nlateness = "soon"\n', "capture.lateness", id="wrong type"),
        pytest.param("[capture\n", "line 1", id="no TOML"),
        pytest.param('[vc]\naddresses = ["10.0.0.256"]\n', "10.0.0.256", id="no address"),
    ],
)
@pytest.mark.parametrize("command", ["replay", "run", "check-config"])
def test_wrong_config_is_one_line_and_status_2(command: str, text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text + f'[store]\ndirectory = "{tmp_path}"\n' if text != "[capture\n" else text)
    arguments = {"replay": [str(GOOD), "--config"], "run": ["--config"], "check-config": []}[command]
    status, out, told = sbcwatch(command, *arguments, str(path))
    assert (status, out) == (2, "")
    assert len(told) == 1
    assert says in told[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("replay", str(GOOD), "--config", "/nowhere/x.toml"), "--config"),
        (("replay", str(GOOD), "--vc", "nonsense"), "'nonsense'"),
        (("replay", str(GOOD), "--customer", "10.0.0.0/99"), "10.0.0.0/99"),
        (("replay",), "FILE"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_usage_is_status_2(arguments: tuple[str, ...], says: str) -> None:
    status, _, told = sbcwatch(*arguments)
    assert status == 2
    assert says in told[-1]
    assert not any("Traceback" in line for line in told)


def _configured(folder: Path) -> Path:
    path = folder / "settings.toml"
    path.write_text(f'[store]\ndirectory = "{folder}/store"\n')
    return path


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="interfaces are looked up as Linux names them"
)
def test_interface_that_does_not_exist_is_one_line_and_status_3(tmp_path: Path) -> None:
    config = _configured(tmp_path)
    status, _, told = process("run", "--interface", "nosuch0", "--config", str(config))
    assert status == 3
    assert len(told) == 1
    assert "no interface nosuch0: name one of" in told[0]


def as_nobody() -> tuple[str, ...]:
    """What makes a command run without rights; skips where this process cannot give its own up."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not here to give root's rights up")
    before = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    tried = subprocess.run([*before, sys.executable, "-c", "import agent"], cwd=ROOT, capture_output=True)
    if tried.returncode:
        pytest.skip("nobody may not read this Python or this checkout")
    return before


def open_to_all(folder: Path) -> None:
    """A temporary folder that another user can get into."""
    folder.chmod(0o777)
    for each in folder.parents:
        if each.name.startswith(("pytest-", "popen-")):
            each.chmod(0o711)


def test_capture_without_permission_is_one_line_and_status_3(tmp_path: Path) -> None:
    before = as_nobody()
    if not before and _may_capture():
        pytest.skip("this user may capture")
    open_to_all(tmp_path)
    config = _configured(tmp_path)
    status, _, told = process("run", "--interface", "lo", "--config", str(config), before=before)
    assert status == 3
    assert len(told) == 1
    assert "CAP_NET_RAW" in told[0]


def _may_capture() -> bool:
    import socket

    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError):
        return False
    return True


@BOTH
def test_unreadable_file_is_one_line_and_status_3(command: str, tmp_path: Path) -> None:
    before = as_nobody()
    open_to_all(tmp_path)
    path = tmp_path / "secret.pcap"
    path.write_bytes(GOOD.read_bytes())
    path.chmod(0)
    status, _, told = process(command, str(path), *SIDES, before=before)
    assert status == 3
    assert len(told) == 1
    assert "may not be read by this user: chmod it" in told[0]


@pytest.mark.parametrize("command", ["replay", "streams"])
def test_reader_that_leaves_early_ends_it_quietly(command: str) -> None:
    """`sbcwatch replay FILE --json | head -1`: status 0 and no word."""
    capture = str(PCAPS / "twenty-inbound-customer.pcap.gz")
    with subprocess.Popen(
        [sys.executable, "-m", "agent", command, capture, *SIDES, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before it writes: every write of it fails
        told = process.stderr.read()
        assert process.wait(60) == 0
    assert told == b""
