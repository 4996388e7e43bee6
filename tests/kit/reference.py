"""The RTP loop's figures by a slow, obvious model that keeps every packet of a stream.

Written from RFC 3550 A.1, A.3 and A.8, RFC 3611 4.7.2 and docs/accuracy.md, without the loop's data
structures: packets are kept in lists, what is lost is found by looking through them. One stream, one minute.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MAX_DROPOUT, MAX_MISORDER, WINDOW = 3000, 100, 64
SILENCE_NS = 2_000_000_000
COPY_NS = 20_000_000
GMIN = 16
LEAK_PER_NS = 0.0005 / 1e3  # us of baseline a ns
TIME_BASE_US, FEW_PACKETS, STEADY_US = 1e6, 4, 60_000.0
USUAL_RATES = (1000, 8000, 16000, 24000, 32000, 44100, 48000, 90000)
USUAL_BOUND = 2828  # Hz; below it 1000 is the usual rate
REPEATS = 8
FIGURES_KEPT = {"packets", "bytes", "duplicates"}  # of a candidate whose numbers were no sequence


@dataclass(frozen=True)
class Heard:
    """One RTP packet as captured."""

    stamp_ns: int
    seq: int
    ts: int
    payload_type: int = 0
    marker: bool = False
    path: int = 0
    size: int = 172


@dataclass
class Reception:
    stamp_ns: int
    path: int
    late: bool = False


@dataclass
class Sequence:
    """One count: from its base until a restart. `got` keeps every reception of every number, for good."""

    base: int
    top: int
    judged: int
    got: dict[int, list[Reception]] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    received: int = 0

    def hear(self, number: int, reception: Reception) -> None:
        self.got.setdefault(number, []).append(reception)
        self.received += 1


@dataclass
class Model:
    minute_ns: int
    rates: dict[int, int]  # payload type -> clock rate of audio
    silent: frozenset[int] = frozenset()  # payload types that are events or comfort noise
    buffer_us: float = 60_000.0
    losses: list[tuple[int, int]] = field(default_factory=list)
    named: bool = False  # an SDP names its socket

    def __post_init__(self) -> None:
        self.minutes: dict[int, Counter[str]] = {}
        self.copies = 0
        self.accepted = False
        self.accepted_ns = 0
        self.epoch = 0
        self.sequence: Sequence | None = None
        self.last_ns = 0
        self.stray: Heard | None = None
        self.repeated: tuple[Heard, int] | None = None  # the newest old packet, of how many in a row
        self.rebase = False
        self.verdicts: list[tuple[int, bool]] = []  # (minute, lost or discarded), number by number
        self.reference: tuple[int, int] | None = None
        self.heard_type: int | None = None
        self.codec: tuple[int, int] | None = None
        self.first_ns: int | None = None
        self.after_event = self.after_other = self.marked = False
        self.jitter = self.excess = 0.0
        self.steady: tuple[int, float] | None = None  # since when packets are late, and by how much
        self.suspect: Reception | None = None  # late by more than 1 s: a stall, or a clock that stood
        self.clock: dict[int, int] = {}  # payload type: the rate that the wire showed instead
        self.anchor: tuple[int, int] | None = None
        self.guess = self.agreed = 0
        self.samples: Counter[int] = Counter()  # by minute, since they were last forgotten
        self.step, self.votes = 0, 0

    # -- counting

    def add(self, stamp_ns: int, name: str, amount: float = 1) -> None:
        self.minutes.setdefault(stamp_ns // self.minute_ns, Counter())[name] += amount  # type: ignore[assignment]

    def hear(self, packet: Heard) -> None:
        here = Reception(packet.stamp_ns, packet.path)
        if self.first_ns is None:
            self.first_ns = self.last_ns = packet.stamp_ns
            self.heard_type = packet.payload_type
        if not self.accepted:
            self.probe(packet)
        if self.sequence is None:
            self.sequence = Sequence(packet.seq, packet.seq, packet.seq - 1)
            self.sequence.hear(packet.seq, here)
            self.reference = None
            self.excess, self.steady, self.suspect = 0.0, None, None
            self.add(packet.stamp_ns, "packets")
            self.add(packet.stamp_ns, "bytes", packet.size)
            self.last_ns = packet.stamp_ns
            self.time(packet, False, here)
            return
        sequence = self.sequence
        delta = (packet.seq - sequence.top) & 0xFFFF
        old = delta == 0 or delta > 65536 - MAX_MISORDER
        number = sequence.top - ((sequence.top - packet.seq) & 0xFFFF) if old else sequence.top + delta
        remembered = number > sequence.top - WINDOW
        if old and remembered and self.is_copy(here, sequence.got.get(number, [])):
            self.copies += 1
            return
        stray = self.stray
        if (
            not old
            and stray
            and stray.seq == packet.seq
            and self.is_copy(here, [Reception(stray.stamp_ns, stray.path)])
        ):
            self.copies += 1
            return
        if packet.stamp_ns - self.last_ns > SILENCE_NS:
            self.judge_to(sequence.top, self.last_ns + SILENCE_NS)
        self.add(packet.stamp_ns, "packets")
        self.add(packet.stamp_ns, "bytes", packet.size)
        before_ns, self.last_ns = self.last_ns, packet.stamp_ns
        if self.rebase:
            self.restart(packet.seq, packet.stamp_ns)
            assert self.sequence is not None
            self.sequence.hear(packet.seq, here)
        elif old and self.goes_back(packet, not remembered or bool(sequence.got.get(number))):
            counts = self.minutes[packet.stamp_ns // self.minute_ns]
            twice = min(REPEATS - 1, counts["duplicates"])
            counts["duplicates"] -= twice
            counts["reordered"] -= min(REPEATS - 1 - twice, counts["reordered"])
            self.restart((packet.seq - REPEATS + 1) & 0xFFFF, packet.stamp_ns)
            assert self.sequence is not None
            for _ in range(REPEATS - 1):
                self.sequence.hear(self.sequence.top, Reception(packet.stamp_ns, packet.path))
                self.sequence.top += 1
            self.sequence.hear(self.sequence.top, here)
        elif old:
            if remembered and sequence.got.get(number):
                here.late = sequence.got[number][-1].late
                sequence.hear(number, here)
                self.add(packet.stamp_ns, "duplicates")
                return
            self.add(packet.stamp_ns, "reordered")
            if not remembered:
                sequence.received += 1
                return
            sequence.unknown.discard(number)
            sequence.hear(number, here)
        elif WINDOW < delta < MAX_DROPOUT and self.is_skip(packet, delta):
            self.restart(packet.seq, packet.stamp_ns)
            assert self.sequence is not None
            self.sequence.hear(packet.seq, here)
        elif delta < MAX_DROPOUT:
            if delta > 1 and any(start <= packet.stamp_ns and end >= before_ns for start, end in self.losses):
                sequence.unknown.update(range(sequence.top + 1, number))
            # All that leaves the window is judged before the numbers it skipped can be.
            sequence.top = number
            self.judge_to(number - WINDOW, packet.stamp_ns)
            sequence.hear(number, here)
            self.stray = self.repeated = None
        elif stray and packet.seq == (stray.seq + 1) & 0xFFFF:
            self.restart(stray.seq, packet.stamp_ns)
            assert self.sequence is not None
            self.sequence.hear(stray.seq, Reception(stray.stamp_ns, stray.path))
            self.sequence.top += 1
            self.sequence.hear(self.sequence.top, here)
        else:
            self.stray, self.repeated = packet, None
            return
        here.late = self.time(packet, delta == 1, here)

    def probe(self, packet: Heard) -> None:
        """A stream is one of two numbers in sequence, or on a socket that an SDP names."""
        sequence = self.sequence
        near = (
            {number & 0xFFFF for number in sequence.got if number > sequence.top - WINDOW}
            if sequence
            else set()
        )
        if self.named or {(packet.seq - 1) & 0xFFFF, (packet.seq + 1) & 0xFFFF} & near:
            self.accepted = True
            self.accepted_ns = packet.stamp_ns
        elif (
            sequence
            and min((packet.seq - sequence.top) & 0xFFFF, (sequence.top - packet.seq) & 0xFFFF) >= WINDOW
        ):
            self.sequence = None
            self.verdicts.clear()
            self.samples.clear()
            self.jitter, self.codec, self.heard_type = 0.0, None, packet.payload_type
            self.step, self.votes, self.anchor = 0, 0, None
            for counts in self.minutes.values():
                for name in set(counts) - FIGURES_KEPT:
                    del counts[name]

    def is_copy(self, here: Reception, earlier: list[Reception]) -> bool:
        """Only the newest reception is compared: it is the one within 20 ms if any is."""
        return bool(earlier) and (
            here.stamp_ns - earlier[-1].stamp_ns <= COPY_NS and here.path != earlier[-1].path
        )

    def restart(self, base: int, stamp_ns: int) -> None:
        assert self.sequence is not None
        self.judge_to(self.sequence.top, stamp_ns)
        self.sequence = Sequence(base, base, base - 1)
        self.epoch += 1
        self.rebase = False
        self.stray = self.repeated = None
        self.reference = self.anchor = None
        self.excess = 0.0

    def is_skip(self, packet: Heard, delta: int) -> bool:
        """Numbers that the sender left out: neither time nor its own clock had room for them."""
        if not self.step or not self.codec or self.reference is None:
            return False
        ticks = (packet.ts - self.reference[1]) & 0xFFFFFFFF
        if ticks >= 1 << 31:
            ticks -= 1 << 32
        room_ns = delta * (self.step * 1e9 / self.codec[1])
        fits = abs(delta * self.step - ticks) * 4 <= delta * self.step
        return not fits and (packet.stamp_ns - self.reference[0]) * 4 < room_ns

    def goes_back(self, packet: Heard, known: bool) -> bool:
        """Numbers that came before come again one by one, as slowly as at first."""
        if self.stray or not known:
            return False
        count = 0
        if self.repeated and packet.seq == (self.repeated[0].seq + 1) & 0xFFFF:
            assert self.first_ns is not None
            now, then = (
                (stamp - self.first_ns) >> 17 for stamp in (packet.stamp_ns, self.repeated[0].stamp_ns)
            )
            usual_ns = self.step * 1e9 / self.codec[1] if self.step and self.codec else 2e7
            if ((now - then) & 0xFFFF) << 17 >= usual_ns / 2:
                count = self.repeated[1]
        self.repeated = (packet, count + 1)
        return count + 1 >= REPEATS

    # -- loss

    def judge_to(self, number: int, stamp_ns: int) -> None:
        sequence = self.sequence
        assert sequence is not None
        minute = stamp_ns // self.minute_ns
        for one in range(sequence.judged + 1, number + 1):
            receptions = sequence.got.get(one, [])
            if receptions:
                late = receptions[0].late
                self.add(stamp_ns, "judged")
                if late:
                    self.add(stamp_ns, "discarded")
                self.verdicts.append((minute, late))
            elif one in sequence.unknown:
                self.add(stamp_ns, "unknown")
            else:
                self.add(stamp_ns, "judged")
                self.add(stamp_ns, "gaps")
                self.verdicts.append((minute, True))
        sequence.judged = max(sequence.judged, number)

    def finish(self) -> None:
        if self.accepted:
            assert self.sequence is not None
            self.judge_to(self.sequence.top, self.last_ns)

    def totals(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for counts in self.minutes.values():
            total.update(counts)
        return total

    def bursts(self) -> Counter[str]:
        """RFC 3611 4.7.2 over the whole list of verdicts at once."""
        lost = [position for position, (_, bad) in enumerate(self.verdicts) if bad]
        result: Counter[str] = Counter(
            loss_runs=sum(1 for p in lost if p == 0 or not self.verdicts[p - 1][1])
        )
        clusters: list[list[int]] = []
        for position in lost:
            # "does not contain any occurrences of Gmin or more consecutively received packets"
            if clusters and position - clusters[-1][-1] - 1 < GMIN:
                clusters[-1].append(position)
            else:
                clusters.append([position])
        for cluster in clusters:
            if len(cluster) == 1:
                result["gap_lost"] += 1
            else:
                result["bursts"] += 1
                result["burst_lost"] += len(cluster)
                result["burst_packets"] += cluster[-1] - cluster[0] + 1
        result["gap_packets"] = len(self.verdicts) - result["burst_packets"]
        return result

    def counted(self, sequence16: int) -> tuple[int, int, int, int] | None:
        """RFC 3550 A.3 up to that number: (epoch, expected, received, unknown in this epoch)."""
        sequence = self.sequence
        assert sequence is not None
        number = sequence.top - ((sequence.top - sequence16) & 0xFFFF)
        if number < sequence.base or number < sequence.top - WINDOW:
            return None
        newer = sum(len(got) for one, got in sequence.got.items() if one > number)
        return (
            self.epoch,
            number - sequence.base + 1,
            sequence.received - newer,
            sum(1 for one in sequence.unknown if one <= number),
        )

    # -- jitter (A.8) and the buffer

    def time(self, packet: Heard, follows: bool, here: Reception) -> bool:
        """True: too late for the jitter buffer."""
        if not self.accepted and packet.payload_type >= 96:  # no SDP has said yet what it is
            measured = self.reference is not None and not self.after_event and not self.after_other
            if self.codec and measured and self.heard_type != packet.payload_type:
                self.after_other, self.marked = True, False
                return False
            self.after_other = self.marked = False
            if self.heard_type != packet.payload_type or self.codec:
                self.jitter, self.excess, self.step = 0.0, 0.0, 0
            self.heard_type, self.codec, self.anchor = packet.payload_type, None, None
            self.reference, self.after_event = (packet.stamp_ns, packet.ts), False
            return False
        if packet.payload_type in self.silent:
            if self.reference is not None:
                self.after_event = True
                self.after_other = self.marked = False
            self.anchor, self.excess = None, 0.0
            return False
        codec = (packet.payload_type, self.clock.get(packet.payload_type, self.rates[packet.payload_type]))
        if codec != self.codec:
            if self.codec and self.codec[0] != packet.payload_type:
                self.clock.pop(packet.payload_type, None)
                codec = (packet.payload_type, self.rates[packet.payload_type])
            if not (self.codec is None and self.heard_type == packet.payload_type):
                self.jitter = self.excess = 0.0
                self.reference = self.anchor = None
                self.step = 0
            self.codec = codec
            self.heard_type = packet.payload_type
        if self.reference is None or self.after_event:
            if self.reference is None or packet.ts != self.reference[1]:
                self.reference, self.after_event = (packet.stamp_ns, packet.ts), False
                self.after_other, self.marked = False, packet.marker
            return False
        begins, self.marked, self.after_other = packet.marker and not self.marked, packet.marker, False
        step = (packet.ts - self.reference[1]) & 0xFFFFFFFF
        if step == 0:
            return False
        if step >= 1 << 31:
            step -= 1 << 32
        rate = codec[1]
        elapsed_ns = packet.stamp_ns - self.reference[0]
        ticks = elapsed_ns * rate / 1e9
        self.reference = (packet.stamp_ns, packet.ts)
        off_us = (ticks - step) * 1e6 / rate
        usual = self.step or rate / 50
        if begins and abs(ticks - step) > FEW_PACKETS * usual:
            self.new_base(packet)
            return False
        if begins and ticks > 2 * usual:
            self.excess = 0.0
            return False
        if abs(off_us) > TIME_BASE_US:
            if step < 0 or off_us < 0:
                self.new_base(packet)
                return False
            self.anchor, self.suspect, self.steady = None, here, None
            self.excess += off_us
            return True
        if follows and step > 0:
            if step == self.step:
                self.votes = min(self.votes + 1, 4)
            elif self.votes > 1:
                self.votes -= 1
            else:
                self.step, self.votes = step, 1
        self.excess = max(0.0, self.excess + off_us - elapsed_ns * LEAK_PER_NS)
        late = self.is_late(packet, step * 1e6 / rate, off_us)
        self.jitter += (abs(off_us) - self.jitter) / 16
        self.add(packet.stamp_ns, "jitter_sum_us", self.jitter)
        self.add(packet.stamp_ns, "jitter_count")
        self.samples[packet.stamp_ns // self.minute_ns] += 1
        if self.samples[packet.stamp_ns // self.minute_ns] % 32 == 0 and self.clock_is_wrong(packet):
            return False
        return late

    def new_base(self, packet: Heard) -> None:
        self.add(packet.stamp_ns, "timebase_changes")
        self.anchor, self.excess, self.steady, self.suspect = None, 0.0, None, None

    def units(self, stamp_ns: int) -> int:
        assert self.first_ns is not None
        return (stamp_ns - self.first_ns) >> 20

    def is_late(self, packet: Heard, step_us: float, off_us: float) -> bool:
        """The baseline moves after a second of steady delay, and where nothing catches up."""
        suspect, self.suspect = self.suspect, None
        if self.excess <= self.buffer_us:
            if self.excess < self.buffer_us / 2 or suspect is not None:
                self.steady = None
            return False
        if suspect and off_us > -step_us / 2:
            self.new_base(packet)
            suspect.late = False
            return False
        if self.steady is None or abs(self.excess - self.steady[1]) > STEADY_US:
            self.steady = (self.units(packet.stamp_ns), float(int(self.excess)))
        elif self.units(packet.stamp_ns) - self.steady[0] >= 954:
            self.steady, self.excess = None, 0.0
        return True

    def clock_is_wrong(self, packet: Heard) -> bool:
        """Spans of a second that all show another clock rate.

        Two of a usual rate that is off by 1.5 times, or four of a rate that no codec has.
        """
        assert self.codec is not None
        now, before, agreed = self.units(packet.stamp_ns), self.guess, self.agreed
        if self.anchor is None:
            self.anchor, self.guess, self.agreed = (now, packet.ts), 0, 0
            return False
        span, ticks = now - self.anchor[0], (packet.ts - self.anchor[1]) & 0xFFFFFFFF
        if span < 954:
            return False
        self.anchor, self.guess, self.agreed = (now, packet.ts), 0, 0
        if span <= 30_000 and 0 < ticks < 1 << 31:
            seen = ticks * 1e9 / (span << 20)
            self.guess = self.shown(seen)
        rate, declared = self.guess, self.codec[1]
        if not rate or rate != before or rate == declared:
            return False
        self.agreed = agreed + 1
        off = max(rate / declared, declared / rate)
        if rate in USUAL_RATES:
            if off < 1.5:
                return False
        elif self.agreed < 3 or off < 1.1:
            return False
        self.clock[packet.payload_type] = rate
        self.codec = (packet.payload_type, rate)
        self.jitter, self.excess, self.steady = 0.0, 0.0, None
        raise WrongClock

    def shown(self, seen: float) -> int:
        """A usual rate, or the usual step of packets of a multiple of 10 ms, where that is another."""
        usual = 1000 if seen < USUAL_BOUND else nearest(seen)
        tens = int(self.step * 100 / seen + 0.5)
        exact = self.step * 100 // tens if tens else usual
        return exact if 0.95 <= exact / seen <= 1.05 and not 0.95 < exact / usual < 1.05 else usual


def nearest(seen: float) -> int:
    return min(USUAL_RATES[1:], key=lambda rate: max(rate / seen, seen / rate))


class WrongClock(Exception):
    """The traffic shows another clock than was declared; the model goes no further."""
