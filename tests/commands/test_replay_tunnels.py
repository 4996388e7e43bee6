"""A call whose every frame comes through a tunnel: the same figures, if the tunnel is believed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from agent.capture.files.pcapfile import open_capture
from agent.cli import main
from agent.config.load import read
from agent.config.settings import Config
from agent.pipeline import build, run
from agent.wire.ip.encapsulations import TUNNELS
from tests.kit.packets import datagram, ethernet
from tests.kit.replayed import PCAPS, Keeper
from tests.kit.tunnelled import PEER, STRANGER, ip

VC = ["10.10.0.1", "10.20.0.1"]
CUSTOMERS = ["10.10.0.0/24"]
NAME = "loss-vc2cust-customer.pcap"


def mirrored(path: Path, port: int = 4789, source: str = PEER) -> Path:
    """The bundled call as a VXLAN mirror would send it."""
    content = [struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    for batch, _ in open_capture(str(PCAPS / NAME)):
        for frame in batch.frames():
            data = ethernet(ip(17, datagram(1, port, b"\x88\0\0\0\0\0\7\0" + frame.data), source))
            seconds, rest = divmod(frame.stamp_ns, 1_000_000_000)
            content.append(struct.pack("<IIII", seconds, rest, len(data), len(data)) + data)
    path.write_bytes(b"".join(content))
    return path


def figures(
    path: Path, config: Config | None = None, *, live: bool = False
) -> tuple[list[Any], dict[str, int]]:
    pipeline = build(config or Config(), vc=VC, customers=CUSTOMERS, live=live)
    keeper = Keeper()
    run(open_capture(str(path)), pipeline.engine, pipeline.intervals, keeper)
    found = [connector.values for summary in keeper.summaries for connector in summary.connectors]
    return found, dict(pipeline.engine.tunnels())


def named(text: str) -> Config:
    config, problems = read(f"[[capture.tunnels]]\n{text}", {})
    assert config is not None, problems
    return config


def test_call_in_a_tunnel_has_the_figures_of_the_call(tmp_path: Path) -> None:
    plain, _ = figures(PCAPS / NAME)
    values, opened = figures(mirrored(tmp_path / "vxlan.pcap"))
    assert values == plain
    assert opened == {"vxlan": sum(len(batch) for batch, _ in open_capture(str(PCAPS / NAME)))}


def test_strangers_tunnel_counts_nothing_live(tmp_path: Path) -> None:
    for config in (Config(), named(f'kind = "vxlan"\npeers = ["{PEER}"]'), named('kind = "vxlan"\nvni = 8')):
        values, opened = figures(mirrored(tmp_path / "vxlan.pcap", source=STRANGER), config, live=True)
        assert opened == {}
        assert not any(each.get("Sip2xxCodes") or each.get("RemoteToVcRtpPackets") for each in values)


def test_named_tunnel_on_its_own_port_is_the_call_live(tmp_path: Path) -> None:
    path = mirrored(tmp_path / "vxlan.pcap", 8472)
    plain, _ = figures(PCAPS / NAME, live=True)
    config = named(f'kind = "vxlan"\npeers = ["{PEER}"]\nport = 8472\nvni = 7')
    assert figures(path, config, live=True)[0] == plain


def test_replay_says_what_it_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(mirrored(tmp_path / "vxlan.pcap"))
    assert main(["replay", "--json", path, "--vc", VC[0], "--customer", CUSTOMERS[0]]) == 0
    out, err = capsys.readouterr()
    row = json.loads(out.splitlines()[-1])
    assert err.startswith(f"sbcwatch: frames out of tunnels: vxlan {row['frames']}\n")
    assert row["tunnels"] == {"vxlan": row["frames"]}
    assert set(row["tunnels"]) <= set(TUNNELS)
