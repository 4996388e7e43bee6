"""The SIP log's rate is bytes too: long messages cost most."""

from __future__ import annotations

from agent.model.units import SECOND_NS
from agent.summary.sip_log import (
    LONG_BYTES,
    MAX_WAITING_BYTES,
    MESSAGE_BYTES,
    SPARE_BYTES,
    SipLog,
)

LONG = 59_000


def test_long_messages_of_one_source_are_logged_by_bytes_and_told() -> None:
    log = SipLog(5_000)
    logged = sum(log.takes(0, n * SECOND_NS // 80, 0, LONG, "203.0.113.9") for n in range(80)) * LONG
    assert logged <= SPARE_BYTES + 80 * MESSAGE_BYTES
    assert log.unlogged_bytes == 80 * LONG - logged
    assert log.takes(0, 2 * SECOND_NS, 0, LONG, "203.0.113.9")  # the next second's


def test_trunk_of_usual_messages_is_logged_whole_beside_a_few_long_ones() -> None:
    log = SipLog(5_000)
    assert all(log.takes(0, n, 0, 800 if n % 100 else 8_000, "192.0.2.10") for n in range(2_000))
    assert all(log.takes(0, n, 0, MESSAGE_BYTES, "192.0.2.11") for n in range(2_000))


def test_one_source_takes_nothing_from_another() -> None:
    log = SipLog(5_000)
    for n in range(100):
        log.takes(0, n, 0, LONG, "203.0.113.9")
    assert log.takes(0, 100, 0, LONG, "192.0.2.10")


def test_messages_that_wait_for_a_connector_are_bounded_by_bytes() -> None:
    log = SipLog()
    log._waiting_bytes = MAX_WAITING_BYTES
    assert not log.takes(0, 0, 1, LONG)
    assert log.takes(503, 0, 1, LONG)


def test_long_messages_of_many_sources_have_a_second_together_and_failures_once_more() -> None:
    log = SipLog(5_000)
    taken = [log.takes(0, n, 0, LONG, f"203.0.113.{n}") for n in range(200)]
    assert sum(taken) == LONG_BYTES // (LONG - MESSAGE_BYTES)
    assert log.takes(486, 200, 0, LONG, "192.0.2.10")
    assert log.takes(0, 200, 0, MESSAGE_BYTES, "192.0.2.11")
    assert log.takes(0, SECOND_NS, 0, LONG, "192.0.2.10")
