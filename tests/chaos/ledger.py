"""What was on the wire, and what no process can have counted: the truth and its stated bound.

A frame may go uncounted where no process captured it, or where its process was killed before the next
checkpoint was committed. What follows in a call whose signalling went unseen is uncertain: its media may
belong to nobody. Everything else must be counted, once.
"""

from __future__ import annotations

from collections import Counter, deque

from tests.chaos.calls import Frame, Placed

KEPT_NS = 600 * 10**9  # how far back a lost checkpoint may reach


class Entry:
    __slots__ = ("at_ns", "call", "frame", "seen")

    def __init__(self, at_ns: int, call: Placed, frame: Frame, seen: bool) -> None:
        self.at_ns, self.call, self.frame, self.seen = at_ns, call, frame, seen


class Ledger:
    """Simulated time throughout."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()  # what every frame adds
        self.unseen: Counter[str] = Counter()  # of that, what may be missing
        self.frames = self.frames_unseen = 0
        self.messages: Counter[str] = Counter()  # SIP messages by Call-ID
        self.messages_unseen = 0
        self.calls: list[Placed] = []
        self._recent: deque[Entry] = deque()

    def frame(self, at_ns: int, call: Placed, frame: Frame, seen: bool) -> None:
        self.frames += 1
        for name, count in frame.adds:
            self.passed[name] += count
        entry = Entry(at_ns, call, frame, True)
        if not seen or (call.touched and not frame.sip):
            self._miss(entry)
        self._recent.append(entry)
        while self._recent[0].at_ns < at_ns - KEPT_NS:
            self._recent.popleft()

    def _miss(self, entry: Entry) -> None:
        if not entry.seen:
            return
        entry.seen = False
        self.frames_unseen += 1
        for name, count in entry.frame.adds:
            self.unseen[name] += count
        if entry.frame.sip:
            entry.call.touched = True
            self.messages_unseen += 1

    def killed(self, saved_ns: int) -> int:
        """All since the last committed checkpoint is lost; how many frames that were captured.

        A stream's first packet waits for its second, and is in no checkpoint before that.
        """
        lost = 0
        for entry in reversed(self._recent):
            if entry.at_ns > saved_ns or (entry.frame.first and entry.at_ns > saved_ns - 100_000_000):
                lost += entry.seen
                self._miss(entry)
            elif entry.at_ns < saved_ns - 200_000_000:
                break
        # What a call does after its signalling was missed is uncertain, also where it was captured.
        for entry in self._recent:
            if entry.at_ns > saved_ns and entry.call.touched and not entry.frame.sip:
                self._miss(entry)
        return lost

    def forgotten(self, since_ns: int, alive: list[Placed]) -> None:
        """A checkpoint is gone: the open minute since `since_ns`, and all that was known of calls."""
        for entry in self._recent:
            if entry.at_ns > since_ns:
                self._miss(entry)
        for call in alive:
            call.touched = True

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Least and most of every count that may be stored."""
        bounds = {name: (count - self.unseen[name], count) for name, count in self.passed.items()}
        most: Counter[str] = Counter()
        least: Counter[str] = Counter()
        for call in self.calls:
            most.update(call.template.totals)
            if not call.touched:
                least.update({k: v for k, v in call.template.totals.items() if not k.endswith("PacketsLost")})
        for name, count in most.items():
            bounds[name] = least[name], count
        return bounds
