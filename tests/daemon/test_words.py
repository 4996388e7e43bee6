from __future__ import annotations

from agent import __version__
from agent.config.settings import Config, ConnectorSettings
from agent.daemon.words import Account, beginning, hour, lasted

BEFORE = Account(
    100, 2, {"InboundCallAttempts": 1.0, "CustomerToVcRtpPackets": 50.0}, {"cloudwatch": (40, 0)}
)
NOW = Account(
    1_100,
    5,
    {
        "InboundCallAttempts": 11.0,
        "OutboundCallAttempts": 2.0,
        "OutboundCallsAnswered": 1.0,
        "InboundCallFailures": 1.0,
        "CustomerToVcRtpPackets": 950.0,
        "VcToRemotePacketsLost": 7.0,
    },
    {"cloudwatch": (100, 3), "logs-sip": (8, 0)},
)


def test_hour_says_what_was_seen_counted_and_delivered() -> None:
    assert hour(NOW, BEFORE) == (
        "1,000 frames, 3 missed; 12 calls tried, 1 answered, 1 failed; 900 RTP packets, 7 lost; "
        "cloudwatch took 60 items, 3 wait, logs-sip took 8 items"
    )


def test_hour_of_a_source_that_does_not_say_what_it_missed() -> None:
    line = hour(NOW._replace(drops=None, sent={}), BEFORE)
    assert "1,000 frames, missed: not known" in line
    assert line.endswith("no sink to deliver to")


def test_sink_made_anew_by_a_reload_counts_from_zero() -> None:
    assert "cloudwatch took 4 items" in hour(NOW._replace(sent={"cloudwatch": (4, 0)}), BEFORE)


def test_beginning_names_version_file_hash_nics_connectors_and_sinks() -> None:
    config = Config(connectors=[ConnectorSettings(id=f"t{n}") for n in range(10)])
    text = "; ".join(beginning(config, "/etc/x.toml", "abcd", ["192.0.2.1"], ["cloudwatch"]))
    assert f"sbcwatch {__version__} (" in text
    assert "configuration /etc/x.toml, hash abcd" in text
    assert "watching all interfaces; the vc is 192.0.2.1" in text
    assert "connectors: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more" in text
    assert "sending to cloudwatch" in text
    assert "minutes stay in /var/lib/sbcwatch for 24 h" in "; ".join(beginning(config, None, "", [], []))


def test_time_is_told_in_words() -> None:
    assert [lasted(s) for s in (0, 59.6, 60, 3_599, 3_600, 11_521)] == [
        "0 s", "60 s", "1 min", "59 min", "1 h 0 min", "3 h 12 min",
    ]  # fmt: skip
