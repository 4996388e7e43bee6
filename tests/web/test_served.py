"""`sbcwatch web` as a process: over TLS with a token, and its end."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from agent.cli import main
from agent.web import listening
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


def test_connection_that_asks_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "REQUEST_S", 0.2)
    granted = Access(address="127.0.0.1", port=0)
    site = site_of(stored(tmp_path), granted)
    server, listener = listening.server_of(site, granted)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        with (
            socket.create_connection(("127.0.0.1", granted.port), 10) as silent,
            socket.create_connection(("127.0.0.1", granted.port), 10) as slow,
        ):
            slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
            assert silent.recv(1) == b""
            assert slow.recv(1) == b""
    finally:
        server.should_exit = True
        thread.join()
        site.close()


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
