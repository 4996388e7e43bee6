"""Who may read the pages: refused before anything listens, or at the first header."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import ConfigError
from agent.web.access import Access, access, address_of
from tests.kit.pages import ask, site_of, stored

TOKEN = "a-token-of-20-letters"


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def pem(tmp_path: Path) -> str:
    path = tmp_path / "tls.pem"
    path.write_text("pem")
    return str(path)


@pytest.mark.parametrize("listen", ["127.0.0.1:9643", "[::1]:9643", "localhost:0"])
def test_loopback_needs_nothing(listen: str) -> None:
    assert access(listen, "", "", "", (), "").is_local


def test_elsewhere_with_a_token_and_tls_is_allowed(token_file: str, pem: str) -> None:
    assert access("0.0.0.0:9643", token_file, pem, pem, (), "").token == TOKEN


def test_elsewhere_behind_a_proxy_is_allowed() -> None:
    assert access("10.0.0.1:9643", "", "", "", ("10.0.0.9",), "").lets_connect("10.0.0.9")


@pytest.mark.parametrize("listen", ["0.0.0.0:9643", "[::]:9643", "192.0.2.1:80"])
@pytest.mark.parametrize(("has_token", "has_tls"), [(False, False), (True, False), (False, True)])
def test_elsewhere_otherwise_is_refused_in_one_line(
    listen: str, has_token: bool, has_tls: bool, token_file: str, pem: str
) -> None:
    tls = pem if has_tls else ""
    with pytest.raises(ConfigError, match="can be reached from elsewhere") as refused:
        access(listen, token_file if has_token else "", tls, tls, (), "")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [(TOKEN, 0o644, "chmod 600"), ("short", 0o600, "characters"), ("", 0o600, "characters")],
)
def test_token_file_that_protects_nothing_is_refused(
    tmp_path: Path, text: str, mode: int, words: str
) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        access("127.0.0.1:9643", str(path), "", "", (), "")


@pytest.mark.parametrize("listen", ["9643", "127.0.0.1", "127.0.0.1:", "host.example:80", "127.0.0.1:70000"])
def test_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9643"):
        address_of(listen)


def test_certificate_without_its_key_is_refused(pem: str) -> None:
    with pytest.raises(ConfigError, match="together"):
        access("127.0.0.1:9643", "", pem, "", (), "")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("store"))


def test_unknown_host_name_is_refused_on_loopback(store: Path) -> None:
    app = site_of(store).app()
    assert ask(app, "/", headers={"host": "evil.example"}).status == 421
    assert ask(app, "/", headers={"host": "[::1]:9643"}).status == 200


def test_public_url_is_a_known_host_and_its_path_stands_before_links(store: Path) -> None:
    granted = Access(address="127.0.0.1", port=9643, public_url="https://noc.example/sbc")
    answer = ask(site_of(store, granted).app(), "/calls?q=0110", headers={"host": "noc.example"})
    assert answer.status == 200
    assert 'href="/sbc/call/' in answer.text
    assert 'href="/call/' not in answer.text


def test_stranger_is_refused_behind_a_proxy(store: Path) -> None:
    granted = Access(address="10.0.0.1", port=9643, proxies=("10.0.0.9/32",))
    app = site_of(store, granted).app()
    assert ask(app, "/", peer="10.0.0.8").status == 403
    assert ask(app, "/", peer="10.0.0.9", headers={"host": "any.example"}).status == 200


def test_unknown_host_name_is_refused_past_the_proxy(store: Path) -> None:
    """A browser at the end of a tunnel to this host, on a page whose name points here."""
    granted = Access(
        address="10.0.0.1", port=9643, proxies=("10.0.0.9/32",), public_url="https://noc.example"
    )
    app = site_of(store, granted).app()
    for host, status in (("evil.example", 421), ("noc.example", 200), ("10.0.0.1:9643", 200), ("[", 421)):
        assert ask(app, "/", peer="127.0.0.1", headers={"host": host}).status == status


@pytest.fixture
def guarded(store: Path) -> Access:
    return Access(address="0.0.0.0", port=9643, token=TOKEN, certificate="x", key="y")


def test_page_without_a_token_leads_to_the_sign_in(store: Path, guarded: Access) -> None:
    app = site_of(store, guarded).app()
    answer = ask(app, "/calls?q=0110")
    assert (answer.status, answer.headers["location"]) == (303, "/login?next=/calls%3Fq%3D0110")
    assert ask(app, "/call/1/call.json", headers={"accept": "application/json"}).status == 401
    assert ask(app, "/static/page.css").status == 200


def test_sign_in_gives_a_cookie_that_admits(store: Path, guarded: Access) -> None:
    app = site_of(store, guarded).app()
    body = f"token={TOKEN}&next=/calls?q=0110".encode()
    answer = ask(app, "/login", method="POST", body=body)
    assert (answer.status, answer.headers["location"]) == (303, "/calls?q=0110")
    cookie = answer.headers["set-cookie"]
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=strict", "Secure"} <= {part.strip() for part in cookie.split(";")}
    assert ask(app, "/", headers={"cookie": cookie.split(";")[0]}).status == 200
    assert ask(app, "/", headers={"authorization": f"Bearer {TOKEN}"}).status == 200
    assert ask(app, "/", headers={"authorization": f"Bearer {TOKEN}x"}).status == 303
    assert ask(app, "/", headers={"cookie": f"sbcwatch={TOKEN}"}).status == 303


@pytest.mark.parametrize("path", ["//evil.example/x", "https://evil.example", "/\\evil.example", ""])
def test_sign_in_leads_nowhere_else(store: Path, guarded: Access, path: str) -> None:
    body = f"token={TOKEN}&next={path}".encode()
    assert ask(site_of(store, guarded).app(), "/login", method="POST", body=body).headers["location"] == "/"


def test_wrong_token_is_told(store: Path, guarded: Access) -> None:
    answer = ask(site_of(store, guarded).app(), "/login", method="POST", body=b"token=wrong")
    assert (answer.status, "set-cookie" in answer.headers) == (403, False)
    assert "That is not the token" in answer.text


def test_anything_but_reading_is_refused(store: Path) -> None:
    app = site_of(store).app()
    assert [ask(app, "/calls", method=one).status for one in ("POST", "PUT", "DELETE")] == [405] * 3


def test_check_config_refuses_pages_that_are_open_to_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sbcwatch.toml"
    path.write_text('[web]\nlisten = "0.0.0.0:9643"\n')
    assert main(["check-config", str(path)]) == 2
    assert "line 2: web.listen: 0.0.0.0:9643 can be reached from elsewhere" in capsys.readouterr().err


def test_pages_that_are_open_to_all_do_not_start(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", "--store", str(store), "--listen", "0.0.0.0:0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
