"""Evidence that joins legs: header values, branches, users; and the traffic on which it must not err."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

from agent.calls.users import agreement, without_separators
from tests.kit.conversation import ALICE, BOB, BOB2, VC, VC_MEDIA, Conversation, Heard, sdp

# -- users


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+1-(206).555-0110", "+12065550110"),
        ("004930123456", "+4930123456"),
        ("011442079460123", "+442079460123"),
        ("12065550110", "+12065550110"),
        ("Alice", "alice"),
    ],
)
def test_users_that_differ_in_spelling_alone_are_the_same(one: str, other: str) -> None:
    assert agreement(one, other) == agreement(other, one) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("03012345678", "+493012345678"),
        ("912065550110", "+12065550110"),
        ("95550110", "+12065550110"),
        ("998#2065550110", "998#2065550110"),
        ("7712065550110", "+12065550110"),
    ],
)
def test_users_of_unknown_country_agree_by_their_last_digits(one: str, other: str) -> None:
    assert agreement(one, other) >= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("+12065550110", "+13065550110"),
        ("+12065550110", "+12065550111"),
        ("1001", "91001"),
        ("alice", "bob"),
        ("5550110", "alice"),
        ("", "5550110"),
    ],
)
def test_other_users_do_not_agree(one: str, other: str) -> None:
    assert agreement(one, other) == 0


def test_separators_are_taken_out_of_numbers_only() -> None:
    assert without_separators("+1-206-555-0110") == "+12065550110"
    assert without_separators("jean-luc.p") == "jean-luc.p"


# -- evidence


def two(
    headers: tuple[str, str] = ("", ""), answer: str = "", gap: float = 5.0, **second: str | int
) -> Heard:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    outside = talk.leg(
        VC, BOB, **{"call_id": "out", "from_tag": "v", "from_user": "trunk", "to_user": "x"} | second
    )
    alice.invite(0, headers=headers[0], branch="z9hG4bKincoming")
    outside.invite(gap, headers=headers[1])
    outside.ringing(gap + 0.5, headers=answer)
    outside.ok(gap + 1, headers=answer)
    alice.ok(gap + 1.1)
    outside.bye(20)
    alice.bye(20.1)
    return talk.play(until=61)


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (("", "X-CID: call-1\r\n"), ""),
        (("", "X-Call-ID: call-1\r\n"), ""),
        (("X-CID: out\r\n", ""), ""),
        (("", "X-Call-ID: other\r\nX-Call-ID: call-1\r\n"), ""),
        (("", ""), "X-CID: call-1\r\n"),
        (("Session-ID: ab;remote=00\r\n", ""), "Session-ID: cd;remote=ab\r\n"),
        (("", "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKincoming\r\n"), ""),
    ],
)
def test_header_that_names_the_other_leg_joins(headers: tuple[str, str], answer: str) -> None:
    heard = two(headers, answer)
    assert heard.counts() == (1, 1, 0)
    assert heard.counters["legs_unjoined"] == 0
    assert heard.call["call_ids"] == ["call-1", "out"]
    assert heard.active() == [0, None]


def test_via_of_another_call_joins_nothing() -> None:
    heard = two(("", "Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKelse\r\n"))
    assert heard.counters["legs_unjoined"] == 1


@pytest.mark.parametrize("suffix", ["_b2b-1", "_pbx-1"])
def test_call_id_suffix_joins_whichever_leg_comes_first(suffix: str) -> None:
    assert two(call_id="call-1" + suffix).counters["legs_unjoined"] == 0
    talk = Conversation()
    talk.leg(VC, BOB, call_id="call-1" + suffix, from_tag="v", from_user="x").invite(0)
    talk.leg(ALICE, VC).invite(0.001)
    assert talk.play(until=61).counters["legs_unjoined"] == 0


@pytest.mark.parametrize(
    "header",
    [
        "P-Asserted-Identity: <sip:+15550001@v>, <tel:+15559999>\r\n",
        "Remote-Party-ID: <sip:+1-555-0001@v>;party=calling\r\n",
    ],
)
def test_asserted_caller_is_a_user(header: str) -> None:
    assert two(("", header), gap=0.03, to_user="+15550002").counters["legs_unjoined"] == 0


def test_hidden_callers_are_nobody_where_both_are_asserted() -> None:
    header = "P-Asserted-Identity: <sip:+1555000{}@v>\r\n"
    hidden = {"from_user": "anonymous", "to_user": "+15550002"}
    for one, other, apart in ((1, 1, 0), (1, 9, 1)):
        talk = Conversation()
        talk.leg(ALICE, VC, **hidden).invite(0, headers=header.format(one))
        talk.leg(VC, BOB, call_id="out", from_tag="v", **hidden).invite(0.03, headers=header.format(other))
        assert talk.play(until=61).counters["legs_unjoined"] == apart


@pytest.mark.parametrize("header", ["", "P-Asserted-Identity: <sip:+15559999@v>\r\n"])
def test_hidden_callers_agree_where_one_is_asserted_by_nobody(header: str) -> None:
    talk = Conversation()
    talk.leg(ALICE, VC, from_user="anonymous").invite(0)
    talk.leg(VC, BOB, call_id="out", from_tag="v", from_user="Anonymous").invite(0.03, headers=header)
    assert talk.play(until=61).counters["legs_unjoined"] == 0


def test_asserted_callers_decide_between_calls_of_one_account() -> None:
    talk, header = Conversation(), "P-Asserted-Identity: <sip:+1555000{}@v>\r\n"
    for number in (1, 3):
        leg = talk.leg(ALICE, VC, call_id=f"in-{number}", from_tag=f"a{number}", from_user="trunk")
        leg.invite(number / 10, headers=header.format(number))
    out = talk.leg(VC, BOB, call_id="out-1", from_tag="v", from_user="trunk")
    out.invite(0.32, headers=header.format(1))
    heard = talk.play(until=61)
    assert ["in-1", "out-1"] in [row["call_ids"] for row in heard.calls]


def test_diverted_user_is_a_called_one() -> None:
    header = "Diversion: <sip:+15550002@v>;reason=no-answer\r\n"
    assert two(("", header), gap=0.03, from_user="+15550001").counters["legs_unjoined"] == 0


def test_next_carrier_after_one_that_never_answered_joins() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    alice.invite(0)
    alice.trying(0.01)
    talk.leg(VC, BOB, call_id="out-1", from_tag="v1").invite(0.1)
    second = talk.leg(VC, BOB2, call_id="out-2", from_tag="v2")
    second.invite(8.1)  # Kamailio's fr_timer and its like: some seconds of silence
    second.ok(9)
    alice.ok(9.1)
    heard = talk.play(until=61)
    assert heard.counters["legs_unjoined"] == 0
    assert heard.counts() == (1, 1, 0)


def test_leg_long_after_a_carrier_that_did_answer_stays_apart() -> None:
    talk = Conversation()
    alice, first = talk.leg(ALICE, VC), talk.leg(VC, BOB, call_id="out-1", from_tag="v1")
    alice.invite(0)
    first.invite(0.1)
    first.trying(0.2)
    talk.leg(VC, BOB2, call_id="out-2", from_tag="v2").invite(8.1)
    assert talk.play(until=61).counters["legs_unjoined"] == 1


def test_newest_call_without_an_outgoing_leg_is_joined() -> None:
    talk = Conversation()
    for number, at in ((1, 0.0), (2, 1.0)):
        talk.leg(ALICE, VC, call_id=f"in-{number}", from_tag=f"a{number}").invite(at)
    talk.leg(VC, BOB, call_id="out", from_tag="v").invite(1.03)
    heard = talk.play(until=61)
    assert ["in-2", "out"] in [row["call_ids"] for row in heard.calls]
    assert heard.counters["joins_ambiguous"] == 0


def test_legs_between_the_same_two_hosts_in_one_direction_are_two_calls() -> None:
    talk = Conversation(vc=())
    for number in range(3):
        leg = talk.leg(ALICE, BOB, call_id=f"c{number}", from_tag=f"t{number}")
        leg.invite(number * 0.01)
        leg.ok(1 + number * 0.01)
        leg.bye(5 + number * 0.01)
    assert sorted(row["call_ids"] for row in talk.play(until=61).calls) == [["c0"], ["c1"], ["c2"]]


# -- transfers and queues: the vc calls somebody whom the caller did not dial

CAROL_USER = "+15550003"


def transferred(by: str = "callee", headers: str = "", gap: float = 0.05, **names: str) -> Heard:
    """Alice calls Bob through a B2BUA, and one of them sends the other on to Carol."""
    talk = Conversation()
    alice, bob = talk.leg(ALICE, VC), talk.leg(VC, BOB, call_id="out", from_tag="v")
    alice.invite(0)
    bob.invite(0.05)
    bob.ok(1)
    alice.ok(1.1)
    asked, side = (bob, "callee") if by == "callee" else (alice, "caller")
    asked.request(10, "REFER", by=side, headers=headers or f"Refer-To: <sip:{CAROL_USER}@v>\r\n")
    asked.reply(10.01, 202, "REFER", by=side)
    named = {"call_id": "third", "from_tag": "w", "to_user": CAROL_USER} | names
    third = talk.leg(VC, BOB2, **named)
    third.invite(10 + gap)
    third.ok(11 + gap)
    asked.bye(11.1 + gap, by=side)
    third.bye(70)
    (alice if by == "callee" else bob).bye(70.1)
    return talk.play(until=121)


@pytest.mark.parametrize("headers", ["", "X-CID: call-1\r\n"])
def test_customers_phone_to_whom_the_customer_transfers_is_no_attempt_and_counts_media_once(
    headers: str,
) -> None:
    talk = Conversation()
    alice, bob = talk.leg(ALICE, VC), talk.leg(VC, BOB, call_id="out", from_tag="v")
    alice.invite(0, sdp=sdp(ALICE, 4_000))
    bob.invite(0.05, sdp=sdp(VC_MEDIA, 20_000))
    bob.ok(1, sdp=sdp(BOB, 5_000))
    alice.ok(1.1, sdp=sdp(VC_MEDIA, 10_000))
    alice.request(10, "REFER", headers=f"Refer-To: <sip:{CAROL_USER}@v>\r\n")
    caller = "trunk" if headers else "+15550001"
    phone = talk.leg(VC, "192.0.2.12", call_id="third", from_tag="w", from_user=caller, to_user=CAROL_USER)
    phone.invite(10.05, headers=headers, sdp=sdp(VC_MEDIA, 10_002))
    phone.ok(12, sdp=sdp("192.0.2.12", 4_002))
    alice.bye(12.1)
    count = talk.rtp(1.2, (BOB, 5_000), (VC_MEDIA, 20_000), seconds=30)
    here = talk.rtp(12.2, ("192.0.2.12", 4_002), (VC_MEDIA, 10_002), seconds=10, ssrc=8)
    phone.bye(40)
    bob.bye(40.1)
    heard = talk.play(until=121)
    assert heard.counts("Outbound") == (1, 1, 0)
    assert heard.counts("Inbound") == (0, 0, 0)
    assert heard.total("RemoteToVcRtpPackets") == count
    assert heard.total("CustomerToVcRtpPackets") == here
    assert heard.call["call_ids"] == ["call-1", "out", "third"]


def test_media_of_a_remote_fork_beside_a_customers_counts_once() -> None:
    talk = Conversation()
    alice = talk.leg(ALICE, VC)
    phone = talk.leg(VC, "192.0.2.12", call_id="near", from_tag="v")
    mobile = talk.leg(VC, BOB, call_id="far", from_tag="w")
    alice.invite(0)
    phone.invite(0.01)
    mobile.invite(0.02, sdp=sdp(VC_MEDIA, 20_000))
    phone.ringing(0.5)
    mobile.ok(3, sdp=sdp(BOB, 5_000))
    phone.cancel(3.01)
    phone.respond(3.02, 487)
    alice.ok(3.1)
    count = talk.rtp(3.2, (BOB, 5_000), (VC_MEDIA, 20_000), seconds=10)
    mobile.bye(20)
    alice.bye(20.1)
    assert talk.play(until=121).total("RemoteToVcRtpPackets") == count


@pytest.mark.parametrize("by", ["caller", "callee"])
@pytest.mark.parametrize("caller", ["+15550001", "+15550002"])
def test_leg_to_whom_a_refer_names_joins_the_call(by: str, caller: str) -> None:
    heard = transferred(by, from_user=caller)
    assert heard.call["call_ids"] == ["call-1", "out", "third"]
    assert heard.counters["legs_unjoined"] == 0
    assert heard.counts() == (1, 1, 0)
    assert heard.active()[:2] == [1, 0]


@pytest.mark.parametrize(
    ("headers", "gap", "names"),
    [
        ("Refer-To: <sip:+15550004@v>\r\n", 0.05, {}),  # to somebody else
        ("Refer-To: <sip:+15550003@v?Replaces=x%3Bto-tag%3Dy%3Bfrom-tag%3Dz>\r\n", 0.05, {}),  # attended
        ("", 2.5, {}),  # long after it
        ("", -1.0, {}),  # before it
        ("", 0.05, {"from_user": "trunk"}),  # from nobody of the call
    ],
)
def test_leg_of_which_a_refer_tells_nothing_stays_apart(
    headers: str, gap: float, names: dict[str, str]
) -> None:
    assert transferred(headers=headers, gap=gap, **names).counters["legs_unjoined"] == 1


def test_refer_from_a_third_address_joins_nothing() -> None:
    talk = Conversation()
    alice, bob = talk.leg(ALICE, VC), talk.leg(VC, BOB, call_id="out", from_tag="v")
    alice.invite(0)
    bob.invite(0.05)
    bob.ok(1)
    alice.ok(1.1)
    bob.callee = "203.0.113.99"
    bob.request(10, "REFER", by="callee", headers=f"Refer-To: <sip:{CAROL_USER}@v>\r\n")
    talk.leg(VC, BOB2, call_id="third", from_tag="w", to_user=CAROL_USER).invite(10.05)
    assert talk.play(until=61).counters["legs_unjoined"] == 1


def test_two_transfers_of_one_caller_to_one_target_leave_the_leg_apart() -> None:
    talk = Conversation()
    for number, at in ((1, 0.0), (2, 3.0)):
        alice = talk.leg(ALICE, VC, call_id=f"in-{number}", from_tag=f"a{number}")
        bob = talk.leg(VC, BOB, call_id=f"out-{number}", from_tag=f"v{number}")
        alice.invite(at)
        bob.invite(at + 0.05)
        bob.ok(at + 1)
        alice.ok(at + 1.1)
        headers = f"Refer-To: <sip:{CAROL_USER}@v>\r\n"
        bob.request(10 + number / 10, "REFER", by="callee", headers=headers)
    talk.leg(VC, BOB2, call_id="third", from_tag="w", to_user=CAROL_USER).invite(10.3)
    heard = talk.play(until=61)
    assert heard.counters["legs_unjoined"] == heard.counters["joins_ambiguous"] == 1


def queued(**names: str) -> Conversation:
    """The vc answers a carrier's call itself and calls one agent after the other, for minutes."""
    talk = Conversation()
    bob = talk.leg(BOB, VC)
    bob.invite(0)
    bob.ok(0.1)
    for number, at in ((1, 15.0), (2, 40.0)):
        agent = talk.leg(VC, ALICE, call_id=f"agent-{number}", from_tag=f"v{number}", **names)
        agent.invite(at, headers="Diversion: <sip:+15550002@v>\r\n")
        agent.ok(at + 2)
        agent.bye(at + 15, by="callee")
    bob.bye(70)
    return talk


def test_agent_joins_the_call_that_waits_however_long() -> None:
    heard = queued(to_user="201").play(until=121)
    assert heard.call["call_ids"] == ["call-1", "agent-1", "agent-2"]
    assert heard.counts("Inbound") == (1, 1, 0)
    assert heard.active("Inbound")[:2] == [1, 0]


def test_leg_beside_a_call_that_is_bridged_stays_apart() -> None:
    talk = queued(to_user="201")
    talk.leg(VC, ALICE, call_id="other", from_tag="w").invite(20)  # while the first agent talks
    assert talk.play(until=121).counters["legs_unjoined"] == 1


def test_call_that_was_answered_beside_a_doubtful_leg_does_not_wait() -> None:
    talk = Conversation()
    alice, bob = talk.leg(ALICE, VC), talk.leg(VC, BOB, call_id="out", from_tag="v", from_user="trunk")
    alice.invite(0)
    bob.invite(0.05)  # nothing says whose
    bob.ok(1)
    alice.ok(1.1)
    talk.leg(VC, BOB2, call_id="next", from_tag="w").invite(20)
    assert talk.play(until=61).counters["legs_unjoined"] == 2


# -- thousands of calls at 200 a second


def national(number: str) -> str:
    return number[2:]


def with_access_code(number: str) -> str:
    return "00" + number[1:]


def outside_line(number: str) -> str:
    return "9" + number[1:]


def with_separators(number: str) -> str:
    return f"{number[:2]}-{number[2:5]}-{number[5:8]}-{number[8:]}"


Users = Callable[[int, random.Random], tuple[str, str]]
SHAPES: dict[str, Users] = {
    "random": lambda n, rng: (f"+1{rng.randrange(10**9, 10**10)}", f"+1{rng.randrange(10**9, 10**10)}"),
    "one-caller": lambda n, rng: ("+12065550100", f"+1{2065560000 + n}"),
    "one-called": lambda n, rng: (f"+1{2065560000 + n}", "+12065550100"),
    "sequential": lambda n, rng: (f"+1{2065560000 + n}", f"+1{3065560000 + n}"),
    "load-test": lambda n, rng: ("+12065550100", "+12065550199"),
}


@dataclass
class Look:
    """One leg of a generated call, as its INVITE shows it; `answer`: headers of its responses."""

    caller: str
    called: str
    headers: str = ""
    answer: str = ""


@dataclass
class Generated:
    """One call: its number, its users, and how its legs look before a kind of B2BUA changes them."""

    number: int
    caller: str
    called: str
    into: Look
    out: Look

    @property
    def call_id(self) -> str:
        return f"in-{self.number}"

    @property
    def branch(self) -> str:
        return f"z9hG4bKin{self.number}"


def rewritten(write: Callable[[str], str], *, dialled: bool = False) -> Callable[[Generated], None]:
    """The B2BUA writes both numbers anew, or (`dialled`) the PBX had written them so."""

    def change(call: Generated) -> None:
        leg = call.into if dialled else call.out
        leg.caller, leg.called = write(leg.caller), write(leg.called)

    return change


def asserted(
    header: str, *, incoming: bool = False, hidden: str = "anonymous"
) -> Callable[[Generated], None]:
    """From hides the caller on one leg, and a header names him."""

    def change(call: Generated) -> None:
        leg = call.into if incoming else call.out
        leg.caller, leg.headers = hidden, header.format(call.caller)

    return change


def hidden(call: Generated) -> None:
    """No user of the outgoing leg is the call's."""
    call.out.caller, call.out.called = "trunk", "x"


def named(header: str, *, in_answer: bool = False) -> Callable[[Generated], None]:
    """Users are hidden; a header of the outgoing leg, or of its answers, has A's Call-ID or branch."""

    def change(call: Generated) -> None:
        hidden(call)
        text = header.format(call_id=call.call_id, branch=call.branch)
        if in_answer:
            call.out.answer = text
        else:
            call.out.headers = text

    return change


def in_both(header: str) -> Callable[[Generated], None]:
    """Users are hidden; both legs have a header with a value of the call's own."""

    def change(call: Generated) -> None:
        hidden(call)
        call.into.headers = call.out.headers = header.format(call.number)

    return change


def diverted(call: Generated) -> None:
    call.out.called = str(200 + call.number % 40)
    call.out.headers = f"Diversion: <sip:{call.called}@v>;reason=unconditional\r\n"


PAI, RPID = "P-Asserted-Identity: <sip:{}@v>\r\n", "Remote-Party-ID: <sip:{}@v>;party=calling\r\n"
BY_USERS: dict[str, Callable[[Generated], None]] = {
    "as it is": rewritten(str),
    "national": rewritten(national),
    "00": rewritten(with_access_code),
    "prefix 9": rewritten(outside_line),
    "separators": rewritten(with_separators),
    "national, dialled": rewritten(national, dialled=True),
    "00, dialled": rewritten(with_access_code, dialled=True),
    "prefix 9, dialled": rewritten(outside_line, dialled=True),
    "separators, dialled": rewritten(with_separators, dialled=True),
    "anonymous out, PAI": asserted(PAI),
    "anonymous in, PAI": asserted(PAI, incoming=True),
    "trunk's account, RPID": asserted(RPID, hidden="trunk-7"),
    "anonymous in, RPID": asserted(RPID, incoming=True),
    "Diversion": diverted,
}
BY_NAME: dict[str, Callable[[Generated], None]] = {
    "X-CID": named("X-CID: {call_id}\r\n"),
    "X-Call-ID": named("X-Call-ID: {call_id}\r\n"),
    "X-CID in the answer": named("X-CID: {call_id}\r\n", in_answer=True),
    "second Via": named("Via: SIP/2.0/UDP 192.0.2.10;branch={branch}\r\n"),
    "Session-ID": in_both("Session-ID: {:032x}1;remote=00\r\n"),
    "icid": in_both("P-Charging-Vector: icid-value=c{};orig-ioi=a\r\n"),
}
KINDS = BY_USERS | BY_NAME


def generated(shape: str, change: Callable[[Generated], None], number: int, rng: random.Random) -> Generated:
    caller, called = SHAPES[shape](number, rng)
    call = Generated(number, caller, called, Look(caller, called), Look(caller, called))
    change(call)
    return call


def run(calls: Iterable[Generated], rng: random.Random, *, silent_first: bool = False) -> Heard:
    """All at 200 a second, legs shuffled; the carrier is busy. `silent_first`: another was mute before."""
    talk = Conversation()
    for call in calls:
        at, number = call.number / 200 + rng.random() / 50, call.number
        users = {"from_user": call.into.caller, "to_user": call.into.called}
        incoming = talk.leg(ALICE, VC, call_id=call.call_id, from_tag=f"a{number}", **users)
        incoming.invite(at, headers=call.into.headers, branch=call.branch)
        out = at + 0.002 + rng.random() / 5
        users = {"from_user": call.out.caller, "to_user": call.out.called}
        if silent_first:
            silent = talk.leg(VC, BOB, call_id=f"mute-{number}", from_tag=f"m{number}", **users)
            silent.invite(out, headers=call.out.headers)
            out += 8  # Kamailio's fr_timer and its like
        outgoing = talk.leg(VC, BOB2, call_id=f"out-{number}", from_tag=f"v{number}", **users)
        outgoing.invite(out, headers=call.out.headers)
        outgoing.respond(out + 0.3, 486, headers=call.out.answer)
        incoming.respond(out + 0.31, 486)
    return talk.play(until=61)


def joined(heard: Heard) -> set[int]:
    """The calls whose legs are all in one. None is joined to another's."""
    found = set()
    for row in heard.calls:
        numbers = {call_id.rpartition("-")[2] for call_id in row["call_ids"]}
        assert len(numbers) == 1, row["call_ids"]
        if any(call_id.startswith("out-") for call_id in row["call_ids"]) and row["direction"] is not None:
            found.add(int(numbers.pop()))
    return found


# A second of such traffic is quick. Ten seconds find what is rare.
SOME_OR_MANY = pytest.mark.parametrize("count", [200, pytest.param(2_000, marks=pytest.mark.slow)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", ["random", "one-caller"])
@SOME_OR_MANY
def test_b2bua_calls_at_200_a_second_are_joined_without_error(count: int, shape: str, kind: str) -> None:
    rng = random.Random(7)
    heard = run((generated(shape, KINDS[kind], number, rng) for number in range(count)), rng)
    assert len(joined(heard)) >= 0.995 * count
    assert heard.counts() == (count, 0, count)


@pytest.mark.parametrize("shape", ["one-called", "sequential"])
def test_calls_of_every_kind_side_by_side_are_joined_without_error(shape: str) -> None:
    rng, kinds = random.Random(7), list(KINDS.values())
    heard = run((generated(shape, rng.choice(kinds), number, rng) for number in range(2_000)), rng)
    assert len(joined(heard)) >= 1_990
    assert heard.counts() == (2_000, 0, 2_000)


@pytest.mark.parametrize("kind", BY_NAME)
@SOME_OR_MANY
def test_load_test_with_one_caller_and_one_called_user_is_joined_by_name(count: int, kind: str) -> None:
    rng = random.Random(7)
    heard = run((generated("load-test", KINDS[kind], number, rng) for number in range(count)), rng)
    assert len(joined(heard)) >= 0.995 * count


@pytest.mark.parametrize("shape", ["random", "sequential"])
@SOME_OR_MANY
def test_next_carrier_after_a_silent_one_joins_every_time_without_error(count: int, shape: str) -> None:
    rng = random.Random(7)
    calls = (generated(shape, KINDS["national"], number, rng) for number in range(count))
    heard = run(calls, rng, silent_first=True)
    assert len(joined(heard)) >= 0.995 * count
    assert heard.counts() == (count, 0, count)


def test_same_two_users_for_all_calls_leave_doubtful_legs_apart() -> None:
    rng, talk = random.Random(7), Conversation()
    for number in range(400):
        at = number / 200
        talk.leg(ALICE, VC, call_id=f"in-{number}", from_tag=f"a{number}").invite(at)
        talk.leg(VC, BOB, call_id=f"out-{number}", from_tag=f"v{number}").invite(
            at + 0.03 + rng.random() / 50
        )
    heard = talk.play(until=61)
    wrong = [
        r["call_ids"]
        for r in heard.calls
        if r["call_ids"][1:] not in ([], [r["call_id"].replace("in", "out")])
    ]
    assert wrong == []
    assert heard.counters["joins_ambiguous"] > 0
