"""`sbcwatch web` as a process: over TLS with a token, and its end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.web import app, listening
from agent.web.access import Access
from tests.kit.pages import site_of, stored

TOKEN = "a-token-of-20-letters"


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_pages_are_served_over_tls_to_who_has_the_token(tmp_path: Path) -> None:
    stored(tmp_path / "store")
    _certificate(tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    config = tmp_path / "sbcwatch.toml"
    config.write_text(
        f'[store]\ndirectory = "{tmp_path / "store"}"\n[web]\nlisten = "0.0.0.0:0"\n'
        f'token_file = "{tmp_path / "token"}"\ntls_certificate = "{tmp_path / "cert.pem"}"\n'
        f'tls_key = "{tmp_path / "key.pem"}"\n'
    )
    command = [sys.executable, "-m", "agent", "web", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        assert said.startswith("sbcwatch: pages at https://0.0.0.0:")
        port = said.split(":")[3].split("/")[0]
        url = f"https://127.0.0.1:{port}/calls?q=0110"
        trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, context=trusted)
        assert refused.value.code == 401
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, context=trusted) as answer:
            assert b"+442079460110" in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) in (0, -signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a server that waits 0.2 s for its clients, and whose static files are long."""
    monkeypatch.setattr(listening, "REQUEST_S", 0.2)
    monkeypatch.setattr(app, "static_text", lambda name: "x" * LONG)
    granted = Access(address="127.0.0.1", port=0)
    site = site_of(stored(tmp_path), granted)
    server, listener = listening.server_of(site, granted)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield granted.port
    server.should_exit = True
    thread.join()
    site.close()


LONG = 16 << 20
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LOGIN = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: ",
        LOGIN,
        LOGIN + b"token=",
        LOGIN.replace(b"100", b"9999") + bytes(5_000),
    ],
    ids=["nothing", "half a head", "no body", "half a body", "half a body, answered"],
)
@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "second"])
def test_connection_that_asks_nothing_is_closed(port: int, before: bytes, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(before + sent)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 16):
                pass


def test_answer_that_nobody_reads_is_dropped_and_a_slow_reader_gets_all_of_it(port: int) -> None:
    def ask() -> socket.socket:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        connection.sendall(HEALTH.replace(b"healthz", b"static/page.css"))
        return connection

    with ask() as silent, ask() as reader:
        size = 0
        while data := reader.recv(1 << 16):
            size += len(data)
        assert size > LONG
        with contextlib.suppress(ConnectionResetError):
            while data := silent.recv(1 << 16):
                size += len(data)
        assert size < 2 * LONG


def test_request_of_a_stranger_leaves_no_traceback(port: int, caplog: pytest.LogCaptureFixture) -> None:
    for path, host in (
        ("/", "["),
        ("/call/" + "9" * 5_000, "localhost"),
        ("/call-id/" + "x" * 5_000, "localhost"),
    ):
        with socket.create_connection(("127.0.0.1", port), 10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100).startswith((b"HTTP/1.1 421 ", b"HTTP/1.1 414 "))
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(LOGIN)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(HEALTH)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert not caplog.records


def test_address_that_is_taken_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["web", "--store", str(tmp_path), "--listen", listen]) == 4
    assert "Address already in use: set [web] listen" in capsys.readouterr().err


def _certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {folder}/key.pem -out {folder}/cert.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
