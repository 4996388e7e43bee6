"""Any bytes are an RTCP compound or a WireError, and nothing else.

Every number of a block is in its field's range; the number of records is bounded; what looks like SRTCP is
never read; a datagram cut short by the capture gives no report that the whole one does not give.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["agent.wire"]):
    from agent.wire.rtp import rtcp

from agent.errors import WireError


def blocks(compound: rtcp.Compound) -> list[rtcp.ReportBlock]:
    return [block for report in compound.reports for block in report.blocks]


def check(data: bytes) -> None:
    encrypted = rtcp.looks_encrypted(data)
    try:
        compound = rtcp.parse(data)
    except WireError:
        compound = None
    if compound is not None:
        assert not encrypted
        assert len(compound.reports) + len(compound.rtcp_xr) <= rtcp.PACKETS_MAX
        for block in blocks(compound):
            assert 0 <= block.fraction_lost <= 255
            assert -(1 << 23) <= block.cumulative_lost < 1 << 23
            assert max(block.highest, block.jitter, block.lsr, block.dlsr) <= 0xFFFF_FFFF
    if data:
        try:
            cut = rtcp.parse(data[: len(data) * 2 // 3], wire_length=len(data))
        except WireError:
            return
        if compound is not None and not compound.rejects:
            assert set(blocks(cut)) <= set(blocks(compound))


if __name__ == "__main__":
    from tests.fuzz.run import run

    run("rtcp", check)
