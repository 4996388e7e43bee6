"""Faults of a call: one table of names, conditions, and remedies."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agent.story.conditions import (
    Evidence,
    after_bye,
    burst,
    dead,
    deaf,
    dtmf,
    flag,
    hold,
    inside,
    invites_repeated,
    late,
    loss_of,
    missed,
    missing_ack,
    nat,
    one_way,
    random,
    rtt_step,
    scanner,
    timer,
    transfer,
)
from agent.story.ladder import ladder
from agent.story.path import path_of
from agent.summary.records import CallRecords


class Diagnosis(msgspec.Struct, frozen=True):
    """One possible fault of a call. `condition`: the words where it holds, else None."""

    name: str
    condition: Callable[[Evidence], str | None]
    advice: str


class Finding(msgspec.Struct):
    """A diagnosis that holds: the fact, and what to do about it."""

    name: str
    words: str
    advice: str


def findings(records: CallRecords) -> list[Finding]:
    """Every diagnosis that holds, in the order of the table."""
    flags = {flag for record in (records.call, *records.media) for flag in record.get("flags") or ()}
    evidence = Evidence(records, path_of(records), ladder(records), flags)
    found = ((diagnosis, diagnosis.condition(evidence)) for diagnosis in DIAGNOSES)
    return [
        Finding(diagnosis.name, words, diagnosis.advice) for diagnosis, words in found if words is not None
    ]


_NETWORK = "Show the times to whoever runs that path; both ends of it should see the same numbers"
DIAGNOSES: tuple[Diagnosis, ...] = (
    Diagnosis("capture_drops", missed, "Accuse nobody of this: raise [capture] ring_mb, or look at the gaps"),
    Diagnosis(
        "one_way_audio", one_way, "Look for a firewall, NAT or a wrong address in the SDP of the silent side"
    ),
    Diagnosis(
        "dead_air",
        dead,
        "See whether media was held, went past the vc, or its ports are blocked",
    ),
    Diagnosis(
        "late_media",
        flag("late_media", "the first media of {} came or left more than 500 ms after the answer"),
        "The first words are lost: look at the answering end, ICE or DTLS set-up, and the relay",
    ),
    Diagnosis("loss_on_entry", loss_of(("cust2vc", "rem2vc")), _NETWORK),
    Diagnosis("loss_on_exit", loss_of(("vc2cust", "vc2rem")), _NETWORK),
    Diagnosis(
        "loss_inside", inside, "Look at this host's CPU, its sockets' drops and the relay's own counters"
    ),
    Diagnosis(
        "burst_loss", burst, "Look for a route change, a full queue or Wi-Fi: concealment hides none of it"
    ),
    Diagnosis(
        "random_loss", random, "Look for a noisy or rate-limited link: up to some percent is concealed"
    ),
    Diagnosis("late_packets", late, "The delay varies: give voice its own queue, or a longer jitter buffer"),
    Diagnosis("rtt_step", rtt_step, "The path changed: compare routes before and after that time"),
    Diagnosis(
        "far_end_deaf", deaf, "Packets leave and do not arrive: look for a firewall or NAT before that end"
    ),
    Diagnosis(
        "codec_asymmetry",
        flag("codec_asymmetry", "the two directions of {} use different codecs"),
        "Legal, but some endpoints fail on it: offer one codec",
    ),
    Diagnosis(
        "ptime_asymmetry",
        flag("ptime_asymmetry", "the two directions of {} use different packet times"),
        "Legal, but some endpoints play it choppy: set ptime on both",
    ),
    Diagnosis(
        "clock_rate_mismatch",
        flag("clock_rate_mismatch", "the timestamps of {} run at another rate than the SDP declares"),
        "The sender's SDP is wrong, or its encoder: voices sound too high, too low, or choppy",
    ),
    Diagnosis("nat_signalling", nat, "Switch on NAT handling (rport, symmetric media) for that peer"),
    Diagnosis(
        "nat_media",
        flag("unexpected_source", "the media of {} came from an address that no SDP of its sender names"),
        "Usually NAT: make the relay learn the source; if it is no NAT, find out who sends",
    ),
    Diagnosis(
        "signalling_loss", invites_repeated, "Requests or answers got lost: look at that path and at the peer"
    ),
    Diagnosis(
        "missing_ack", missing_ack, "Look at Contact and Record-Route of the answer: the ACK went elsewhere"
    ),
    Diagnosis("session_timer", timer, "Look for a refresh (UPDATE, re-INVITE) that was lost or refused"),
    Diagnosis("hold", hold, "Music or silence from then on is meant; the sound of it is the holder's"),
    Diagnosis(
        "transfer", transfer, "Another end is on the line from then on: its media may be another host's"
    ),
    Diagnosis("dtmf_two_ways", dtmf, "Choose one of both, or each digit may count twice"),
    Diagnosis(
        "media_after_bye", after_bye, "The sender has not seen or not obeyed the BYE: it may still charge"
    ),
    Diagnosis("scanner", scanner, "Block the address; nothing of it is a customer's"),
)
