"""Tests the claims of a far end's RTCP before they become figures (RFC 3550 6.4.1).

Round trip. A block names one of our sender reports (LSR) and how long the far end kept it (DLSR). The claim
is false where it is

    not newest    DLSR is 0, which says "answered at once", and a newer sender report had left before
    stuck         several departures more than 20 ms apart have its LSR (the sender's NTP stamp stands)
    follows       three answers give round trips that are the same share of the time since the sender
                  report, and that time changed: DLSR is 0 or in another unit. A true round trip stays
                  alike itself, so its share shrinks as the time grows
    all of it     three answers in a row leave more than a second, and nearly all of the time, to the path:
                  the same fault of a far end that reports at a fixed distance from our reports
    whole         three answers in a row give whole seconds and round trips that swing: their fractions
                  were cut off

Loss. Cumulative loss is one running count. Some receivers send the loss of the last interval in its place.
The fraction of the same block shows it: it fits the count itself, and not the count's increase. Others fill
in the fraction alone: their blocks say that packets were lost, and that none ever was.

Hearing. A far end whose highest number stands still in two new reports, while packets leave, hears nothing.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import NamedTuple

from msgspec import Struct, field

from agent.model.far_end_cy import Hearing

MAX_RTT_NS = 10_000_000_000
COARSE_NS = 2_000_000  # clocks are coarse: a round trip above -2 ms counts as 0
SAMPLES = 3  # so many answers in a row prove a false clock
GROWN_NS = 200_000_000  # by so much the time since the sender report, or the round trip, must differ
SHARE_ALIKE = 0.1  # shares that differ by no more than a tenth of the greatest are the same
ALL_NS, ALL_SHARE = 1_000_000_000, 0.9  # a second
STILL_NS = 500_000_000  # a report so soon after the one before says nothing new
DEAF_AFTER = 2
FRACTION_MOST = 255


class ClaimVerdict(enum.Enum):
    """TRUE: a sample.

    NONE: no sample, no fault. FALSE: no sample. VOID: the samples just before are false too.
    """

    TRUE = enum.auto()
    NONE = enum.auto()
    FALSE = enum.auto()
    VOID = enum.auto()


class Answer(NamedTuple):
    """`elapsed_ns` from the departure of the sender report to the arrival of its block; `rtt_ns` is less
    DLSR.
    """

    elapsed_ns: int
    rtt_ns: int


class AnswerClock(Struct):
    """The newest answers of one reporter about one sender of ours; `is_false` once they are proved false."""

    answers: deque[Answer] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    is_false: bool = False


def judge_answer(clock: AnswerClock, elapsed_ns: int, dlsr_ns: int, *, newest: bool) -> ClaimVerdict:
    """Judges one answer to a sender report. `newest`: no later one had left."""
    rtt_ns = elapsed_ns - dlsr_ns
    if not dlsr_ns and not newest:
        return ClaimVerdict.FALSE
    if rtt_ns <= -COARSE_NS or rtt_ns > MAX_RTT_NS:
        return ClaimVerdict.NONE
    clock.answers.append(Answer(elapsed_ns, rtt_ns))
    if clock.is_false:
        return ClaimVerdict.FALSE
    if _follows(clock.answers):
        clock.is_false = True
        return ClaimVerdict.VOID
    return ClaimVerdict.TRUE


def _follows(answers: deque[Answer]) -> bool:
    """Whether the round trips hold time that the far end kept our report, and not only the path's."""
    if len(answers) < SAMPLES:
        return False
    times = [answer.elapsed_ns for answer in answers]
    if min(times) <= 0:
        return False
    trips = [answer.rtt_ns for answer in answers]
    kept_ns = [answer.elapsed_ns - answer.rtt_ns for answer in answers]
    if any(kept_ns) and not any(ns % ALL_NS for ns in kept_ns) and max(trips) - min(trips) >= GROWN_NS:
        return True
    shares = [answer.rtt_ns / answer.elapsed_ns for answer in answers]
    least, most = min(shares), max(shares)
    if least >= ALL_SHARE and min(trips) >= ALL_NS:
        return True
    return max(times) - min(times) >= GROWN_NS and least > 0 and most - least <= SHARE_ALIKE * most


class Count(enum.Enum):
    """The meaning of a block's cumulative loss, as its fraction shows."""

    TOTAL = enum.auto()  # as RFC 3550 6.4.1 says
    INTERVAL = enum.auto()  # the loss since the report before
    UNDECIDED = enum.auto()  # the fraction fits both
    NEITHER = enum.auto()  # the fraction fits none: it is false itself


def counted_as(increase: int, cumulative: int, fraction: int, expected: int) -> Count:
    """The meaning where `fraction` of 256 was lost of `expected` numbers and the count rose by `increase`."""
    off_total = abs(_fraction(increase, expected) - fraction)
    off_interval = abs(_fraction(cumulative, expected) - fraction)
    if off_interval == 0 and off_total >= 2 and fraction > 0:
        return Count.INTERVAL
    if off_total == 0 and off_interval >= 2 and increase >= 0:
        return Count.TOTAL
    return Count.NEITHER if increase > 0 and min(off_total, off_interval) >= 2 else Count.UNDECIDED


def denies(cumulative: int, fraction: int, expected: int) -> bool:
    """Whether a block says that nothing was ever lost, and that two packets or more just were."""
    return cumulative == 0 and fraction * expected >= 2 * 256


def _fraction(lost: int, expected: int) -> int:
    """RFC 3550 A.3: rounded down, 0 where duplicates make it negative."""
    return min(FRACTION_MOST, max(0, lost) * 256 // expected) if expected > 0 else 0


def is_deaf(hearing: Hearing, stamp_ns: int, said: tuple[int, ...], left: int) -> bool:
    """Whether the far end hears nothing, after one more report of it.

    `said`: the reporter and its highest numbers; `left`: how many numbers of ours have left.
    """
    if said != hearing.said:
        hearing.said, hearing.still, hearing.still_ns, hearing.left = said, 0, stamp_ns, left
        return False
    if stamp_ns - hearing.still_ns >= STILL_NS:
        hearing.still = hearing.still + 1 if left > hearing.left else 0
        hearing.still_ns, hearing.left = stamp_ns, left
    return hearing.still >= DEAF_AFTER
