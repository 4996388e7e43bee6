from __future__ import annotations

from agent.config import Config, ConnectorSettings
from tests.replayed import PCAPS, Replayed, sidecar, through


def replayed_with(**switches: bool) -> Replayed:
    side = sidecar("answered-outbound")
    trunk = ConnectorSettings(id="trunk", customer_networks=tuple(side["customer_networks"]), **switches)
    return through(
        [str(PCAPS / file) for file in side["files"]],
        vc=side["vc"],
        customers=[],
        config=Config(connectors=[trunk]),
    )


def test_connector_without_sip_log_counts_but_writes_no_message() -> None:
    result = replayed_with(log_sip=False)
    assert result.sip == []
    assert result.total("Sip2xxCodes") == sidecar("answered-outbound")["truth"]["responses"]["2xx"]


def test_connector_without_media_log_counts_but_writes_no_record() -> None:
    result = replayed_with(log_media=False)
    assert result.media == []
    assert result.total("CustomerToVcRtpPackets")
    assert result.sip
