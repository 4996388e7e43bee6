"""The daemon locked in from inside, as root on loopback: what it still may, and what it no longer can."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.daemon.confine import landlock as files
from agent.daemon.confine import landlock_calls
from agent.daemon.confine import seccomp as calls
from agent.daemon.confine.report import ConfineReport
from tests.kit.strict_aws import StrictAws

ROOT = Path(__file__).parents[2]
CREATE_RULESET = 444
# Started as a program is: it confines itself, then tries, in a thread that it started afterwards.
TRIES = """
import ctypes, json, os, sys, threading
import errno, fcntl, socket, ssl, struct
from pathlib import Path
from agent.capture.live import linux
from agent.daemon.confine import confine
PTRACE_CONT = 7  # of no process: "No such process" where it may ask
state, config, outside = map(Path, sys.argv[1:])
packets = linux.sealed(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
linux.bind(packets, socket.if_nametoindex("lo"))
frame = bytes(12) + bytes((8, 0)) + bytes(50)
spoken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
spoken.bind(chr(0) + "notify" + str(os.getpid()))
notifier = linux.sealed(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
notifier.connect(spoken.getsockname())
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
closed = socket.create_server(("127.0.0.1", 0))
sixth = socket.socket(socket.AF_INET6)
report = confine(state, config, urls=[f"http://127.0.0.1:{port}"], notifier=notifier.fileno())
told = {"done": report.done, "left_out": report.left_out}

def tried(name, action):
    try:
        action()
        told[name] = "done"
    except OSError as error:
        told[name] = error.strerror

def call(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def all_of_it():
    tried("write state", lambda: (state / "x").write_text("x"))
    tried("rename in state", lambda: (state / "x").rename(state / "y"))
    tried("remove from state", lambda: (state / "y").unlink())
    tried("write outside", lambda: (outside / "x").write_text("x"))
    tried("change outside", lambda: (outside / "secret").write_text("x"))
    tried("remove outside", lambda: (outside / "secret").unlink())
    tried("read outside", lambda: (outside / "secret").read_text())
    tried("write config", lambda: config.write_text("x"))
    tried("read config", config.read_text)
    tried("execute", lambda: os.posix_spawn("/bin/true", ["true"], {}))
    tried("import", lambda: __import__("smtplib"))
    tried("import for TCP", lambda: __import__("agent.transport.framings"))
    tried("import for a reload", lambda: __import__("agent.provision.cost"))
    tried("import compiled", lambda: __import__("agent.evidence.picker_cy"))
    tried("resolve", lambda: __import__("socket").getaddrinfo("localhost", 1))
    tried("read shadow", lambda: Path("/etc/shadow").read_text())
    tried("read keys of TLS", lambda: os.listdir("/etc/ssl/private"))
    tried("trust", ssl.create_default_context)
    tried("packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    tried("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
    tried("send a frame", lambda: packets.send(frame))
    tried("send a frame to", lambda: packets.sendto(frame, ("lo", 0x0800)))
    tried("send a frame by sendmsg", lambda: packets.sendmsg([frame]))
    tried("write a frame", lambda: os.write(packets.fileno(), frame))
    tried("writev a frame", lambda: os.writev(packets.fileno(), [frame]))
    tried("copy a descriptor", lambda: os.dup(packets.fileno()))
    tried("copy a descriptor below", lambda: os.dup2(packets.fileno(), 400))
    tried("copy a descriptor by fcntl", lambda: fcntl.fcntl(packets, fcntl.F_DUPFD, 3))
    tried("copy a descriptor by its name", lambda: os.open(f"/proc/self/fd/{packets.fileno()}", os.O_RDWR))
    tried("bind anew", lambda: linux.bind(packets, 0))
    tried("filter anew", lambda: linux.attach_filter(packets, [(6, 0, 0, 0)]))
    tried("link state", lambda: None if linux.is_up(packets, "lo") is not None else None)
    tried("notify", lambda: notifier.send(b"READY=1"))
    tried("notify another", lambda: notifier.sendto(b"READY=1", spoken.getsockname()))
    tried("turn the notifier", lambda: notifier.connect(spoken.getsockname()))
    tried("connect where it is sent to", lambda: socket.create_connection(("127.0.0.1", port), 5).close())
    tried("connect elsewhere", lambda: socket.create_connection(closed.getsockname(), 5))
    tried("UDP", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9)))
    tried("listen", lambda: socket.create_server(("127.0.0.1", 0)).close())
    tried("interfaces by netlink", socket.if_nameindex)
    tried("thread", lambda: threading.Thread(target=int).start())
    tried("mount", lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None))
    tried("bpf", lambda: call("syscall", 321, 0, 0, 0))
    tried("terminal input", lambda: fcntl.ioctl(0, 0x5412, b"x"))
    tried("chown", lambda: os.chown(state, 1, 1))
    tried("unshare", lambda: call("unshare", 0))
    tried("ptrace", lambda: call("ptrace", PTRACE_CONT, 0, 0, 0))
    tried("signal a parent", lambda: os.kill(os.getppid(), 0))
    tried("signal a group", lambda: os.killpg(os.getppid(), 0))
    tried("signal another's thread", lambda: call("tgkill", os.getppid(), os.getppid(), 0))
    tried("own signal", lambda: __import__("signal").raise_signal(__import__("signal").SIGURG))
    tried("Unix socket", lambda: __import__("socket").socket(__import__("socket").AF_UNIX))
    tried("Internet socket", lambda: __import__("socket").socket())
    tried("pair", __import__("socket").socketpair)
    tried("fork", lambda: os.waitpid(os.fork() or os._exit(0), 0))
    tried("interfaces", lambda: os.listdir("/sys/class/net"))
    tried("addresses", lambda: Path("/proc/net/fib_trie").read_text())
    told["dumpable"] = ctypes.CDLL(None).prctl(3)
    tried("own figures", lambda: Path("/proc/self/statm").read_text())

thread = threading.Thread(target=all_of_it)
thread.start()
thread.join()
print(json.dumps(told))
"""


# Refused by seccomp, with nothing else in the way.
NO_CALL = (
    "packet socket", "raw socket", "send a frame", "send a frame to", "send a frame by sendmsg",
    "write a frame",
    "writev a frame", "copy a descriptor", "copy a descriptor below", "copy a descriptor by fcntl",
    "notify another", "turn the notifier", "mount", "bpf", "terminal input",
)  # fmt: skip


def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: there is nothing to drop")


def needs_landlock() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1) < 1:
        pytest.skip(f"this kernel has no Landlock: {os.strerror(ctypes.get_errno())}")


def needs_seccomp() -> None:
    try:
        importlib.import_module("pyseccomp")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"seccomp has no binding here: {error}")


def tries(state: Path, config: Path, outside: Path, aws: Path | str = "") -> dict[str, str]:
    run = subprocess.run(
        [sys.executable, "-c", TRIES, str(state), str(config), str(outside)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"AWS_CONFIG_FILE": str(aws)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told: dict[str, str] = json.loads(run.stdout)
    return told


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """State, configuration, and what is nobody's business."""
    for name in ("state", "etc", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc/sbcwatch.toml").write_text("")
    (tmp_path / "outside/secret").write_text("x")
    return tmp_path / "state", tmp_path / "etc/sbcwatch.toml", tmp_path / "outside"


def test_process_keeps_its_own_and_nothing_else(folders: tuple[Path, Path, Path]) -> None:
    needs_root()
    needs_landlock()
    needs_seccomp()
    told: dict[str, Any] = dict(tries(*folders))
    assert [text for text in told.pop("left_out") if "resolv.conf" not in text] == []
    assert "no capability" in told.pop("done")
    assert told.pop("dumpable") == 0
    refused = {name: why for name, why in told.items() if why != "done"}
    assert refused == {
        "write outside": "Permission denied",
        "change outside": "Permission denied",
        "remove outside": "Permission denied",
        "read outside": "Permission denied",
        "write config": "Permission denied",
        "execute": "Operation not permitted",
        "chown": "Operation not permitted",
        "read shadow": "Permission denied",
        "read keys of TLS": "Permission denied",
        **dict.fromkeys(NO_CALL, "Operation not permitted"),
        "copy a descriptor by its name": "No such device or address",
        "connect elsewhere": "Permission denied",
        "pair": "Operation not permitted",
        "fork": "Operation not permitted",
        "unshare": "Operation not permitted",
        "ptrace": "Operation not permitted",
        "signal a parent": "Operation not permitted",
        "signal a group": "Operation not permitted",
        "signal another's thread": "Operation not permitted",
        "Unix socket": "Operation not permitted",
    }


def test_program_for_credentials_keeps_its_files_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text("[default]\ncredential_process = /usr/local/bin/helper\n")
    report = ConfineReport()
    files.fence_files(tmp_path, None, {"AWS_CONFIG_FILE": str(tmp_path / "config")}, report)
    assert not report.done
    assert "credential_process" in report.left_out[0]


def test_kernel_without_landlock_is_said_and_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(landlock_calls, "abi", refused)
    report = ConfineReport()
    files.fence_files(tmp_path, None, {}, report)
    assert report.left_out == ["Landlock: Function not implemented"]
    assert not report.done


@pytest.mark.parametrize(
    ("abi", "rights", "more"),
    [
        (1, 0x1FFF, []),
        (2, 0x3FFF, []),
        (3, 0x7FFF, []),
        (4, 0x7FFF, [landlock_calls.CONNECT_TCP]),
        (5, 0x7FFF, [landlock_calls.CONNECT_TCP]),
        (6, 0x7FFF, [landlock_calls.CONNECT_TCP, 3]),
        (9, 0x7FFF, [landlock_calls.CONNECT_TCP, 3]),
    ],
)
def test_rights_asked_for_are_those_that_the_kernel_knows(
    monkeypatch: pytest.MonkeyPatch, abi: int, rights: int, more: list[int]
) -> None:
    asked: list[tuple[object, ...]] = []

    def call(*words: object) -> int:
        asked.append(words)
        return 3

    monkeypatch.setattr(landlock_calls, "abi", lambda: abi)
    monkeypatch.setattr(landlock_calls, "_call", call)
    assert landlock_calls.Ruleset().rights == rights
    words = [rights, *more]
    assert asked[0][1] == b"".join(word.to_bytes(8, sys.byteorder) for word in words)


def test_ports_are_those_of_every_address_that_is_configured(tmp_path: Path) -> None:
    aws = tmp_path / "config"
    aws.write_text("[default]\nendpoint_url = https://vpce.example:8443/\n")
    environment = {
        "AWS_CONFIG_FILE": str(aws), "HTTPS_PROXY": "proxy:3128", "AWS_ENDPOINT_URL_LOGS": "http://[::1]:4566",
        "no_proxy": "*.example", "HTTP_PROXY": "proxy:none",
    }  # fmt: skip
    urls = ["http://clickhouse:8123/db", "s3://bucket", "https://example/"]
    assert files.ports(urls, environment) == {53, 80, 443, 8443, 3128, 4566, 8123}


def test_every_call_that_is_named_is_known_to_libseccomp_or_younger_than_it() -> None:
    needs_seccomp()
    seccomp = importlib.import_module("pyseccomp")
    unknown = -1  # libseccomp's own numbers for calls of other machines are below
    names = (*calls.FREE, *calls.SENDING)
    assert len(set(names)) == len(names)
    assert not {*names} & {*calls.NEVER}
    younger = {"futex_wait", "futex_wake", "futex_requeue"}  # than libseccomp 2.5.4
    every = [*names, *calls.NEVER]
    assert not [
        name
        for name in every
        if seccomp.resolve_syscall(seccomp.system_arch(), name) == unknown and name not in younger
    ]


def test_program_for_credentials_may_run_and_the_report_says_so(folders: tuple[Path, Path, Path]) -> None:
    needs_root()
    needs_seccomp()
    state, config, outside = folders
    aws = config.with_name("aws")
    aws.write_text("[default]\ncredential_process = /usr/local/bin/helper\n")
    told = tries(state, config, outside, aws)
    assert told["execute"] == "done"
    assert told["ptrace"] == "Operation not permitted"
    assert any("seccomp lets programs run" in reason for reason in told["left_out"])


def test_missing_binding_is_said_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("seccomp", "pyseccomp"):
        monkeypatch.setitem(sys.modules, name, None)
    report = ConfineReport()
    calls.fence_calls(calls.binding(), None, report)
    assert not report.done
    assert "pyseccomp or libseccomp is not installed" in report.left_out[0]


def test_state_of_another_user_keeps_roots_way_to_it(folders: tuple[Path, Path, Path]) -> None:
    needs_root()
    state, config, outside = folders
    os.chown(state, 4321, 4321)
    state.chmod(0o700)
    told = tries(state, config, outside)
    assert told["write state"] == "done"
    assert any(str(state) in reason for reason in told["left_out"])
    assert told["chown"] == "Operation not permitted"


# -- the daemon itself


@dataclass
class Daemon:
    process: subprocess.Popen[bytes]
    log: Path
    config: Path
    port: int
    aws: StrictAws
    status: dict[str, str] = field(default_factory=dict)

    def said(self, text: str) -> bool:
        return text in self.log.read_text()


def until(what: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def daemon(folders: tuple[Path, Path, Path], tmp_path: Path) -> Iterator[Daemon]:
    needs_root()
    needs_landlock()
    needs_seccomp()
    state, config, outside = folders
    shutil.rmtree(state)
    port = free_port()
    config.write_text(
        f'[vc]\naddresses = ["127.0.0.1"]\n[customers]\nnetworks = ["127.0.0.2/32"]\n'
        f'[capture]\nlateness = 2.5\n[store]\ndirectory = "{state}"\ncheckpoint = 0.5\n'
        f"[prometheus]\nport = {port}\n"
        '[cloudwatch]\nenabled = true\nregion = "eu-west-1"\ninterval = 0.5\n[logs]\nenabled = true\n'
        f'[clickhouse]\npassword_file = "{outside / "secret"}"\n'
    )
    with StrictAws() as aws, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent", "run", "--config", str(config), "--interface", "lo"],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {
                "AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/nonexistent",
            },
        )  # fmt: skip
        try:
            made = Daemon(process, tmp_path / "log", config, port, aws)
            until(lambda: made.said('"cause": "start"') or process.poll() is not None, 30)
            assert process.poll() is None, made.log.read_text()
            yield made
        finally:
            process.kill()
            process.wait()


def options(daemon: Daemon) -> None:
    text = (
        "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2;branch=z9hG4bK1\r\n"
        "From: <sip:b@127.0.0.2>;tag=1\r\nTo: <sip:a@127.0.0.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.bind(("127.0.0.2", 0))
        out.sendto(text.encode(), ("127.0.0.1", 5060))


def test_confined_daemon_delivers_and_reloads(daemon: Daemon) -> None:
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        status = dict(re.findall(r"(?m)^(\w+):\s+(.*)$", (task / "status").read_text()))
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", "a filter"
    assert daemon.said("no capability; no new privileges; writes ")
    assert daemon.said("runs no program; makes no system call but its own")
    assert daemon.log.read_text().count("left out") == daemon.log.read_text().count("left out: root may not")

    options(daemon)
    # Replaced, as an editor or a deployment tool does it.
    fresh = daemon.config.with_suffix(".new")
    fresh.write_text(daemon.config.read_text().replace("interval = 0.5", "interval = 0.6"))
    fresh.rename(daemon.config)
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.said("configuration taken, hash"), 10)
    options(daemon)
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics", timeout=5) as answer:
        assert re.search(r"(?m)^sbcwatch_agent_frames_total [1-9]", answer.read().decode())

    other = free_port()
    daemon.config.write_text(daemon.config.read_text().replace(f"port = {daemon.port}", f"port = {other}"))
    daemon.process.send_signal(signal.SIGHUP)

    def is_served() -> bool:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{other}/metrics", timeout=5).close()
            return True
        assert daemon.process.poll() is None, daemon.log.read_text()
        return False

    until(is_served, 10)

    daemon.process.send_signal(signal.SIGTERM)  # commits the open minute and flushes
    assert daemon.process.wait(30) == 0
    logs = daemon.aws.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    assert any("SipMessages" in group for group in groups), daemon.log.read_text()
    assert daemon.aws.client("cloudwatch").list_metrics()["Metrics"], daemon.log.read_text()
    assert not daemon.said("Permission denied")
    assert not daemon.said('"level": "error"')


def test_confined_daemon_reads_its_secrets_anew_and_names_an_address_that_waits(daemon: Daemon) -> None:
    text = daemon.config.read_text().replace(
        "[clickhouse]\n", f'[clickhouse]\nurl = "{daemon.aws.endpoint_url}"\n'
    )
    daemon.config.write_text(text + f'[otlp]\nurl = "http://127.0.0.1:{free_port()}"\n')
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.said('"cause": "reload"'), 10)
    assert daemon.said("configuration taken, hash"), daemon.log.read_text()
    assert daemon.said("; at the next start only: otlp.url") == daemon.said("connects to TCP ports ")
