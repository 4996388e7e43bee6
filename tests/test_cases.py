"""Inputs after public reports, each with the right values and the rule that demands them.

The inputs are in `tests/cases/NAME/`. "DESIGN n" is a section of the design, a name with `#` a public report.
Jitter is in microseconds: these captures are stamped to the nanosecond, a steady stream has 0.04 us.
MOS values are those of a jitter buffer of fixed 60 ms, by G.107 with its defaults: PCMU with an assumed round
trip of 100 ms gives 4.341, with 40 ms 4.355, with 30 ms 4.357; G.729 with 100 ms gives 3.984.
"""

from __future__ import annotations

import pytest

from tests.cases.checks import (
    Case,
    Check,
    Near,
    OneOf,
    call,
    capture,
    counted,
    coverage,
    extra,
    flagged,
    hold,
    minutes,
    no_extra,
    nulls,
    record,
    sample_counts,
    stderr,
    streams,
    total,
    unknown_because,
)

MEDIA = ("--vc", "10.0.0.5", "--customer", "192.0.2.0/24")
SIP = ("--vc", "10.0.0.1", "--vc", "10.1.0.1", "--customer", "192.0.2.0/24")

STEADY = Near(0.041, 0.002)  # us of jitter, of a stream that comes every 20 ms
GOOD = Near(4.341, 0.0011)  # PCMU, no loss, 100 ms assumed
CALLS = tuple(
    direction + name
    for direction in ("Inbound", "Outbound")
    for name in ("CallAttempts", "CallFailures", "CallsAnswered")
)
CODES = tuple(f"Sip{n}xxCodes" for n in range(1, 7))


def one_call(why: str) -> tuple[Check, ...]:
    """An outbound call of two legs with Call-IDs of their own, answered, then ended by BYE."""
    return (
        total("OutboundCallAttempts", 1, why),
        total("OutboundCallsAnswered", 1, why),
        total("OutboundCallFailures", 0, why),
        total("InboundCallAttempts", 0, why),
        total("Sip1xxCodes", 4, why),
        total("Sip2xxCodes", 4, why),
        counted("call", 1, why),
        call("direction", "outbound", why),
        call("outcome", "answered", why),
        Check("Call-IDs of the call", lambda output: len(output.of("call")[0]["call_ids"]), 2, why),
        no_extra("legs_unjoined", why),
        counted("sip", 14, why),
    )


def sip_case(name: str, why: str, *more: Check) -> Case:
    """A case whose whole content is that the one call is seen."""
    return Case(name, (*one_call(why), *more), SIP)


MEDIA_CASES = (
    Case(
        "media-c01-ssrc-switch-continuous-seq",
        (
            total("RemoteToVcRtpPackets", 2561, "DESIGN 4: on a socket of an SDP the first packet counts"),
            total("RemoteToVcPacketsLost", 0, "siphon-ai#330: an SSRC change is not loss"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107"),
        ),
        MEDIA,
    ),
    Case(
        "media-c03-g722-rtpmap-16000",
        (
            total("RemoteToVcJitter", STEADY, "RFC 3551 4.5.2: the clock of G.722 is 8000 (rtpengine#748)"),
            total("MOSBetweenVcAndRemote", Near(4.340, 0.0011), "as with G722/8000"),
            record("rem2vc_packets_discarded", 0, "no packet was late"),
            flagged("clock_rate_mismatch", False, "the wire agrees with the table"),
        ),
        MEDIA,
    ),
    Case(
        "media-c03c-opus-16000",
        (
            total("RemoteToVcJitter", STEADY, "RFC 7587 4.1: the clock of Opus is 48000"),
            record("rem2vc_packets_discarded", 0, "no packet was late"),
        ),
        MEDIA,
    ),
    Case(
        "media-c04-timestamp-jump-marker",
        (
            total("RemoteToVcJitter", STEADY, "rtpproxy#66: a new time base is a reference, no sample"),
            extra("timebase_changes", 1, "DESIGN 4, Jitter"),
            total("RemoteToVcPacketsLost", 0, "every number came"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107"),
        ),
        MEDIA,
    ),
    Case(
        "media-c05-ssrc-a-b-a-hold",
        (
            total(
                "RemoteToVcPacketsLost", 0, "rtpengine#102: another SSRC filled the gap on the same socket"
            ),
            extra("ssrc_gap", 661, "DESIGN 4: the numbers that A went on counting meanwhile"),
            total("RemoteToVcRtpPackets", 1661, "1000 of A and 661 of B"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107"),
        ),
        MEDIA,
    ),
    Case(
        "media-c06-dlsr-zero",
        (
            total(
                "RTTBetweenVcAndRemote", None, "RFC 3550 6.4.1: DLSR 0 with LSR set is false (mediasoup#307)"
            ),
            flagged("rtcp_implausible", True, "DESIGN 4: samples grow one to one with the time since the SR"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107 with the assumed round trip"),
            record("mos_btwn_vc_and_rem_source", "assumed", "DESIGN 1: the record says so"),
        ),
        MEDIA,
    ),
    Case(
        "media-c06c-ntp-stuck",
        (
            # The first block comes while one departure alone carries its LSR: 40 ms is true of it.
            total(
                "RTTBetweenVcAndRemote",
                OneOf((None, Near(40_000, 20))),
                "werift#701: one LSR that several departures carry says nothing",
            ),
            flagged("rtcp_implausible", True, "DESIGN 4, RTT"),
            total("MOSBetweenVcAndRemote", Near(4.348, 0.008), "4.341 assumed, 4.355 with 40 ms"),
        ),
        MEDIA,
    ),
    Case(
        "media-c07-report-nothing-received",
        (
            total("VcToRemotePacketsLost", None, "asterisk#2012: the reports are about no stream"),
            total("VcToRemoteJitter", None, "the same"),
            flagged("far_end_deaf", True, "DESIGN 4: the highest number stands still while packets leave"),
            total("MOSBetweenVcAndRemote", GOOD, "the other direction's"),
            sample_counts("MOSBetweenVcAndRemote", [1], "one known direction is one sample"),
        ),
        MEDIA,
    ),
    Case(
        "media-c07b-highest-stands-still",
        (
            minutes("VcToRemotePacketsLost", [0, None, None], "no span is known after number 1200"),
            minutes("VcToRemoteJitter", [Near(1000, 1), None, None], "DESIGN 4: a deaf far end's is null"),
            coverage("vc2rem", 0, Near(0.374, 0.04), "1101 packets of known spans of 2945"),
            coverage("vc2rem", 1, 0.0, "no span of this minute is known"),
            Check(
                "flag far_end_deaf by minute",
                lambda output: ["far_end_deaf" in row["flags"] for row in output.media()],
                [True, True, True],
                "asterisk#2012: the highest number stands still from 26.6 s on",
            ),
            minutes("RTTBetweenVcAndRemote", [Near(40_000, 20)] * 3, "LSR and DLSR are true"),
            sample_counts("MOSBetweenVcAndRemote", [2, 1, 1], "each known direction is a sample"),
        ),
        MEDIA,
    ),
    Case(
        "media-c09-red-of-pcmu",
        (
            total("MOSBetweenVcAndRemote", GOOD, "RFC 2198, str0m#982: RED is scored as its primary codec"),
            total("RemoteToVcRtpPackets", 1500, "all packets count"),
            total("RemoteToVcPacketsLost", 0, "every number came"),
        ),
        MEDIA,
    ),
    Case(
        "media-c10-media-without-sip",
        (
            total("RemoteToVcRtpPackets", 900, "DESIGN 3, media without signalling: by address"),
            total("RemoteToVcPacketsLost", 100, "100 numbers in a row never came"),
            total("VcToRemoteRtpPackets", 1000, "heplify#166: signalling in TLS"),
            total("CustomerToVcRtpPackets", 1000, "by customer network"),
            total("CustomerToVcPacketsLost", 0, "every number came"),
            total("VcToCustomerRtpPackets", 900, "by customer network"),
            total("RTTBetweenVcAndRemote", Near(40_000, 20), "RTCP as ever"),
            flagged("unsignalled", True, "DESIGN 3"),
            Check(
                "call_id of media records",
                lambda output: {row["call_id"] for row in output.media()},
                {None},
                "DESIGN 3: null",
            ),
        ),
        MEDIA,
    ),
    Case(
        "media-c11-sll-each-frame-twice",
        (
            # The two have different IP identifications and the same packet type: two packets, said loudly.
            total("RemoteToVcRtpPackets", 2000, "DESIGN 4, Copy: different identifications are two packets"),
            total("VcToRemoteRtpPackets", 1000, "these come once"),
            total("RemoteToVcPacketsLost", 0, "duplicates are not loss"),
            Check(
                "flags of the media record",
                lambda output: len(output.media()[0]["flags"]) > 0,
                True,
                "DESIGN 4: nine in ten packets of a stream come twice within 2 ms",
            ),
            stderr("single_span", why="DESIGN 4: one line says what to set"),
        ),
        MEDIA,
    ),
    Case(
        "media-c12-dtmf-clock-stands",
        (
            record("rem2vc_packets_discarded", 0, "sipsorcery#669: no packet was late"),
            total(
                "RemoteToVcJitter",
                STEADY,
                "DESIGN 4: the first packet after a telephone-event is a reference",
            ),
            total("MOSBetweenVcAndRemote", GOOD, "G.107; digits score nothing"),
            total("RemoteToVcRtpPackets", 1100, "digits are packets"),
        ),
        MEDIA,
    ),
    Case(
        "media-c13-port-reused-ghost",
        (
            record(
                "rem2vc_rtp_packets",
                800,
                "livekit/sip#741: the old call's phone is not its media",
                "two@x.invalid",
            ),
            record("rem2vc_packets_lost", 0, "the gaps are the old phone's", "two@x.invalid"),
            record("mos_btwn_vc_and_rem", GOOD, "G.107", "two@x.invalid"),
            record("vc2rem_rtp_packets", 800, "all that left", "two@x.invalid"),
            total("InboundCallsAnswered", 2, "two calls"),
        ),
        MEDIA,
    ),
    Case(
        "media-c14-video-report-behind-window",
        (
            total("VcToRemotePacketsLost", 21, "RFC 3550 6.4.1: 3 a report, 7 reports"),
            total("VcToRemoteRtpPackets", 22_000, "audio and video"),
            total("RTTBetweenVcAndRemote", Near(200_000, 20), "LSR and DLSR are true"),
        ),
        MEDIA,
    ),
    Case(
        "media-c15-rtx-jitter",
        (
            # Audio 0.041 us; the video's first packets of a frame have 101 us, its repairs 42 ms.
            total("RemoteToVcJitter", STEADY, "DESIGN 4: audio streams only; RFC 4588: RTX is no sample"),
            record("rem2vc_jitter", Near(0.0, 0.1), "to 0.1 us: the log's figure is the metric's"),
            total("RemoteToVcRtpPackets", 4500, "all packets count"),
            total("MOSBetweenVcAndRemote", GOOD, "G.107 over audio"),
        ),
        MEDIA,
    ),
    Case(
        "media-c18-every-pair-swapped",
        (
            total("RemoteToVcRtpPackets", 600, "two slaves of a bond: an SDP names the socket"),
            total("RemoteToVcPacketsLost", 0, "swaps are not loss"),
            counted("media", 1, "the call has media"),
        ),
        MEDIA,
    ),
    Case(
        "media-c18b-jitter-reorders-start",
        (
            streams("lost", [0], "DESIGN 4: overtaken at the start is late, not lost"),
            streams("packets", [500], "all packets count"),
            Check("streams", lambda output: len(output.rows), 40, "40 sockets"),
        ),
        MEDIA,
        command="streams",
    ),
    Case(
        "media-c19-first-packet-overtaken",
        (
            streams("lost", [0], "voipmonitor#39: every number came"),
            streams("packets", [295, 300], "all packets count"),
        ),
        MEDIA,
        command="streams",
    ),
    Case(
        "media-c21-outage-then-burst",
        (
            record("rem2vc_packets_discarded", 490, "voipmonitor#61: 490 of 2500 come later than 60 ms"),
            total("MOSBetweenVcAndRemote", Near(1.329, 0.03), "G.107: 19.6 % lost, burst ratio 8"),
            total("RemoteToVcPacketsLost", 0, "late is not lost"),
        ),
        MEDIA,
    ),
    Case(
        "media-c22-loss-per-interval",
        (
            # 3, 2, 4, 1, 5 as "cumulative", and the fraction says the same of each interval.
            minutes(
                "VcToRemotePacketsLost",
                [OneOf((15, None)), None],
                "RFC 3550 6.4.1: cumulative never falls so",
            ),
        ),
        MEDIA,
    ),
    Case(
        "media-c23-codec-of-the-last-packet",
        (
            total("MOSBetweenVcAndRemote", Near(4.269, 0.0011), "2000 PCMU at 4.341, 500 G.729 at 3.984"),
            total("RemoteToVcPacketsLost", 0, "every number came"),
        ),
        MEDIA,
    ),
    Case(
        "media-c24-refused-reinvite",
        (
            total("RemoteToVcJitter", STEADY, "RFC 3261 14.1: a refused re-INVITE changes nothing"),
            total("MOSBetweenVcAndRemote", Near(4.337, 0.0011), "AMR-WB, 5.94 ms of look-ahead"),
        ),
        MEDIA,
    ),
    Case(
        "media-c25-stamps-from-zero",
        (
            total("RemoteToVcRtpPackets", 6000, "text2pcap, ns-3: 0 is a time"),
            total("VcToRemoteRtpPackets", 6000, "text2pcap, ns-3: 0 is a time"),
            total("InboundCallAttempts", 1, "the INVITE has stamp 0"),
            total("InboundCallsAnswered", 1, "the same"),
            call("invite_ns", 0, "0 is a time"),
            counted("metrics", 3, "121 seconds are three minutes"),
        ),
        MEDIA,
        apart=True,
    ),
    Case(
        "media-c26-one-frame-stamped-zero",
        (
            total("RemoteToVcRtpPackets", 500, "PcapPlusPlus gtp.pcap, nDPI discord.pcap"),
            total("VcToRemoteRtpPackets", 500, "the same"),
            total("InboundCallsAnswered", 1, "the same"),
            counted("metrics", 1, "no minute between 1970 and the call"),
            capture("rejects", 1, "a frame years away from the rest is a reject"),
            capture("frames", 1007, "all frames were read"),
        ),
        MEDIA,
        apart=True,
    ),
    Case(
        "media-c26-simple-packet-block-first",
        (
            total("RemoteToVcRtpPackets", 500, "gopacket test011-100"),
            total("VcToRemoteRtpPackets", 500, "the same"),
            total("InboundCallAttempts", 1, "the block is the INVITE: it takes its neighbour's stamp"),
            total("InboundCallsAnswered", 1, "the same"),
            counted("metrics", 1, "no minute between 1970 and the call"),
        ),
        MEDIA,
        file="in2.pcapng.gz",
        directory="media-c26-one-frame-stamped-zero",
        apart=True,
    ),
    Case(
        "media-c27b-rtcp-to-rtp-port",
        (
            total("RTTBetweenVcAndRemote", Near(30_000, 20), "rtpengine#697: paired within the leg"),
            total("VcToRemotePacketsLost", 12, "RFC 3550 6.4.1: the last cumulative loss"),
            total("RemoteToVcPacketsLost", 2, "two numbers never came"),
        ),
        MEDIA,
    ),
)

CALL_CASES = (
    Case(
        "sip-answer-stamped-before-invite",
        (
            total("OutboundCallAttempts", 1, "voipmonitor/sniffer#123: clocks of two points 1 ms apart"),
            total("OutboundCallFailures", 1, "the 486 is this INVITE's"),
            total("Sip4xxCodes", 1, "one 486"),
            call("status", 486, "the 486 is this INVITE's"),
            call("outcome", "failed", "DESIGN 4: one outcome"),
        ),
        SIP,
    ),
    Case(
        "sip-blind-transfer-at-b2bua",
        (
            total("InboundCallAttempts", 1, "siphon-sip#220"),
            total("InboundCallsAnswered", 1, "the same"),
            minutes(
                "InboundCallsActive", [1, None], "RFC 5589 6.1: the transferor's BYE ends its dialog alone"
            ),
            call("end_ns", Near(1_700_000_080_020_000_000, 1_000_000), "the caller's BYE", "in1@c.example"),
            total("RemoteToVcRtpPackets", 390, "DESIGN 4: with a dialog the media of that leg alone ends"),
        ),
        SIP,
    ),
    sip_case(
        "sip-capture-of-1970-minute-0",
        "0 is a time: minute 0 is a minute",
        minutes("Sip1xxCodes", [4], "one minute"),
    ),
    Case(
        "sip-early-dialog-met-midway",
        (
            Check(
                "calls_active_unknown by minute",
                lambda output: [row["extras"].get("calls_active_unknown", 0) for row in output.of("metrics")],
                [0, 0, 0],
                "RFC 3311 5.1: UPDATE belongs to early dialogs; the 487 is there",
            ),
        ),
        SIP,
    ),
    sip_case("sip-lower-case-sip-version", "RFC 3261 7.1: SIP-Version is case-insensitive"),
    Case(
        "sip-methods-of-extensions",
        (
            counted("sip", 16, "RFC 3261 7.1: Method is any token, over UDP as over TCP"),
            total("Sip2xxCodes", 8, "all methods"),
        ),
        SIP,
    ),
    Case(
        "sip-pickup-early-only",
        (
            total("InboundCallAttempts", 1, "RFC 3891 3"),
            total("InboundCallsAnswered", 1, "RFC 3891 3"),
            total("OutboundCallAttempts", 0, "RFC 3891 7.1: a pick-up is no call of the customer's"),
            total("OutboundCallsAnswered", 0, "the same"),
            minutes("InboundCallsActive", [1, None], "up when the first minute ends"),
            minutes("OutboundCallsActive", [0, None], "no such call"),
            counted("call", 1, "the pick-up's leg is the call's"),
        ),
        SIP,
    ),
    Case(
        "sip-retransmission-15ms",
        (
            total("Sip1xxCodes", 3, "RFC 3261 17.2.1: the last provisional is sent again at once"),
            capture("duplicate_frames", 0, "DESIGN 4, Copy: different identifications"),
            counted("sip", 8, "8 messages"),
        ),
        SIP,
    ),
    sip_case(
        "sip-span-copy-same-ip-id",
        "a mirror's copy has the same IP identification",
        capture("duplicate_frames", 14, "each message came twice"),
    ),
    Case(
        "sip-scanner-dropped-silently",
        (
            total("InboundCallFailures", 0, "DESIGN 3: a stranger whom the vc never answers"),
            extra("attempts_unanswered_strangers", 200, "DESIGN 3"),
            total("OutboundCallAttempts", 1, "the customer's call"),
            total("OutboundCallsAnswered", 1, "the customer's call"),
        ),
        SIP,
    ),
    Case(
        "sip-siprec-recorder-remote",
        (
            total("OutboundCallAttempts", 1, "RFC 7866: a recording session is no call"),
            total("OutboundCallsAnswered", 1, "the same"),
            total("VcToRemoteRtpPackets", 99, "RFC 7866 7: the recorder's streams are no side's media"),
            total("RemoteToVcRtpPackets", 99, "the remote end's"),
            total("CustomerToVcRtpPackets", 99, "the customer's"),
            extra("recording_sessions", 1, "DESIGN 3"),
            no_extra("legs_unjoined", "it is no leg of a call"),
            counted("media", 1, "one call has media"),
            counted("call", 1, "one call"),
        ),
        SIP,
    ),
    Case(
        "sip-throttle-of-unjoined-leg",
        (
            # The last 8 digits of both users agree: the legs are one call, and an INVITE had left the vc.
            total("Throttles", 0, "DESIGN 4: a carrier's 503 that the SBC passes on is not ours"),
            total("OutboundCallAttempts", 1, "one call"),
            total("OutboundCallFailures", 1, "one 503"),
            no_extra("legs_unjoined", "DESIGN 3: national and international form"),
            no_extra("throttles_unknown", "the leg is joined"),
        ),
        SIP,
    ),
    Case(
        "sip-two-calls-are-not-two-legs",
        (
            counted("call", 3, "aboutsip/pkts sipp.pcap"),
            Check(
                "Call-IDs of each call",
                lambda output: sorted(len(row["call_ids"]) for row in output.of("call")),
                [1, 1, 1],
                "DESIGN 3: legs between the same hosts in the same direction are never each other's",
            ),
        ),
    ),
    Case(
        "sip-visual-separators",
        (
            *one_call("RFC 3966 5.1.1: visual separators are no part of the number"),
            record("to_country", "US", "RFC 3966 5.1.1"),
            record("to_sip_user", "+12065550110", "RFC 3966 5.1.1"),
            call("to_sip_user", "+12065550110", "RFC 3966 5.1.1"),
        ),
        SIP,
    ),
    sip_case("sip-00-to-plus", "DESIGN 3: 00 and + are the same number"),
    sip_case("sip-national-in-e164-out", "DESIGN 3: the last digits of both users agree, 30 ms apart"),
    sip_case("sip-trunk-account-in-from", "RFC 3325: P-Asserted-Identity has the caller"),
    sip_case("sip-x-call-id-names-the-a-leg", "X-Call-ID of the B leg is the Call-ID of the A leg"),
    sip_case("sip-xcid-names-the-a-leg", "sngrep#218, homer#594: X-CID is the Call-ID of the A leg"),
)

UNREAD_CASES = (
    Case(
        "sip-snap-128",
        (
            *nulls(CALLS, "DESIGN 4: cut by the snap length"),
            total("Sip1xxCodes", 4, "the Status-Line was captured"),
            total("Sip2xxCodes", 4, "the Status-Line was captured"),
            unknown_because("DESIGN 4: such a minute says why"),
            stderr("14", "128", "cut", why="DESIGN 4: one line says that 14 messages were cut at 128 bytes"),
            capture("rejects", 14, "14 messages were cut"),
        ),
        SIP,
    ),
    Case(
        "sip-snap-256",
        (
            *nulls(CALLS, "DESIGN 4: cut by the snap length"),
            total("Sip1xxCodes", 4, "the Status-Line was captured"),
            total("Sip2xxCodes", 4, "the Status-Line was captured"),
            unknown_because("DESIGN 4: such a minute says why"),
            stderr("256", "cut", why="DESIGN 4: one line says so"),
        ),
        SIP,
    ),
    Case(
        "sip-tls-only",
        (
            *nulls((*CALLS, *CODES), "DESIGN 4: inside TLS without keys"),
            unknown_because("DESIGN 4: such a minute says why"),
            stderr("TLS", why="DESIGN 4: one line says so"),
            total("CustomerToVcRtpPackets", 200, "DESIGN 3, media without signalling"),
            total("VcToCustomerRtpPackets", 200, "DESIGN 3, media without signalling"),
            flagged("unsignalled", True, "DESIGN 3"),
        ),
        SIP,
    ),
)

WIRE_CASES = (
    sip_case("sip-hep3", "HEP3: the addresses are its chunks'"),
    sip_case("sip-outer-fragments-vxlan", "DESIGN 5: what was put together is decoded again"),
    sip_case("sip-tcp-in-ip-fragments", "DESIGN 5: TCP in fragments"),
    sip_case("sip-proxy-protocol-v2", "kamailio#1757: PROXY protocol before the first message"),
    sip_case("sip-proxy-protocol-v2-same-segment", "drachtio-server#172: header and INVITE in one segment"),
    sip_case("sip-sctp", "RFC 4168"),
    sip_case("sip-websocket", "RFC 7118 (heplify-server#139)"),
    sip_case("sip-tunnel-erspan3", "ERSPAN type III, EtherType 0x22EB (heplify#120)"),
    sip_case("sip-tunnel-geneve", "RFC 8926, UDP 6081"),
    sip_case("sip-tunnel-gtpu", "3GPP TS 29.281, UDP 2152"),
    sip_case("sip-tunnel-l2tp", "RFC 2661 with PPP"),
    sip_case("sip-tunnel-pptp-gre1", "RFC 2637: GRE version 1 with PPP"),
)

CASES = (*MEDIA_CASES, *CALL_CASES, *UNREAD_CASES, *WIRE_CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_gives_the_right_values(case: Case) -> None:
    hold(case)
