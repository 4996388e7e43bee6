"""The daemon's end of the board: a thread that talks to the server, and what the main thread tells and takes.

The main thread only fills and empties queues, once a batch. Without the server each host knows what it sees
itself; where claims are known to be missing, so are the figures that rest on them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from msgspec.structs import replace

from agent.config.settings import Config
from agent.daemon.health import SINK_S, Health
from agent.fleet.teller import RENEW_NS, ClaimTeller
from agent.fleet.valkey import TIMEOUT_S, WAIT_NS, ValkeyBoard
from agent.model.claim import Claim, in_our_time
from agent.pipeline import Pipeline

AGAIN_S = 1.0  # after a server that does not answer
IDLE_S = 0.05  # between two looks at what is to be told
SLOW_S = 0.5  # an answer of the board that takes longer is worth a line
SKEW_NS = 2 * 10**9  # clocks of two hosts that differ by more are worth a line
OFFSET_NS = 10**9  # ... and by this, so that their times are moved: less is what a claim takes
MAX_HOSTS = 4_096  # whose clocks are compared


class BoardLink:
    """One board, one host. `say` takes a line for the operator."""

    def __init__(
        self, board: ValkeyBoard, own: Iterable[str], clock: Callable[[], int], say: Callable[[str], object]
    ) -> None:
        self.board = board
        self.heard = 0
        self.told = 0
        self.skew_ns = 0  # the greatest of the last minute, as far as it can be told from delay
        self._own = tuple(own)
        self._clock = clock
        self._say = say
        self._teller: ClaimTeller | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._state: str | None = None  # of the board, as it was told last; "": it answers
        self._answer_s = float("inf")  # the quickest answer of this minute
        self._wrong_clock: str | None = None  # the host whose clock was told
        self._odd: set[str] = set()  # hosts of which something odd was told
        self._gaps = 0
        self._good_ns = clock()  # when the board was last there
        self._missed_ns = 0  # up to when claims are known to be missing
        self._ahead: dict[str, int] = {}  # host to the least of (arrival - sent) in this minute
        self._ahead_before: dict[str, int] = {}  # ... and in the one before
        self._skew_until_ns = clock() + RENEW_NS

    # -- its own thread

    def start(self, health: Health) -> None:
        """Begin to talk to the server."""
        self._thread = threading.Thread(target=self._run, args=(health,), name="board", daemon=True)
        self._thread.start()

    def _run(self, health: Health) -> None:
        with health.thread("board", SINK_S) as sign:
            while not self._stop.is_set():
                sign()
                self.board.step(int(IDLE_S * 1000))
                self._stop.wait(IDLE_S if self.board.is_up else AGAIN_S)

    def stop(self, timeout_s: float = TIMEOUT_S) -> None:
        """Send what waits, where the server answers, and end the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self.board.is_up and (self._thread is None or not self._thread.is_alive()):
            self.board.step(1)
        self.board.close()

    # -- the main thread

    def follow(self, pipeline: Pipeline) -> None:
        """From here on tell of the calls of `pipeline`: all of them once, then what changes."""
        identity = pipeline.intervals.identity
        self._teller = ClaimTeller(self.board, pipeline.sides, identity, self._own)
        pipeline.engine.signalling.changed = None

    def step(self, pipeline: Pipeline) -> None:
        """Tell what is new, take what was heard."""
        now_ns = self._clock()
        assert self._teller is not None
        before = self._teller.claims
        self._teller.tell(pipeline.engine.signalling, now_ns)
        self.told += self._teller.claims - before
        if self._teller.has_namesake:
            self._name_again(pipeline.intervals.identity.host)
        for due in self._teller.twice.due(now_ns):
            pipeline.engine.yield_counts(due.sight, due.connector, due.start_ns, due.end_ns, due.host)
        for received in self.board.hear():
            self.heard += 1
            self._look_at(received.claim, pipeline)
            if received.sent_ns:
                self._compare(received.claim.host, received.arrival_ns - received.sent_ns)
            offset_ns = self._offset_ns(received.claim.host)
            if abs(offset_ns) > OFFSET_NS:
                received = replace(received, claim=in_our_time(received.claim, offset_ns))
            pipeline.engine.claim(received)
        self._judge(pipeline, now_ns)

    def _judge(self, pipeline: Pipeline, now_ns: int) -> None:
        """Claims may be missing: thrown away unread, or the board was away for longer than they wait."""
        is_up = self.board.is_up
        since_ns = max(self._good_ns, self._missed_ns)
        if self.board.gaps > self._gaps:
            self._gaps = self.board.gaps
            self._say("claims of other hosts were thrown away before they were read here")
            self._miss(pipeline, since_ns, now_ns + RENEW_NS)  # claims are told anew each minute
        elif not is_up and self._own and now_ns - since_ns > WAIT_NS:
            self._miss(pipeline, since_ns, now_ns)
        if is_up:
            self._good_ns = now_ns
        state = "" if is_up else self.board.fault.partition(":")[0]
        if state != self._state and (is_up or now_ns - self._good_ns > SKEW_NS):
            self._state = state
            self._say("the board answers" if is_up else f"the board {self.board.fault}: local joins only")
        self._answer_s = min(self._answer_s, self.board.answer_s)
        if now_ns >= self._skew_until_ns:
            self._tell_skew()
            self._skew_until_ns = now_ns + RENEW_NS

    def _miss(self, pipeline: Pipeline, start_ns: int, end_ns: int) -> None:
        pipeline.engine.miss_claims(start_ns, end_ns)
        self._missed_ns = end_ns

    def _look_at(self, claim: Claim, pipeline: Pipeline) -> None:
        """Once for each host: what cannot be right of two hosts of one fleet."""
        identity = pipeline.intervals.identity
        if claim.host in self._odd or len(self._odd) >= MAX_HOSTS:
            return
        if claim.host == identity.host:
            self._name_again(claim.host)
        elif claim.key_id and claim.key_id != identity.key_id:
            self._odd.add(claim.host)
            self._say(f"{claim.host} has another key ({claim.key_id}): give all hosts one [fleet] key_file")

    def _name_again(self, host: str) -> None:
        if host not in self._odd:
            self._odd.add(host)
            self._say(f"another host is called {host} too: give each its own [fleet] host")

    def _compare(self, host: str, delay_ns: int) -> None:
        if host in self._ahead or len(self._ahead) < MAX_HOSTS:
            self._ahead[host] = min(delay_ns, self._ahead.get(host, delay_ns))

    def _offset_ns(self, host: str) -> int:
        """How far our clock is before that of `host`, as far as it can be told from delay."""
        return min(self._ahead.get(host, 0), self._ahead_before.get(host, self._ahead.get(host, 0)))

    def _tell_skew(self) -> None:
        """Once a minute: whose clock differs most, once for each host. The quickest claim counts.

        It takes two answers of the board, one of each host.
        """
        slow_s, self._answer_s = self._answer_s, float("inf")
        if SLOW_S < slow_s < float("inf"):
            self._say(f"the board is slow: an answer takes {slow_s:.1f} s, so claims come late")
        spent_ns = round(2e9 * slow_s) if slow_s < float("inf") else 0
        ahead = {
            host: delay_ns if delay_ns < 0 else max(0, delay_ns - spent_ns)
            for host, delay_ns in self._ahead.items()
        }
        worst = max(ahead, key=lambda host: abs(ahead[host]), default=None)
        self.skew_ns = ahead[worst] if worst is not None else 0
        if worst is None or abs(self.skew_ns) <= SKEW_NS:
            self._wrong_clock = None
        elif worst != self._wrong_clock:
            self._wrong_clock = worst
            seconds = self.skew_ns / 1e9
            self._say(f"claims of {worst} arrive {seconds:.1f} s after they were sent: a clock is wrong")
        self._ahead, self._ahead_before = {}, self._ahead

    def counters(self) -> dict[str, float]:
        """Totals since the start."""
        return {
            "told": self.told,
            "heard": self.heard,
            "missed": self.board.missed,
            "gaps": self.board.gaps,
            "board_errors": self.board.errors,
        }


def board_link(
    config: Config, addresses: Iterable[str], clock: Callable[[], int], say: Callable[[str], object]
) -> BoardLink | None:
    """The link to the board that `config` names, None for none. `addresses`: this host's.

    Raises ConfigError.
    """
    fleet = config.fleet
    if not fleet.board:
        return None
    own = media_addresses(config, addresses)
    board = ValkeyBoard(
        fleet.board,
        own,
        clock,
        user=fleet.board_user,
        password_file=fleet.board_password_file,
        ca_file=fleet.board_ca_file,
    )
    return BoardLink(board, own, clock, say)


def media_addresses(config: Config, addresses: Iterable[str]) -> list[str]:
    """Where media of this host may arrive, as SDP names it: the setting, else all that others can reach."""
    if config.fleet.media_addresses:
        return list(config.fleet.media_addresses)
    own = [
        address
        for address in addresses
        if not ip_address(address).is_loopback and not ip_address(address).is_link_local
    ]
    return own + [public for public, private in config.vc.public_addresses.items() if private in own]
