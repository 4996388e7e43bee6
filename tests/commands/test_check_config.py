"""What `check-config` prints of a configuration that is right, and of one whose filter is not."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pytest

from agent.commands import check_config
from agent.config.load import read
from agent.config.settings import Config, EvidenceSettings
from agent.errors import ConfigError

SETTINGS = """
[vc]
addresses = ["192.0.2.1", "198.51.100.1"]
public_addresses = { "203.0.113.9" = "192.0.2.1" }
[customers]
networks = ["10.9.0.0/16"]
[[connectors]]
id = "trunk-1"
region = "eu-west-1"
domains = ["sip.example.com"]
customer_networks = ["10.1.0.0/24"]
default = true
[[connectors]]
id = "trunk-2"
customer_networks = ["10.2.0.0/24"]
log_sip = false
[capture]
interfaces = ["eth0"]
sip_ports = [5060]
media_ports = "10000-20000"
[cloudwatch]
enabled = true
[logs]
enabled = true
"""


def explained(text: str) -> list[str]:
    config, problems = read(text, {})
    assert config is not None, problems
    return check_config.explain(config).splitlines()


def checked(folder: Path, text: str, *, elsewhere: bool = True) -> int:
    path = folder / "sbcwatch.toml"
    path.write_text(text)
    options = argparse.Namespace(file=str(path), json=False, strict=False, elsewhere=elsewhere)
    return check_config.check_command(options)


def test_sides_connectors_filter_sinks_and_cost_are_told() -> None:
    *lines, cost = explained(SETTINGS)
    lines = [re.sub(r"\d+ instructions", "COUNT instructions", line) for line in lines]
    assert lines == [
        "vc: 192.0.2.1, 198.51.100.1",
        "vc: 203.0.113.9 in SDP is 192.0.2.1 on the wire",
        "customer: 10.1.0.0/24, 10.2.0.0/24, 10.9.0.0/16",
        "remote: every other address",
        "connector trunk-1, region eu-west-1: fits X-VoiceConnector-ID trunk-1, sip.example.com, "
        "10.1.0.0/24; takes legs that fit none",
        "connector trunk-2, region local: fits X-VoiceConnector-ID trunk-2, 10.2.0.0/24; no SIP log",
        "watching: eth0, 1 capture thread, rings of 64 MB",
        "SIP ports: 5060",
        "media ports: 10000-20000",
        "tunnels: none is opened",
        "filter: (port 5060) or (udp portrange 10000-20000) or (ip[6:2] & 0x3fff != 0) or (ip6[6] = 0) "
        "or (ip6[6] = 43) or (ip6[6] = 44) or (ip6[6] = 60) or (proto 50) or (proto 51) "
        "or (ether proto 0x8100) or (ether proto 0x88a8) or (ether proto 0x9100) or (ether proto 0x8926) "
        "or (ether proto 0x893f) or (ether proto 0x8909) or (ether proto 0x894f) or (ether proto 0x8847) "
        "or (ether proto 0x8848) or (ether proto 0x8864) or (ether[12:2] <= 1500) "
        "(COUNT instructions in the kernel)",
        "memory: 512 MB, for 15,132 calls and 68,096 streams at once",
        "SIP log: redacted, that is messages without credentials, keys, passwords and texts",
        "sinks: CloudWatch, namespace ChimeVoiceConnector; Logs, kept 30 days",
        "/metrics: on 127.0.0.1 port 9642",
    ]
    assert cost.startswith("cost: about ")


def test_defaults_say_whose_addresses_and_where_minutes_stay() -> None:
    text = "\n".join(explained(""))
    assert "vc: the addresses of the host that it runs on (here 127.0.0.1" in text
    assert "customer: no network is named" in text
    assert "connectors: one, named default, region local" in text
    assert "sinks: none, minutes stay in /var/lib/sbcwatch for 24 h" in text


def test_customers_host_is_told_what_it_cannot_see() -> None:
    assert "the remote side is out of its sight" in explained('[vc]\nobserver = "customer"\n')[0]


def test_filter_that_does_not_compile_is_told_on_its_line_beside_the_rest(tmp_path: Path) -> None:
    text = '[capture]\nfilter = "no such word"\n[vc]\naddresses = ["nonsense"]\n'
    with pytest.raises(ConfigError) as refused:
        checked(tmp_path, text)
    assert [line.split(": ", 1)[1].split(": ")[:2] for line in str(refused.value).splitlines()] == [
        ["line 2", "capture.filter"],
        ["line 4", "vc.addresses"],
    ]


def test_more_ports_than_a_filter_holds_are_told_on_their_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 2: capture\.sip_ports: .*: name fewer ports"):
        checked(tmp_path, f"[capture]\nsip_ports = {list(range(5000, 5100))}\n")


@pytest.mark.parametrize(
    ("package", "setting"),
    [
        ("redis", '[fleet]\nboard = "rediss://192.0.2.9"\n[vc]\naddresses = ["192.0.2.1"]\n'),
        ("scapy", '[capture]\nmethod = "scapy"\n'),
    ],
)
def test_setting_whose_package_is_missing_is_refused_but_for_another_host(
    package: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert checked(tmp_path, setting) == 0
    with pytest.raises(ConfigError, match=rf"line 2: .*: needs the package {package}: ") as refused:
        checked(tmp_path, setting, elsewhere=False)
    assert refused.value.exit_status == 2


def test_file_of_another_host_may_name_a_key_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, '[fleet]\nkey_file = "/nonexistent"\n') == 0
    assert "ids by the key in /nonexistent, which is not on this host" in capsys.readouterr().out


def test_rings_that_leave_no_memory_for_calls_are_refused_with_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        checked(tmp_path, "[limits]\nmax_memory_mb = 256\n[capture]\nring_mb = 128\n")
    said = "limits.max_memory_mb: leaves none for calls: at least 326 with rings of 128 MB"
    assert str(raised.value).endswith(f"line 2: {said}")


@pytest.mark.parametrize(
    ("choice", "meaning"),
    [
        ("redacted", "SIP log: redacted, that is messages without credentials, keys, passwords and texts"),
        ("whole", "SIP log: whole, that is messages as they are, with credentials and keys"),
        ("headers", "SIP log: headers, that is messages without credentials and without bodies"),
    ],
)
def test_choice_of_the_sip_log_is_called_by_its_name(choice: str, meaning: str) -> None:
    lines = explained(f'[privacy]\nsip_log = "{choice}"\nredact_headers = ["Subject"]\nmask_numbers = true\n')
    assert meaning in lines
    assert ("SIP log: without the values of Subject too" in lines) == (choice != "whole")
    assert "people: tokens instead of users, numbers, names and places" in lines


def test_what_is_believed_of_tunnels_is_told_and_a_tunnel_of_anybody_warned_of() -> None:
    text = "\n".join(
        explained(
            '[[capture.tunnels]]\nkind = "erspan"\npeers = ["192.0.2.7", "192.0.2.8"]\nvni = 5\n'
            '[[capture.tunnels]]\nkind = "vxlan"\nport = 8472\n'
            '[[capture.tunnels]]\nkind = "hep"\npeers = ["192.0.2.9"]\n'
        )
    )
    assert "tunnels: believed is hep from 192.0.2.9" in text
    assert "tunnels: believed is erspan from 192.0.2.7, 192.0.2.8, the session 5\n" in text
    assert (
        "tunnels: believed is vxlan on port 8472 from anybody: anybody who can send here can make up" in text
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('kind = "vxlan"\npeers = ["mirror"]', "'mirror' does not appear to be"),
        ('kind = "gre"\nport = 5', "gre is no UDP and has no port: remove it"),
        ('kind = "ipip"\nvni = 5', "ipip has no identifier: remove vni"),
        ('kind = "hep"', "hep needs peers: name who sends it"),
        ('kind = "hep"\npeers = ["192.0.2.7"]\nvni = 5', "hep has no identifier: remove vni"),
        ('kind = "vxlans"', "Invalid enum value 'vxlans'"),
        ("peers = []", "Object missing required field `kind`"),
    ],
)
def test_tunnel_that_cannot_be_is_refused(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"capture\.tunnels") as raised:
        checked(tmp_path, f"[[capture.tunnels]]\n{table}\n")
    assert said in str(raised.value)


def test_carriers_host_and_shared_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k" * 32)
    lines = explained(
        f'[fleet]\nhost = "sbc-1"\nkey_file = "{tmp_path}/key"\n'
        '[[carriers]]\nid = "a"\nnetworks = ["198.51.100.0/24"]\ndomains = ["sip.a"]\n'
        '[[carriers]]\nid = "b"\n'
    )
    assert "carrier a: fits 198.51.100.0/24, sip.a" in lines
    assert "carrier b: fits nothing, add networks or domains" in lines
    assert "records: host sbc-1" in lines
    (line,) = [line for line in lines if "key_id" in line]
    assert "kkkk" not in line


def test_payload_that_may_be_kept_is_said_and_how_much_of_a_frame_it_is() -> None:
    config = Config(evidence=EvidenceSettings(enabled=True, payload=True))
    lines = check_config.explain(config).splitlines()
    assert any("the payload too, which is speech: RTP is taken whole" in line for line in lines)
    config.capture.snap_length = 128
    assert any(
        "taken up to 128 bytes (capture.snap_length)" in line
        for line in check_config.explain(config).splitlines()
    )
    config.evidence.payload = False
    assert not any("payload" in line for line in check_config.explain(config).splitlines())
