import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent.commands.init import imds, render, write_first
from agent.commands.init.imds import Instance
from agent.commands.init.surroundings import interfaces, listeners, look
from agent.config.load import load
from agent.config.settings import Config
from agent.errors import CaptureError, ConfigError
from agent.wire.frame import LINK_IPV4, Batch, Frame, batch_of, origin
from tests.kit import packets, tunnelled

FIB_TRIE = """Local:
  +-- 0.0.0.0/0 3 0 5
     +-- 10.1.0.0/24 2 0 2
        |-- 10.1.0.5
           /32 host LOCAL
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
"""
SOCKETS = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   1: 00000000:{port} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 2 0 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with a Kamailio on 5060 and on the odd port 7443, an Asterisk-free web server, two NICs."""
    net = tmp_path / "proc/net"
    net.mkdir(parents=True)
    (net / "fib_trie").write_text(FIB_TRIE)
    (net / "if_inet6").write_text("fe800000000000000000000000000001 02 40 20 80 eth0\n")
    (net / "udp").write_text(
        SOCKETS.format(port="13C4", state="07", inode=111)
        + SOCKETS.format(port="1D13", state="07", inode=222).splitlines()[1]
        + "\n"
    )
    (net / "tcp").write_text(SOCKETS.format(port="0050", state="0A", inode=333))
    process = tmp_path / "proc/42"
    (process / "fd").mkdir(parents=True)
    (process / "comm").write_text("kamailio\n")
    os.symlink("socket:[222]", process / "fd/5")
    for name, state in (("eth0", "up"), ("eth1", "down")):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
        (tmp_path / "sys/class/net" / name / "operstate").write_text(state + "\n")
    return tmp_path


class Heard:
    """A source of prepared frames; each pass of the clock is a second."""

    drops: int | None = 0

    def __init__(self, frames: list[Frame]) -> None:
        self._batch = batch_of(frames)
        self.frames, self.bytes, self.closed = len(frames), 0, False

    def __iter__(self) -> Iterator[tuple[Batch, int]]:
        for second in range(1, 100):
            yield self._batch if second == 1 else batch_of([]), second * 1_000_000_000

    def close(self) -> None:
        self.closed = True


def udp(src: str, sport: int, dst: str, dport: int, payload: bytes) -> Frame:
    data = packets.udp((src, sport), (dst, dport), payload)
    return Frame(data, 0, origin(LINK_IPV4, 0), len(data))


def traffic() -> Heard:
    invite = b"INVITE sip:1@10.1.0.5 SIP/2.0\r\nCall-ID: secret-call\r\n\r\n"
    rtp = b"\x80\x00" + bytes(170)
    return Heard(
        [udp("192.168.9.9", 5060, "10.1.0.5", 5080, invite)] * 3
        + [udp("10.1.0.5", 5080, "203.0.113.7", 5060, invite)]
        + [udp("203.0.113.7", 4000, "10.1.0.5", 30000 + 2 * n, rtp) for n in range(30)]
        + [udp("203.0.113.8", 1, "203.0.113.9", 5060, invite), Frame(b"\x45", 0, origin(LINK_IPV4, 0), 1)]
    )


def deaf(config: Config) -> Heard:
    raise CaptureError("capturing needs CAP_NET_RAW")


def never() -> Instance | None:
    raise AssertionError("IMDS must not be asked")


def test_interfaces_with_their_states(root: Path) -> None:
    assert interfaces(root / "sys/class/net") == [("eth0", "up"), ("eth1", "down")]


def test_listeners_usual_ports_and_ports_of_sbc_programs(root: Path) -> None:
    found = [(one.port, one.protocol, one.program) for one in listeners(root / "proc")]
    assert found == [(5060, "udp", ""), (7443, "udp", "kamailio")]


def test_dash_is_stdout_as_in_other_commands(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_first("-", root=root, listen=lambda config: traffic(), ask_imds=never) == 0
    assert "[vc]" in capsys.readouterr().out
    assert not list(tmp_path.glob("-"))


def test_file_written_is_valid_and_says_what_was_found(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "first.toml"
    source = traffic()
    assert write_first(str(output), root=root, listen=lambda config: source, ask_imds=never) == 0
    config = load(output, {})
    assert config.capture.sip_ports == (5060, 5080, 7443)
    assert config.connectors[0].default
    assert not config.cloudwatch.enabled
    text = output.read_text()
    assert "7443: listened on (udp) by kamailio" in text
    assert "#   192.168.9.9: 3 (private: often a PBX)" in text
    assert "#   203.0.113.7: 1" in text
    assert '#media_ports = "30000-30059"' in text
    assert "203.0.113.9" not in text, "traffic between others is no peer of ours"
    assert "secret-call" not in text
    assert source.closed


def test_sides_are_offered_never_set(root: Path) -> None:
    text = render(look(root, 1, lambda config: traffic(), None))
    settings = [line for line in text.splitlines() if not line.startswith("#")]
    assert not any("customer_networks" in line or "addresses" in line for line in settings)


def test_tunnels_and_hep_are_offered_by_their_sender_and_never_set(root: Path, tmp_path: Path) -> None:
    vxlan = tunnelled.frames("vxlan", "10.0.5.7")[0][14:]
    heard = Heard(
        [Frame(vxlan, 0, origin(LINK_IPV4, 0), len(vxlan))] * 4
        + [udp("10.0.5.8", 7, "10.1.0.5", 9061, b"HEP3\0\6")]
    )
    output = tmp_path / "first.toml"
    write_first(str(output), root=root, listen=lambda config: heard, ask_imds=never)
    assert load(output, {}).capture.tunnels == ()
    text = output.read_text()
    assert '#[[capture.tunnels]]  # 4 packets in 5 s\n#kind = "vxlan"\n#peers = ["10.0.5.7"]\n#[[' in text
    assert '#kind = "hep"\n#peers = ["10.0.5.8"]\n#port = 9061\n' in text
    assert "203.0.113.1" not in text, "the calls in a tunnel are no peers of ours"
    output.write_text(
        re.sub("^#(?! )", "", text[text.index("#[[capture") : text.index("[cloudwatch]")], flags=re.M)
    )
    assert [tunnel.kind for tunnel in load(output, {}).capture.tunnels] == ["vxlan", "hep"]


def test_host_that_may_not_listen_still_gets_a_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_first(None, root=root, listen=deaf, ask_imds=never)
    assert "No traffic was heard: capturing needs CAP_NET_RAW" in capsys.readouterr().out


def test_seconds_zero_does_not_listen(root: Path) -> None:
    assert look(root, 0, lambda config: pytest.fail("listened"), None).traffic.why_not == "not asked to"


def test_empty_host_gets_a_valid_file(tmp_path: Path) -> None:
    output = tmp_path / "first.toml"
    write_first(str(output), root=tmp_path / "nothing", listen=deaf, ask_imds=never)
    load(output, {})


def test_existing_file_is_never_overwritten(root: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.toml"
    output.write_text("# mine")
    with pytest.raises(ConfigError, match="overwrites none"):
        write_first(str(output), root=root, listen=deaf, ask_imds=never)
    assert output.read_text() == "# mine"


def test_imds_is_asked_on_ec2_only_and_not_when_told_so(root: Path, tmp_path: Path) -> None:
    dmi = root / "sys/class/dmi/id"
    dmi.mkdir(parents=True)
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    write_first(str(tmp_path / "a"), imds=False, root=root, listen=deaf, ask_imds=never)
    instance = Instance("eu-west-1", "10.1.0.5", "198.51.100.20")
    write_first(str(tmp_path / "b"), root=root, listen=deaf, ask_imds=lambda: instance)
    config = load(tmp_path / "b", {})
    assert config.vc.public_addresses == {"198.51.100.20": "10.1.0.5"}
    assert config.cloudwatch.region == config.connectors[0].region == "eu-west-1"


class Imds(BaseHTTPRequestHandler):
    """IMDSv2 on loopback: no token, no answer."""

    answers = {"placement/region": "eu-west-1", "local-ipv4": "10.1.0.5"}  # noqa: RUF012

    def do_PUT(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._reply(200, "token")

    def do_GET(self) -> None:
        name = self.path.removeprefix("/latest/meta-data/")
        if self.headers["X-aws-ec2-metadata-token"] != "token":
            self._reply(401, "")
        elif name in self.answers:
            self._reply(200, self.answers[name])
        else:
            self._reply(404, "")

    def _reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_imds_answers_with_a_token_and_without_a_public_address() -> None:
    with HTTPServer(("127.0.0.1", 0), Imds) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = imds.ask(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert found == Instance("eu-west-1", "10.1.0.5", "")


def test_imds_where_nobody_answers_is_none() -> None:
    assert imds.ask("http://127.0.0.1:9", timeout_s=0.5) is None
