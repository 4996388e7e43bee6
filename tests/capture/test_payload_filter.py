"""The kernel's filter hands over RTP whole where evidence may hold its payload, and its head otherwise."""

from __future__ import annotations

import pytest

from agent.assembly.sources import program
from agent.capture.live.kernel_filter import RTP_BYTES, WHOLE
from agent.config.settings import Config, EvidenceSettings

RET = 0x06


@pytest.mark.parametrize(
    ("evidence", "cut"),
    [
        (EvidenceSettings(), True),
        (EvidenceSettings(enabled=True), True),
        (EvidenceSettings(payload=True), True),
        (EvidenceSettings(enabled=True, payload=True), False),
    ],
)
def test_rtp_is_cut_unless_payload_is_kept(evidence: EvidenceSettings, cut: bool) -> None:
    taken = {k for code, _, _, k in program(Config(evidence=evidence)) if code == RET}
    assert (RTP_BYTES in taken) == cut
    assert WHOLE in taken or Config().capture.snap_length in taken
